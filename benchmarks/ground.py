"""What is asked of the collector's series where 10 million values are stored, beside the bare rows of the database."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from database import postgresql
from figures import Figure, in_turns

from collector.grid import By, day_start, edges
from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.dated import Act, Span
from collector.master.points import Medium, Point, Scheme
from collector.place import Server
from collector.quality import RAW, Run
from collector.query.ask import Question, ask
from collector.query.book import Listed
from collector.store.curves import Curve, Origin
from collector.store.postgresql import PostgresqlStore
from collector.store.sqlite import SqliteStore

AnyStore = SqliteStore | PostgresqlStore

ZONE, CHANNEL = "Europe/Budapest", "1-0:1.8.0"
POINTS, FIRST, DAYS = 95, 19_358, 1_096  # from 2023-01-01: three years; 95 x 1,096 x 96 are 10 million values
MONTHS_13 = (19_723, 20_119)  # 2024-01-01 to 2025-02-01
SHAPES = 64  # days that differ; how they are packed is what counts here, not that each is another one
LATER_MS = 4_000_000_000_000
SERIES_MS, MONTHS_MS, PACKED = 20, 10, 3  # what is promised: the last one, octets a value


def figures() -> Iterator[Figure]:
    """Milliseconds until 13 months of quarter hours, and 3 years of months, are there; on both stores."""
    with tempfile.TemporaryDirectory(prefix="plomba-bench-") as folder:
        path = Path(folder) / "ground"
        with closing(SqliteStore.open(path)) as file, closing(sqlite3.connect(path)) as bare:
            _fill(file)
            # All is in memory, and the machine does other things beside: the processor's time.
            yield from _asked(file, _bare(bare, "?"), "", time.process_time)
            values = POINTS * DAYS * 96
            packed = bare.execute("SELECT sum(length(packed) + length(quality)) FROM curve").fetchone()[0] / values
            yield Figure("series_packed_bytes_per_value", packed, "B", "8 octets", packed / 8, most=PACKED)
            pages = bare.execute("PRAGMA page_count").fetchone()[0] * bare.execute("PRAGMA page_size").fetchone()[0]
            yield Figure("series_file_bytes_per_value", pages / values, "B", "8 octets", pages / values / 8)
    with postgresql() as server:
        place = server.database()
        with closing(PostgresqlStore.open(Server(place))) as database, psycopg.connect(place) as beside:
            _fill(database)
            # The server's work is no time of this process.
            yield from _asked(database, _bare(beside, "%s"), "_postgresql", time.perf_counter)


def _asked(
    store: AnyStore, rows: Callable[[int, int], object], name: str, clock: Callable[[], float]
) -> Iterator[Figure]:
    first, end = MONTHS_13

    def pages() -> None:
        found = store.curves.pages(_point(47), CHANNEL, Cadence.QUARTER, first, end - 1)
        assert sum(len(page.values()) for page in found) == (end - first) * 96  # both change days are in it

    mine, other = in_turns(pages, lambda: rows(first, end), clock)
    yield Figure(f"series_13_months{name}_ms", mine * 1e3, "ms", "the bare rows", mine / other, most=SERIES_MS)
    quarters = _question(first, end, By.QUARTER)
    mine, other = in_turns(lambda: _ask(store, quarters), lambda: rows(first, end), clock)
    yield Figure(f"series_13_months_answer{name}_ms", mine * 1e3, "ms", "the bare rows", mine / other)
    months = _question(FIRST, FIRST + DAYS, By.MONTH)
    mine, other = in_turns(lambda: _ask(store, months), lambda: rows(FIRST, FIRST + DAYS), clock)
    yield Figure(f"series_3_years_of_months{name}_ms", mine * 1e3, "ms", "the bare rows", mine / other, most=MONTHS_MS)


def _fill(store: AnyStore) -> None:
    """Days of a household whose meter shows watt-hours."""
    drawn = random.Random(1)
    shapes = [[3_600 * drawn.randrange(20, 400) for _ in range(100)] for _ in range(SHAPES)]
    for number in range(POINTS):
        with store.transaction():
            for day in range(FIRST, FIRST + DAYS):
                marks = edges(ZONE, Cadence.QUARTER, day)
                count = len(marks) - 1
                values = tuple(shapes[(day + number) % SHAPES][:count])
                origin = Origin("34567890", CHANNEL, 1, f"meter {marks[0]}", f"meter {marks[-1]}")
                place = (_point(number), CHANNEL, Cadence.QUARTER, day, marks[0], 0)
                curve = Curve(*place, values, (Run(count, RAW),), (origin,))
                store.curves.put(curve, Act("attribution", marks[-1]))


def _point(number: int) -> str:
    return f"HU000{number:028d}"


def _question(first: int, end: int, by: By) -> Question:
    unit = "kWh" if by is By.MONTH else None
    return Question(_point(47), CHANNEL, day_start(ZONE, first), day_start(ZONE, end), by, unit)


def _ask(store: AnyStore, question: Question) -> None:
    point = Point(question.point, Scheme.HU, Medium.ELECTRICITY, ZONE, Span(0))
    channel = Channel(question.point, CHANNEL, "energy", CHANNEL, Cadence.QUARTER, Aggregate.SUM, Span(0))
    answer = ask(store.curves, Listed((point,), (channel,)), question, LATER_MS)
    assert all(value is not None for value in answer.values)


def _bare(connection: Any, mark: str) -> Callable[[int, int], object]:
    """Asks the database itself for the rows of a channel."""
    question = (
        f"SELECT * FROM curve WHERE point = {mark} AND channel = {mark} AND past = 0 AND step_s = 900"  # noqa: S608
        f" AND day >= {mark} AND day < {mark}"
    )

    def rows(first: int, end: int) -> object:
        found = connection.execute(question, (_point(47), CHANNEL, first, end)).fetchall()
        assert len(found) == end - first
        return found

    return rows
