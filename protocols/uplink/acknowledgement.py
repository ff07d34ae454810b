"""Acknowledgement: the collector's signed word on what is stored and what is safe. Nothing weaker counts."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.uplink import limits
from protocols.uplink.header import EPOCH
from protocols.uplink.hello import NONCE, versions_from_wire
from protocols.uplink.keys import HASH
from protocols.uplink.pack import Fields, Wire, pack, unpack
from protocols.uplink.ranges import Range, ranges_from_wire, ranges_to_wire
from protocols.uplink.topics import gateway_id

KIND = "ack"
WINDOW = 4_096  # the most batches in flight that an acknowledgement may ask for
REFUSAL_CODES = ("unknown-key", "bad-seal", "revoked", "over-quota")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A batch that the collector will not store as it is; it stays on the gateway and is retried slowly."""

    epoch: bytes
    seq: int
    id: bytes
    code: str


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What is committed at the collector for one gateway.

    (`generation`, `number`) rises with every acknowledgement; `nonce` answers a hello's; `time_ms` is the collector's
    clock (UTC); `window` the batches that may be in flight; `trust` the newest trust document's number;
    `versions` the body versions it can decode; `audit_head` the head of its journal.
    """

    collector: str
    gateway: str
    generation: int
    number: int
    nonce: bytes | None
    time_ms: int
    stored: tuple[Range, ...]
    safe: tuple[Range, ...]
    refused: tuple[Refusal, ...]
    window: int
    trust: int
    versions: tuple[int, ...]
    audit_head: bytes | None

    @property
    def order(self) -> tuple[int, int]:
        """(generation, number): an acknowledgement counts only when this is above the last accepted."""
        return self.generation, self.number

    def to_bytes(self) -> bytes:
        """The header bytes that are signed with kind "ack"."""
        refused: list[Wire] = [[each.epoch, each.seq, each.id, each.code] for each in self.refused]
        return pack(
            [
                self.collector,
                self.gateway,
                self.generation,
                self.number,
                self.nonce,
                self.time_ms,
                ranges_to_wire(self.stored),
                ranges_to_wire(self.safe),
                refused,
                self.window,
                self.trust,
                list(self.versions),
                self.audit_head,
            ]
        )

    @classmethod
    def from_bytes(cls, octets: bytes) -> Acknowledgement:
        """Parse header bytes.

        Raises:
            LimitError, FormError, FieldError: which rule is broken, and where.
        """
        fields = Fields(unpack(octets, limits.ACK_HEADER, KIND), KIND, 13)
        return cls(
            fields.text("collector"),
            gateway_id(fields.text("gateway")),
            fields.integer("generation", 1),
            fields.integer("number", 1),
            fields.maybe_octets("nonce", NONCE),
            fields.integer("time", limits.PAST_MS, limits.FUTURE_MS - 1),
            ranges_from_wire(fields.array("stored", limits.RANGES), KIND),
            ranges_from_wire(fields.array("safe", limits.RANGES), KIND),
            tuple(_refusal(each) for each in fields.array("refused", limits.REFUSALS)),
            fields.integer("window", 1, WINDOW),
            fields.integer("trust", 0),
            versions_from_wire(fields.array("versions", limits.VERSIONS), KIND),
            fields.maybe_octets("audit_head", HASH),
        )


def _refusal(value: Wire) -> Refusal:
    fields = Fields(value, f"{KIND}.refused", 4)
    epoch, seq, batch = fields.octets("epoch", EPOCH), fields.integer("seq", 1), fields.octets("id", HASH)
    return Refusal(epoch, seq, batch, fields.text("code", 32))
