"""What is asked of the collector's series where 10 million values are stored, beside the bare rows of the database."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from figures import Figure
from figures import in_turns as measured

from collector.grid import By, day_start, edges
from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.dated import Act, Span
from collector.master.points import Medium, Point, Scheme
from collector.quality import RAW, Run
from collector.query.ask import Question, ask
from collector.query.book import Listed
from collector.store.curves import Curve, Origin
from collector.store.sqlite import SqliteStore

ZONE, CHANNEL = "Europe/Budapest", "1-0:1.8.0"
POINTS, FIRST, DAYS = 95, 19_358, 1_096  # from 2023-01-01: three years; 95 x 1,096 x 96 are 10 million values
MONTHS_13 = (19_723, 20_119)  # 2024-01-01 to 2025-02-01
SHAPES = 64  # days that differ; how they are packed is what counts here, not that each is another one
LATER_MS = 4_000_000_000_000
SERIES_MS, MONTHS_MS, PACKED = 20, 10, 3  # what is promised: the last one, octets a value


def figures() -> Iterator[Figure]:
    """Milliseconds until 13 months of quarter hours, and 3 years of months, are there."""
    with tempfile.TemporaryDirectory(prefix="plomba-bench-") as folder:
        path = Path(folder) / "ground"
        store = SqliteStore.open(path)
        _fill(store)
        bare = sqlite3.connect(path)
        first, end = MONTHS_13

        def pages() -> None:
            found = store.curves.pages(_point(47), CHANNEL, Cadence.QUARTER, first, end - 1)
            assert sum(len(page.values()) for page in found) == (end - first) * 96  # both change days are in it

        def rows() -> None:
            assert len(_rows(bare, first, end)) == end - first

        mine, other = in_turns(pages, rows)
        yield Figure("series_13_months_ms", mine * 1e3, "ms", "the bare rows", mine / other, most=SERIES_MS)
        quarters = _question(first, end, By.QUARTER)
        mine, other = in_turns(lambda: _ask(store, quarters), rows)
        yield Figure("series_13_months_answer_ms", mine * 1e3, "ms", "the bare rows", mine / other)
        months = _question(FIRST, FIRST + DAYS, By.MONTH)
        mine, other = in_turns(lambda: _ask(store, months), lambda: _rows(bare, FIRST, FIRST + DAYS))
        yield Figure("series_3_years_of_months_ms", mine * 1e3, "ms", "the bare rows", mine / other, most=MONTHS_MS)
        values = POINTS * DAYS * 96
        packed = bare.execute("SELECT sum(length(packed) + length(quality)) FROM curve").fetchone()[0] / values
        yield Figure("series_packed_bytes_per_value", packed, "B", "8 octets", packed / 8, most=PACKED)
        size = bare.execute("PRAGMA page_count").fetchone()[0] * bare.execute("PRAGMA page_size").fetchone()[0] / values
        yield Figure("series_file_bytes_per_value", size, "B", "8 octets", size / 8)
        bare.close()
        store.close()


def in_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Both in the processor's time: all is in memory, and the machine does other things beside."""
    return measured(ours, theirs, time.process_time)


def _fill(store: SqliteStore) -> None:
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


def _ask(store: SqliteStore, question: Question) -> None:
    point = Point(question.point, Scheme.HU, Medium.ELECTRICITY, ZONE, Span(0))
    channel = Channel(question.point, CHANNEL, "energy", CHANNEL, Cadence.QUARTER, Aggregate.SUM, Span(0))
    answer = ask(store.curves, Listed((point,), (channel,)), question, LATER_MS)
    assert all(value is not None for value in answer.values)


def _rows(bare: sqlite3.Connection, first: int, end: int) -> list[object]:
    question = (
        "SELECT * FROM curve WHERE point = ? AND channel = ? AND past = 0 AND step_s = 900 AND day >= ? AND day < ?"
    )
    return bare.execute(question, (_point(47), CHANNEL, first, end)).fetchall()
