"""The values that travel: a reading is one meter at one time with the values of its registers.

A number is an integer and a power of ten, or the bits of a float32, or text; a float never touches it. What the meter
shows is kept under its native key and in its own unit; meanings are given at the collector. Our own instants are whole
milliseconds since 1970-01-01 UTC and are called `..._ms`; the meter's own time has no zone and is kept as shown.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from protocols import obis

METER_EPOCH = datetime.datetime(2000, 1, 1)  # noqa: DTZ001 - a meter's calendar has no zone; it is never guessed


class State(IntEnum):
    """How far a value may be trusted; only `OK` may ever feed billing."""

    OK = 0
    INVALID = 1  # the meter says, or the bytes say, that there is no such value
    RECURRING = 2  # a date that means "every year", "every day"
    ERROR_STATE = 3  # "value during error state" (M-Bus function 3)
    UNKNOWN = 4  # the standard does not define it; kept raw


class How(IntEnum):
    """How a reading came out of the meter."""

    READ = 0
    PROFILE = 1
    STORAGE = 2
    PUSH = 3
    EVENT_LOG = 4


class Precision(IntEnum):
    """The resolution of a time that a meter shows."""

    DAY = 1
    MINUTE = 2
    SECOND = 3


class Protocol(IntEnum):
    """Who names the register: the first element of a native key on the wire."""

    MBUS = 1
    DLMS = 2
    MODBUS = 3


class Status(IntFlag):
    """A meter's status word, mapped to what all meters have in common."""

    NONE = 0
    BUSY = 1
    APPLICATION_ERROR = 2
    ABNORMAL = 4
    POWER_LOW = 8
    PERMANENT_ERROR = 16
    TEMPORARY_ERROR = 32
    MANUFACTURER = 64
    # Ours, never billed: the answer broke off and only its whole records are here, or nothing confirmed what is hard to
    # believe in it (an event "reading-doubtful" says so).
    PARTIAL = 128


MOST_EAST, MOST_WEST = 840, 720  # minutes that a clock may be ahead of UTC (Kiribati), or behind it


@dataclass(frozen=True, slots=True)
class MeterTime:
    """A time as the meter shows it: seconds since 2000-01-01 00:00:00 of its own calendar, never with a guessed zone.

    `summer` is the meter's summer-time flag; `deviation_min` the offset from UTC where the meter itself shows one.
    """

    seconds: int
    precision: Precision
    summer: bool = False
    deviation_min: int | None = None

    @classmethod
    def from_calendar(cls, shown: datetime.datetime, precision: Precision, summer: bool = False) -> MeterTime:
        """The meter's calendar time `shown` (naive: it has no zone)."""
        if shown.tzinfo is not None:
            raise ValueError("expected the meter's own calendar without a zone, got an aware time")
        delta = shown - METER_EPOCH
        return cls(delta.days * 86_400 + delta.seconds, precision, summer)

    def calendar(self) -> datetime.datetime:
        """The meter's calendar time, without a zone."""
        return METER_EPOCH + datetime.timedelta(seconds=self.seconds)

    def __str__(self) -> str:
        form = {Precision.DAY: "%Y-%m-%d", Precision.MINUTE: "%Y-%m-%dT%H:%M", Precision.SECOND: "%Y-%m-%dT%H:%M:%S"}
        return self.calendar().strftime(form[self.precision])


@dataclass(frozen=True, slots=True)
class Scaled:
    """An exact number: mantissa x 10^exponent."""

    mantissa: int
    exponent: int = 0

    def __str__(self) -> str:
        digits = str(abs(self.mantissa))
        sign = "-" if self.mantissa < 0 else ""
        if self.exponent >= 0:
            return sign + (digits + "0" * self.exponent if self.mantissa else "0")
        digits = digits.rjust(1 - self.exponent, "0")
        return f"{sign}{digits[: self.exponent]}.{digits[self.exponent :]}"


