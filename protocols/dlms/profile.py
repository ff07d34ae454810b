"""Load profiles (class 7, Blue Book 4.3.6): what a row captures, which rows are asked for, and the rows themselves.

A null in the clock column means "the previous time and one capture period", and is marked so; without a period it is
the previous time of a meter that is known to compress. A null in any other
column means that there is no value, INVALID; of a meter that is known to compress its buffer it means "as before": the
previous value, marked so, and INVALID still where nothing stood before.

The first status word that a row captures is the row's; what stands in further ones are values like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import overload

from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms.clock import Clock
from protocols.dlms.data import SHOWN, Content, Data, Tag
from protocols.dlms.faults import ColumnsDiffer, Malformed
from protocols.dlms.get import Selection
from protocols.dlms.objects import CLOCK, CLOCK_TIME, MAX_RAW, PROFILE, VALUE, Attribute, Meaning, ScalerUnit
from protocols.dlms.table import Table
from protocols.reading import MeterTime, Raw, Value

BUFFER, CAPTURE_OBJECTS, CAPTURE_PERIOD, SORT_METHOD, ENTRIES_IN_USE, PROFILE_ENTRIES = 2, 3, 4, 5, 7, 8
RANGE, ENTRY = 1, 2  # the selectors of "rows from .. to .." by time, and by their place in the buffer
ALL = 0  # the last row, or the last column, whichever it is
MAX_COLUMNS = 64  # registers of one leaf
NOTHING = Raw(bytes((Tag.NULL,)))  # the number of a value that was null
WIDEST, WORD = 8, 2**62  # octets of a status word, and the highest that is sealed as a number (protocols.uplink.block)
STATUS_C_D = bytes((96, 10))  # A-B:96.10.x.255 is the status word of a profile


@dataclass(frozen=True, slots=True)
class Column:
    """One captured attribute; `part` is 0 for the whole of it, else which member of an array or structure.

    `further`: it is a status word, and not the first of its profile.
    """

    attribute: Attribute
    part: int = 0
    further: bool = False

    @property
    def is_clock(self) -> bool:
        """Whether it holds the time of the row."""
        return self.attribute.class_id == CLOCK and self.attribute.number == VALUE

    @property
    def is_status(self) -> bool:
        """Whether it holds the status word of the row."""
        return not self.further and self.attribute.name[2:4] == STATUS_C_D and self.attribute.number == VALUE

    def to_data(self) -> Data:
        """The capture object definition."""
        asked = self.attribute
        return axdr.structure(
            Data(Tag.LONG_UNSIGNED, asked.class_id),
            axdr.octet_string(asked.name),
            Data(Tag.INTEGER, asked.number),
            Data(Tag.LONG_UNSIGNED, self.part),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its clock as sent (None where it is null and nothing stood before), status word and values.

    `time` is the row's time; `repeated` says that it was null and is reckoned from the row before. `invalid` says that
    the meter calls this time wrong, or the one that it is reckoned from; `doubtful`, that the meter says of it that it
    may be. `nulls` says of each value whether it was null and is that of the row before; `status_repeated` says that of
    the status word. `wide` is what stands in its place where it is no number that a sealed word can be: as it came.
    """

    clock: Clock | None
    time: MeterTime | None
    repeated: bool
    invalid: bool
    status: int | None
    values: tuple[Value, ...]
    nulls: tuple[bool, ...] = ()
    status_repeated: bool = False
    doubtful: bool = False
    wide: bytes = b""

    @property
    def utc_ms(self) -> int | None:
        """The row's instant; None where the meter shows no offset from UTC."""
        return None if self.time is None else clocks.utc_ms(self.time)


