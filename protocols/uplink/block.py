"""A block: the rows of one source as columns. It is made and read here, and so are the leaves of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from protocols.reading import How, MeterTime, NativeKey, Reading, Scaled, State, Status, Value
from protocols.uplink import limits
from protocols.uplink.columns import PLAIN, decode, decode_within, encode, encode_within
from protocols.uplink.faults import CountError, FieldError, LimitError
from protocols.uplink.leaf import (
    INTEGER,
    RAW,
    READING,
    TEXT,
    SealedReading,
    number_from_wire,
    number_to_wire,
    time_code,
    time_of,
)
from protocols.uplink.pack import Fields, Wire, pack
from protocols.uplink.source import ExchangeRow, Register, Source

NOTHING: list[Wire] = [PLAIN]  # the column of no rows
NEITHER: list[Wire] = [[PLAIN, 0], NOTHING]  # the columns of one row that has no such value
NO_TIME: list[Wire] = [*NEITHER, NOTHING]
ABSENT = 0  # in the column of kinds: this register is not in this row
_STATES, _HOWS = tuple(State), tuple(How)  # by number: quicker than the classes
_STATUSES = tuple(Status(word) for word in range(limits.STATUS + 1))
_Time = tuple[int, int]  # seconds and code of a meter's time
_Cell = tuple[int, int, Wire, int | None, int, int | None, _Time | None]  # register, kind, number, scale, state, ...
_Row = tuple[ExchangeRow, int, int, int | None, _Time | None, int | None, int, list[_Cell]]
STATUS_RAW = 2**62  # the highest status word as a meter shows it


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one source, checked: as a block, as leaves of the tree, or as readings.

    Both sides make the leaves here: the gateway of the readings that it seals (`of`), the collector of the block.
    """

    source: Source
    exchanges: tuple[ExchangeRow, ...]  # of each row
    how: list[int]
    part: list[int]
    slots: list[int | None]
    times: list[_Time | None]
    raws: list[int | None]
    statuses: list[int]
    cells: list[list[_Cell]]

    @classmethod
    def of(cls, readings: Sequence[Reading], exchanges: Sequence[ExchangeRow]) -> Rows:
        """Readings of one source, each with the exchange that it came from.

        Raises:
            FieldError, FormError, LimitError: a value has no form on the wire.
        """
        first = readings[0]
        numbers: dict[tuple[NativeKey, str], int] = {}
        cells = [_row_of(reading, numbers) for reading in readings]
        registers = tuple(Register(*each) for each in numbers)
        return cls(
            Source(first.meter, first.device, first.sub, registers),
            tuple(exchanges),
            [int(each.how) for each in readings],
            [each.part for each in readings],
            [each.slot_ms for each in readings],
            [_time_of(each.meter_time) for each in readings],
            [each.status_raw for each in readings],
            [int(each.status) for each in readings],
            cells,
        )

    def to_block(self, source: int, exchanges: Sequence[int]) -> list[Wire]:
        """The block of 14 elements (docs/uplink.md section 6.3): the source's number, and those of the exchanges.

        Raises:
            FieldError, FormError, LimitError: a value has no form on the wire.
        """
        if len(self.cells) == 1:
            return self._block_of_one(source, *exchanges)
        return [
            source,
            len(self.cells),
            encode(exchanges),
            encode(self.how),
            encode_within(self.part, 0, limits.LEAVES, "block.part"),
            *_optional_to_wire(self.slots, limits.PAST_MS, limits.FUTURE_MS - 1, "block.slot"),
            *_times_to_wire(self.times),
            *_optional_to_wire(self.raws, 0, STATUS_RAW, "block.status raw"),
            encode_within(self.statuses, 0, limits.STATUS, "block.status"),
            [_column_of(column) for column in self._columns()],
        ]

    def _block_of_one(self, source: int, exchange: int) -> list[Wire]:
        """The block of one row, which is what a round of spot readings has: written out for speed."""
        return [
            source,
            1,
            [PLAIN, exchange],
            [PLAIN, *self.how],
            encode_within(self.part, 0, limits.LEAVES, "block.part"),
            *_optional_to_wire(self.slots, limits.PAST_MS, limits.FUTURE_MS - 1, "block.slot"),
            *(NO_TIME if self.times[0] is None else _times_to_wire(self.times)),
            *(NEITHER if self.raws[0] is None else _optional_to_wire(self.raws, 0, STATUS_RAW, "block.status raw")),
            encode_within(self.statuses, 0, limits.STATUS, "block.status"),
            [_column_of_one(*cell) for cell in self.cells[0]],
        ]

    def to_wires(self) -> list[Wire]:
        """The arrays of the leaves, as `SealedReading.to_wire` gives them."""
        owner = self.source.owner_to_wire()
        names = [each.to_wire() for each in self.source.registers]
        return [
            [
                READING,
                *owner,
                how,
                slot_ms,
                _pair(time),
                row.at_ms,
                row.mono_ms,
                row.round_trip_ms,
                int(row.quality.synchronised),
                row.quality.uncertainty_ms,
                row.raw_hash,
                status_raw,
                status,
                part,
                [
                    [*names[n], kind, number, scale, state, own, _pair(its)]
                    for n, kind, number, scale, state, own, its in cells
                ],
            ]
            for row, how, part, slot_ms, time, status_raw, status, cells in self._zipped()
        ]

    def readings(self) -> list[SealedReading]:
        """The rows as readings."""
        source, registers = self.source, self.source.registers
        return [
            SealedReading(
                source.meter,
                source.device,
                source.sub,
                _HOWS[how],
                slot_ms,
                _shown(time),
                row.at_ms,
                row.mono_ms,
                row.round_trip_ms,
                row.quality,
                row.raw_hash,
                status_raw,
                _STATUSES[status],
                part,
                tuple(
                    Value(
                        registers[n].key,
                        registers[n].unit,
                        number_from_wire(kind, number, scale),
                        _STATES[state],
                        own,
                        _shown(its),
                    )
                    for n, kind, number, scale, state, own, its in cells
                ),
            )
            for row, how, part, slot_ms, time, status_raw, status, cells in self._zipped()
        ]

    def _columns(self) -> Sequence[Sequence[_Cell | None]]:
        """By register: its cell in each row, None where it is not in it."""
        registers = len(self.source.registers)
        if all(len(row) == registers for row in self.cells):
            return list(zip(*self.cells, strict=True))
        columns: list[list[_Cell | None]] = [[None] * len(self.cells) for _ in range(registers)]
        for i, row in enumerate(self.cells):
            for cell in row:
                columns[cell[0]][i] = cell
        return columns

    def _zipped(self) -> Iterator[_Row]:
        columns = (self.exchanges, self.how, self.part, self.slots, self.times, self.raws, self.statuses, self.cells)
        return zip(*columns, strict=True)


