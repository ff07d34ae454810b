"""A leaf: what one salted hash of the tree covers, self-contained. A reading, or a record beside the readings.

Wire of a reading: `[0, identity, device, sub, how, slot, meter time, at, mono, round trip, synchronised, uncertainty,
raw hash, status raw, status, part, values]`, each value `[key, unit, kind, number, scale, state, status, time]`.
docs/uplink.md has every element.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from protocols.reading import (
    MOST_EAST,
    MOST_WEST,
    Exchange,
    Float32,
    How,
    Identity,
    MeterTime,
    NativeKey,
    Number,
    Precision,
    Protocol,
    Raw,
    Reading,
    Scaled,
    State,
    Status,
    Text,
    TimeQuality,
    Value,
)
from protocols.uplink import limits
from protocols.uplink.faults import FieldError, LimitError
from protocols.uplink.keys import HASH
from protocols.uplink.pack import Fields, Wire, packer, repack, unpack

READING = 0  # the kind of leaf that is a reading; records have 1..7 (`records`)
SALT = 16  # bytes
SECRET = 32  # bytes; hides what a proof does not show
UNSIGNED32 = 2**32 - 1
SHOWN = 40  # characters of what is none in a message

INTEGER, FLOAT32, TEXT, TIME, RAW = 1, 2, 3, 4, 5  # kinds of number; 0 in a column means "not in this reading"

_NO_DEVIATION = 0
_DEVIATION_ZERO = MOST_WEST + 1  # minutes east of UTC are sent as 1..1561


@dataclass(frozen=True, slots=True)
class SealedReading:
    """A reading as it is sealed: of the exchange only its times and the hash of the telegram."""

    meter: Identity
    device: str
    sub: str | None
    how: How
    slot_ms: int | None
    meter_time: MeterTime | None
    at_ms: int
    mono_ms: int
    round_trip_ms: int
    quality: TimeQuality
    raw_hash: bytes
    status_raw: int | None
    status: Status
    part: int
    values: tuple[Value, ...]

    @classmethod
    def of(cls, reading: Reading) -> SealedReading:
        """What of `reading` goes under the seal."""
        exchange: Exchange = reading.exchange
        return cls(
            reading.meter,
            reading.device,
            reading.sub,
            reading.how,
            reading.slot_ms,
            reading.meter_time,
            exchange.at_ms,
            exchange.mono_ms,
            exchange.round_trip_ms,
            exchange.quality,
            hashlib.sha256(exchange.telegram).digest(),
            reading.status_raw,
            reading.status,
            reading.part,
            reading.values,
        )

    def to_wire(self) -> list[Wire]:
        """The leaf's array."""
        return [
            READING,
            identity_to_wire(self.meter),
            self.device,
            self.sub,
            int(self.how),
            self.slot_ms,
            time_to_wire(self.meter_time),
            self.at_ms,
            self.mono_ms,
            self.round_trip_ms,
            int(self.quality.synchronised),
            self.quality.uncertainty_ms,
            self.raw_hash,
            self.status_raw,
            int(self.status),
            self.part,
            [value_to_wire(value) for value in self.values],
        ]

    @classmethod
    def from_wire(cls, wire: Wire) -> SealedReading:
        """Parse a leaf's array.

        Raises:
            FieldError, LimitError: which rule is broken, and where.
        """
        fields = Fields(wire, "leaf", 17)
        fields.integer("kind", READING, READING)
        meter = identity_from_wire(fields.array("identity", 32))
        device, sub = fields.text("device"), fields.maybe_text("sub")
        how, slot_ms = How(fields.integer("how", 0, 4)), maybe_instant(fields, "slot")
        meter_time = time_from_wire(fields.maybe_array("meter time", 8))
        at_ms, mono_ms = instant(fields, "at"), fields.integer("mono", 0)
        round_trip_ms = fields.integer("round trip", 0)
        quality = TimeQuality(bool(fields.integer("synchronised", 0, 1)), fields.maybe_integer("uncertainty", 0))
        return cls(
            meter,
            device,
            sub,
            how,
            slot_ms,
            meter_time,
            at_ms,
            mono_ms,
            round_trip_ms,
            quality,
            fields.octets("raw hash", HASH),
            fields.maybe_integer("status raw", 0, 2**62),
            Status(fields.integer("status", 0, limits.STATUS)),
            fields.integer("part", 0, limits.LEAVES),
            tuple(value_from_wire(each) for each in fields.array("values", limits.REGISTERS)),
        )


