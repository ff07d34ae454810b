"""The parts of a body: sources, exchanges, and blocks with their columns; their wire, both ways."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from protocols.reading import Exchange, How, Identity, MeterTime, NativeKey, Reading, State, Status, TimeQuality, Value
from protocols.uplink import limits
from protocols.uplink.columns import decode, decode_within, encode
from protocols.uplink.faults import CountError, LimitError
from protocols.uplink.keys import HASH
from protocols.uplink.leaf import (
    INTEGER,
    RAW,
    READING,
    TEXT,
    SealedReading,
    identity_from_wire,
    identity_to_wire,
    key_from_wire,
    key_to_wire,
    number_from_wire,
    number_to_wire,
    time_code,
    time_of,
)
from protocols.uplink.pack import Fields, Wire

ABSENT = 0  # in the column of kinds: this register is not in this row
_STATES, _HOWS = tuple(State), tuple(How)  # by number: quicker than the classes
_STATUSES = tuple(Status(word) for word in range(limits.STATUS + 1))
_Time = tuple[int, int]  # seconds and code of a meter's time
_Cell = tuple[int, int, Wire, int | None, int, int | None, _Time | None]  # register, kind, number, scale, state, ...
_Row = tuple["ExchangeRow", int, int, int | None, _Time | None, int | None, int, list[_Cell]]
NOT_KNOWN = -1  # in the column of uncertainties


@dataclass(frozen=True, slots=True)
class Register:
    """What stays the same for one register of a source: native key and unit."""

    key: NativeKey
    unit: str


@dataclass(frozen=True, slots=True)
class Source:
    """One meter as one device of the gateway shows it, with its registers in leaf order."""

    meter: Identity
    device: str
    sub: str | None
    registers: tuple[Register, ...]

    def to_wire(self) -> list[Wire]:
        """The array of 4."""
        registers: list[Wire] = [[key_to_wire(each.key), each.unit] for each in self.registers]
        return [identity_to_wire(self.meter), self.device, self.sub, registers]

    @classmethod
    def from_wire(cls, wire: Wire) -> Source:
        """Parse the array of 4."""
        fields = Fields(wire, "source", 4)
        meter, device = identity_from_wire(fields.array("identity", 32)), fields.text("device")
        sub, registers = fields.maybe_text("sub"), fields.array("registers", limits.ARRAY)
        return cls(meter, device, sub, tuple(_register(each) for each in registers))


@dataclass(frozen=True, slots=True)
class ExchangeRow:
    """One exchange on the wire as it is sealed: its times, the quality of our clock, the telegram's SHA-256."""

    at_ms: int
    mono_ms: int
    round_trip_ms: int
    quality: TimeQuality
    raw_hash: bytes

    @classmethod
    def of(cls, exchange: Exchange) -> ExchangeRow:
        """What of an exchange goes under the seal."""
        digest = hashlib.sha256(exchange.telegram).digest()
        return cls(exchange.at_ms, exchange.mono_ms, exchange.round_trip_ms, exchange.quality, digest)


def exchanges_to_wire(rows: Sequence[ExchangeRow]) -> list[Wire]:
    """`[count, at, mono, round trip, synchronised, uncertainty, hashes]`: five columns and one bin of 32 bytes each."""
    unknown = [NOT_KNOWN if row.quality.uncertainty_ms is None else row.quality.uncertainty_ms for row in rows]
    return [
        len(rows),
        encode([row.at_ms for row in rows]),
        encode([row.mono_ms for row in rows]),
        encode([row.round_trip_ms for row in rows]),
        encode([int(row.quality.synchronised) for row in rows]),
        encode(unknown),
        b"".join(row.raw_hash for row in rows),
    ]


