"""The parts of a body: sources, exchanges, and blocks with their columns; their wire, both ways."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from protocols.reading import Exchange, How, Identity, MeterTime, NativeKey, Reading, State, Status, TimeQuality, Value
from protocols.uplink import limits
from protocols.uplink.columns import decode, decode_within, encode
from protocols.uplink.faults import CountError, LimitError
from protocols.uplink.keys import HASH
from protocols.uplink.leaf import (
    RAW,
    TEXT,
    SealedReading,
    identity_from_wire,
    identity_to_wire,
    key_from_wire,
    number_from_wire,
    number_to_wire,
    time_code,
    time_of,
)
from protocols.uplink.pack import Fields, Wire

ABSENT = 0  # in the column of kinds: this register is not in this row
_STATES = tuple(State)
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
        registers: list[Wire] = [[[int(each.key.protocol), *each.key.parts], each.unit] for each in self.registers]
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


def block_from_wire(wire: Wire, sources: Sequence[Source], exchanges: Sequence[ExchangeRow]) -> list[SealedReading]:
    """Expand one block to its readings (its size was checked by the caller).

    Raises:
        CountError, FieldError, LimitError: which rule is broken, and in which column.
    """
    fields = Fields(wire, "block", 14)
    source = sources[fields.integer("source", 0, len(sources) - 1)]
    count = fields.integer("count", 1, limits.LEAVES)
    used = decode_within(fields.any(), count, 0, len(exchanges) - 1, "block.exchange")
    how = decode_within(fields.any(), count, 0, 4, "block.how")
    part = decode_within(fields.any(), count, 0, limits.LEAVES, "block.part")
    slot = _optional(fields, count, limits.PAST_MS, limits.FUTURE_MS - 1, "block.slot")
    meter_time = _times(fields, count, "block.meter time")
    status_raw = _optional(fields, count, 0, 2**62, "block.status raw")
    status = decode_within(fields.any(), count, 0, limits.STATUS, "block.status")
    values = _values(fields.array("registers", limits.ARRAY), source.registers, count)
    return [
        SealedReading(
            source.meter,
            source.device,
            source.sub,
            How(how[i]),
            slot[i],
            meter_time[i],
            exchanges[used[i]].at_ms,
            exchanges[used[i]].mono_ms,
            exchanges[used[i]].round_trip_ms,
            exchanges[used[i]].quality,
            exchanges[used[i]].raw_hash,
            status_raw[i],
            Status(status[i]),
            part[i],
            values[i],
        )
        for i in range(count)
    ]


def _register(wire: Wire) -> Register:
    fields = Fields(wire, "register", 2)
    return Register(key_from_wire(fields.array("key", 16, 2)), fields.text("unit", 32))


def _optional(fields: Fields, count: int, low: int, high: int, where: str) -> list[int | None]:
    """Two columns: which rows have it, and the values of those that have."""
    present = decode_within(fields.any(), count, 0, 1, f"{where}?")
    found = iter(decode_within(fields.any(), sum(present), low, high, where))
    return [next(found) if each else None for each in present]


def _times(fields: Fields, count: int, where: str) -> list[MeterTime | None]:
    """Three columns: which rows have a time, its seconds, its code."""
    present = decode_within(fields.any(), count, 0, 1, f"{where}?")
    seconds = decode(fields.any(), sum(present), f"{where} seconds")
    codes = decode(fields.any(), sum(present), f"{where} code")
    found = iter([time_of(*pair) for pair in zip(seconds, codes, strict=True)])
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


def _values(wire: list[Wire], registers: Sequence[Register], count: int) -> list[tuple[Value, ...]]:
    """The values of each row, in the source's order of registers."""
    if len(wire) != len(registers):
        raise CountError(f"{len(registers)} registers", f"{len(wire)}", "block.registers")
    rows: list[list[Value]] = [[] for _ in range(count)]
    for column, register in zip(wire, registers, strict=True):
        for row, value in zip(rows, _expand(column, register, count), strict=True):
            if value is not None:
                row.append(value)
    if any(len(row) > limits.REGISTERS for row in rows):
        raise LimitError(f"at most {limits.REGISTERS} registers in a leaf", f"{max(map(len, rows))}", "block.registers")
    return [tuple(row) for row in rows]


def _expand(wire: Wire, register: Register, count: int) -> list[Value | None]:
    where = "register column"
    fields = Fields(wire, where, 10)
    kinds = decode_within(fields.any(), count, ABSENT, RAW, f"{where}.kinds")
    present = [kind for kind in kinds if kind != ABSENT]
    apart = sum(kind in (TEXT, RAW) for kind in present)
    states = decode_within(fields.any(), len(present), 0, 4, f"{where}.states")
    numbers = iter(decode(fields.any(), len(present) - apart, f"{where}.numbers"))
    scales = iter(decode(fields.any(), len(present) - apart, f"{where}.scales"))
    others = fields.array("others", limits.LEAVES)
    if len(others) != apart:
        raise CountError(f"{apart} texts and raws", f"{len(others)}", where)
    rest = iter(others)
    status = _optional(fields, len(present), 0, 2**62, f"{where}.status")
    times = _times(fields, len(present), f"{where}.time")
    values = iter(
        [
            Value(
                register.key,
                register.unit,
                number_from_wire(kind, next(rest), None)
                if kind in (TEXT, RAW)
                else number_from_wire(kind, next(numbers), next(scales)),
                _STATES[states[i]],
                status[i],
                times[i],
            )
            for i, kind in enumerate(present)
        ]
    )
    return [None if kind == ABSENT else next(values) for kind in kinds]