class TableRows(Sequence[Row]):
    """The rows of a buffer that is a table: times, status words and numbers by column, a row when it is asked for."""

    def __init__(self, table: Table, meanings: tuple[tuple[Column, Meaning], ...]) -> None:
        """Read the clocks.

        Raises:
            Malformed: what stands in a clock's column is no clock.
        """
        self._table, self._meanings = table, meanings
        self._clocks = self._statuses = None  # the last column of each counts, as value by value
        self._plain = True  # each status word is a number, or so short that its bits are one
        for (column, _), cells, first in zip(meanings, table.columns, table.row(0), strict=True):
            if column.is_clock:
                clocks.from_data(first, "profile row")  # all of them have its tag and its length
                self._clocks = cells
            elif column.is_status:
                self._statuses = cells
                self._plain = all(map(_is_word, cells))

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, at: int) -> Row: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Row, ...]: ...

    def __getitem__(self, at: int | slice) -> Row | tuple[Row, ...]:
        if isinstance(at, slice):
            return tuple(self[each] for each in range(*at.indices(len(self))))
        return _row(self._table.row(at), self._meanings, None, 0, compressed=False)  # it has no nulls

    def __iter__(self) -> Iterator[Row]:
        if not self._plain:
            yield from map(self.__getitem__, range(len(self)))
            return
        columns = zip(self._meanings, self._table.tags, self._table.columns, strict=True)
        values = [meaning.values(tag, cells) for (column, meaning), tag, cells in columns if not _is_apart(column)]
        shown = zip(*values, strict=True) if values else repeat(())
        for octets, status, each in zip(self._clocks or repeat(None), self._statuses or repeat(None), shown):  # noqa: B905
            word = int.from_bytes(status, "big") if isinstance(status, bytes) else status
            if not isinstance(octets, bytes):
                yield Row(None, None, False, False, word, each)
                continue
            clock = clocks.from_bytes(octets, "profile row")
            if clock.status:
                yield Row(clock, clock.time, False, clock.invalid, word, each, doubtful=clock.doubtful)
            else:
                yield Row(clock, clock.time, False, False, word, each)

    def times(self) -> Sequence[MeterTime | None]:
        """The time of each row, as the meter shows it."""
        return (None,) * len(self) if self._clocks is None else clocks.times(self._clocks)

    def numbers(self) -> Iterator[tuple[Attribute, int, tuple[int | bytes, ...]]]:
        """Of each column that is neither clock nor status: the attribute, the power of ten, and what stands in it."""
        for (column, meaning), cells in zip(self._meanings, self._table.columns, strict=True):
            if not _is_apart(column):
                yield column.attribute, meaning.exponent, cells


def buffer_of(name: bytes) -> Attribute:
    """The buffer of the profile with this logical name."""
    return Attribute(PROFILE, name, BUFFER)


def columns(data: Data) -> tuple[Column, ...]:
    """The columns that the capture objects (attribute 3) say; of several status words the first is the row's.

    Raises:
        Malformed: not of this form.
    """
    listed = axdr.members_of(data, "capture objects")
    if not 1 <= len(listed) <= MAX_COLUMNS:
        raise Malformed(f"1 to {MAX_COLUMNS} columns", str(len(listed)), "capture objects")
    found: list[Column] = []
    for each in map(_column, listed):
        further = each.is_status and any(before.is_status for before in found)
        found.append(replace(each, further=True) if further else each)
    return tuple(found)


def between(
    first: MeterTime, last: MeterTime, with_deviation: bool = True, chosen: tuple[Column, ...] = ()
) -> Selection:
    """The rows with times from `first` to `last`, both included; the `chosen` columns, or all where none is.

    Some meters compare the local time only and want none of the deviation: `with_deviation` is theirs to choose.
    """
    ends = (axdr.octet_string(clocks.to_bytes(each, with_deviation)) for each in (first, last))
    wanted = axdr.array(*(each.to_data() for each in chosen))
    return Selection(RANGE, axdr.structure(Column(CLOCK_TIME).to_data(), *ends, wanted))


def entries(first: int, last: int = ALL, first_column: int = 1, last_column: int = ALL) -> Selection:
    """The rows by their place, from 1 (the oldest, where the buffer is not sorted otherwise); columns from 1."""
    rows_asked = (Data(Tag.DOUBLE_LONG_UNSIGNED, each) for each in (first, last))
    columns_asked = (Data(Tag.LONG_UNSIGNED, each) for each in (first_column, last_column))
    return Selection(ENTRY, axdr.structure(*rows_asked, *columns_asked))


def rows(
    buffer: Data | Table,
    captured: tuple[Column, ...],
    scalers: Mapping[Attribute, ScalerUnit],
    period_s: int,
    compressed: bool = False,
    newest_first: bool = False,
) -> Sequence[Row]:
    """The rows of a buffer (attribute 2) with `captured` columns; `scalers` by the attribute whose value they scale.

    `compressed` says that this meter writes null-data for what is as in the row before. Of a profile that is sorted
    `newest_first` nobody says what a null stands for in the place of a time that is a period away: it has none.

    Raises:
        ColumnsDiffer: a row has another number of columns.
        Malformed: not of this form.
    """
    meanings = tuple((each, Meaning.of(each.attribute, scalers.get(each.attribute))) for each in captured)
    if isinstance(buffer, Table):
        _check_columns(len(buffer.tags), captured, 1)
        return TableRows(buffer, meanings)
    found: list[Row] = []
    previous: Row | None = None
    step_s = None if newest_first and period_s > 0 else period_s
    for each in axdr.members_of(buffer, "profile buffer"):
        cells = axdr.members_of(each, "profile row")
        _check_columns(len(cells), captured, len(found) + 1)
        previous = _row(cells, meanings, previous, step_s, compressed)
        previous = _undone(previous, found[-1] if compressed and found else None, cells, captured)
        found.append(previous)
    return tuple(found)


