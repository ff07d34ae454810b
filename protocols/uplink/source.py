"""What the rows of a body share: sources (a meter and its registers) and exchanges; their wire, both ways."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from protocols.reading import Exchange, Identity, NativeKey, TimeQuality
from protocols.uplink import limits
from protocols.uplink.columns import check_within, decode_within, encode, encode_within
from protocols.uplink.faults import CountError
from protocols.uplink.keys import HASH
from protocols.uplink.leaf import identity_from_wire, identity_to_wire, key_from_wire, key_to_wire
from protocols.uplink.pack import Fields, Wire, pack, repack, unpack

NOT_KNOWN = -1  # in the column of uncertainties
# Kept from batch to batch, for they are the same in each: the wire of so many meters, and of registers of all of them.
OWNERS_KEPT = 1_024
REGISTERS_KEPT = 4_096
QUALITIES_KEPT = 1_024  # of our clock
SOURCE_BYTES = 2_048  # of a source that is kept: of a usual meter's; 2 MB in all, parsed some 12


@dataclass(frozen=True)
class Register:
    """What stays the same for one register of a source: native key and unit."""

    key: NativeKey
    unit: str

    @cached_property
    def wire(self) -> list[Wire]:
        """The array of 2; it is shared, so nobody changes it.

        Raises:
            FieldError, FormError, LimitError: it has no form on the wire.
        """
        return _register_to_wire(self.key, self.unit)

    @classmethod
    def from_wire(cls, wire: Wire) -> Register:
        """Parse the array of 2."""
        fields = Fields(wire, "register", 2)
        return cls(key_from_wire(fields.array("key", 16, 2)), fields.text("unit", 32))


@dataclass(frozen=True, slots=True)
class Source:
    """One meter as one device of the gateway shows it, with its registers in leaf order."""

    meter: Identity
    device: str
    sub: str | None
    registers: tuple[Register, ...]

    def owner_to_wire(self) -> list[Wire]:
        """The first three elements, as a source and a leaf have them; they are shared, so nobody changes them.

        Raises:
            FieldError, FormError, LimitError: one of them has no form on the wire.
        """
        return _owner_to_wire(self.meter, self.device, self.sub)

    def names(self) -> list[tuple[Wire, str]]:
        """Of each register its native key's array and its unit, as values have them."""
        return [(each.wire[0], each.unit) for each in self.registers]

    def to_wire(self) -> list[Wire]:
        """The array of 4."""
        return [*self.owner_to_wire(), [each.wire for each in self.registers]]

    @classmethod
    def from_wire(cls, wire: Wire) -> Source:
        """Parse the array of 4; one that was seen lately is not parsed again."""
        octets = repack(wire)
        return _source_of(octets) if len(octets) <= SOURCE_BYTES else _source_from_wire(wire)


class ExchangeRow(NamedTuple):
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

    def to_wire(self) -> list[Wire]:
        """The six elements that a leaf has of it."""
        at_ms, mono_ms, round_trip_ms, quality, raw_hash = self
        return [at_ms, mono_ms, round_trip_ms, int(quality.synchronised), quality.uncertainty_ms, raw_hash]


def exchanges_to_wire(rows: Sequence[ExchangeRow]) -> list[Wire]:
    """`[count, at, mono, round trip, synchronised, uncertainty, hashes]`: five columns and one bin of 32 bytes each.

    Raises:
        FieldError, FormError: one of them has no form on the wire.
    """
    where = "exchanges"
    known = [row.quality.uncertainty_ms for row in rows]
    check_within([each for each in known if each is not None], 0, limits.INT64_MAX, f"{where}.uncertainty")
    return [
        len(rows),
        encode_within([row.at_ms for row in rows], limits.PAST_MS, limits.FUTURE_MS - 1, f"{where}.at"),
        encode_within([row.mono_ms for row in rows], 0, limits.INT64_MAX, f"{where}.mono"),
        encode_within([row.round_trip_ms for row in rows], 0, limits.INT64_MAX, f"{where}.round trip"),
        encode_within([int(row.quality.synchronised) for row in rows], 0, 1, f"{where}.synchronised"),
        encode([NOT_KNOWN if each is None else each for each in known]),
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
    qualities = map(_quality, synchronised, uncertainty)
    cut = (hashes[i : i + HASH] for i in range(0, len(hashes), HASH))
    return [*map(ExchangeRow, at, mono, trip, qualities, cut)]


@lru_cache(QUALITIES_KEPT)
def _quality(synchronised: int, uncertainty: int) -> TimeQuality:
    return TimeQuality(bool(synchronised), None if uncertainty == NOT_KNOWN else uncertainty)


def _source_from_wire(wire: Wire) -> Source:
    fields = Fields(wire, "source", 4)
    meter, device = identity_from_wire(fields.array("identity", 32)), fields.text("device")
    sub, registers = fields.maybe_text("sub"), fields.array("registers", limits.ARRAY)
    return Source(meter, device, sub, tuple(map(Register.from_wire, registers)))


@lru_cache(OWNERS_KEPT)
def registers_of(named: tuple[tuple[NativeKey, str], ...]) -> tuple[Register, ...]:
    """Registers by native key and unit; the same objects for the same ones, with the wire that was made of them."""
    return tuple(Register(*each) for each in named)


@lru_cache(OWNERS_KEPT)
def _source_of(octets: bytes) -> Source:
    return _source_from_wire(unpack(octets, SOURCE_BYTES, "source"))


@lru_cache(REGISTERS_KEPT)
def _register_to_wire(key: NativeKey, unit: str) -> list[Wire]:
    wire: list[Wire] = [key_to_wire(key), unit]
    pack(wire)
    Register.from_wire(wire)  # as the other side will: what goes out is known to decode
    return wire


@lru_cache(OWNERS_KEPT)
def _owner_to_wire(meter: Identity, device: str, sub: str | None) -> list[Wire]:
    wire: list[Wire] = [identity_to_wire(meter), device, sub]
    pack(wire)
    Source.from_wire([*wire, []])
    return wire
