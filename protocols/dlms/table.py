"""An array whose rows all have one layout, read by columns: what a load profile mostly is, and most of its bytes.

The first row says where each tag, count and length stands; that the bytes at these places are the same in every row is
checked before anything is read. What is otherwise (null-data, another tag, a longer string) is no table, and is read
value by value.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from struct import Struct, calcsize

from protocols.dlms import data as axdr
from protocols.dlms.data import LETTERS, LONG_FORM, NUMBERS, OCTETS, STRINGS, Data, Tag, read_length
from protocols.errors import MeterError

MIN_ROWS = 2  # below it there is nothing to compare
MAX_CELLS = 64  # of one row: registers of one leaf
_NUMBERS = {int(tag): (tag, LETTERS[kind]) for tag, kind in NUMBERS.items()}
_OCTETS = {int(tag): (tag, f"{width}s") for tag, width in OCTETS.items()}
_FIXED = _NUMBERS | _OCTETS


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one layout: the tag of each column, and what stands in it from the first row to the last."""

    tags: tuple[Tag, ...]
    columns: tuple[tuple[int | bytes, ...], ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    def row(self, at: int) -> tuple[Data, ...]:
        """The cells of row `at`, from 0."""
        return tuple(Data(tag, column[at]) for tag, column in zip(self.tags, self.columns, strict=True))

    def data(self) -> Data:
        """The same as an array of structures."""
        cells = (map(Data, repeat(tag), column) for tag, column in zip(self.tags, self.columns, strict=True))
        return Data(Tag.ARRAY, tuple(map(axdr.structure, *cells)))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Of a row: the tag of each cell, the places of all that is no content, and what reads the contents."""

    tags: tuple[Tag, ...]
    places: tuple[int, ...]
    reader: Struct


def value(octets: bytes) -> Table | Data:
    """The one value that `octets` are, wholly: a table where it is one.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    return maybe_table(octets) or axdr.from_bytes(octets)


def maybe_table(octets: bytes) -> Table | None:
    """The table that `octets` are, wholly; None where they are none, or none that holds."""
    if octets[:1] != bytes((Tag.ARRAY,)):
        return None
    try:
        count, at = read_length(octets, 1)
        layout = _layout(octets, at)
    except MeterError:
        return None
    if layout is None or count < MIN_ROWS:
        return None
    rows, size = octets[at:], layout.reader.size
    if len(rows) != count * size:
        return None
    if any(rows[place::size] != rows[place : place + 1] * count for place in layout.places):
        return None
    return Table(layout.tags, tuple(zip(*layout.reader.iter_unpack(rows), strict=True)))


def _layout(octets: bytes, at: int) -> _Layout | None:
    """The layout of the row at `at`; None where it has none."""
    head = octets[at : at + 2]
    if len(head) < 2 or head[0] != Tag.STRUCTURE or not 1 <= head[1] <= MAX_CELLS:
        return None
    tags: list[Tag] = []
    places, form = [0, 1], ">2x"
    for _ in range(head[1]):
        place = calcsize(form)
        cell = _cell(octets, at + place)
        if cell is None:
            return None
        tag, before, letters = cell
        tags.append(tag)
        places += range(place, place + before)
        form += f"{before}x{letters}"
    return _Layout(tuple(tags), tuple(places), Struct(form))


def _cell(octets: bytes, at: int) -> tuple[Tag, int, str] | None:
    """Of the value at `at`: its tag, how many bytes stand before its content, and the letters of that for `struct`."""
    code = octets[at : at + 1]
    if not code:
        return None
    if fixed := _FIXED.get(code[0]):
        return fixed[0], 1, fixed[1]
    size = octets[at + 1 : at + 2]
    if code[0] in STRINGS and size and size[0] < LONG_FORM:
        return Tag(code[0]), 2, f"{size[0]}s"
    return None
