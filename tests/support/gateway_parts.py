"""Counterparts of a gateway for its tests: a clock that is turned by hand, readings, and a collector's signed word."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.buffer import Buffer
from gateway.clock import Discipline, GatewayClock, Sources
from gateway.seal import Seal, Sealer
from gateway.settled import Positions
from gateway.writer import InlineWriter
from protocols.reading import Exchange, How, Identity, NativeKey, Protocol, Reading, Scaled, State, Status, TimeQuality
from protocols.reading import Value as Register
from protocols.uplink import envelope, limits
from protocols.uplink.acknowledgement import Acknowledgement, Refusal
from protocols.uplink.envelope import Codec, Content
from protocols.uplink.header import Core
from protocols.uplink.keys import BoxKey, SigningKey
from protocols.uplink.ranges import Range
from protocols.uplink.trust import Trust

NOW_MS = 1_793_000_000_000
GATEWAY, COLLECTOR = "gateway-1", "centre"
CADENCE_MS = 900_000
GOOD = TimeQuality(synchronised=True, uncertainty_ms=5)


@dataclass(slots=True)
class Time:
    """Wall and monotonic clock, turned by hand."""

    wall_ms: int = NOW_MS
    mono_ms: int = 1_000_000
    synchronised: bool = True

    def pass_ms(self, ms: int) -> None:
        """Let time pass."""
        self.wall_ms += ms
        self.mono_ms += ms

    def sources(self) -> Sources:
        """As a clock takes them."""
        return Sources(lambda: self.wall_ms, lambda: self.mono_ms, lambda: Discipline(self.synchronised, 5), bytes(16))


@dataclass(slots=True)
class Centre:
    """A collector's keys and its word: acknowledgements as they come from the pipe."""

    box: BoxKey
    ack: SigningKey = field(default_factory=SigningKey.generate)
    mine: BoxKey = field(default_factory=BoxKey.generate)
    generation: int = 1
    number: int = 0

    @property
    def trust(self) -> Trust:
        """The document that a gateway believes."""
        ack, box = self.ack.public, self.mine.public
        return Trust(1, COLLECTOR, None, (), (), ack, None, ack, (box,), (ack,), (1,))

    def say(
        self,
        stored: Sequence[Range] = (),
        safe: Sequence[Range] = (),
        *,
        refused: Sequence[Refusal] = (),
        nonce: bytes | None = None,
        gateway: str = GATEWAY,
        collector: str = COLLECTOR,
        key: SigningKey | None = None,
        time_ms: int = NOW_MS,
        window: int = 16,
    ) -> bytes:
        """The next acknowledgement, signed and sealed to the gateway."""
        self.number += 1
        ack = Acknowledgement(
            collector,
            gateway,
            self.generation,
            self.number,
            nonce,
            time_ms,
            tuple(stored),
            tuple(safe),
            tuple(refused),
            window,
            1,
            (limits.VERSION,),
            None,
        )
        header = ack.to_bytes()
        content = Content(header, (key or self.ack).sign("ack", header), Codec.PLAIN, b"")
        return envelope.close(content, "ack", gateway, self.box.public)


class Rig:
    """A sealer over a real buffer, the writer inline, time by hand."""

    def __init__(self, folder: Path, *, max_bytes: int = 64 * 1024 * 1024, time: Time | None = None) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self.time = time or Time()
        self.key, self.starts = SigningKey.generate(), 0
        self.start()

    def start(self) -> None:
        """Open the buffer and begin an epoch, as a daemon's start does."""
        self.buffer = Buffer(self.folder, self.max_bytes, 256 * 1024)
        self.run_with(self.buffer)

    def run_with(self, buffer: Buffer) -> None:
        """Begin an epoch on an open buffer."""
        self.buffer, self.starts = buffer, self.starts + 1
        buffer.remember_key(self.key.public)
        self.chain, known = buffer.chain(), buffer.known()
        self.clock = GatewayClock(self.time.sources(), known.signed_ms, known.sealed_ms)
        seal = Seal(GATEWAY, self.key, Core("test", bytes(32)), b"configuration")
        self.positions = Positions(known.rows)
        self.sealer = Sealer(
            seal,
            self.clock,
            buffer,
            InlineWriter(),
            self.chain,
            known.head,
            {"heat": None},
            self.positions,
            random.Random(self.starts).randbytes,
        )
        self.sealer.begin_epoch("start")

    async def seal(self, count: int = 1, size: int = 100) -> None:
        """Seal `count` batches of one reading each, the telegram `size` random bytes."""
        for _ in range(count):
            self.time.pass_ms(CADENCE_MS)
            self.sealer.take([reading(self.clock.utc_ms(), size)])
            await self.sealer.flush()

    def all(self) -> Range:
        """Everything of the newest epoch."""
        return self.chain.runs()[-1]


def reading(
    at_ms: int, size: int = 100, *, quality: TimeQuality = GOOD, values: int = 4, keep: bool = True, mono_ms: int = 1
) -> Reading:
    """A heat meter's reading with a random telegram."""
    exchange = Exchange(at_ms, mono_ms, 120, quality, random.Random(at_ms).randbytes(size), keep)
    meter = Identity(Protocol.MBUS, "KAM", "60300001", 0x35, 4)
    found = tuple(
        Register(NativeKey.mbus(bytes([6]), n, 0, 0, 0), "Wh", Scaled(at_ms % 1000 + n, 3), State.OK)
        for n in range(values)
    )
    slot_ms = at_ms // CADENCE_MS * CADENCE_MS
    return Reading(meter, "heat", None, How.READ, slot_ms, None, exchange, 0, Status.NONE, found)
