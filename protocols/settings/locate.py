"""Where each key and value of a TOML document stands: line, column and the value as it is written.

`tomllib` says what a document means and not where. This walks the same text beside it: tables, arrays of tables, dotted
and quoted keys, inline tables, arrays over several lines, comments, multi-line strings. What is doubled is noted with
both places, so that a document which tomllib refuses for it can be explained. Columns count characters, from 1.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass

DEPTH = 32  # tables and arrays in each other: ours need five

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}' r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\n]*")


class LostError(ValueError):
    """The text is no TOML, or is nested too deeply: nothing after `at` (an index of the text) was looked at."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at = at


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key stands and its value as written ("" for a table); an array's element stands where its value does."""

    line: int
    column: int
    width: int
    text: str = ""


TOP = Place(1, 1, 0)


@dataclass(frozen=True, slots=True)
class Header:
    """A table's header: its names and where each begins, whether it has double brackets, and its span in the text."""

    names: tuple[str, ...]
    starts: tuple[int, ...]
    array: bool
    begins: int
    ends: int


@dataclass(frozen=True, slots=True)
class Places:
    """The place of each key, by its path, and what came twice: path, first and second place."""

    places: dict[KeyPath, Place]
    doubled: tuple[tuple[KeyPath, Place, Place], ...] = ()
    lost: LostError | None = None
    headers: tuple[Header, ...] = ()

    def of(self, path: KeyPath) -> Place:
        """The place of a key, or of the innermost table around it that is written down."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, TOP)


def locate(text: str) -> Places:
    """The places in a document with line ends of one character; as far as it is TOML."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except LostError as lost:
        return Places(scanner.places, tuple(scanner.doubled), lost, tuple(scanner.headers))
    return Places(scanner.places, tuple(scanner.doubled), None, tuple(scanner.headers))


class _Scanner:
    def __init__(self, text: str) -> None:
        self.places: dict[KeyPath, Place] = {}
        self.doubled: list[tuple[KeyPath, Place, Place]] = []
        self.headers: list[Header] = []
        self._text, self._at = text, 0
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._counts: dict[KeyPath, int] = {}  # elements of each array of tables
        self._implied: set[KeyPath] = set()  # tables that were only named on the way to another

    def document(self) -> None:
        table: KeyPath = ()
        while self._blank() < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._header("[[", "]]")
            elif self._text[self._at] == "[":
                table = self._header("[", "]")
            else:
                self._pair(table)

    def _header(self, opening: str, closing: str) -> KeyPath:
        begins = self._at
        self._at += len(opening)
        parts = self._key()
        self._expect(closing)
        names, starts = tuple(each[0] for each in parts), tuple(each[1] for each in parts)
        self.headers.append(Header(names, starts, closing == "]]", begins, self._at))
        path: KeyPath = ()
        for name, start, end in parts[:-1]:
            path = self._inside((*path, name))
            self._imply(path, start, end)
        name, start, end = parts[-1]
        path = (*path, name)
        if closing == "]":
            self._note(path, start, end)
            return self._inside(path)
        self.places.setdefault(path, self._place(start, end))
        self._counts[path] = self._counts.get(path, 0) + 1
        path = self._inside(path)
        self._note(path, start, end)
        return path

    def _inside(self, path: KeyPath) -> KeyPath:
        """A path's table: that of an array of tables is its newest element."""
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: KeyPath) -> None:
        parts = self._key()
        self._expect("=")
        path = table
        for name, start, end in parts[:-1]:
            path = (*path, name)
            self._imply(path, start, end)
        name, start, end = parts[-1]
        self._space()
        self._value((*path, name), start, end)

    def _value(self, path: KeyPath, start: int, end: int) -> None:
        if len(path) > DEPTH:
            raise LostError(self._at, f"nested more than {DEPTH} deep")
        begins = self._at
        self._note(path, start, end)
        first = self._text[begins : begins + 1]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline(path)
        else:
            self._at = self._match(_STRING if first in {'"', "'"} else _BARE).end()
        written = self._text[begins : self._at].rstrip()
        place = self.places[path]
        self.places[path] = Place(place.line, place.column, place.width or len(written.partition("\n")[0]), written)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        number = 0
        while self._peek() != "]":
            self._value((*path, number), self._at, self._at)
            number += 1
            if self._peek() == ",":
                self._at += 1
        self._at += 1

    def _inline(self, path: KeyPath) -> None:
        self._at += 1
        while self._peek() != "}":
            self._pair(path)
            if self._peek() == ",":
                self._at += 1
        self._at += 1

    def _key(self) -> list[tuple[str, int, int]]:
        parts = []
        while True:
            self._space()
            found = self._match(_KEY)
            parts.append((_name(found.group(), found.start()), found.start(), found.end()))
            self._at = found.end()
            self._space()
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1
            if len(parts) > DEPTH:
                raise LostError(self._at, f"nested more than {DEPTH} deep")

    def _note(self, path: KeyPath, start: int, end: int) -> None:
        place = self._place(start, end)
        if path in self.places and path not in self._implied:
            self.doubled.append((path, self.places[path], place))
        self._implied.discard(path)
        self.places[path] = place

    def _imply(self, path: KeyPath, start: int, end: int) -> None:
        if path not in self.places:
            self.places[path] = self._place(start, end)
            self._implied.add(path)

    def _place(self, start: int, end: int) -> Place:
        line = bisect_right(self._lines, start)
        return Place(line, start - self._lines[line - 1] + 1, end - start)

    def _blank(self) -> int:
        self._at = self._match(_BLANK).end()
        return self._at

    def _space(self) -> None:
        self._at = self._match(_SPACE).end()

    def _peek(self) -> str:
        """The next character that is neither blank nor comment."""
        if self._blank() >= len(self._text):
            raise LostError(self._at, "the end of the file")
        return self._text[self._at]

    def _expect(self, wanted: str) -> None:
        if not self._text.startswith(wanted, self._at):
            raise LostError(self._at, f"no {wanted}")
        self._at += len(wanted)

    def _match(self, form: re.Pattern[str]) -> re.Match[str]:
        found = form.match(self._text, self._at)
        if found is None or (form is _BARE and not found.group().strip()):
            raise LostError(self._at, "neither key nor value")
        return found


def _name(written: str, at: int) -> str:
    """A key without its quotes."""
    if not written.startswith('"'):
        return written.strip("'")
    try:
        name: str = tomllib.loads(f"key = {written}")["key"]
    except tomllib.TOMLDecodeError as error:
        raise LostError(at, str(error)) from None
    return name
