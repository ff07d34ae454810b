"""Fuzz targets: what gateways, collectors and verifiers hand each other, as it comes and behind its signature.

An input of a `... -signed` target is the header: it is signed by the right key, so that the rules behind are reached.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from zlib import compress

import msgpack
import mutators
import samples as s
from fuzzing import Target, Work

from collector.propose import propose
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink import (
    body,
    carried,
    columns,
    commissioned,
    envelope,
    keyring,
    leaf,
    limits,
    proof,
    request,
    topics,
    trust,
)
from protocols.uplink.acknowledgement import Acknowledgement
from protocols.uplink.envelope import Codec, Content
from protocols.uplink.faults import FieldError, SignatureError, StaleError
from protocols.uplink.header import Header
from protocols.uplink.hello import Hello
from protocols.uplink.keys import Algorithm, PublicKey
from protocols.uplink.leaf import SealedReading
from protocols.uplink.pack import pack, repack, unpack
from protocols.uplink.proof import Keyring
from protocols.uplink.records import record_from_wire

VECTORS = Path(__file__).parents[1] / "uplink" / "vectors"
BOXES = {key.public.id: key for key in (s.COLLECTOR_BOX, s.GATEWAY_BOX)}
RING = Keyring({s.SEALING.public.id: (s.GATEWAY, s.SEALING.public)}, {s.SEAL.public.id: (s.COLLECTOR, s.SEAL.public)})
INFLATED = 65_536  # bytes of the body that a bomb claims: enough to see that no more is made
FIRST = s.first_batch()
BODY = batches.verify(FIRST, s.SEALING.public)


def vector(name: str, *path: str | int) -> bytes:
    """Bytes of the contract's test vectors."""
    found = json.loads((VECTORS / f"{name}.json").read_text())
    for each in path:
        found = found[each]
    return bytes.fromhex(found)


PACKETS = {kind: vector("packets", kind) for kind in ("batch", "hello", "ack")}
HEADERS = {kind: vector("messages", kind, "header") for kind in ("hello", "ack")} | {"batch": FIRST.content.header}
TRUST_FILE, REQUEST_FILE = vector("messages", "trust", "file"), vector("messages", "request", "file")
_FIRST = commissioned.First("energy", "12.3", "Wh", "ok")
_MET = commissioned.Met(
    "heat",
    "mbus",
    "riser",
    "tcp://192.0.2.1:1",
    "address 1",
    None,
    "KAM",
    "60300001",
    53,
    4,
    s.START_MS,
    None,
    (_FIRST,),
)
RECORD_FILE = commissioned.sign(
    commissioned.Commissioned(s.GATEWAY, s.SEALING.public, "0.1.0", bytes(32), s.START_MS, (_MET,)), s.SEALING
)
FILES = (
    vector("files", "batch"),
    vector("files", "proofs", 0),
    vector("files", "proofs", 7),
    vector("files", "erased"),
)
LEAVES = tuple(body.expand(BODY).leaves)


def element(tree: bytes, at: int) -> bytes:
    """A bin of a packed array."""
    found = msgpack.unpackb(tree)[at]
    assert isinstance(found, bytes)
    return found


def any_packet(octets: bytes) -> None:
    """A packet, of whichever kind it is."""
    either(*(partial(envelope.open_envelope, octets, kind, s.GATEWAY, BOXES) for kind in PACKETS))


def either(*ways: Callable[[], object]) -> None:
    """The first way that works; the error of the last where none does."""
    for way in ways[:-1]:
        with suppress(PlombaError):
            way()
            return
    ways[-1]()


def boxed(octets: bytes) -> None:
    """What is inside a box: padded to its multiple where it can be."""
    try:
        parts = msgpack.unpackb(octets, strict_map_key=False)
        bare = msgpack.packb([*parts[:4], b""], use_bin_type=True)
        octets = msgpack.packb([*parts[:4], bytes(-len(bare) % limits.PADDING)], use_bin_type=True)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        octets += bytes(-len(octets) % limits.PADDING)
    box = s.COLLECTOR_BOX.public.seal(octets, envelope.info("batch", s.GATEWAY))
    packet = pack([1, s.COLLECTOR_BOX.public.id, box])
    content = envelope.open_envelope(packet, "batch", s.GATEWAY, BOXES)
    batch = batches.parse(content)
    batches.expand(batch.header, batches.verify(batch, s.SEALING.public))


