"""What leaves the collector and can be checked offline: a whole batch, a proof of one leaf, an erased batch.

Each is one msgpack array that begins with its name, in strict form, so that every bit of the file counts:

* `["plomba/1/batch", header, signature, body]`, the body not deflated;
* `["plomba/1/proof", header, signature, index, salt, leaf, path, statement, statement signature]`;
* `["plomba/1/erased", header, signature, leaves]`, each leaf `[salt, leaf]`, or `[hash]` for an erased one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocols.uplink import batch as batches
from protocols.uplink import limits, merkle
from protocols.uplink.body import Expanded
from protocols.uplink.envelope import Codec, Content
from protocols.uplink.faults import FieldError, ProofError, SignerError
from protocols.uplink.header import Header, batch_id
from protocols.uplink.hello import SIGNATURE
from protocols.uplink.keys import HASH, KEY_ID, Algorithm, PublicKey, SigningKey
from protocols.uplink.leaf import READING, SALT, SealedReading, leaf_from_bytes, leaf_hash
from protocols.uplink.pack import Fields, Wire, pack, unpack
from protocols.uplink.partial import Partial, leaves_in
from protocols.uplink.records import Record, record_from_wire
from protocols.uplink.topics import gateway_id

BATCH, PROOF, ERASED = "plomba/1/batch", "plomba/1/proof", "plomba/1/erased"
STATEMENT = "statement"
FILE = 2 * limits.BODY  # bytes: an erased batch of full size is a little larger than its body

Leaf = SealedReading | Record


@dataclass(frozen=True, slots=True)
class Statement:
    """The collector's word: `key` is the gateway's sealing key, and batch `id` was received at `received_ms` (UTC).

    `signer` is the id of the collector's seal key that signs it.
    """

    collector: str
    signer: bytes
    gateway: str
    key: PublicKey
    id: bytes
    received_ms: int

    def to_bytes(self) -> bytes:
        """The header bytes that are signed with kind "statement" by the collector's seal key."""
        return pack(
            [
                self.collector,
                self.signer,
                self.gateway,
                int(self.key.algorithm),
                self.key.octets,
                self.id,
                self.received_ms,
            ]
        )

    @classmethod
    def from_bytes(cls, octets: bytes) -> Statement:
        """Parse header bytes."""
        fields = Fields(unpack(octets, limits.SMALL_HEADER, STATEMENT), STATEMENT, 7)
        collector, signer = fields.text("collector"), fields.octets("signer", KEY_ID)
        gateway = gateway_id(fields.text("gateway"))
        algorithm = Algorithm(fields.integer("algorithm", 1, 2))
        key = PublicKey(algorithm, fields.octets("public key", limit=limits.TEXT))
        return cls(collector, signer, gateway, key, fields.octets("id", HASH), fields.integer("received"))


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file proves: header, the leaves that it shows (index and content), and the statement where it has one."""

    form: str
    id: bytes
    header: Header
    key: PublicKey
    leaves: tuple[tuple[int, Leaf], ...]
    statement: Statement | None = None

    @property
    def erased(self) -> tuple[int, ...]:
        """The indexes of the leaves whose content was erased; a proof of one leaf says nothing of the others."""
        there = {index for index, _ in self.leaves}
        return () if self.form == PROOF else tuple(each for each in range(self.header.leaves) if each not in there)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The public keys that a verifier trusts: gateways' sealing keys and collectors' seal keys, by key id."""

    gateways: dict[bytes, tuple[str, PublicKey]]
    collectors: dict[bytes, tuple[str, PublicKey]]

    def gateway(self, header: Header) -> PublicKey:
        """The key that a header names, when it is that gateway's.

        Raises:
            SignerError: not in this ring, or another gateway's.
        """
        name, key = self.gateways.get(header.key, ("", None))
        if key is None or name != header.gateway:
            raise SignerError(f"a key of {header.gateway} in the keys given", header.key.hex(), "batch header")
        return key


def export_batch(batch: batches.Batch, body: bytes) -> bytes:
    """A verified batch as a file."""
    return pack([BATCH, batch.content.header, batch.content.signature, body])


def export_proof(
    batch: batches.Batch, opened: Expanded | Partial, index: int, statement: Statement, key: SigningKey
) -> bytes:
    """The proof of leaf `index`, with the collector's statement signed by its seal key.

    Raises:
        ProofError: the content of the leaf was erased.
    """
    path: list[Wire] = list(merkle.path(opened.hashes(), index))
    head = statement.to_bytes()
    content = batch.content
    leaf, salted = opened.leaves[index], opened.salts[index]
    if leaf is None or salted is None:
        raise ProofError("a leaf whose content is there", f"leaf {index}, erased", PROOF)
    return pack([PROOF, content.header, content.signature, index, salted, leaf, path, head, key.sign(STATEMENT, head)])


