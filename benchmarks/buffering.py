"""What a reading takes from the sealer to the broker: sealed, in the buffer with fsync, sent; batches of 96, 6 values.

Everything is as in the daemon, in one process: sealer, buffer with its thread, link over TLS to a real broker, and one
who acknowledges at the other end. Beside it: bare inserts of the same bytes, not sent.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import centre
from figures import ROUNDS, Figure
from sealing import KEY, START_MS
from sixes import Six, reading

from gateway.buffer import Buffer
from gateway.chain import Chain
from gateway.clock import GatewayClock, system_sources
from gateway.core import core_of_this_program
from gateway.forward import Forward
from gateway.link import Conversation, Link, Party
from gateway.marks import NO_ORDER
from gateway.seal import Seal, Sealer
from gateway.settled import Positions
from gateway.writer import ThreadWriter
from protocols.reading import Reading
from protocols.transports import mqtt
from protocols.transports.pipe import PipeSettings
from protocols.uplink import batch as uplink_batch
from protocols.uplink import topics
from protocols.uplink.keys import BoxKey

ROWS, BATCHES = 96, 200
MAX_BYTES, RESERVE_BYTES = 64 * 1024 * 1024, 256 * 1024
LEAST_PER_S = 10_000
BATCH = topics.up(centre.GATEWAY, uplink_batch.KIND)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float


def figures() -> Iterator[Figure]:
    """A round over 96 meters, and a day of one meter: the dearest and the cheapest batch of 96 readings."""
    box = BoxKey.generate()
    with tempfile.TemporaryDirectory(prefix="plomba-bench-") as name:
        folder = Path(name)
        with centre.running(folder, box.public) as site:
            round_over = [[reading(Six(meter, n), START_MS) for meter in range(ROWS)] for n in range(BATCHES)]
            yield from _figures(folder / "round", site, box, round_over, "")
            gc.unfreeze()
            del round_over
            one_meter = [[reading(Six(meter, n), START_MS) for n in range(ROWS)] for meter in range(BATCHES)]
            yield from _figures(folder / "one-meter", site, box, one_meter, "_one_meter")


def _figures(
    folder: Path, site: centre.Site, box: BoxKey, rounds: list[list[Reading]], suffix: str
) -> Iterator[Figure]:
    folder.mkdir()
    gc.collect()
    gc.freeze()  # the rounds in hand are the benchmark's: no gateway holds so many readings
    sealed, mine, bare = [], [], []
    for number in range(ROUNDS):
        run = _Run(folder / f"ours-{number}", site, box, rounds)
        mine.append(asyncio.run(run.cost()))
        sealed = run.sealed()
        bare.append(_bare(folder / f"bare-{number}", sealed))
    readings, size = ROWS * BATCHES, sum(len(each) for each in sealed) / BATCHES
    wall, bare_wall = (statistics.median(each.wall_s for each in runs) for runs in (mine, bare))
    cpu, bare_cpu = (statistics.median(each.cpu_s for each in runs) for runs in (mine, bare))
    beside = f"bare inserts of the same {size:,.0f} bytes a batch, same commits"
    yield Figure(f"gateway_readings_per_s{suffix}", readings / wall, "1/s", beside, bare_wall / wall, LEAST_PER_S)
    yield Figure(f"gateway_cpu_us_per_reading{suffix}", cpu / readings * 1e6, "us", beside, cpu / bare_cpu)


@dataclass(slots=True)
class _Sent:
    """What the broker has taken of us."""

    wanted: int
    batches: int = 0
    all: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def connect(self, settings: PipeSettings) -> AsyncIterator[_CountedPipe]:
        """A connection that counts."""
        async with mqtt.connect(settings) as pipe:
            yield _CountedPipe(pipe, self)


class _CountedPipe(mqtt.Pipe):
    """A pipe that counts the batches that it handed to the broker."""

    def __init__(self, pipe: mqtt.Pipe, sent: _Sent) -> None:
        super().__init__(pipe._client, pipe._guard, pipe._settings)
        self._sent = sent

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker; it counts when the broker has said that it came."""
        await super().publish(topic, payload)
        if topic == BATCH:
            self._sent.batches += 1
            if self._sent.batches >= self._sent.wanted:
                self._sent.all.set()


class _Run:
    """One gateway with a new buffer; `rounds` is what its buses give it."""

    def __init__(self, folder: Path, site: centre.Site, box: BoxKey, rounds: list[list[Reading]]) -> None:
        folder.mkdir()
        self._site, self._box, self._rounds = site, box, rounds
        self._buffer = Buffer(folder, MAX_BYTES, RESERVE_BYTES)
        self._buffer.remember_key(KEY.public)
        self._chain: Chain = self._buffer.chain()
        self._link: Link | None = None

    async def cost(self) -> Cost:
        """From the first reading in hand to the broker's word for the last batch."""
        writer, clock = ThreadWriter(), GatewayClock(system_sources(), 0, 0)
        seal = Seal(centre.GATEWAY, KEY, core_of_this_program(), b"")
        devices = {each.device: None for found in self._rounds for each in found}
        sealer = Sealer(
            seal, clock, self._buffer, writer, self._chain, None, devices, Positions({}), os.urandom, self._wake
        )
        sent = _Sent(len(self._rounds))
        self._link = Link(
            Party(centre.GATEWAY, KEY, self._box, self._site.trust),
            self._site.pipe,
            sent.connect,
            Forward(self._chain, random.Random(1).uniform, centre.WINDOW),
            self._chain,
            self._buffer,
            writer,
            sealer,
            clock,
            Conversation(NO_ORDER, None),
            os.urandom,
            random.Random(2).uniform,
        )
        talking = asyncio.create_task(self._link.run())
        await asyncio.sleep(2 * centre.ACKNOWLEDGE_S)  # connected, hello said and answered
        wall, cpu = time.perf_counter(), time.process_time()
        for found in self._rounds:
            for each in found:
                sealer.take([each])
            await sealer.round_over()
            await sealer.flush()  # a slow disk is waited for here: one batch a round
        await sent.all.wait()
        cost = Cost(time.perf_counter() - wall, time.process_time() - cpu)
        await asyncio.sleep(2 * centre.ACKNOWLEDGE_S)
        assert not list(self._chain.unstored()), "a batch was not acknowledged"
        talking.cancel()
        await asyncio.wait({talking})
        writer.close()
        return cost

    def _wake(self) -> None:
        if self._link is not None:
            self._link.wake()

    def sealed(self) -> list[bytes]:
        """The bytes of each batch as the buffer keeps them; each was acknowledged."""
        entries = list(self._chain.entries())
        assert len(entries) == len(self._rounds)
        contents = [self._buffer.content(entry.id) for entry in entries]
        self._buffer.close()
        return [each.header + each.signature + each.body for each in contents if each is not None]


def _bare(path: Path, batches: list[bytes]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE batch (id BLOB PRIMARY KEY, sealed BLOB)")
    for each in batches:
        database.execute("INSERT INTO batch VALUES (?, ?)", (hashlib.sha256(each).digest(), each))
    database.close()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)
