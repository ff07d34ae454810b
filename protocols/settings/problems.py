"""A fault of a settings file in plain words, and the report that a technician reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TextIO

from protocols.errors import ConfigurationError

SHOWN = 60  # characters of a value that a message shows
SOURCE = 110  # characters of a source line
SECRET = re.compile(r"pass|secret|token|geheim|kennwort|(^|_)(pin|psk|ak|ek|pw|pwd)$|[a-z]_?key$", re.IGNORECASE)
NAMES_OF_SECRETS = re.compile(r".*_(file|credential|folder)$")  # where a secret is, not what it is
# A meter's key in hex where the path of its file belongs, or under a name that DLMS papers have for it.
_KEY = re.compile(r"[0-9A-Fa-f]{32}(?:[0-9A-Fa-f]{32})?")
_MISPLACED = re.compile(rf"""(?:key\w*|guek|gak|gbek|kek)["']?\s*=\s*["']?{_KEY.pattern}(?![0-9A-Za-z/._-])""")
_KEYS = re.compile(r"""^\s*["']?([\w-]+)|([\w-]+)["']?\s*[=:]""", re.MULTILINE)
_RED, _YELLOW, _BOLD, _BLUE, _OFF = "\033[31m", "\033[33m", "\033[1m", "\033[34m", "\033[0m"


class Level(StrEnum):
    """A fault stops the daemon; a hint is worth a look."""

    FAULT = "fault"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: where (line 0: nowhere in the file), what was expected, what came, the nearest valid word, what to do.

    `source` is the line as written, `width` how many characters of it are meant.
    """

    file: str
    line: int
    column: int
    key: str
    expected: str
    got: str
    near: str = ""
    do: str = ""
    level: Level = Level.FAULT
    source: str = ""
    width: int = 1

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        hint = " hint:" if self.level is Level.HINT else ""
        near = f"; did you mean {self.near}?" if self.near else ""
        return f"{place}:{hint}{key} expected {self.expected}, got {self.got}{near}"

    def row(self) -> dict[str, Any]:
        """As data."""
        return asdict(self)


class ReportedError(ConfigurationError):
    """A file with faults, each of them a problem; one without problems is an error like any other."""

    def __init__(self, expected: str, got: str, where: str = "", problems: Iterable[Problem] = ()) -> None:
        super().__init__(expected, got, where)
        self.problems = tuple(problems)

    @property
    def advice(self) -> str:
        """What the report ends with."""
        return self.do

    def report(self, colour: bool = False) -> str:
        """What the technician reads."""
        if not self.problems:
            return super().__str__()
        last = f"{self.code}: {counted(self.problems)} in {self.where}; {self.advice}"
        return "\n".join([report(self.problems, colour), "", last])

    def __str__(self) -> str:
        return self.report()


def report(problems: Iterable[Problem], colour: bool = False) -> str:
    """The problems in the order of the file, each with its line, a mark under it and the next step."""
    ordered = sorted(problems, key=lambda each: (each.file, each.level, each.line, each.column))
    return "\n\n".join(_block(each, colour) for each in ordered)


def coloured(stream: TextIO) -> bool:
    """Whether colours are wanted: on a terminal, and where NO_COLOR does not forbid them."""
    return stream.isatty() and "NO_COLOR" not in os.environ


def counted(problems: Iterable[Problem]) -> str:
    """How many: "2 faults, 1 hint"."""
    levels = [each.level for each in problems]
    counts = [(levels.count(level), level.value) for level in Level]
    shown = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    return ", ".join(shown) or "no faults"


def shortened(text: str) -> str:
    """A value as written, on one line, of bearable length."""
    line = re.sub(r"//[^/\s\"'@]*@", "//...@", re.sub(r"\s+", " ", text.strip()))
    line = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in line)
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 4]} ..."


def secret(key: str) -> bool:
    """Whether a key's value may be a secret, by its name."""
    return bool(SECRET.search(key)) and not NAMES_OF_SECRETS.fullmatch(key)


def misplaced(key: str, value: object) -> bool:
    """Whether a key stands where the name of its file or credential belongs."""
    named = key.endswith(("_key_file", "_key_credential"))
    return named and isinstance(value, str) and bool(_KEY.fullmatch(value.strip()))


def hides(line: str) -> bool:
    """Whether a line may hold a secret: by its first word, or a word before = or :, or as a misplaced key."""
    return bool(_MISPLACED.search(line)) or any(secret(first or key) for first, key in _KEYS.findall(line))


def source_line(line: str) -> str:
    """A source line that may be shown: without what may be a secret."""
    key, sign, _ = line.partition("=")
    if hides(line):
        return f"{key if sign else line[: len(line) - len(line.lstrip())]}{sign} ..."
    shown = re.sub(r"//[^/\s\"'@]*@", "//...@", line.rstrip())
    shown = "".join(each if each.isprintable() or each == "\t" else "?" for each in shown)
    return shown if len(shown) <= SOURCE else f"{shown[: SOURCE - 4]} ..."


def _block(problem: Problem, colour: bool) -> str:
    tint, bold, blue, off = (_RED, _BOLD, _BLUE, _OFF) if colour else ("", "", "", "")
    if colour and problem.level is Level.HINT:
        tint = _YELLOW
    lines = [f"{bold}{problem}{off}" if colour else str(problem)]
    if problem.source.strip():
        number = f"{problem.line:6}"
        before = "".join("\t" if each == "\t" else " " for each in problem.source[: problem.column - 1])
        width = max(1, min(problem.width, len(problem.source) - len(before)))
        lines.append(f"{blue}{number} |{off} {problem.source}")
        if len(before) < len(problem.source):
            lines.append(f"{blue}       |{off} {before}{tint}{'^' * width}{off}")
    if problem.do:
        lines.append(f"{blue}       ={off} {problem.do}")
    return "\n".join(lines)