def _check_columns(count: int, captured: tuple[Column, ...], row: int) -> None:
    if count != len(captured):
        raise ColumnsDiffer(f"{len(captured)} columns", str(count), f"row {row}")


def _column(data: Data) -> Column:
    where = "capture objects"
    class_id, name, number, part = axdr.members_of(data, where, 4)
    octets = axdr.octets_of(name, where)
    if len(octets) != 6:
        raise Malformed("a logical name of 6 bytes", f"{len(octets)}: {octets[:SHOWN].hex()}", where)
    attribute = Attribute(axdr.whole(class_id, where), octets, axdr.whole(number, where))
    return Column(attribute, axdr.whole(part, where))


def _row(
    cells: tuple[Data, ...],
    meanings: tuple[tuple[Column, Meaning], ...],
    previous: Row | None,
    period_s: int | None,
    compressed: bool,
) -> Row:
    clock: Clock | None = None
    time: MeterTime | None = None
    status: int | None = None
    wide = b""
    repeated = invalid = doubtful = False
    values = []
    for cell, (column, meaning) in zip(cells, meanings, strict=True):
        if column.is_clock and cell.tag is Tag.NULL:
            time, repeated = _next(previous, period_s, compressed), True
            invalid, doubtful = (previous.invalid, previous.doubtful) if previous is not None else (False, False)
        elif column.is_clock:
            clock = clocks.from_data(cell, "profile row")
            time, invalid, doubtful = clock.time, clock.invalid, clock.doubtful
        elif column.is_status:
            status, wide = _status(cell)
        else:
            values.append(meaning.value(cell))
    return Row(clock, time, repeated, invalid, status, tuple(values), doubtful=doubtful, wide=wide)


def _undone(row: Row, before: Row | None, cells: tuple[Data, ...], captured: tuple[Column, ...]) -> Row:
    """A row with what is null as in the row `before`; as it is where there is none."""
    if before is None or not any(cell.tag is Tag.NULL for cell in cells):
        return row
    places = [cell.tag is Tag.NULL for cell, each in zip(cells, captured, strict=True) if not _is_apart(each)]
    repeated = tuple(null and earlier.number != NOTHING for null, earlier in zip(places, before.values, strict=True))
    values = (old if null else new for null, old, new in zip(repeated, before.values, row.values, strict=True))
    no_status = any(cell.tag is Tag.NULL and each.is_status for cell, each in zip(cells, captured, strict=True))
    status, wide = (before.status, before.wide) if no_status else (row.status, row.wide)
    known = no_status and status is not None
    return replace(row, values=tuple(values), nulls=repeated, status=status, status_repeated=known, wide=wide)


def _is_apart(column: Column) -> bool:
    return column.is_clock or column.is_status


def _next(previous: Row | None, period_s: int | None, compressed: bool) -> MeterTime | None:
    """The time after that of `previous`; None where there is none, or it is not known (no `period_s`).

    Without a period it is that of the row above for a meter that compresses, and None for any other.
    """
    if previous is None or previous.time is None or period_s is None or (period_s <= 0 and not compressed):
        return None
    if period_s <= 0:
        return previous.time
    return replace(previous.time, seconds=previous.time.seconds + period_s)


def _is_word(content: Content) -> bool:
    """Whether a number is a status word as it is, and a string short enough for its bits to be one."""
    if isinstance(content, int):
        return 0 <= content <= WORD
    return isinstance(content, bytes) and 0 < len(content) < WIDEST


def _status(cell: Data) -> tuple[int | None, bytes]:
    """The status word, and what is none as it came.

    It is a number (of a signed one the highest bit is its sign), or the bits of a bit-string or octet-string with the
    first bit highest.
    """
    content = cell.content
    if cell.tag is Tag.NULL:
        return None, b""
    if isinstance(content, int):
        width, _ = axdr.NUMBERS.get(cell.tag, (WIDEST, False))
        word = content if content >= 0 else content + (1 << 8 * width)
    elif isinstance(content, bytes) and 0 < len(content) <= WIDEST:
        word = int.from_bytes(content, "big")
    else:
        return None, axdr.to_bytes(cell)[:MAX_RAW]
    return (word, b"") if word <= WORD else (None, axdr.to_bytes(cell)[:MAX_RAW])
