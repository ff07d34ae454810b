"""Hello: the gateway says what it holds (at connect, hourly, and when acknowledgements stop)."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.uplink import limits
from protocols.uplink.header import EPOCH, ClockShown
from protocols.uplink.keys import KEY_ID
from protocols.uplink.pack import Fields, Wire, pack, unpack
from protocols.uplink.ranges import Range, ranges_from_wire, ranges_to_wire
from protocols.uplink.topics import gateway_id

KIND = "hello"
NONCE = 16  # random bytes
SIGNATURE = 64  # bytes, of either algorithm


@dataclass(frozen=True, slots=True)
class Signed:
    """Header bytes as received, and the signature over them."""

    header: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """What a gateway holds and has heard last.

    `held` are at most 64 ranges, in rotation over all that the buffer holds; `last_ack` the last acknowledgement
    accepted, as received; `trust` the number of the trust document held; `versions` the body versions it can seal.
    """

    gateway: str
    key: bytes
    epoch: bytes
    nonce: bytes
    held: tuple[Range, ...]
    last_ack: Signed | None
    trust: int
    versions: tuple[int, ...]
    clock: ClockShown

    def to_bytes(self) -> bytes:
        """The header bytes that are signed with kind "hello"."""
        last: Wire = [self.last_ack.header, self.last_ack.signature] if self.last_ack else None
        return pack(
            [
                self.gateway,
                self.key,
                self.epoch,
                self.nonce,
                ranges_to_wire(self.held),
                last,
                self.trust,
                list(self.versions),
                self.clock.to_wire(),
            ]
        )

    @classmethod
    def from_bytes(cls, octets: bytes) -> Hello:
        """Parse header bytes.

        Raises:
            LimitError, FormError, FieldError: which rule is broken, and where.
        """
        fields = Fields(unpack(octets, limits.HELLO_HEADER, KIND), KIND, 9)
        return cls(
            gateway_id(fields.text("gateway")),
            fields.octets("key", KEY_ID),
            fields.octets("epoch", EPOCH),
            fields.octets("nonce", NONCE),
            ranges_from_wire(fields.array("held", limits.RANGES), KIND),
            _signed(fields.maybe_array("last_ack", 2)),
            fields.integer("trust", 0),
            versions_from_wire(fields.array("versions", limits.VERSIONS), KIND),
            ClockShown.from_wire(fields.array("clock", 16), KIND),
        )


def versions_from_wire(value: list[Wire], where: str) -> tuple[int, ...]:
    """Parse an array of version numbers."""
    fields = Fields(value, f"{where}.versions", 0)
    return tuple(fields.integer("version", 1, 2**31) for _ in value)


def _signed(value: list[Wire] | None) -> Signed | None:
    if value is None:
        return None
    fields = Fields(value, f"{KIND}.last_ack", 2)
    return Signed(fields.octets("header", limit=limits.ACK_HEADER), fields.octets("signature", SIGNATURE))
