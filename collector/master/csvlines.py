"""A CSV file as a spreadsheet writes it, cell by cell with its place: UTF-8 with or without BOM, `;` or `,`.

A cell may stand in double quotes (a quote in it doubled) and holds no line break. The separator is the one that the
header line uses. Empty lines, and lines whose first cell begins with #, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from collector.shown import FORMULA

BYTES = 64 * 1024 * 1024  # of a file
CELL = 1_024  # characters of a cell
BOM = b"\xef\xbb\xbf"
SEPARATORS = (";", ",")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text without the blanks around it, and where it begins: line and character, both from 1."""

    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line as written, its number, and its cells."""

    number: int
    source: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Misread:
    """What in a file is no CSV, and where."""

    line: int
    column: int
    expected: str
    got: str
    do: str


def separator(header: str) -> str:
    """The separator of a header line."""
    return max(SEPARATORS, key=header.count)


def lines(octets: bytes) -> Iterator[Line | Misread]:
    """The lines of a file in order, the header first; what cannot be read in their place."""
    if len(octets) > BYTES:
        yield Misread(0, 1, f"at most {BYTES} bytes", f"{len(octets)}", "divide the file")
        return
    try:
        text = octets.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        before = octets.removeprefix(BOM)[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
        got = f"byte {error.object[error.start]:02x}, which is none"
        yield Misread(line, column, "UTF-8", got, "save it as 'CSV UTF-8' (LibreOffice: character set UTF-8)")
        return
    mark = ""
    for number, source in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if not source.strip() or source.lstrip().startswith("#"):
            continue
        mark = mark or separator(source)
        read = _cells(source, number, mark)
        yield read if isinstance(read, Misread) else Line(number, source, read)


def _cells(source: str, number: int, mark: str) -> tuple[Cell, ...] | Misread:
    found: list[Cell] = []
    at = 0
    while True:
        read = _quoted(source, at, number) if source[at:].lstrip(" ").startswith('"') else _plain(source, at, mark)
        if isinstance(read, Misread):
            return read
        text, start, end = read
        if len(text) > CELL:
            return Misread(number, start + 1, f"at most {CELL} characters in a cell", f"{len(text)}", "shorten it")
        found.append(Cell(_unescaped(text.strip()), number, start + 1))
        if end >= len(source):
            return tuple(found)
        if source[end] != mark:
            return Misread(number, end + 1, f"{mark} behind the quote", repr(source[end]), "double a quote in a text")
        at = end + 1


def _unescaped(text: str) -> str:
    """Without the apostrophe that keeps a spreadsheet from running a cell (`collector.rows.cell`)."""
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULA and len(text) > 1 else text


def _plain(source: str, at: int, mark: str) -> tuple[str, int, int]:
    end = source.find(mark, at)
    end = len(source) if end < 0 else end
    text = source[at:end]
    return text, at + len(text) - len(text.lstrip()), end


def _quoted(source: str, at: int, number: int) -> tuple[str, int, int] | Misread:
    start = source.index('"', at)
    text, end = "", start + 1
    while True:
        quote = source.find('"', end)
        if quote < 0:
            return Misread(number, start + 1, "a quote at the cell's end", "none on this line", "close the quote")
        text += source[end:quote]
        if source[quote + 1 : quote + 2] != '"':
            rest = len(source[quote + 1 :]) - len(source[quote + 1 :].lstrip(" "))
            return text, start, quote + 1 + rest
        text, end = text + '"', quote + 2
