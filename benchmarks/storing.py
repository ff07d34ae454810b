"""What the collector takes in on SQLite, beside bare inserts of the same rows into the same table."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from figures import Figure, in_turns
from sealing import KEY, START_MS, curve_of, cycle_at, seal_at

from collector.ingest import Ingest
from collector.store.readings import Arrival, Place, arrivals
from collector.store.sqlite import SqliteStore
from collector.verify import Checker, Message
from protocols.reading import Reading
from protocols.uplink import batch as batches
from protocols.uplink import envelope, topics
from protocols.uplink.keys import BoxKey, SigningKey

BATCHES, GROUP = 60, 20
GATEWAY = "bench-gateway"
METERS = 50  # on the bus of a cycle
LEAST = 40_000  # readings a second: what is promised on two cores
COLUMNS = ", ".join(Arrival._fields)
INSERT = f"INSERT INTO reading ({COLUMNS}) VALUES ({', '.join('?' * len(Arrival._fields))})"  # noqa: S608 - constants
BESIDE = "bare inserts of the same rows into the same table, same commits"


def figures() -> Iterator[Figure]:
    """Readings a second: received, verified, stored as evidence and rows, committed with fsync."""
    speed, share = _speeds([curve_of(number) for number in range(BATCHES)])
    yield Figure("ingest_sqlite_readings_per_s", speed, "1/s", BESIDE, share, LEAST)
    yield Figure("ingest_sqlite_share_of_bare", share, "", BESIDE, share)
    speed, share = _speeds([list(cycle_at(number, METERS)) for number in range(BATCHES)])
    yield Figure("ingest_sqlite_mbus_cycle_readings_per_s", speed, "1/s", BESIDE, share, LEAST)


def _speeds(content: Sequence[list[Reading]]) -> tuple[float, float]:
    """Readings a second, and as a share of what the bare database takes."""
    box, ack = BoxKey.generate(), SigningKey.generate()
    packets, rows, before = [], [], None
    for number, readings in enumerate(content, 1):
        batch = seal_at(readings, number, before)
        before = batch.id
        packets.append(envelope.close(batch.content, "batch", GATEWAY, box.public))
        expanded = batches.expand(batch.header, batches.verify(batch, KEY.public))
        rows.append(arrivals(Place(GATEWAY, batch.header.epoch, number, batch.id, 0), expanded))
    topic = topics.parse(topics.up(GATEWAY, "batch"))
    with tempfile.TemporaryDirectory(prefix="plomba-bench-") as folder:
        stores = iter(range(1_000))

        def ours() -> None:
            store = SqliteStore.open(Path(folder) / f"ours-{next(stores)}")
            with store.transaction():
                store.gateways.add(GATEWAY, box.public, KEY.public, START_MS)
                store.gateways.approve(GATEWAY, bytes(32), START_MS)
            checker = Checker("bench", {box.public.id: box}, ack.public, store.gateways.register())
            ingest = Ingest(store, 100)
            for at in range(0, BATCHES, GROUP):
                group = [checker.check(Message(topic, packet, START_MS)) for packet in packets[at : at + GROUP]]
                assert ingest.commit(group, START_MS).undecoded == 0
            store.close()

        def bare() -> None:
            _bare(Path(folder) / f"bare-{next(stores)}", rows)

        mine, other = in_turns(ours, bare)
    return sum(map(len, content)) / mine, other / mine


def _bare(path: Path, rows: Sequence[Sequence[Arrival]]) -> None:
    SqliteStore.open(path).close()
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    for at in range(0, BATCHES, GROUP):
        database.execute("BEGIN")
        database.executemany(INSERT, chain.from_iterable(rows[at : at + GROUP]))
        database.execute("COMMIT")
    database.close()