def block_from_wire(wire: Wire, sources: Sequence[Source], exchanges: Sequence[ExchangeRow]) -> Rows:
    """Decode and check one block (its size was checked by the caller).

    Raises:
        CountError, FieldError, LimitError: which rule is broken, and in which column.
    """
    fields = Fields(wire, "block", 14)
    source = sources[fields.integer("source", 0, len(sources) - 1)]
    count = fields.integer("count", 1, limits.LEAVES)
    used = decode_within(fields.any(), count, 0, len(exchanges) - 1, "block.exchange")
    how = decode_within(fields.any(), count, 0, 4, "block.how")
    part = decode_within(fields.any(), count, 0, limits.LEAVES, "block.part")
    slots = _optional(fields, count, limits.PAST_MS, limits.FUTURE_MS - 1, "block.slot")
    times = _times(fields, count, "block.meter time")
    raws = _optional(fields, count, 0, STATUS_RAW, "block.status raw")
    statuses = decode_within(fields.any(), count, 0, limits.STATUS, "block.status")
    cells = _cells(fields.array("registers", limits.ARRAY), len(source.registers), count)
    return Rows(source, tuple(exchanges[each] for each in used), how, part, slots, times, raws, statuses, cells)


def _pair(time: _Time | None) -> list[Wire] | None:
    return None if time is None else [*time]


