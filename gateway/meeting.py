"""How the walk of `init` asks about a line and its meters: each answer is checked, and kept at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from gateway.draft import Draft, Row, keep
from gateway.questions import Check, Questions, anything, every, fits, one_of, unlike


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where the configuration goes, what it has so far, and who is asked about the next line.

    `left_out` are the meters that did not answer their test read, where nobody could be asked whether they stay.
    """

    path: Path
    draft: Draft
    questions: Questions
    left_out: list[str] = field(default_factory=list)

    def ask(self, name: str, words: str, default: str = "", check: Check = anything) -> str:
        """An answer that is kept at once, as the default of a run that goes on."""
        answer = self.questions.ask(name, words, default, check)
        self._keep()
        return answer

    def choose(self, name: str, words: str, default: str, known: tuple[str, ...]) -> str:
        """One of these words, kept at once."""
        return self.ask(name, f"{words} ({', '.join(known)})", default, one_of(known))

    def number(self, table: type[Any], key: str, words: str, default: int) -> int:
        """A number that a key of the configuration may have."""
        return int(self.ask(key, words, str(default), fits(table, key)))

    def named(self, name: str, words: str, default: str, table: type[Any], found: Sequence[Row] = ()) -> str:
        """A name of a line, or of a meter beside those `found` on its line, that nothing in the draft has yet."""
        return self.ask(name, words, default, self.name_of(table, found))

    def name_of(self, table: type[Any], found: Sequence[Row] = ()) -> Check:
        """What such a name may be."""
        meters = [each["name"] for bus in (*self.draft.buses, {"device": found}) for each in bus["device"]]
        is_line = any(each.name == "device" for each in fields(table))
        taken = [bus["name"] for bus in self.draft.buses] if is_line else meters
        return every(unlike(taken), fits(table, "name"))

    @property
    def folder(self) -> Path:
        """What paths in the configuration are relative to."""
        return self.path.absolute().parent

    def _keep(self) -> None:
        self.draft.answers = {**self.draft.answers, **self.questions.taken}
        keep(self.path, self.draft)