def coded(octets: bytes) -> None:
    """A deflated body, whatever it inflates to."""
    content = Content(b"", b"", Codec.DEFLATE, octets)
    either(*(partial(envelope.inflate, content, size) for size in (INFLATED, len(BODY))))


def expanded(octets: bytes) -> None:
    """A body: what it expands to has a root, and each leaf is one; readings and leaves are the same."""
    found = body.expand(octets)
    assert body.tree(octets) == (len(found.leaves), found.root())
    assert [repack(each.to_wire()) for each in found.readings] == list(found.leaves[: len(found.readings)])
    assert len(found.hashes()) == len(found.leaves) == len(found.salts)
    assert len(found.root()) == 32
    for each in found.leaves[:3]:
        proof.leaf_from(each)


def signed_batch(octets: bytes) -> None:
    """A header, signed, around the body that it may or may not name."""
    content = Content(octets, s.SEALING.sign("batch", octets), FIRST.content.codec, FIRST.content.body)
    batch = batches.parse(content)
    batches.expand(batch.header, batches.verify(batch, s.SEALING.public))


def sealed_body(octets: bytes) -> None:
    """A body, under a header that names it: hash, length, leaves and root are right where there are any."""
    try:
        found = body.expand(octets)
        root, count = found.root(), len(found.leaves)
    except PlombaError:
        root, count = bytes(32), 1
    batch = resealed(octets, root, count)
    batches.expand(batch.header, batches.verify(batch, s.SEALING.public))


def resealed(octets: bytes, root: bytes, count: int) -> batches.Batch:
    """A batch with this body, signed."""
    header = Header.from_bytes(FIRST.content.header)
    wire = unpack(header.to_bytes(), limits.BATCH_HEADER, "header")
    assert isinstance(wire, list)
    wire[11:] = [count, root, len(octets), hashlib.sha256(octets).digest()]
    made = pack(wire)
    return batches.parse(Content(made, s.SEALING.sign("batch", made), Codec.DEFLATE, compress(octets, 1)))


def signed_trust(octets: bytes) -> None:
    """A trust document, signed by its trust key, as the first and as the next one."""
    whole = pack([1, octets, [[s.TRUST.public.id, s.TRUST.sign("trust", octets)]]])
    found = trust.read(whole)
    usable(found.ack, found.seal, *found.trusts, *found.boxes)
    with suppress(StaleError):
        trust.read(whole, found)


def signed_request(octets: bytes) -> None:
    """A request, signed by the key that it names where that is ours; its keys are used as a collector would."""
    found = request.read(pack([1, octets, s.SEALING.sign("request", octets)]))
    usable(found.sealing, found.box)


def signed_record(octets: bytes) -> None:
    """A commissioning record, signed by the key that it names where that is ours; what it holds is proposed."""
    found = commissioned.read(pack([1, octets, s.SEALING.sign("commissioning", octets)]))
    assert commissioned.Commissioned.from_bytes(found.to_bytes()) == found
    usable(found.sealing)


def usable(*keys: PublicKey) -> None:
    """Keys of others: a signature is checked, a box sealed, or refused by name."""
    for key in keys:
        if key.algorithm is Algorithm.X25519:
            assert len(key.seal(b"plain", b"info")) > 5
        else:
            with suppress(SignatureError):
                key.verify("batch", b"header", bytes(64))


def any_key(octets: bytes) -> None:
    """A key on the wire, and what it is used for."""
    found = unpack(octets, limits.SMALL_HEADER, "key")
    usable(trust.key_from_wire(found))


def signed_file(octets: bytes) -> None:
    """A file for a verifier, header and statement signed anew."""
    wire: object = None
    with suppress(ValueError, TypeError, msgpack.UnpackException):
        wire = msgpack.unpackb(octets, strict_map_key=False)
    if isinstance(wire, list) and len(wire) > 2 and isinstance(wire[1], bytes):
        wire[2] = s.SEALING.sign("batch", wire[1])
        if len(wire) > 8 and isinstance(wire[7], bytes):
            wire[8] = s.SEAL.sign("statement", wire[7])
        octets = msgpack.packb(wire, use_bin_type=True)
    proof.check(octets, RING)


def any_leaf(octets: bytes) -> None:
    """A leaf: a reading or a record; a record is what it was."""
    found = proof.leaf_from(octets)
    wire = leaf.leaf_from_bytes(octets)
    if isinstance(found, SealedReading):
        assert SealedReading.from_wire(leaf.leaf_from_bytes(pack(found.to_wire()))) == found
        str(found.meter_time)
    else:
        assert record_from_wire(wire) == found


