"""A configuration's tables as they were written, for the rules that look at several keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocols.settings.locate import KeyPath


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