def _shown(time: _Time | None) -> MeterTime | None:
    return None if time is None else time_of(*time)


def _optional(fields: Fields, count: int, low: int, high: int, where: str) -> list[int | None]:
    """Two columns: which rows have it, and the values of those that have."""
    present = decode_within(fields.any(), count, 0, 1, f"{where}?")
    found = iter(decode_within(fields.any(), sum(present), low, high, where))
    return [next(found) if each else None for each in present]


def _times(fields: Fields, count: int, where: str) -> list[_Time | None]:
    """Three columns: which rows have a time, its seconds, its code."""
    present = decode_within(fields.any(), count, 0, 1, f"{where}?")
    seconds = decode(fields.any(), sum(present), f"{where} seconds")
    codes = decode(fields.any(), sum(present), f"{where} code")
    for code in set(codes):
        time_of(min(seconds), code)
        time_of(max(seconds), code)
    found = zip(seconds, codes, strict=True)
    return [next(found) if each else None for each in present]


def _row_of(reading: Reading, numbers: dict[tuple[NativeKey, str], int]) -> list[_Cell]:
    """The cells of a reading; `numbers` are those of the source's registers, in the order in which they were seen."""
    row = [_cell(numbers.setdefault((each.key, each.unit), len(numbers)), each) for each in reading.values]
    order = [cell[0] for cell in row]
    if len(set(order)) < len(order):
        twice = next(n for n in order if order.count(n) > 1)
        raise FieldError("each native key once in a reading", f"{[*numbers][twice][0]} twice", reading.device)
    row.sort(key=itemgetter(0))
    return row


def _cell(n: int, value: Value) -> _Cell:
    """The value of the register with number `n`, checked as the other side checks it."""
    if type(value.number) is Scaled and value.time is None and _is_usual(value.number):
        return n, INTEGER, value.number.mantissa, value.number.exponent, int(value.state), value.status, None
    kind, number, scale = number_to_wire(value.number)
    if type(number) is not int or not limits.INT64_MIN <= number <= limits.INT64_MAX:
        pack(number)  # what has no form on the wire is refused there: a text with NUL, a wider integer
    number_from_wire(kind, number, scale)
    return n, kind, number, scale, int(value.state), value.status, _time_of(value.time)


def _is_usual(number: Scaled) -> bool:
    mantissa, exponent = number.mantissa, number.exponent
    return (
        type(mantissa) is type(exponent) is int
        and limits.INT64_MIN <= mantissa <= limits.INT64_MAX
        and -limits.EXPONENT <= exponent <= limits.EXPONENT
    )


def _time_of(time: MeterTime | None) -> _Time | None:
    if time is None:
        return None
    found = (time.seconds, time_code(time))
    time_of(*found)  # as the other side will
    return found


def _optional_to_wire(values: Sequence[int | None], low: int, high: int, where: str) -> list[Wire]:
    """Two columns: which rows have it, and the values of those that have."""
    present = [each for each in values if each is not None]
    return [encode([int(each is not None) for each in values]), encode_within(present, low, high, where)]


def _times_to_wire(times: Sequence[_Time | None]) -> list[Wire]:
    """Three columns: which rows have a time, its seconds, its code."""
    present = [each for each in times if each is not None]
    seconds, codes = [each[0] for each in present], [each[1] for each in present]
    return [encode([int(each is not None) for each in times]), encode(seconds), encode(codes)]