def salt(secret: bytes, count: int) -> list[bytes]:
    """The salts of `count` leaves: SHAKE-256 over "plomba/1/salt" and the secret, 16 bytes each in leaf order."""
    stream = hashlib.shake_256(b"plomba/1/salt" + secret).digest(SALT * count)
    return [stream[i : i + SALT] for i in range(0, SALT * count, SALT)]


def leaf_hash(salted: bytes, leaf: bytes) -> bytes:
    """SHA-256 over 00 and the array [salt, leaf bytes]."""
    return hashlib.sha256(b"\x00" + repack([salted, leaf])).digest()


def leaf_hashes(salts: Iterable[bytes], leaves: Iterable[bytes]) -> list[bytes]:
    """The hashes of many leaves, each under its salt."""
    pack, sha256 = packer(), hashlib.sha256
    return [sha256(b"\x00" + pack(pair)).digest() for pair in zip(salts, leaves, strict=True)]


def leaf_from_bytes(octets: bytes) -> Wire:
    """The array in a leaf's bytes, in strict form."""
    return unpack(octets, limits.BODY, "leaf")


def instant(fields: Fields, name: str) -> int:
    """An instant of ours: milliseconds UTC from 2000 to 2100."""
    return fields.integer(name, limits.PAST_MS, limits.FUTURE_MS - 1)


def maybe_instant(fields: Fields, name: str) -> int | None:
    """An instant of ours, or nil."""
    return fields.maybe_integer(name, limits.PAST_MS, limits.FUTURE_MS - 1)


def identity_to_wire(meter: Identity) -> list[Wire]:
    """The array of 9."""
    return [
        int(meter.protocol),
        meter.manufacturer,
        meter.id,
        meter.version,
        meter.medium,
        meter.fabrication,
        meter.plate,
        meter.logical_name,
        meter.system_title,
    ]


def identity_from_wire(wire: Wire) -> Identity:
    """Parse the array of 9."""
    fields = Fields(wire, "identity", 9)
    return Identity(
        protocol(fields.integer("protocol", 0, 255)),
        fields.maybe_text("manufacturer"),
        fields.maybe_text("id"),
        fields.maybe_integer("version", 0, 2**31),
        fields.maybe_integer("medium", 0, 2**31),
        fields.maybe_text("fabrication"),
        fields.maybe_text("plate"),
        fields.maybe_text("logical name"),
        fields.maybe_octets("system title", 8),
    )


def protocol(number: int) -> Protocol:
    """The protocol of a native key or an identity."""
    try:
        return Protocol(number)
    except ValueError:
        raise FieldError("protocol 1 (M-Bus), 2 (DLMS) or 3 (Modbus)", f"{number}", "leaf") from None


def time_code(time: MeterTime) -> int:
    """Precision, summer-time flag and deviation of a meter's time in one small integer."""
    deviation = _NO_DEVIATION if time.deviation_min is None else time.deviation_min + _DEVIATION_ZERO
    return int(time.precision) + 4 * time.summer + 8 * deviation


def time_of(seconds: int, code: int) -> MeterTime:
    """The meter's time from its two integers.

    Raises:
        FieldError: outside 2000 to 2100, or a code that no time has.
    """
    precision, summer, deviation = code & 3, bool(code & 4), code >> 3
    if not 0 <= seconds < limits.METER_SECONDS or not precision or not 0 <= deviation <= _DEVIATION_ZERO + MOST_EAST:
        raise FieldError("a meter time from 2000 to 2100", f"[{seconds}, {code}]", "leaf")
    shown = None if deviation == _NO_DEVIATION else deviation - _DEVIATION_ZERO
    return MeterTime(seconds, Precision(precision), summer, shown)


