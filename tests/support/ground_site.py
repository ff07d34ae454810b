"""A utility with one electricity point, in a store: what commands and API are asked about."""

from __future__ import annotations

from ground_parts import ALWAYS, BUDAPEST, at, day, put

from collector.grid import edges
from collector.master.channels import Aggregate, Cadence, Channel, Computed, Term
from collector.master.dated import Act
from collector.master.points import Medium, Point, Scheme
from collector.quality import Quality, State
from collector.store.sqlite import SqliteStore
from collector.store.stands import Character, Stand
from protocols.reading import Scaled

POINT = "PL/cellar-7"  # a utility may use / within its ids
WATT_HOUR = 3_600  # J
FIRST, END = "2026-03-27", "2026-04-01"


def enter(store: SqliteStore) -> None:
    """Five days of import and export around a change day, their difference, and two stands; one quarter is missing.

    Of the channel power there is nothing yet.
    """
    point = Point(POINT, Scheme.FREE, Medium.ELECTRICITY, BUDAPEST, ALWAYS)
    read = [
        Channel(POINT, name, "energy", name, Cadence.QUARTER, Aggregate.SUM, ALWAYS) for name in ("=A+", "1-0:2.8.0")
    ]
    terms = (Term(1, POINT, "=A+"), Term(-1, POINT, "1-0:2.8.0"))
    net = Computed(POINT, "net", "energy", Cadence.QUARTER, Aggregate.SUM, terms, ALWAYS)
    idle = Channel(POINT, "power", "power", "1-0:1.7.0", Cadence.HOUR, Aggregate.MAXIMUM, ALWAYS)
    with store.transaction(), store.master.acting(Act("operator", 1)) as change:
        change.enter(point, *read, net, idle)
    days = range(day(FIRST), day(END))
    for mine, amount in zip(read, (250, 50), strict=True):
        pages: dict[int, list[int | None]] = {
            each: [amount * WATT_HOUR] * (len(edges(BUDAPEST, Cadence.QUARTER, each)) - 1) for each in days
        }
        put(store, BUDAPEST, mine, pages, at(BUDAPEST, END))
    gap: list[int | None] = [None, *[250 * WATT_HOUR] * 95]
    put(store, BUDAPEST, read[0], {day(FIRST): gap}, at(BUDAPEST, END) + 60_000)
    with store.transaction():
        for value, used, when in ((1_000, None, "2026-03-27"), (1_117, 117_000 * WATT_HOUR, "2026-04-01")):
            stand = Stand(
                *(POINT, "1-0:1.8.0", at(BUDAPEST, when), Character.NORMAL, day(when), "4711"),
                *(Scaled(value * 10, -1), "kWh", "energy", None if used is None else Scaled(used)),
                *(Quality(State.VALID, True), "=operator"),
            )
            store.stands.put(stand, Act("operator", at(BUDAPEST, when)))
