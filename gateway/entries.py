"""A configuration's tables as they were written, for the rules that look at several keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from protocols.settings.document import Document
from protocols.settings.locate import KeyPath
from protocols.settings.problems import Problem
from protocols.settings.words import SIMILAR


@dataclass(frozen=True, slots=True)
class Entry:
    """A table of an array and its path."""

    path: KeyPath
    table: dict[str, Any]

    def text(self, key: str) -> str:
        """A text of the table; empty where there is none."""
        value = self.table.get(key)
        return value if isinstance(value, str) else ""

    def entries(self, key: str) -> list[Entry]:
        """The tables of an array in this one."""
        value = self.table.get(key)
        if not isinstance(value, tuple):
            return []
        return [Entry((*self.path, key, number), each) for number, each in enumerate(value) if isinstance(each, dict)]


def one_of(document: Document, entry: Entry, keys: tuple[str, str], words: str, do: str) -> Iterator[Problem]:
    """Exactly one of two keys, the first of which is named where there is none.

    One that is only misspelt is named elsewhere.
    """
    given = [each for each in keys if each in entry.table]
    if len(given) == len(keys):
        second = max(given, key=lambda each: document.places.of((*entry.path, each)).line)
        either = " or ".join(sorted(keys))
        yield document.problem((*entry.path, second), either, "both", do=f"remove the one that is not meant: {either}")
    elif not given and not any(difflib.get_close_matches(each.lower(), keys, 1, SIMILAR) for each in entry.table):
        yield document.problem((*entry.path, keys[0]), words, "nothing", do=do, at=entry.path)