@dataclass(frozen=True, slots=True)
class Float32:
    """The 32 bits of an IEEE 754 single as the meter sent them, times 10^exponent."""

    bits: int
    exponent: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """A text as the meter shows it (at most 128 bytes of UTF-8, no NUL)."""

    text: str


@dataclass(frozen=True, slots=True)
class Raw:
    """Octets kept as they came, in wire order: what has no number (at most 256)."""

    octets: bytes


Number = Scaled | Float32 | Text | MeterTime | Raw


@dataclass(frozen=True, slots=True)
class NativeKey:
    """How the meter itself names a register.

    M-Bus: (vib, storage, tariff, subunit, function, nth); `nth` is 0 but for a telegram that repeats a key.
    DLMS: (class, obis with F, attribute). Modbus: (unit, address, type), where the type says all that is needed to
    decode it: table, kind and byte order ("input.int32.cdab").
    """

    protocol: Protocol
    parts: tuple[int | str | bytes, ...]

    @classmethod
    def mbus(cls, vib: bytes, storage: int, tariff: int, subunit: int, function: int, nth: int = 0) -> NativeKey:
        """The key of an M-Bus record (EN 13757-3); `vib` is the value information block as sent."""
        return cls(Protocol.MBUS, (vib, storage, tariff, subunit, function, nth))

    @classmethod
    def dlms(cls, class_id: int, name: bytes, attribute: int) -> NativeKey:
        """The key of a COSEM attribute; `name` is the logical name (6 bytes)."""
        return cls(Protocol.DLMS, (class_id, name, attribute))

    @classmethod
    def modbus(cls, unit: int, address: int, kind: str) -> NativeKey:
        """The key of a Modbus register; `address` as sent on the wire (from 0)."""
        return cls(Protocol.MODBUS, (unit, address, kind))

    def __str__(self) -> str:
        written = obis.shown if self.protocol is Protocol.DLMS else bytes.hex
        shown = (written(part) if isinstance(part, bytes) else str(part) for part in self.parts)
        return f"{self.protocol.name.lower()}:" + "/".join(shown)


@dataclass(frozen=True, slots=True)
class Value:
    """One register's number at one time.

    `unit` is a UCUM name ("Wh", "m3", "Cel"; "" where there is none); `status` a raw status word of this value alone;
    `time` the value's own time where it has one (a set day, the time of a maximum).
    """

    key: NativeKey
    unit: str
    number: Number
    state: State
    status: int | None = None
    time: MeterTime | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What a meter says it is; all fields empty for a device without identity (it is sealed as such)."""

    protocol: Protocol
    manufacturer: str | None = None
    id: str | None = None  # 8 hex digits for M-Bus, as they are: A-F occur
    version: int | None = None
    medium: int | None = None
    fabrication: str | None = None
    plate: str | None = None
    logical_name: str | None = None
    system_title: bytes | None = None


@dataclass(frozen=True, slots=True)
class TimeQuality:
    """How good our own clock was: synchronised or not, and within how many milliseconds (None: not known)."""

    synchronised: bool
    uncertainty_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer on the wire: what several readings may share.

    `at_ms` is the middle of request and answer by our clock (UTC), `mono_ms` the same by the monotonic clock,
    `telegram` the answer's raw bytes; its SHA-256 is always sealed, the bytes by policy (`keep`).
    """

    at_ms: int
    mono_ms: int
    round_trip_ms: int
    quality: TimeQuality
    telegram: bytes
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """One meter at one time: the leaf of the seal and the wide row of the store.

    `device` is the gateway's own name of what answered, `sub` the sub-meter behind it (None: the device itself).
    `slot_ms` is the slot that a spot read was made for; None where the meter's own time owns it. `part` numbers the
    leaves of a meter that shows more registers than one leaf holds.
    """

    meter: Identity
    device: str
    sub: str | None
    how: How
    slot_ms: int | None
    meter_time: MeterTime | None
    exchange: Exchange
    status_raw: int | None
    status: Status
    values: tuple[Value, ...]
    part: int = 0
