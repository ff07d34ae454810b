"""The trust document: which keys a gateway believes, numbered, signed by trust keys that stay offline.

A file or packet is `[1, header, [[trust key id, signature], ...]]`; n+1 is signed by a trust key of n and one of n+1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from protocols.uplink import limits
from protocols.uplink.faults import SignatureError, SignerError, StaleError
from protocols.uplink.hello import SIGNATURE, versions_from_wire
from protocols.uplink.keys import HASH, KEY_ID, Algorithm, PublicKey, SigningKey
from protocols.uplink.pack import Fields, Wire, pack, unpack

KIND = "trust"
URLS, CAS, KEYS = 8, 4, 8  # at most so many of each in one document
CERTIFICATE = 2048  # bytes of DER


@dataclass(frozen=True, slots=True)
class Trust:
    """What a gateway believes.

    `previous` is the hash of document n-1 (None in the first); `urls` where the collector serves HTTPS (none yet),
    `cas` the DER certificates that TLS trusts, `command` None until a command signer exists.
    """

    number: int
    collector: str
    previous: bytes | None
    urls: tuple[str, ...]
    cas: tuple[bytes, ...]
    ack: PublicKey
    command: PublicKey | None
    seal: PublicKey
    boxes: tuple[PublicKey, ...]
    trusts: tuple[PublicKey, ...]
    versions: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """The header bytes that are signed with kind "trust"."""
        return pack(
            [
                self.number,
                self.collector,
                self.previous,
                list(self.urls),
                list(self.cas),
                key_to_wire(self.ack),
                None if self.command is None else key_to_wire(self.command),
                key_to_wire(self.seal),
                [key_to_wire(key) for key in self.boxes],
                [key_to_wire(key) for key in self.trusts],
                list(self.versions),
            ]
        )

    @classmethod
    def from_bytes(cls, octets: bytes) -> Trust:
        """Parse header bytes.

        Raises:
            LimitError, FormError, FieldError: which rule is broken, and where.
        """
        fields = Fields(unpack(octets, limits.SMALL_HEADER, KIND), KIND, 11)
        number, collector = fields.integer("number", 1), fields.text("collector")
        previous, urls, cas = (
            fields.maybe_octets("previous", HASH),
            fields.array("urls", URLS),
            fields.array("cas", CAS),
        )
        ack, command = key_from_wire(fields.array("ack", 4)), fields.maybe_array("command", 4)
        seal = key_from_wire(fields.array("seal", 4))
        boxes, trusts = fields.array("boxes", KEYS, 1), fields.array("trusts", KEYS, 1)
        return cls(
            number,
            collector,
            previous,
            tuple(Fields([each], "trust.urls", 1).text("url", 256) for each in urls),
            tuple(Fields([each], "trust.cas", 1).octets("certificate", limit=CERTIFICATE) for each in cas),
            ack,
            None if command is None else key_from_wire(command),
            seal,
            tuple(key_from_wire(each) for each in boxes),
            tuple(key_from_wire(each) for each in trusts),
            versions_from_wire(fields.array("versions", limits.VERSIONS), KIND),
        )

    @property
    def hash(self) -> bytes:
        """SHA-256 over the header bytes: what the next document names and what people compare."""
        return hashlib.sha256(self.to_bytes()).digest()


def sign(document: Trust, keys: list[SigningKey]) -> bytes:
    """The document as a file, signed by `keys`."""
    header = document.to_bytes()
    return pack([1, header, [[key.public.id, key.sign(KIND, header)] for key in keys]])


def read(octets: bytes, before: Trust | None = None) -> Trust:
    """Check and parse a document; `before` is the one already trusted.

    Raises:
        SignerError, SignatureError: not signed by a trust key of its own and of the one before.
        StaleError: not the one after `before`.
    """
    fields = Fields(unpack(octets, 2 * limits.SMALL_HEADER, KIND), KIND, 3)
    fields.integer("version", 1, 1)
    header = fields.octets("header", limit=limits.SMALL_HEADER)
    signatures = [_signature(each) for each in fields.array("signatures", 2 * KEYS, 1)]
    document = Trust.from_bytes(header)
    _signed_by(document.trusts, header, signatures)
    if before is not None:
        if (document.number, document.previous) != (before.number + 1, before.hash):
            raise StaleError(f"trust document {before.number + 1}", f"{document.number}", document.collector)
        _signed_by(before.trusts, header, signatures)
    return document


def key_to_wire(key: PublicKey) -> list[Wire]:
    """[algorithm, raw bytes]."""
    return [int(key.algorithm), key.octets]


def key_from_wire(wire: Wire) -> PublicKey:
    """Parse [algorithm, raw bytes].

    Raises:
        FieldError, LimitError: not a key, or one with which nothing can be done.
    """
    fields = Fields(wire, "key", 2)
    key = PublicKey(Algorithm(fields.integer("algorithm", 1, 3)), fields.octets("public key", limit=limits.TEXT))
    key.check()
    return key


def _signature(wire: Wire) -> tuple[bytes, bytes]:
    fields = Fields(wire, "trust.signature", 2)
    return fields.octets("key", KEY_ID), fields.octets("signature", SIGNATURE)


def _signed_by(keys: tuple[PublicKey, ...], header: bytes, signatures: list[tuple[bytes, bytes]]) -> None:
    by_id = {key.id: key for key in keys}
    mine = [(by_id[name], signature) for name, signature in signatures if name in by_id]
    if not mine:
        raise SignerError("a signature by a trust key", "none", KIND)
    failed: SignatureError | None = None
    for key, signature in mine:
        try:
            return key.verify(KIND, header, signature)
        except SignatureError as error:
            failed = error
    if failed is not None:
        raise failed
    return None
