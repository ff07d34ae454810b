"""A gateway as the collector sees it: it seals real batches in epochs of its own; and a collector without a pipe."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from collector.acknowledge import Acknowledger, Packet, Word
from collector.epochs import Judged, judge
from collector.ingest import Ingest, Outcome
from collector.store.postgresql import PostgresqlStore
from collector.store.sqlite import SqliteStore
from collector.verify import Checker, Message
from protocols.reading import (
    Exchange,
    How,
    Identity,
    NativeKey,
    Protocol,
    Reading,
    Scaled,
    State,
    Status,
    TimeQuality,
    Value,
)
from protocols.uplink import batch as batches
from protocols.uplink import limits, topics
from protocols.uplink.acknowledgement import Acknowledgement
from protocols.uplink.batch import Batch, Circumstances, Place
from protocols.uplink.envelope import Codec, Content, close, deflate, open_envelope
from protocols.uplink.header import ClockShown, ClockSource, ClockState, Core, Header, Parent, batch_id
from protocols.uplink.hello import Hello, Signed
from protocols.uplink.keys import BoxKey, SigningKey
from protocols.uplink.ranges import Range
from protocols.uplink.records import Record

AnyStore = SqliteStore | PostgresqlStore
COLLECTOR = "utility"
NOW_MS = 1_790_000_000_000
CLOCK = ClockShown(ClockState.SYNCHRONISED, ClockSource.NTP, 0, 20, NOW_MS - 60_000, bytes(16), 1_000)
CONFIG = hashlib.sha256(b"configuration").digest()
DAY_MS = 86_400_000


def reading(slot: int, meter: int = 1, number: int | None = None, device: str = "heat") -> Reading:
    """Meter `meter` in slot `slot` (of 900 s), showing `number` Wh and a second register."""
    at_ms = NOW_MS + slot * 900_000
    telegram = f"{meter}/{slot}".encode()
    key = NativeKey.mbus(b"\x06", 0, 0, 0, 0)
    other = NativeKey.mbus(b"\x13", 0, 0, 0, 0)
    values = (
        Value(key, "Wh", Scaled(1_000 + slot if number is None else number, 3), State.OK),
        Value(other, "m3", Scaled(7 * meter + slot, -3), State.OK),
    )
    identity = Identity(Protocol.MBUS, "KAM", f"{meter:08d}", 1, 4)
    quality = TimeQuality(True, 20)
    exchange = Exchange(at_ms + 500, 5_000 + slot, 200, quality, telegram, keep=False)
    return Reading(identity, device, None, How.READ, at_ms, None, exchange, 0, Status.NONE, values)


@dataclass
class Chain:
    """A gateway's keys and the place where its next batch goes."""

    name: str = "house-1"
    seed: int = 1
    key: SigningKey = field(default_factory=SigningKey.generate)
    box: BoxKey = field(default_factory=BoxKey.generate)
    config: bytes = CONFIG
    core: str = "0.1.0"
    seq: int = 0
    prev: bytes | None = None
    parent: Parent | None = None

    def __post_init__(self) -> None:
        """Begin the first epoch."""
        self.random = random.Random(self.seed)
        self.epoch = self.random.randbytes(16)
        self.created_ms = NOW_MS

    def restart(self, forget: bool = False) -> None:
        """A new epoch: its parent is the last batch, or nothing when memory is lost."""
        self.parent = None if forget or not self.seq else Parent(self.epoch, self.seq)
        self.prev = None if forget else self.prev
        self.epoch, self.seq = self.random.randbytes(16), 0

    def fork(self, seed: int) -> Chain:
        """A copy of this gateway's state at this moment, that goes its own way."""
        other = Chain(self.name, seed, self.key, self.box, self.config, self.core, self.seq, self.prev, self.parent)
        other.epoch, other.created_ms = self.epoch, self.created_ms
        return other

    def seal(self, readings: Sequence[Reading] = (), records: Sequence[Record] = ()) -> Batch:
        """The next batch; without content it holds one reading of the slot that is the batch's number."""
        self.created_ms += 1_000
        content = readings if readings or records else [reading(self.random.randrange(10**6))]
        at = Circumstances(self.created_ms, CLOCK, Core(self.core, bytes(32)), self.config)
        place = Place(self.name, self.epoch, self.seq + 1, self.prev, self.parent if not self.seq else None)
        sealed = batches.seal(content, records, place, at, self.key, self.random.randbytes(32))
        return self._took(sealed)

    def seal_body(
        self, body: bytes, *, version: int = limits.VERSION, leaves: int = 1, root: bytes | None = None
    ) -> Batch:
        """The next batch with a body of any bytes, correctly signed."""
        self.created_ms += 1_000
        codec, coded = deflate(body)
        header = Header(
            version,
            self.name,
            self.key.public.id,
            self.epoch,
            self.seq + 1,
            self.prev,
            self.parent if not self.seq else None,
            self.created_ms,
            CLOCK,
            Core(self.core, bytes(32)),
            self.config,
            leaves,
            root or bytes(32),
            len(body),
            hashlib.sha256(body).digest(),
        )
        octets = header.to_bytes()
        content = Content(octets, self.key.sign(batches.KIND, octets), codec, coded)
        return self._took(Batch(batch_id(octets), header, content))

    def _took(self, sealed: Batch) -> Batch:
        self.seq, self.prev = sealed.header.seq, sealed.id
        return sealed

    def hello(self, held: Sequence[Range] = (), last: Signed | None = None, nonce: bytes = bytes(16)) -> Content:
        """A signed hello."""
        said = Hello(self.name, self.key.public.id, self.epoch, nonce, tuple(held), last, 1, (1,), CLOCK)
        octets = said.to_bytes()
        return Content(octets, self.key.sign("hello", octets), Codec.PLAIN, b"")


