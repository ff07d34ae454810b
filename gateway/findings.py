"""One line of a check: what was looked at, how it is, and what to do where it is not well."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from protocols.errors import PlombaError

OK, FAILED, PARTIAL = 0, 1, 3  # exit codes


class Mark(StrEnum):
    """How it is: well, worth a look, not usable, or not looked at."""

    OK = "ok"
    HINT = "hint"
    FAIL = "FAIL"
    SKIP = "skip"  # not looked at: the text says why


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at and how it is; `do` is empty where nothing is to be done."""

    mark: Mark
    what: str
    text: str
    code: str = ""
    do: str = ""

    def __str__(self) -> str:
        code = f" {self.code}" if self.code else ""
        do = f"\n       {self.do}" if self.do else ""
        return f"{self.mark:4}{code} {self.what}: {self.text}{do}"


def failed(what: str, error: PlombaError, do: str = "") -> Finding:
    """The finding of an error."""
    return Finding(Mark.FAIL, what, f"expected {error.expected}, got {error.got}", error.code, do or error.do)


def exit_code(marks: Iterable[Mark]) -> int:
    """0: all is well; 3: something is worth a look; 1: something fails."""
    found = set(marks)
    return FAILED if Mark.FAIL in found else PARTIAL if Mark.HINT in found else OK