def export_erased(batch: batches.Batch, opened: Expanded | Partial, erased: Iterable[int] = ()) -> bytes:
    """The batch without the content of the leaves `erased`: their hashes stay, the secret does not."""
    gone = frozenset(erased)
    left = opened.without(gone) if isinstance(opened, Partial) else Partial.of(opened, gone)
    return pack([ERASED, batch.content.header, batch.content.signature, left.to_wire()])


def check(octets: bytes, ring: Keyring) -> Checked:
    """Check an exported file against trusted public keys.

    Raises:
        PeerError, SecurityError: which rule it breaks; nothing of it may then be used.
    """
    wire = unpack(octets, FILE, "file")
    name = wire[0] if isinstance(wire, list) and wire else None
    if not isinstance(wire, list) or not isinstance(name, str) or len(wire) != _CHECKS.get(name, (0,))[0]:
        raise FieldError("a file of form " + ", ".join(_CHECKS), f"{str(name)[:40]!r}", "file")
    return _CHECKS[name][1](wire, ring)


def _check_batch(wire: list[Wire], ring: Keyring) -> Checked:
    fields = Fields(wire[1:], BATCH, 3)
    header, signature = fields.octets("header", limit=limits.BATCH_HEADER), fields.octets("signature", SIGNATURE)
    batch = batches.parse(Content(header, signature, Codec.PLAIN, fields.octets("body")))
    key = ring.gateway(batch.header)
    expanded = batches.expand(batch.header, batches.verify(batch, key))
    leaves: Sequence[Leaf] = [*expanded.readings, *expanded.records]
    return Checked(BATCH, batch.id, batch.header, key, tuple(enumerate(leaves)))


def _check_proof(wire: list[Wire], ring: Keyring) -> Checked:
    fields = Fields(wire[1:], PROOF, 8)
    octets, signature = fields.octets("header", limit=limits.BATCH_HEADER), fields.octets("signature", SIGNATURE)
    index, salted = fields.integer("index", 0, limits.LEAVES), fields.octets("salt", SALT)
    leaf, steps = fields.octets("leaf"), fields.array("path", limits.PATH)
    head, word = fields.octets("statement", limit=limits.SMALL_HEADER), fields.octets("its signature", SIGNATURE)
    statement = Statement.from_bytes(head)
    _statement_signed(statement, head, word, ring)
    header = Header.from_bytes(octets)
    key = statement.key
    if (header.key, header.gateway) != (key.id, statement.gateway) or batch_id(octets) != statement.id:
        raise ProofError("a statement on this batch, gateway and key", "one on another", PROOF)
    known = ring.gateways.get(key.id)
    if known is not None and known != (header.gateway, key):
        raise SignerError(f"the key of {known[0]} as given", "another", PROOF)
    key.verify(batches.KIND, octets, signature)
    hashes = [Fields([step], "path", 1).octets("step", HASH) for step in steps]
    merkle.check_path(leaf_hash(salted, leaf), index, header.leaves, hashes, header.root)
    return Checked(PROOF, statement.id, header, key, ((index, leaf_from(leaf)),), statement)


def _statement_signed(statement: Statement, head: bytes, signature: bytes, ring: Keyring) -> None:
    name, key = ring.collectors.get(statement.signer, ("", None))
    if key is None or name != statement.collector:
        raise SignerError(f"a seal key of collector {statement.collector} in the keys given", "none", PROOF)
    key.verify(STATEMENT, head, signature)


def _check_erased(wire: list[Wire], ring: Keyring) -> Checked:
    fields = Fields(wire[1:], ERASED, 3)
    octets, signature = fields.octets("header", limit=limits.BATCH_HEADER), fields.octets("signature", SIGNATURE)
    header = Header.from_bytes(octets)
    key = ring.gateway(header)
    key.verify(batches.KIND, octets, signature)
    left = Partial.from_wire(leaves_in(fields), header)
    shown = tuple((index, leaf_from(leaf)) for index, leaf in enumerate(left.leaves) if leaf is not None)
    return Checked(ERASED, batch_id(octets), header, key, shown)


def leaf_from(octets: bytes) -> Leaf:
    """The reading or record in a leaf's bytes."""
    wire = leaf_from_bytes(octets)
    kind = Fields(wire, "leaf", 1).integer("kind", 0, 255)
    return SealedReading.from_wire(wire) if kind == READING else record_from_wire(wire)


_CHECKS = {BATCH: (4, _check_batch), PROOF: (9, _check_proof), ERASED: (4, _check_erased)}
