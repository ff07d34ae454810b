"""What the collector takes in, beside the bare database: the same rows into the same table, in as many commits.

On SQLite one worker, as there is one writer; on PostgreSQL two workers beside two bare clients, each a process of its
own, whose batches come from a gateway of its own.
"""

from __future__ import annotations

import itertools
import multiprocessing
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
from database import postgresql
from figures import ROUNDS, Figure
from sealing import KEY, START_MS, curve_of, cycle_at, seal_at

from collector.ingest import Ingest
from collector.place import Place, Server
from collector.receive import GROUP
from collector.store.opening import open_store
from collector.store.readings import Arrival, arrivals
from collector.store.readings import Place as LeafPlace
from collector.verify import Checker, Message
from protocols.reading import Reading
from protocols.uplink import batch as batches
from protocols.uplink import envelope, topics
from protocols.uplink.keys import BoxKey, SigningKey

METERS = 50  # on the bus of a cycle
WORKERS = 2  # on PostgreSQL
COLUMNS = ", ".join(Arrival._fields)
INSERT = f"INSERT INTO reading ({COLUMNS}) VALUES ({', '.join('?' * len(Arrival._fields))})"  # noqa: S608 - constants
COPY = f"COPY reading ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
_OTHER = {"moment": "text", "gateway": "text"} | dict.fromkeys(
    ("meter", "epoch", "batch", "content", "sealed"), "bytea"
)
TYPES = [_OTHER.get(name, "int8") for name in Arrival._fields]
Run = Callable[[], object]
Work = Callable[[Place, "Load", Run], None]


@dataclass(frozen=True)
class Load:
    """What one worker takes in: a gateway's sealed packets, and the rows that they come to."""

    gateway: str
    packets: Sequence[bytes]
    rows: Sequence[Sequence[Arrival]]


class Site:
    """The collector's keys, and a load for each worker."""

    def __init__(self, content: Sequence[list[Reading]], workers: int = 1) -> None:
        self.box, self.ack = BoxKey.generate(), SigningKey.generate()
        self.readings = workers * sum(map(len, content))
        self.loads = [self._load(f"bench-{number}", content) for number in range(workers)]

    def make(self, place: Place) -> None:
        """A store that knows the gateways."""
        with closing(open_store(place)) as store, store.transaction():
            for load in self.loads:
                store.gateways.add(load.gateway, self.box.public, KEY.public, START_MS)
                store.gateways.approve(load.gateway, bytes(32), START_MS)

    def take(self, place: Place, load: Load, begin: Run) -> None:
        """Receive, verify, store and commit a load."""
        with closing(open_store(place)) as store:
            checker = Checker("bench", {self.box.public.id: self.box}, self.ack.public, store.gateways.register())
            ingest, topic = Ingest(store, 100), topics.parse(topics.up(load.gateway, "batch"))
            begin()
            for at in range(0, len(load.packets), GROUP):
                packets = load.packets[at : at + GROUP]
                done = ingest.commit([checker.check(Message(topic, each, START_MS)) for each in packets], START_MS)
                assert (done.stored, done.undecoded) == (len(packets), 0)

    def _load(self, gateway: str, content: Sequence[list[Reading]]) -> Load:
        packets, rows, before = [], [], None
        for number, readings in enumerate(content, 1):
            # Each gateway has meters of its own.
            mine = [replace(each, meter=replace(each.meter, plate=gateway)) for each in readings]
            batch = seal_at(mine, number, before, gateway)
            before = batch.id
            packets.append(envelope.close(batch.content, "batch", gateway, self.box.public))
            expanded = batches.expand(batch.header, batches.verify(batch, KEY.public))
            rows.append(arrivals(LeafPlace(gateway, batch.header.epoch, number, batch.id, 0), expanded))
        return Load(gateway, packets, rows)


def figures() -> Iterator[Figure]:
    """Readings a second: received, verified, stored as evidence and rows, committed with fsync."""
    curves = [curve_of(number) for number in range(4 * GROUP)]
    cycles = [list(cycle_at(number, METERS)) for number in range(2 * GROUP)]
    shapes = (("", curves, True), ("_mbus_cycle", cycles, False))
    with tempfile.TemporaryDirectory(prefix="plomba-bench-") as folder:
        files = (Path(folder) / str(number) for number in itertools.count())
        for name, content, promised in shapes:
            site = Site(content)
            yield from _figures(f"sqlite{name}", site, files, _bare_inserts, 40_000 if promised else None)
    with postgresql() as server:
        databases = map(Server, iter(server.database, None))
        for name, content, promised in shapes:
            site = Site(content, WORKERS)
            yield from _figures(f"postgresql{name}", site, databases, _bare_copy, 100_000 if promised else None)


def _figures(name: str, site: Site, places: Iterator[Place], bare: Work, least: int | None) -> Iterator[Figure]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, kept in zip((site.take, bare), times, strict=True):
            kept.append(_side_by_side(site, next(places), work))
    mine, other = map(statistics.median, times)
    beside = f"bare inserts of the same rows into the same table by {len(site.loads)}, same commits"
    yield Figure(f"ingest_{name}_readings_per_s", site.readings / mine, "1/s", beside, other / mine, least)


def _bare_inserts(place: Place, load: Load, begin: Run) -> None:
    with closing(sqlite3.connect(str(place), isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = FULL")
        begin()
        for at in range(0, len(load.rows), GROUP):
            database.execute("BEGIN")
            database.executemany(INSERT, chain.from_iterable(load.rows[at : at + GROUP]))
            database.execute("COMMIT")


def _side_by_side(site: Site, place: Place, work: Work) -> float:
    """Seconds until all loads are in, each by a process of its own; what each needs to begin is there by then."""
    site.make(place)
    context: Any = multiprocessing.get_context("fork")  # what they take in is there already
    gate = context.Barrier(len(site.loads) + 1)
    running = [context.Process(target=work, args=(place, load, gate.wait)) for load in site.loads]
    for each in running:
        each.start()
    gate.wait()
    began = time.perf_counter()
    for each in running:
        each.join()
        assert each.exitcode == 0
    return time.perf_counter() - began


def _bare_copy(place: Place, load: Load, begin: Run) -> None:
    assert isinstance(place, Server)
    with psycopg.connect(place.address) as database:
        begin()
        for at in range(0, len(load.rows), GROUP):
            with database.cursor() as cursor, cursor.copy(COPY) as copying:
                copying.set_types(TYPES)
                for row in chain.from_iterable(load.rows[at : at + GROUP]):
                    copying.write_row(row)
            database.commit()