class Bench:
    """A collector over a store, fed and asked directly; its clock stands until it is moved."""

    def __init__(self, store: AnyStore, collector: str = COLLECTOR) -> None:
        self.store = store
        self.box = BoxKey.generate()
        self.ack = SigningKey.generate()
        self.now_ms = NOW_MS
        self.mono_ms = 0
        self.collector = collector
        self.chains = {name: Chain(name, seed) for seed, name in enumerate(("house-1", "house-2"), 1)}
        with store.transaction():
            for chain in self.chains.values():
                store.gateways.add(chain.name, chain.box.public, chain.key.public, NOW_MS)
                store.gateways.approve(chain.name, CONFIG, NOW_MS)
        self.restart()

    def restart(self) -> None:
        """A new process over the same store."""
        self.ingest = Ingest(self.store, 100)
        self.acknowledger = Acknowledger(self.store, Word(self.collector, self.ack, 64, 7 * DAY_MS, 1))
        self.checker = Checker(
            self.collector, {self.box.public.id: self.box}, self.ack.public, self.store.gateways.register()
        )

    @property
    def chain(self) -> Chain:
        """The gateway house-1."""
        return self.chains["house-1"]

    def packet(self, batch: Batch, gateway: str | None = None) -> bytes:
        """A batch as it travels."""
        return close(batch.content, batches.KIND, gateway or batch.header.gateway, self.box.public)

    def feed(self, *packets: bytes, gateway: str = "house-1", kind: str = "batch") -> Outcome:
        """One group of packets under a gateway's topic."""
        topic = topics.parse(topics.up(gateway, kind))
        return self.ingest.commit(
            [self.checker.check(Message(topic, each, self.now_ms)) for each in packets], self.now_ms
        )

    def take(self, *sealed: Batch) -> Outcome:
        """One group of batches, each under its own gateway's topic."""
        messages = [
            Message(topics.parse(topics.up(each.header.gateway, "batch")), self.packet(each), self.now_ms)
            for each in sealed
        ]
        return self.ingest.commit([self.checker.check(each) for each in messages], self.now_ms)

    def greet(self, content: Content, gateway: str = "house-1") -> Outcome:
        """One hello."""
        return self.feed(close(content, "hello", gateway, self.box.public), gateway=gateway, kind="hello")

    def word(self, outcome: Outcome, gateway: str = "house-1") -> Acknowledgement:
        """The acknowledgement that follows a group, opened and verified as the gateway does."""
        return Acknowledgement.from_bytes(self.signed_word(outcome, gateway).header)

    def signed_word(self, outcome: Outcome, gateway: str = "house-1") -> Signed:
        """The same as received."""
        self.mono_ms += 1_000
        for each in outcome.due:
            self.acknowledger.owe(each, outcome.hellos.get(each), outcome.refusals.get(each, []))
        boxes = {chain.name: chain.box.public for chain in self.chains.values()}
        return self.opened(self.acknowledger.make(boxes, self.now_ms, self.mono_ms), gateway)

    def opened(self, packets: Sequence[Packet], gateway: str = "house-1") -> Signed:
        """The acknowledgement to `gateway` among packets."""
        packet = next(each for each in packets if each.gateway == gateway)
        box = self.chains[gateway].box
        content = open_envelope(packet.octets, "ack", gateway, {box.public.id: box})
        self.ack.public.verify("ack", content.header, content.signature)
        return Signed(content.header, content.signature)

    def states(self, gateway: str = "house-1") -> dict[bytes, Judged]:
        """The states of all epochs."""
        return judge(self.store.evidence.facts(gateway)).epochs

    def rows(self) -> int:
        """How many readings are stored."""
        return sum(1 for _ in self.store.readings.all())
