"""What the collector takes in on SQLite, beside bare inserts of as many rows of the same size."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from figures import Figure, in_turns
from sealing import KEY, START_MS, curve_of, seal_at

from collector.ingest import Ingest
from collector.store.sqlite import SqliteStore
from collector.verify import Checker, Message
from protocols.uplink import envelope, topics
from protocols.uplink.keys import BoxKey, SigningKey

BATCHES, GROUP, ROWS = 60, 20, 96
GATEWAY = "bench-gateway"


def figures() -> Iterator[Figure]:
    """Readings a second: received, verified, stored as evidence and rows, committed with fsync."""
    box, ack = BoxKey.generate(), SigningKey.generate()
    sealed, before = [], None
    for number in range(BATCHES):
        batch = seal_at(curve_of(number), number + 1, before)
        before = batch.id
        sealed.append(envelope.close(batch.content, "batch", GATEWAY, box.public))
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
                group = [checker.check(Message(topic, packet, START_MS)) for packet in sealed[at : at + GROUP]]
                ingest.commit(group, START_MS)
            store.close()

        def bare() -> None:
            _bare(Path(folder) / f"bare-{next(stores)}")

        mine, other = in_turns(ours, bare)
    readings = BATCHES * ROWS
    beside = "bare inserts of as many rows, same commits"
    yield Figure("ingest_sqlite_readings_per_s", readings / mine, "1/s", beside, other / mine)
    yield Figure("ingest_sqlite_share_of_bare", other / mine, "", beside, other / mine)


def _bare(path: Path) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE reading (meter BLOB, moment INTEGER, sealed BLOB, PRIMARY KEY (meter, moment))")
    for at in range(0, BATCHES, GROUP):
        database.execute("BEGIN")
        rows = [(b"m" * 40, (at + each) * ROWS + row, b"x" * 220) for each in range(GROUP) for row in range(ROWS)]
        database.executemany("INSERT INTO reading VALUES (?, ?, ?)", rows)
        database.execute("COMMIT")
    database.close()