def time_to_wire(time: MeterTime | None) -> list[Wire] | None:
    """[seconds, code], or nil."""
    return None if time is None else [time.seconds, time_code(time)]


def time_from_wire(wire: list[Wire] | None) -> MeterTime | None:
    """Parse [seconds, code]."""
    if wire is None:
        return None
    fields = Fields(wire, "meter time", 2)
    return time_of(fields.integer("seconds"), fields.integer("code", 0))


def number_to_wire(number: Number) -> tuple[int, Wire, int | None]:
    """(kind, number, scale) of a value: scale is the power of ten, or the code of a time; nil for text and raw."""
    match number:
        case Scaled(mantissa, exponent):
            return INTEGER, mantissa, exponent
        case Float32(bits, exponent):
            return FLOAT32, bits, exponent
        case MeterTime():
            return TIME, number.seconds, time_code(number)
        case Text(text):
            return TEXT, text, None
        case Raw(octets):
            return RAW, octets, None


def number_from_wire(kind: int, number: Wire, scale: int | None) -> Number:
    """The value's number from its three elements.

    Raises:
        FieldError, LimitError: which rule is broken.
    """
    if kind == INTEGER and type(number) is int and type(scale) is int and -limits.EXPONENT <= scale <= limits.EXPONENT:
        return Scaled(number, scale)  # nearly all of them
    fields = Fields([number, scale], "value", 2)
    if kind in (INTEGER, FLOAT32):
        high = UNSIGNED32 if kind == FLOAT32 else limits.INT64_MAX
        mantissa = fields.integer("number", 0 if kind == FLOAT32 else limits.INT64_MIN, high)
        exponent = fields.integer("exponent", -limits.EXPONENT, limits.EXPONENT)
        return Scaled(mantissa, exponent) if kind == INTEGER else Float32(mantissa, exponent)
    if kind == TIME:
        return time_of(fields.integer("seconds"), fields.integer("code", 0))
    found: Number
    if kind == TEXT:
        found = Text(fields.text("text"))
    elif kind == RAW:
        found = Raw(fields.octets("raw", limit=limits.OCTETS))
    else:
        raise FieldError("a kind of number from 1 to 5", f"{kind}", "value")
    if fields.maybe_integer("scale") is not None:
        raise FieldError("no scale for text and raw", f"{scale}", "value")
    return found


def value_to_wire(value: Value) -> list[Wire]:
    """The array of 8."""
    kind, number, scale = number_to_wire(value.number)
    time = time_to_wire(value.time)
    return [key_to_wire(value.key), value.unit, kind, number, scale, int(value.state), value.status, time]


def value_from_wire(wire: Wire) -> Value:
    """Parse the array of 8."""
    fields = Fields(wire, "value", 8)
    key, unit = key_from_wire(fields.array("key", 16, 2)), fields.text("unit", 32)
    kind, number, scale = fields.integer("kind", 1, 5), fields.any(), fields.maybe_integer("scale")
    return Value(
        key,
        unit,
        number_from_wire(kind, number, scale),
        State(fields.integer("state", 0, 4)),
        fields.maybe_integer("status", 0, 2**62),
        time_from_wire(fields.maybe_array("time", 8)),
    )


def key_to_wire(key: NativeKey) -> list[Wire]:
    """The array of a native key."""
    return [int(key.protocol), *key.parts]


def key_from_wire(wire: list[Wire]) -> NativeKey:
    """Parse a native key: [protocol, part, ...], the parts as the protocol names them."""
    first, *rest = wire
    if type(first) is not int:
        raise FieldError("a native key that begins with its protocol", repr(first)[:SHOWN], "key")
    parts = [part for part in rest if isinstance(part, (int, str, bytes)) and not isinstance(part, bool)]
    if len(parts) != len(rest):
        raise FieldError("integers, texts and bins", "something else", "key")
    if any(not isinstance(part, int) and len(part) > limits.TEXT for part in parts):
        raise LimitError(f"parts of at most {limits.TEXT} bytes", "more", "key")
    return NativeKey(protocol(first), tuple(parts))