def exchanges_from_wire(wire: Wire) -> list[ExchangeRow]:
    """Parse the seven elements.

    Raises:
        CountError: a column or the hashes are not as many as declared.
    """
    where = "exchanges"
    fields = Fields(wire, where, 7)
    count = fields.integer("count", 0, limits.LEAVES)
    at = decode_within(fields.any(), count, limits.PAST_MS, limits.FUTURE_MS - 1, f"{where}.at")
    mono = decode_within(fields.any(), count, 0, limits.INT64_MAX, f"{where}.mono")
    trip = decode_within(fields.any(), count, 0, limits.INT64_MAX, f"{where}.round trip")
    synchronised = decode_within(fields.any(), count, 0, 1, f"{where}.synchronised")
    uncertainty = decode_within(fields.any(), count, NOT_KNOWN, limits.INT64_MAX, f"{where}.uncertainty")
    hashes = fields.octets("hashes", limit=limits.LEAVES * HASH)
    if len(hashes) != count * HASH:
        raise CountError(f"{count} hashes of {HASH} bytes", f"{len(hashes)} bytes", where)
    return [
        ExchangeRow(
            at[i],
            mono[i],
            trip[i],
            TimeQuality(bool(synchronised[i]), None if uncertainty[i] == NOT_KNOWN else uncertainty[i]),
            hashes[i * HASH : (i + 1) * HASH],
        )
        for i in range(count)
    ]


def block_to_wire(
    source: int, registers: Sequence[Register], rows: Sequence[Reading], exchanges: Sequence[int]
) -> list[Wire]:
    """One block of 14 elements (docs/uplink.md section 6.3); `exchanges` is each row's index into the exchanges."""
    times = [row.meter_time for row in rows if row.meter_time is not None]
    values = [{Register(value.key, value.unit): value for value in row.values} for row in rows]
    return [
        source,
        len(rows),
        encode(exchanges),
        encode([int(row.how) for row in rows]),
        encode([row.part for row in rows]),
        encode([int(row.slot_ms is not None) for row in rows]),
        encode([row.slot_ms for row in rows if row.slot_ms is not None]),
        encode([int(row.meter_time is not None) for row in rows]),
        encode([time.seconds for time in times]),
        encode([time_code(time) for time in times]),
        encode([int(row.status_raw is not None) for row in rows]),
        encode([row.status_raw for row in rows if row.status_raw is not None]),
        encode([int(row.status) for row in rows]),
        [_column_of([row.get(register) for row in values]) for register in registers],
    ]


@dataclass(frozen=True, slots=True)
class Rows:
    """One block with its columns decoded and checked: its rows as leaves of the tree, or as readings."""

    source: Source
    exchanges: tuple[ExchangeRow, ...]  # of each row
    how: list[int]
    part: list[int]
    slots: list[int | None]
    times: list[_Time | None]
    raws: list[int | None]
    statuses: list[int]
    cells: list[list[_Cell]]

    def to_wires(self) -> list[Wire]:
        """The arrays of the leaves, as `SealedReading.to_wire` gives them."""
        meter = identity_to_wire(self.source.meter)
        names: list[list[Wire]] = [[key_to_wire(each.key), each.unit] for each in self.source.registers]
        return [
            [
                READING,
                meter,
                self.source.device,
                self.source.sub,
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
    raws = _optional(fields, count, 0, 2**62, "block.status raw")
    statuses = decode_within(fields.any(), count, 0, limits.STATUS, "block.status")
    cells = _cells(fields.array("registers", limits.ARRAY), len(source.registers), count)
    return Rows(source, tuple(exchanges[each] for each in used), how, part, slots, times, raws, statuses, cells)


def _pair(time: _Time | None) -> list[Wire] | None:
    return None if time is None else [*time]


def _shown(time: _Time | None) -> MeterTime | None:
    return None if time is None else time_of(*time)


def _register(wire: Wire) -> Register:
    fields = Fields(wire, "register", 2)
    return Register(key_from_wire(fields.array("key", 16, 2)), fields.text("unit", 32))


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


def _column_of(found: Sequence[Value | None]) -> list[Wire]:
    """`[kinds, states, numbers, scales, others, status?, status, time?, seconds, code]` of one register."""
    values = [value for value in found if value is not None]
    parts = [number_to_wire(value.number) for value in values]
    kinds = iter([kind for kind, _, _ in parts])
    times = [value.time for value in values if value.time is not None]
    return [
        encode([ABSENT if value is None else next(kinds) for value in found]),
        encode([int(value.state) for value in values]),
        encode([number for _, number, scale in parts if scale is not None and isinstance(number, int)]),
        encode([scale for _, _, scale in parts if scale is not None]),
        [number for _, number, scale in parts if scale is None],
        encode([int(value.status is not None) for value in values]),
        encode([value.status for value in values if value.status is not None]),
        encode([int(value.time is not None) for value in values]),
        encode([time.seconds for time in times]),
        encode([time_code(time) for time in times]),
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
    status = _optional(fields, len(present), 0, 2**62, f"{where}.status")
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