def column(octets: bytes) -> None:
    """A column of eight rows."""
    found = columns.decode(unpack(octets, limits.BODY, "column"), 8, "column")
    assert columns.decode(columns.encode(found), 8, "column") == found


def strict(octets: bytes) -> None:
    """Any value in strict form: packed again it is the same."""
    assert pack(unpack(octets, limits.BODY, "value")) == octets


def topic(octets: bytes) -> None:
    """A topic's name."""
    text = octets.decode("utf-8", "replace")
    found = topics.parse(text)
    assert text == (topics.up if found.up else topics.down)(found.gateway, found.kind)


def keys_text(octets: bytes) -> None:
    """The keys file of a verifier."""
    found = keyring.from_text(octets.decode("utf-8", "replace"), "keys")
    assert found.gateways or found.collectors


def carried_file(octets: bytes) -> None:
    """A file that a person carries: all its packets."""
    for packet in carried.read(io.BytesIO(octets), "stick").packets:
        assert len(packet) <= limits.PACKET


_CARRIED = carried.head(s.GATEWAY, "batch") + b"".join(map(carried.frame, PACKETS.values()))
_KEYS_FILE = keyring.to_text(
    [("gateway", s.GATEWAY, s.SEALING.public), ("collector", s.COLLECTOR, s.SEALING_P256.public)]
).encode()
_TOPICS = (*(topics.up(s.GATEWAY, kind).encode() for kind in topics.UP), topics.down(s.GATEWAY, "ack").encode())
_KEYS = tuple(pack([int(each.algorithm), each.octets]) for each in (s.SEALING.public, s.COLLECTOR_BOX.public))
_COLUMNS = tuple(pack(columns.encode(each)) for each in ([1, 5, 5, 9, 10, 11, 99, 100], [7] * 8, list(range(8))))
_CONTENT = pack([FIRST.content.header, FIRST.content.signature, int(FIRST.content.codec), FIRST.content.body])
_READERS: tuple[tuple[str, Callable[[bytes], object], tuple[bytes, ...]], ...] = (
    ("batch-header", Header.from_bytes, (HEADERS["batch"], vector("batches", "second", "header"))),
    ("acknowledgement-header", Acknowledgement.from_bytes, (HEADERS["ack"],)),
    ("hello-header", Hello.from_bytes, (HEADERS["hello"],)),
    ("trust-file", trust.read, (TRUST_FILE,)),
    ("request-file", request.read, (REQUEST_FILE,)),
    ("proof-file", lambda octets: proof.check(octets, RING), FILES),
    ("statement", proof.Statement.from_bytes, (element(FILES[1], 7),)),
    ("key", any_key, (*_KEYS, pack([2, s.SEALING_P256.public.octets]))),
    ("leaf", any_leaf, LEAVES),
    ("column", column, _COLUMNS),
    ("strict-form", strict, (BODY, *HEADERS.values(), *_COLUMNS)),
    ("batch-signed", signed_batch, (HEADERS["batch"],)),
    ("trust-signed", signed_trust, (element(TRUST_FILE, 1),)),
    ("request-signed", signed_request, (element(REQUEST_FILE, 1),)),
    ("record-file", lambda octets: propose(octets, None, None).row, (RECORD_FILE,)),
    ("record-signed", signed_record, (element(RECORD_FILE, 1),)),
    ("proof-signed", signed_file, FILES),
)
BIG = Work(30_000, 60)  # a whole batch in every corpus, some hundred leaves

TARGETS = (
    Target("envelope", tuple(PACKETS.values()), any_packet),
    Target("envelope-boxed", (_CONTENT,), boxed, mutators.trees, work=BIG),
    Target("body", (BODY,), expanded, mutators.trees, work=BIG),
    Target("body-sealed", (BODY,), sealed_body, mutators.trees, work=BIG, cost=3),
    Target("body-deflated", (FIRST.content.body, compress(bytes(INFLATED)), compress(bytes(limits.BODY))), coded),
    Target("carried-file", (_CARRIED,), carried_file),
    Target("topic", _TOPICS, topic, errors=FieldError),
    Target("keys-file", (_KEYS_FILE,), keys_text, mutators.texts),
    *(Target(name, corpus, decode, mutators.trees, work=BIG) for name, decode, corpus in _READERS),
)
