"""Points, channels and days of series as the tests of the collector's ground draw them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from collector.grid import day_number, day_start, edges
from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.dated import Act, Span
from collector.master.points import Medium, Point, Scheme
from collector.quality import MISSING, RAW, Quality, runs_of
from collector.query.book import Listed
from collector.store.curves import Curve
from collector.store.sqlite import SqliteStore

ALWAYS = Span(0)
BUDAPEST = "Europe/Budapest"
LATER_MS = 4_000_000_000_000  # after all that is asked for
ZONES = (
    "Europe/Budapest",
    "Australia/Lord_Howe",
    "Africa/Lagos",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "America/Nuuk",
)
KIND = {
    "sum": ("energy", Aggregate.SUM),
    "last": ("energy", Aggregate.LAST),
    "mean": ("temperature", Aggregate.MEAN),
    "maximum": ("power", Aggregate.MAXIMUM),
    "weighted": ("temperature", Aggregate.WEIGHTED),
    "volume": ("volume", Aggregate.SUM),
}


def at(zone: str, text: str) -> int:
    """When a local day begins."""
    return day_start(zone, day(text))


def day(text: str) -> int:
    """The number of a date."""
    return day_number(datetime.date.fromisoformat(text))


def channel(name: str, cadence: Cadence = Cadence.QUARTER, point: str = "P1", span: Span = ALWAYS) -> Channel:
    """A channel of the kind that its name says."""
    quantity, rule = KIND[name]
    return Channel(point, name, quantity, name, cadence, rule, span, "volume" if name == "weighted" else None)


def book(zone: str, *channels: Channel, point: str = "P1") -> Listed:
    """A point in a zone with these channels."""
    return Listed((Point(point, Scheme.FREE, Medium.HEAT, zone, ALWAYS),), channels)


def put(
    store: SqliteStore,
    zone: str,
    mine: Channel,
    pages: Mapping[int, Sequence[int | None]],
    known_ms: int = 1,
    quality: Quality = RAW,
    exponent: int = 0,
) -> None:
    """Store pages of a channel."""
    with store.transaction():
        for number, values in pages.items():
            marks = edges(zone, mine.cadence, number)
            assert len(values) == len(marks) - 1
            runs = runs_of(MISSING if each is None else quality for each in values)
            place = (mine.point, mine.name, mine.cadence, number, marks[0], exponent)
            store.curves.put(Curve(*place, tuple(values), runs), Act("test", known_ms))