def _column_of(found: Sequence[_Cell | None]) -> list[Wire]:
    """`[kinds, states, numbers, scales, others, status?, status, time?, seconds, code]` of one register."""
    cells = [cell for cell in found if cell is not None]
    _, _, numbers, scales, states, owns, times = zip(*cells, strict=True)
    exact = [number for number, scale in zip(numbers, scales, strict=True) if scale is not None]
    return [
        encode([ABSENT if cell is None else cell[1] for cell in found]),
        encode(states),
        encode(exact),
        encode([scale for scale in scales if scale is not None]),
        [number for number, scale in zip(numbers, scales, strict=True) if scale is None],
        *_optional_to_wire(owns, 0, STATUS_RAW, "register column.status"),
        *_times_to_wire(times),
    ]


def _column_of_one(
    n: int, kind: int, number: Wire, scale: int | None, state: int, own: int | None, time: _Time | None
) -> list[Wire]:
    """The column of a block of one row."""
    return [
        [PLAIN, kind],
        [PLAIN, state],
        NOTHING if scale is None else [PLAIN, number],
        NOTHING if scale is None else [PLAIN, scale],
        [number] if scale is None else [],
        *(NEITHER if own is None else _optional_to_wire([own], 0, STATUS_RAW, "register column.status")),
        *(NO_TIME if time is None else _times_to_wire([time])),
    ]


def _cells(wire: list[Wire], registers: int, count: int) -> list[list[_Cell]]:
    """The values of each row, in the source's order of registers."""
    if len(wire) != registers:
        raise CountError(f"{registers} registers", f"{len(wire)}", "block.registers")
    rows: list[list[_Cell]] = [[] for _ in range(count)]
    for n, column in enumerate(wire):
        for row, cell in zip(rows, _expand(column, n, count), strict=True):
            if cell is not None:
                row.append(cell)
    if registers > limits.REGISTERS and any(len(row) > limits.REGISTERS for row in rows):
        raise LimitError(f"at most {limits.REGISTERS} registers in a leaf", f"{max(map(len, rows))}", "block.registers")
    return rows


def _expand(wire: Wire, n: int, count: int) -> Sequence[_Cell | None]:
    """The column of the register with number `n`: its cell in each row, None where it is not in it."""
    where = "register column"
    fields = Fields(wire, where, 10)
    kinds = decode_within(fields.any(), count, ABSENT, RAW, f"{where}.kinds")
    present = [kind for kind in kinds if kind != ABSENT]
    apart = present.count(TEXT) + present.count(RAW)
    states = decode_within(fields.any(), len(present), 0, 4, f"{where}.states")
    numbers = decode(fields.any(), len(present) - apart, f"{where}.numbers")
    scales = decode(fields.any(), len(present) - apart, f"{where}.scales")
    others = fields.array("others", limits.LEAVES)
    if len(others) != apart:
        raise CountError(f"{apart} texts and raws", f"{len(others)}", where)
    pairs = _pairs(present, numbers, scales, others)
    status = _optional(fields, len(present), 0, STATUS_RAW, f"{where}.status")
    times = _times(fields, len(present), f"{where}.time")
    cells = [
        (n, kind, *pair, state, own, time)
        for kind, pair, state, own, time in zip(present, pairs, states, status, times, strict=True)
    ]
    if len(cells) == count:
        return cells
    found = iter(cells)
    return [None if kind == ABSENT else next(found) for kind in kinds]


def _pairs(
    kinds: Sequence[int], numbers: Sequence[int], scales: Sequence[int], others: Sequence[Wire]
) -> list[tuple[Wire, int | None]]:
    """Number and scale of each value, checked."""
    exact, apart = zip(numbers, scales, strict=True), iter(others)
    pairs: list[tuple[Wire, int | None]] = [
        (next(apart), None) if kind in (TEXT, RAW) else next(exact) for kind in kinds
    ]
    usual = kinds.count(INTEGER) == len(kinds)
    if scales and usual:
        usual = -limits.EXPONENT <= min(scales) <= max(scales) <= limits.EXPONENT
    if not usual:
        for kind, pair in zip(kinds, pairs, strict=True):
            number_from_wire(kind, *pair)
    return pairs
