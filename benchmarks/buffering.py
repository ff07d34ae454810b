"""What sealing into the buffer takes: 96 readings of six values a batch, beside bare inserts of the same bytes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from figures import ROUNDS, Figure
from sealing import KEY, START_MS
from sixes import Six, reading

from gateway.buffer import Buffer
from gateway.clock import GatewayClock, system_sources
from gateway.core import core_of_this_program
from gateway.seal import Seal, Sealer
from gateway.settled import Positions
from gateway.writer import ThreadWriter
from protocols.reading import Reading

METERS, BATCHES = 96, 60
CADENCE_MS = 900_000
MAX_BYTES, RESERVE_BYTES = 64 * 1024 * 1024, 256 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float


def figures() -> Iterator[Figure]:
    """Sealed, committed with fsync on the disk of the temporary folder; one commit a batch on both sides."""
    rounds = [[reading(Six(meter, number), START_MS) for meter in range(METERS)] for number in range(BATCHES)]
    with tempfile.TemporaryDirectory(prefix="plomba-bench-") as folder:
        sealed = _ours(Path(folder) / "first", rounds)
        mine, bare = [], []
        for number in range(ROUNDS):
            mine.append(_cost(lambda at=number: _ours(Path(folder) / f"ours-{at}", rounds)))
            bare.append(_cost(lambda at=number: _bare(Path(folder) / f"bare-{at}", sealed)))
    readings, size = METERS * BATCHES, sum(len(each) for each in sealed) / BATCHES
    wall, bare_wall = (statistics.median(each.wall_s for each in runs) for runs in (mine, bare))
    cpu, bare_cpu = (statistics.median(each.cpu_s for each in runs) for runs in (mine, bare))
    beside = f"bare inserts of the same {size:,.0f} bytes a batch, same commits"
    yield Figure("gateway_readings_per_s", readings / wall, "1/s", beside, bare_wall / wall)
    yield Figure("gateway_cpu_us_per_reading", cpu / readings * 1e6, "us", beside, cpu / bare_cpu)


def _ours(folder: Path, rounds: list[list[Reading]]) -> list[bytes]:
    """Each round as the sealer takes it from a bus; the bytes of each batch as the buffer keeps them."""
    folder.mkdir()
    buffer = Buffer(folder, MAX_BYTES, RESERVE_BYTES)
    chain = buffer.chain()
    devices = {f"meter-{meter}" for meter in range(METERS)}

    async def work() -> None:
        writer = ThreadWriter()
        seal = Seal("bench-gateway", KEY, core_of_this_program(), b"")
        clock = GatewayClock(system_sources(), 0, 0)
        sealer = Sealer(seal, clock, buffer, writer, chain, None, devices, Positions({}), os.urandom)
        for found in rounds:
            for each in found:
                sealer.take([each])
            await sealer.round_over()
            await sealer.flush()  # a slow disk is waited for here: one batch a round
        writer.close()

    asyncio.run(work())
    entries = list(chain.unstored())
    assert len(entries) == len(rounds)
    contents = [buffer.content(entry.id) for entry in entries]
    buffer.close()
    return [each.header + each.signature + each.body for each in contents if each is not None]


def _bare(path: Path, batches: list[bytes]) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE batch (id BLOB PRIMARY KEY, sealed BLOB)")
    for each in batches:
        database.execute("INSERT INTO batch VALUES (?, ?)", (hashlib.sha256(each).digest(), each))
    database.close()


def _cost(work: Callable[[], object]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)
