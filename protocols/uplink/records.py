"""Records beside the readings: leaves of kinds 1 to 7. Together with the events they are the gateway's audit trail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocols.reading import Identity, TimeQuality
from protocols.uplink import limits
from protocols.uplink.faults import FieldError
from protocols.uplink.header import BOOT, EPOCH
from protocols.uplink.leaf import SealedReading, identity_from_wire, identity_to_wire, instant, leaf_from_bytes
from protocols.uplink.pack import Fields, Wire

EVENT, CONFIGURATION, LOST, ROTATE, VOUCH, TIME_CORRECTION, UNSEALED = range(1, 8)
PARAMETERS = 16  # of an event
UNSEALED_BYTES = 64 * 1024  # of a leaf, and of a telegram, in an `unsealed` record
LOST_METERS = 256  # named in one `lost` record

Parameter = int | str | bytes | None


@dataclass(frozen=True, slots=True)
class When:
    """When a record was made: the gateway's clock (UTC ms), its monotonic clock (ms), and how good the former was."""

    at_ms: int
    mono_ms: int
    quality: TimeQuality

    def to_wire(self) -> list[Wire]:
        """The four elements behind the kind."""
        return [self.at_ms, self.mono_ms, int(self.quality.synchronised), self.quality.uncertainty_ms]

    @classmethod
    def take(cls, fields: Fields) -> When:
        """Take the four elements."""
        at_ms, mono_ms = instant(fields, "at"), fields.integer("mono", 0)
        synchronised, uncertainty = fields.integer("synchronised", 0, 1), fields.maybe_integer("uncertainty", 0)
        return cls(at_ms, mono_ms, TimeQuality(bool(synchronised), uncertainty))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at the gateway or in a meter: `code` names it, `parameters` are its raw facts."""

    when: When
    code: str
    meter: Identity | None = None
    device: str | None = None
    parameters: tuple[Parameter, ...] = ()

    def to_wire(self) -> list[Wire]:
        """The leaf's array."""
        meter: Wire = identity_to_wire(self.meter) if self.meter else None
        return [EVENT, *self.when.to_wire(), self.code, meter, self.device, list(self.parameters)]

    @classmethod
    def from_fields(cls, fields: Fields) -> Event:
        """Parse what follows the kind."""
        when, code = When.take(fields), fields.text("code", 64)
        meter = fields.maybe_array("meter", 32)
        device = fields.maybe_text("device")
        found = fields.array("parameters", PARAMETERS)
        parameters = tuple(each for each in found if each is None or isinstance(each, (int, str, bytes)))
        if len(parameters) != len(found):
            raise FieldError("integers, texts, bins and nil", "an array", "event.parameters")
        return cls(when, code, None if meter is None else identity_from_wire(meter), device, parameters)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What changes a sealed value or its attribution; the header's `config` is SHA-256 over `content`."""

    when: When
    content: bytes

    def to_wire(self) -> list[Wire]:
        """The leaf's array."""
        return [CONFIGURATION, *self.when.to_wire(), self.content]

    @classmethod
    def from_fields(cls, fields: Fields) -> Configuration:
        """Parse what follows the kind."""
        return cls(When.take(fields), fields.octets("content", limit=limits.BODY))


@dataclass(frozen=True, slots=True)
class Lost:
    """Batches that existed and are gone: what `reason`, which meters, from when to when (UTC ms), as far as known."""

    when: When
    epoch: bytes
    first: int
    last: int
    reason: str
    meters: tuple[Identity, ...] = ()
    times: tuple[int, int] | None = None

    def to_wire(self) -> list[Wire]:
        """The leaf's array."""
        meters: list[Wire] = [identity_to_wire(each) for each in self.meters]
        times: Wire = list(self.times) if self.times else None
        return [LOST, *self.when.to_wire(), self.epoch, self.first, self.last, self.reason, meters, times]

    @classmethod
    def from_fields(cls, fields: Fields) -> Lost:
        """Parse what follows the kind."""
        when, epoch = When.take(fields), fields.octets("epoch", EPOCH)
        first = fields.integer("from", 1)
        last, reason = fields.integer("to", first), fields.text("reason")
        meters = tuple(identity_from_wire(each) for each in fields.array("meters", LOST_METERS))
        times = fields.maybe_array("times", 2)
        if times is None:
            return cls(when, epoch, first, last, reason, meters)
        span = Fields(times, "lost.times", 2)
        return cls(when, epoch, first, last, reason, meters, (instant(span, "from"), instant(span, "to")))


@dataclass(frozen=True, slots=True)
class TimeCorrection:
    """What our clock should have shown: add `offset_ms` to instants of this boot from..to on the monotonic clock."""

    when: When
    boot: bytes
    first_mono_ms: int
    last_mono_ms: int
    offset_ms: int

    def to_wire(self) -> list[Wire]:
        """The leaf's array."""
        return [
            TIME_CORRECTION,
            *self.when.to_wire(),
            self.boot,
            self.first_mono_ms,
            self.last_mono_ms,
            self.offset_ms,
        ]

    @classmethod
    def from_fields(cls, fields: Fields) -> TimeCorrection:
        """Parse what follows the kind."""
        when, boot, first = When.take(fields), fields.octets("boot", BOOT), fields.integer("from", 0)
        return cls(when, boot, first, fields.integer("to", first), fields.integer("offset"))


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A reading (its leaf's bytes) that was taken while a key could not be read, sealed later as what it is.

    `telegram` are its raw bytes where they were kept. It proves only that this gateway says so now: held from billing.
    """

    when: When
    leaf: bytes
    telegram: bytes | None

    def to_wire(self) -> list[Wire]:
        """The leaf's array."""
        return [UNSEALED, *self.when.to_wire(), self.leaf, self.telegram]

    @classmethod
    def from_fields(cls, fields: Fields) -> Unsealed:
        """Parse what follows the kind."""
        when, leaf = When.take(fields), fields.octets("leaf", limit=UNSEALED_BYTES)
        SealedReading.from_wire(leaf_from_bytes(leaf))
        return cls(when, leaf, fields.maybe_bin("telegram", UNSEALED_BYTES))

    @property
    def reading(self) -> SealedReading:
        """The reading as it was taken."""
        return SealedReading.from_wire(leaf_from_bytes(self.leaf))


@dataclass(frozen=True, slots=True)
class OtherRecord:
    """A record of a kind that this version only keeps: rotate, vouch, or a later one."""

    kind: int
    wire: tuple[Wire, ...]

    def to_wire(self) -> list[Wire]:
        """The leaf's array, as it came."""
        return list(self.wire)


Record = Event | Configuration | Lost | TimeCorrection | Unsealed | OtherRecord

_READERS: dict[int, Callable[[Fields], Record]] = {
    EVENT: Event.from_fields,
    CONFIGURATION: Configuration.from_fields,
    LOST: Lost.from_fields,
    TIME_CORRECTION: TimeCorrection.from_fields,
    UNSEALED: Unsealed.from_fields,
}
_AT_LEAST = {EVENT: 9, CONFIGURATION: 6, LOST: 11, TIME_CORRECTION: 9, UNSEALED: 7}


def record_from_wire(wire: Wire) -> Record:
    """Parse a record's array.

    Raises:
        FieldError, LimitError: which rule is broken, and where.
    """
    kind = Fields(wire, "record", 1).integer("kind", 1, 255)
    if kind not in _READERS:
        return OtherRecord(kind, tuple(wire) if isinstance(wire, list) else ())
    fields = Fields(wire, f"record of kind {kind}", _AT_LEAST[kind])
    fields.integer("kind")
    return _READERS[kind](fields)
