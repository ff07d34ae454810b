"""The commissioning record: what a technician found at a site, signed by the gateway's sealing key.

It is `[1, header, signature]` in strict msgpack, as an enrolment request is; the key that signs is in the header, and
whoever reads the file says which key it expects: a seal proves nothing while nobody has compared that key.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.uplink import limits
from protocols.uplink.hello import SIGNATURE
from protocols.uplink.keys import HASH, PublicKey, SigningKey
from protocols.uplink.pack import Fields, Wire, pack, unpack
from protocols.uplink.topics import gateway_id
from protocols.uplink.trust import key_from_wire, key_to_wire

KIND = "commissioning"
VERSION = 1
SHOWN = 1_024  # bytes of UTF-8 of an error that stands in place of readings


@dataclass(frozen=True, slots=True)
class First:
    """One of a meter's first values: its place in words, exact decimal digits (None: no value), UCUM unit, state."""

    place: str
    value: str | None
    unit: str
    state: str

    def to_wire(self) -> list[Wire]:
        """The array of 4."""
        return [self.place, self.value, self.unit, self.state]

    @classmethod
    def from_wire(cls, value: Wire) -> First:
        """Parse the array of 4."""
        fields = Fields(value, f"{KIND}.reading", 4)
        place, digits = fields.text("place", limits.OCTETS), fields.maybe_text("value", limits.OCTETS)
        return cls(place, digits, fields.text("unit"), fields.text("state"))


@dataclass(frozen=True, slots=True)
class Met:
    """A meter as it was met: where it is, who it said it is, and its first values.

    `at_ms` is when it was read (UTC); None where it was not, and `failure` says why then.
    """

    name: str
    protocol: str
    bus: str
    line: str
    address: str
    model: str | None
    manufacturer: str | None
    serial: str | None
    version: int | None
    medium: int | None
    at_ms: int | None
    failure: str | None
    readings: tuple[First, ...]

    def to_wire(self) -> list[Wire]:
        """The array of 13."""
        place: list[Wire] = [self.name, self.protocol, self.bus, self.line, self.address, self.model]
        who: list[Wire] = [self.manufacturer, self.serial, self.version, self.medium]
        return [*place, *who, self.at_ms, self.failure, [each.to_wire() for each in self.readings]]

    @classmethod
    def from_wire(cls, value: Wire) -> Met:
        """Parse the array of 13."""
        fields = Fields(value, f"{KIND}.meter", 13)
        return cls(
            fields.text("name"),
            fields.text("protocol"),
            fields.text("bus"),
            fields.text("line", limits.BATCH_HEADER),
            fields.text("address"),
            fields.maybe_text("model"),
            fields.maybe_text("manufacturer"),
            fields.maybe_text("serial"),
            fields.maybe_integer("version", 0),
            fields.maybe_integer("medium", 0),
            fields.maybe_integer("at", limits.PAST_MS, limits.FUTURE_MS),
            fields.maybe_text("failure", SHOWN),
            tuple(First.from_wire(each) for each in fields.array("readings", limits.ARRAY)),
        )


@dataclass(frozen=True, slots=True)
class Commissioned:
    """A site as it was met at `made_ms` (UTC): gateway, sealing key, program, configuration hash, and its meters."""

    gateway: str
    sealing: PublicKey
    program: str
    config: bytes
    made_ms: int
    meters: tuple[Met, ...]

    def to_bytes(self) -> bytes:
        """The header bytes that are signed with kind "commissioning"."""
        meters = [each.to_wire() for each in self.meters]
        return pack([self.gateway, key_to_wire(self.sealing), self.program, self.config, self.made_ms, meters])

    @classmethod
    def from_bytes(cls, octets: bytes) -> Commissioned:
        """Parse header bytes.

        Raises:
            PeerError: a field is not what was expected, and which.
        """
        fields = Fields(unpack(octets, limits.RECORD, KIND), KIND, 6)
        gateway, sealing = gateway_id(fields.text("gateway")), key_from_wire(fields.array("sealing", 4))
        program, config = fields.text("program"), fields.octets("config", HASH)
        made_ms = fields.integer("made", limits.PAST_MS, limits.FUTURE_MS)
        meters = tuple(Met.from_wire(each) for each in fields.array("meters", limits.ARRAY))
        return cls(gateway, sealing, program, config, made_ms, meters)


def sign(record: Commissioned, key: SigningKey) -> bytes:
    """The record as a file: `[1, header, signature]`."""
    header = record.to_bytes()
    return pack([VERSION, header, key.sign(KIND, header)])


def read(octets: bytes) -> Commissioned:
    """Check the signature by the key that the record names, and parse it.

    Raises:
        SignatureError: not signed by that key, or altered.
        PeerError: no such record.
    """
    fields = Fields(unpack(octets, 2 * limits.RECORD, KIND), KIND, 3)
    fields.integer("version", VERSION, VERSION)
    header = fields.octets("header", limit=limits.RECORD)
    record = Commissioned.from_bytes(header)
    record.sealing.verify(KIND, header, fields.octets("signature", SIGNATURE))
    return record
