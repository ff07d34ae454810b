"""A batch: sealed at the gateway, verified at the collector. The order of the checks is part of the contract."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from protocols.reading import Reading
from protocols.uplink import body as bodies
from protocols.uplink import limits
from protocols.uplink.envelope import Codec, Content, deflate, inflate
from protocols.uplink.faults import BodyHashError, CountError, RootError, SignerError, VersionError
from protocols.uplink.header import ClockShown, Core, Header, Parent, batch_id
from protocols.uplink.keys import PublicKey, SigningKey
from protocols.uplink.records import Record

KIND = "batch"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch stands in the gateway's chain."""

    gateway: str
    epoch: bytes
    seq: int
    prev: bytes | None
    parent: Parent | None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the header says of the gateway at the moment of sealing (`config` is a SHA-256)."""

    created_ms: int
    clock: ClockShown
    core: Core
    config: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """A sealed batch as it is kept and sent; `header` is parsed from `content.header`."""

    id: bytes
    header: Header
    content: Content


def seal(
    readings: Sequence[Reading],
    records: Sequence[Record],
    place: Place,
    at: Circumstances,
    key: SigningKey,
    secret: bytes,
) -> Batch:
    """Seal readings and records into one batch; `secret` are 32 fresh random bytes.

    Raises:
        LimitError: more than one batch holds: split and seal again (nothing was used up).
        FieldError: a value that has no form on the wire.
    """
    body = bodies.compose(readings, records, secret)
    codec, coded = deflate(body.octets)
    header = Header(
        limits.VERSION,
        place.gateway,
        key.public.id,
        place.epoch,
        place.seq,
        place.prev,
        place.parent,
        at.created_ms,
        at.clock,
        at.core,
        at.config,
        body.leaves,
        body.root,
        len(body.octets),
        hashlib.sha256(body.octets).digest(),
    )
    octets = header.to_bytes()
    return Batch(batch_id(octets), header, Content(octets, key.sign(KIND, octets), codec, coded))


def parse(content: Content) -> Batch:
    """Parse the header; nothing is verified yet.

    Raises:
        LimitError, FormError, FieldError: which rule the header breaks.
    """
    return Batch(batch_id(content.header), Header.from_bytes(content.header), content)


def verify(batch: Batch, key: PublicKey) -> bytes:
    """Check signer, signature, length and hash; the body's bytes.

    Raises:
        SignerError: the header names another key.
        SignatureError: the signature does not hold over the header as received.
        BodyHashError: the body is not the one that the header names.
    """
    if batch.header.key != key.id:
        raise SignerError(f"key {key.id.hex()}", batch.header.key.hex(), "batch header")
    key.verify(KIND, batch.content.header, batch.content.signature)
    body = inflate(batch.content, batch.header.body_len)
    if hashlib.sha256(body).digest() != batch.header.body_hash:
        raise BodyHashError(batch.header.body_hash.hex()[:16] + "...", "another hash", "batch body")
    return body


def expand(header: Header, body: bytes) -> bodies.Expanded:
    """Decode a verified body and check its leaves against the header.

    Raises:
        VersionError: a body version that this code does not decode.
        FormError, FieldError, LimitError, CountError: which rule the body breaks.
        RootError: the leaves do not have the root that was signed.
    """
    if header.version != limits.VERSION:
        raise VersionError(f"version {limits.VERSION}", f"{header.version}", "batch body")
    expanded = bodies.expand(body)
    if len(expanded.leaves) != header.leaves:
        raise CountError(f"{header.leaves} leaves", f"{len(expanded.leaves)}", "batch body")
    if expanded.root() != header.root:
        raise RootError(f"root {header.root.hex()[:16]}...", "another root", "batch body")
    return expanded


def plain(batch: Batch, body: bytes) -> Content:
    """The batch's content with its body not deflated: the form in which batches are exported."""
    return Content(batch.content.header, batch.content.signature, Codec.PLAIN, body)
