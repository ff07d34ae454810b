"""The enrolment request: all public keys of a gateway, made there, signed by its sealing key."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.uplink import limits
from protocols.uplink.faults import FieldError
from protocols.uplink.hello import SIGNATURE
from protocols.uplink.keys import HASH, Algorithm, PublicKey, SigningKey
from protocols.uplink.pack import Fields, pack, unpack
from protocols.uplink.topics import gateway_id
from protocols.uplink.trust import key_from_wire, key_to_wire

KIND = "request"


@dataclass(frozen=True, slots=True)
class Request:
    """What a gateway asks to be registered: its id, its public keys, and a TLS certificate request (DER).

    `config` is the hash of the configuration that `plomba-collector sign` approves with it; what comes under a later
    one is held until an operator approves it.
    """

    gateway: str
    sealing: PublicKey
    box: PublicKey
    csr: bytes
    config: bytes

    def to_bytes(self) -> bytes:
        """The header bytes that are signed with kind "request"."""
        return pack([self.gateway, key_to_wire(self.sealing), key_to_wire(self.box), self.csr, self.config])

    @classmethod
    def from_bytes(cls, octets: bytes) -> Request:
        """Parse header bytes."""
        fields = Fields(unpack(octets, limits.SMALL_HEADER, KIND), KIND, 5)
        gateway, sealing = gateway_id(fields.text("gateway")), key_from_wire(fields.array("sealing", 4))
        box, csr = key_from_wire(fields.array("box", 4)), fields.octets("csr", limit=limits.BATCH_HEADER)
        if sealing.algorithm is Algorithm.X25519 or box.algorithm is not Algorithm.X25519:
            raise FieldError("a key that signs and an X25519 box key", f"{sealing.algorithm}, {box.algorithm}", KIND)
        return cls(gateway, sealing, box, csr, fields.octets("config", HASH))


def sign(request: Request, key: SigningKey) -> bytes:
    """The request as a file: `[1, header, signature]`."""
    header = request.to_bytes()
    return pack([1, header, key.sign(KIND, header)])


def read(octets: bytes) -> Request:
    """Check and parse a request.

    Raises:
        SignatureError: not signed by the sealing key that it names.
    """
    fields = Fields(unpack(octets, 2 * limits.SMALL_HEADER, KIND), KIND, 3)
    fields.integer("version", 1, 1)
    header = fields.octets("header", limit=limits.SMALL_HEADER)
    request = Request.from_bytes(header)
    request.sealing.verify(KIND, header, fields.octets("signature", SIGNATURE))
    return request
