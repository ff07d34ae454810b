"""What a message is: the contract's order of checks, as a pure function of the packet and the register.

size > decrypt > header > signature > signer = topic > key state > inflate and body hash. A body that is not the one
its header names makes the message not authentic: it goes to the ring, is never acknowledged and never evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.faults import MISHAPS, NotUsedError, UnexpectedError
from collector.store.gateways import REVOKED, GatewayKey, Registered
from protocols.errors import PlombaError
from protocols.uplink import acknowledgement as acknowledgements
from protocols.uplink import batch as batches
from protocols.uplink import hello as hellos
from protocols.uplink.acknowledgement import Acknowledgement, Refusal
from protocols.uplink.batch import Batch
from protocols.uplink.envelope import Codec, Content, inflate, open_envelope
from protocols.uplink.faults import (
    BodyHashError,
    FieldError,
    RevokedKeyError,
    SignatureError,
    SignerError,
    UnknownKeyError,
)
from protocols.uplink.hello import Hello
from protocols.uplink.keys import BoxKey, PublicKey
from protocols.uplink.topics import Topic

STATUS = 128  # characters of an unsigned status that are shown


@dataclass(frozen=True, slots=True)
class Message:
    """A packet as it came in, when (UTC ms), and the topic it came under."""

    topic: Topic
    packet: bytes
    received_ms: int


@dataclass(frozen=True, slots=True)
class Authentic:
    """A batch whose signature and body hold; `body` is inflated."""

    batch: Batch
    body: bytes
    received_ms: int


@dataclass(frozen=True, slots=True)
class HelloHeard:
    """A hello whose signature holds; `last` is our own acknowledgement in it, when its signature is ours."""

    hello: Hello
    last: Acknowledgement | None
    received_ms: int


@dataclass(frozen=True, slots=True)
class StatusShown:
    """The unsigned last will: only displayed."""

    gateway: str
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not authentic, or not allowed: for the ring. `gateway` is "" when nobody of that name is registered.

    `refusal` is what an acknowledgement may name of it.
    """

    gateway: str
    kind: str
    error: PlombaError
    refusal: Refusal | None
    packet: bytes
    received_ms: int


Verified = Authentic | HelloHeard | StatusShown | Refused


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks messages against a register of gateways, with the collector's box keys and its public ack key."""

    collector: str
    boxes: dict[bytes, BoxKey]
    ack: PublicKey
    register: Mapping[str, Registered]
    owners: Mapping[bytes, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Whose each registered key is, to tell a stranger's seal from a neighbour's."""
        owners = {key: name for name, registered in self.register.items() for key in registered.keys}
        object.__setattr__(self, "owners", owners)

    def check(self, message: Message) -> Verified:
        """What the message is; it never raises for what somebody sent."""
        topic = message.topic
        named = topic.gateway if topic.gateway in self.register else ""
        if topic.up and topic.kind == "status":
            text = message.packet[:STATUS].decode("utf-8", "replace")
            return StatusShown(topic.gateway, "".join(each if each.isprintable() else "?" for each in text))
        try:
            if topic.kind == hellos.KIND:
                return self._hello(message)
            if topic.kind == batches.KIND:
                return self._batch(message)
            raise NotUsedError("hello or batch", topic.kind, "topic")
        except _NamedRefusal as refused:
            cause, refusal = refused.cause, refused.refusal
        except PlombaError as error:
            cause, refusal = error, None
        except MISHAPS as error:
            cause, refusal = UnexpectedError("a rule that refuses it", repr(error)[:200], topic.kind), None
        return Refused(named, topic.kind, cause, refusal, message.packet, message.received_ms)

    def _batch(self, message: Message) -> Authentic:
        topic = message.topic
        content = open_envelope(message.packet, batches.KIND, topic.gateway, self.boxes)
        batch = batches.parse(content)
        try:
            registered = self._key(topic.gateway, batch.header.key)
            registered.key.verify(batches.KIND, content.header, content.signature)
            _same_signer(topic.gateway, batch.header.gateway)
            if registered.state == REVOKED:
                raise RevokedKeyError("a key in use", f"{batch.header.key.hex()}, revoked", "batch header")
        except (UnknownKeyError, SignatureError, RevokedKeyError) as error:
            raise _NamedRefusal(error, _refusal(batch, error)) from None
        body = inflate(content, batch.header.body_len)
        if hashlib.sha256(body).digest() != batch.header.body_hash:
            raise BodyHashError(batch.header.body_hash.hex()[:16] + "...", "another hash", "batch body")
        return Authentic(batch, body, message.received_ms)

    def _hello(self, message: Message) -> HelloHeard:
        topic = message.topic
        content: Content = open_envelope(message.packet, hellos.KIND, topic.gateway, self.boxes)
        hello = Hello.from_bytes(content.header)
        registered = self._key(topic.gateway, hello.key)
        registered.key.verify(hellos.KIND, content.header, content.signature)
        _same_signer(topic.gateway, hello.gateway)
        if registered.state == REVOKED:
            raise RevokedKeyError("a key in use", f"{hello.key.hex()}, revoked", "hello")
        if content.codec is not Codec.PLAIN or content.body:
            raise FieldError("no body", f"{len(content.body)} bytes", "hello")
        return HelloHeard(hello, self._last(hello), message.received_ms)

    def _key(self, gateway: str, key: bytes) -> GatewayKey:
        known = self.register.get(gateway)
        found = None if known is None else known.keys.get(key)
        if found is None and key in self.owners:
            raise SignerError(f"gateway {gateway} as the topic says", f"a key of {self.owners[key]}", "header")
        if found is None:
            raise UnknownKeyError(f"a registered sealing key of {gateway}", key.hex(), "header")
        return found

    def _last(self, hello: Hello) -> Acknowledgement | None:
        """Our own last acknowledgement in a hello; what is not ours says nothing."""
        if hello.last_ack is None:
            return None
        try:
            self.ack.verify(acknowledgements.KIND, hello.last_ack.header, hello.last_ack.signature)
            last = Acknowledgement.from_bytes(hello.last_ack.header)
        except PlombaError:
            return None
        return last if (last.collector, last.gateway) == (self.collector, hello.gateway) else None


class _NamedRefusal(Exception):  # noqa: N818 - carries an error to where it is handled
    """A refusal that an acknowledgement may name."""

    def __init__(self, cause: PlombaError, refusal: Refusal) -> None:
        super().__init__(cause, refusal)
        self.cause = cause
        self.refusal = refusal


def _refusal(batch: Batch, error: PlombaError) -> Refusal:
    codes: dict[type[PlombaError], str] = {
        UnknownKeyError: "unknown-key",
        SignatureError: "bad-seal",
        RevokedKeyError: "revoked",
    }
    return Refusal(batch.header.epoch, batch.header.seq, batch.id, codes[type(error)])


def _same_signer(topic: str, signer: str) -> None:
    if topic != signer:
        raise SignerError(f"gateway {topic} as the topic says", signer, "header")
