"""Reads a TOML file whole: its table, the place of every key, and its lines; what cannot be read is one problem.

A byte-order mark and Windows line ends are fine and shift nothing.
"""

from __future__ import annotations

import codecs
import difflib
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocols.settings.locate import TOP, KeyPath, LostError, Place, Places, locate
from protocols.settings.problems import Level, Problem, hides, shortened, source_line
from protocols.settings.syntax import Guess, guess

FILE_BYTES = 4 * 1024 * 1024  # 16,000 meters of 250 bytes: the most that one gateway may have
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # a UTF-32 mark begins like the first


@dataclass(frozen=True, slots=True)
class Document:
    """A settings file: what it says (arrays as tuples), and where.

    `problems` were found before, and read over; what the lines `mended` say was guessed. `toml`: no line had to be
    guessed to read it.
    """

    file: str
    table: dict[str, Any]
    places: Places
    lines: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    mended: frozenset[int] = frozenset()

    @property
    def toml(self) -> bool:
        """Whether it is TOML as it is written."""
        return not self.mended

    def of_writer(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems that are not of a value which was guessed."""
        return [each for each in problems if each.line not in self.mended]

    def problem(
        self,
        path: KeyPath,
        expected: str,
        got: str,
        *,
        near: str = "",
        do: str = "",
        level: Level = Level.FAULT,
        at: KeyPath | None = None,
    ) -> Problem:
        """A problem of the key `path`; it stands there, or at `at`."""
        place = self.places.of(path if at is None else at)
        line = place.line if self.lines else 0
        return Problem(
            self.file,
            line,
            place.column,
            shown_path(path),
            expected,
            got,
            near,
            do,
            level,
            self._source(place),
            place.width,
        )

    def written(self, path: KeyPath) -> str:
        """A value as it stands in the file, shortened; of a table its header."""
        place = self.places.places.get(path)
        if place is None:
            return "nothing"
        if place.text:
            return "a value that is not shown" if hides(place.text) else shortened(place.text)
        return f"a table {header(path)}"

    def _source(self, place: Place) -> str:
        here = place is not TOP and 0 < place.line <= len(self.lines)
        return source_line(self.lines[place.line - 1]) if here else ""


def text_in(path: Path) -> str | Problem:
    """The text in a file, with line ends of one character, or why there is none."""
    octets = _octets(path)
    if isinstance(octets, Problem):
        return octets
    text = _text(path, octets)
    return text if isinstance(text, Problem) else text.replace("\r\n", "\n")


def parse(file: str, text: str) -> Document | Problem:
    """The document in a text, or its first fault as TOML."""
    text = text.replace("\r\n", "\n")
    places, lines = locate(text), tuple(text.split("\n"))
    found = table_of(text, places)
    return guessed(file, lines, found) if isinstance(found, Guess) else Document(file, found, places, lines)


def table_of(text: str, places: Places) -> dict[str, Any] | Guess:
    """What a text says (arrays as tuples), or its first fault as TOML."""
    if places.lost is not None and "deep" in str(places.lost):
        return guess(text, places, _depth(text, places.lost))
    try:
        found: dict[str, Any] = _tuples(tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # int() refuses numbers of more than 4,300 digits by ValueError
        return guess(text, places, error)
    return found


def unlocated(file: str, table: dict[str, Any]) -> Document:
    """A document that is no file: nothing has a place."""
    return Document(file, _tuples(table), Places({}))


def shown_path(path: KeyPath) -> str:
    """A key's path as it is shown: bus[0].device[1].address."""
    text = ""
    for each in path:
        text += f"[{each}]" if isinstance(each, int) else f".{each}" if text else each
    return shortened(text)


def header(path: KeyPath) -> str:
    """The header of a table: [broker] or [[bus.device]]."""
    name = ".".join(each for each in path if isinstance(each, str))
    return f"[[{name}]]" if path and isinstance(path[-1], int) else f"[{name}]"


def _octets(path: Path) -> bytes | Problem:
    try:
        with path.open("rb") as file:
            octets = file.read(FILE_BYTES + 1)
    except FileNotFoundError:
        beside = nearest_file(path)
        do = f"there is {beside} beside it" if beside else "check the path that was given"
        return _whole(path, "a settings file", "no such file", near=beside, do=do)
    except IsADirectoryError:
        inside = ", ".join(sorted(each.name for each in path.glob("*.toml"))[:3])
        do = f"name a file in it: {inside}" if inside else "name the file in it"
        return _whole(path, "a settings file", "a folder", do=do)
    except OSError as error:
        return _whole(path, "a file that can be read", str(error.strerror), do="check its owner and mode (ls -l)")
    except ValueError:
        return _whole(path, "a path", "one with a zero byte in it", do="check the path that was given")
    if len(octets) > FILE_BYTES:
        do = "is it the right file? share the meters between several gateways if they are so many"
        return _whole(path, f"at most {FILE_BYTES // 1024 // 1024} MiB", "more", do=do)
    return octets


def nearest_file(path: Path) -> str:
    """The name of the settings file beside `path` that is most like it; empty where there is none."""
    try:
        names = [each for each in os.listdir(path.parent) if each.endswith(".toml")]  # noqa: PTH208 - names
    except OSError:
        return ""
    return next(iter(difflib.get_close_matches(path.name, names, 1, 0.3)), names[0] if len(names) == 1 else "")


def _text(path: Path, octets: bytes) -> str | Problem:
    if octets.startswith(_WIDE) or octets[1:2] == b"\0":
        do = "save it as UTF-8 (Notepad: Save as, Encoding: UTF-8)"
        return _whole(path, "text in UTF-8", "text in UTF-16", do=do, line=1)
    try:
        return octets.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        start = before.rfind(b"\n") + 1
        column = len(before[start:].decode("utf-8")) + 1
        byte = f"the byte {error.object[error.start]:02x}"
        do = "save the file as UTF-8: an umlaut or accent stands there in another encoding"
        return Problem(str(path), line, column, "", "text in UTF-8", byte, do=do)


def _whole(path: Path, expected: str, got: str, *, near: str = "", do: str = "", line: int = 0) -> Problem:
    return Problem(shortened(str(path)), line, 1, "", expected, got, near, do)


def _depth(text: str, lost: LostError) -> ValueError:
    before = text[: lost.at]
    line, column = before.count("\n") + 1, lost.at - before.rfind("\n")
    return ValueError(f"{lost} (at line {line}, column {column})")


def guessed(file: str, lines: tuple[str, ...], found: Guess) -> Problem:
    """The problem that a guess is; what may be a secret is not in it."""
    line = lines[found.line - 1] if 0 < found.line <= len(lines) else ""
    got, near, do = shortened(found.got), found.near, found.do
    within = "=" not in line and any(map(hides, lines[: found.line]))  # a text over several lines may be a secret
    if hides(line) or within:
        got, near, do = (
            "a line that is not shown",
            "",
            "check its quotes; a secret does not belong into this file at all",
        )
    source = "" if within else source_line(line)
    return Problem(file, found.line, found.column, "", found.expected, got, near, do, source=source)


def _tuples(value: Any) -> Any:
    """Arrays as tuples, which strict parsing demands."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
