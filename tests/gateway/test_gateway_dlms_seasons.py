"""The days on which clocks change, from the meter to the collector's store: 92 and 100 quarters, each once."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from chain import Bench
from dlms_street import QUARTER_MS, Street, of

from collector.store.sqlite import SqliteStore
from protocols.dlms import clock as clocks
from protocols.reading import METER_EPOCH, How, MeterTime
from protocols.uplink.leaf import SealedReading, leaf_from_bytes
from simulators.dlms.plates import Plate

HERE = ZoneInfo("Europe/Budapest")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SPRING, AUTUMN = datetime.date(2027, 3, 28), datetime.date(2026, 10, 25)
HABITS = {
    "with deviation": "",
    "newest row first": "lifo",
    "sought by local time": "local-search",
    "without deviation": "no-deviation",
    "without deviation or status": "bare-clock",
    "without deviation or status, in small pieces": "bare-clock,rows=3",
    "without deviation or status, in the smallest pieces": "bare-clock,rows=2",
    "standard time all year": "standard-time",
    "ranges without offset alone": "local-range,local-search",
    "offset with the other sign": "reversed",
}
KEYS = {"local-range,local-search": {"range_ends": "local"}, "reversed": {"offset_sign": "reversed"}}
CADENCES = {"each quarter": QUARTER_MS, "often": 2 * QUARTER_MS, "seldom": 4 * HOUR_MS + 1_207_000}
Place = tuple[MeterTime, int]  # a row's time, and its number among those with the same


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A collector over an empty store."""
    store = SqliteStore.open(tmp_path / "collector.sqlite3")
    yield Bench(store)
    store.close()


def midnight_ms(day: datetime.date) -> int:
    return int(datetime.datetime(day.year, day.month, day.day, tzinfo=HERE).timestamp()) * 1000


def instant_ms(time: MeterTime, part: int, habits: str) -> int:
    """When a row was captured; without an offset what the meter's place knows of it: its zone, and the summer flag.

    Without that flag, too, it is the row's number among those with the same time.
    """
    utc_ms = clocks.utc_ms(time)
    if utc_ms is not None:
        return utc_ms
    shown = METER_EPOCH + datetime.timedelta(seconds=time.seconds)
    first = shown.replace(tzinfo=HERE)
    if habits.startswith("bare-clock"):
        return int(first.replace(fold=part).timestamp()) * 1000
    found = next(each for each in (first, first.replace(fold=1)) if bool(each.dst()) == time.summer)
    return int(found.timestamp()) * 1000


async def lived(
    street: Street, bench: Bench, day: datetime.date, every_ms: int, restarts: bool, **given: object
) -> list[Place]:
    """The rows of that day in the collector's store, in its order, read at visits of this cadence."""
    handed: list[Place] = []
    device = street.device(history_days=1, **given)
    await street.start()
    reader = street.reader(device)
    while street.time.wall_ms < midnight_ms(day + datetime.timedelta(days=1)) + every_ms:
        found = of(await street.visit(reader, device), How.PROFILE)
        if found:
            bench.take(bench.chain.seal(found))
            handed += [(each.meter_time, each.part) for each in found if each.meter_time is not None]
        street.time.pass_ms(every_ms)
        reader = street.reader(device) if restarts else reader
    await street.stop()
    stored = [SealedReading.from_wire(leaf_from_bytes(row.sealed)) for row in bench.store.readings.all()]
    assert not bench.store.readings.in_conflict()
    assert restarts or len(set(handed)) == len(handed), "handed on twice"
    return [(each.meter_time, each.part) for each in stored if each.meter_time is not None]


@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "a new one each visit"])
@pytest.mark.parametrize("every_ms", CADENCES.values(), ids=CADENCES)
@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS)
@pytest.mark.parametrize(("day", "quarters"), [(SPRING, 92), (AUTUMN, 100)], ids=["spring", "autumn"])
async def test_all_quarters_arrive_in_order_with_their_instants(
    tmp_path: Path, bench: Bench, day: datetime.date, quarters: int, habits: str, every_ms: int, restarts: bool
) -> None:
    """However often it is read: seldom means in the first of two hours that look the same, then after both."""
    street = Street(tmp_path, habits, history_rows=8, now_ms=midnight_ms(day) - 2 * HOUR_MS)
    given = KEYS.get(habits, {})
    found = [instant_ms(*each, habits) for each in await lived(street, bench, day, every_ms, restarts, **given)]
    first, last = midnight_ms(day), midnight_ms(day + datetime.timedelta(days=1))
    wanted = list(range(first, last, QUARTER_MS))
    assert len(wanted) == quarters
    assert [each for each in found if first <= each < last] == wanted


@pytest.mark.parametrize(
    "habits",
    ["nulls", "lifo,nulls", "no-deviation,nulls", "local-search,nulls", "nulls,rows=3", "no-deviation,nulls,rows=3"],
)
async def test_a_restart_in_the_night_of_two_hours_puts_no_row_in_conflict(
    tmp_path: Path, bench: Bench, habits: str
) -> None:
    """What is null in a row depends on which row stands above it in an answer: no row is sealed in two ways."""
    street = Street(tmp_path, habits, history_rows=8, now_ms=midnight_ms(AUTUMN) - 2 * HOUR_MS)
    found = await lived(street, bench, AUTUMN, QUARTER_MS, restarts=True, compressed=True)
    assert sorted(str(time) for time, _ in found) == sorted(each.time or "" for each in street.recorded("row"))


@pytest.mark.parametrize(
    ("place", "offset_min"),
    [
        ("Pacific/Auckland", 780),
        ("Pacific/Chatham", 825),
        ("Pacific/Kiritimati", 840),
        ("Pacific/Pago_Pago", -660),
        ("Etc/GMT+12", -720),
    ],
)
async def test_meters_all_around_the_earth_are_read_with_their_instants(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, place: str, offset_min: int
) -> None:
    """More than twelve hours ahead of UTC, too, in summer: sealed, stored, and the right quarter."""

    def moved(plate: Plate, _: str) -> Plate:
        return replace(plate, zone=ZoneInfo(place))

    monkeypatch.setattr("dlms_street.changed", moved)
    day = datetime.date(2026, 12, 1)
    street = Street(tmp_path, history_rows=8, now_ms=midnight_ms(day) - 2 * HOUR_MS)
    found = await lived(street, bench, day, 4 * HOUR_MS, restarts=False)
    assert {time.deviation_min for time, _ in found} == {offset_min}
    assert [clocks.utc_ms(time) for time, _ in found] == [each.at_ms for each in street.recorded("row")][: len(found)]
    assert len(found) > 96


@pytest.mark.parametrize("habits", ["bare-clock", "bare-clock,rows=30", "bare-clock,rows=3", "local-search"])
@pytest.mark.parametrize("quarter", range(0, 9, 2))
async def test_no_range_ends_within_the_hour_that_comes_twice(tmp_path: Path, habits: str, quarter: int) -> None:
    """Rows that waited for days are read a day at a time, wherever the end of one lies: in the order of capture."""
    now_ms = midnight_ms(AUTUMN) + 2 * DAY_MS + quarter * QUARTER_MS
    street = Street(tmp_path, habits, history_rows=5 * 96, now_ms=now_ms)
    await street.start()
    device = street.device(history_days=3)
    found = of(await street.visit(street.reader(device), device), How.PROFILE)
    await street.stop()
    shown = [str(each.meter_time) for each in found]
    assert shown == [each.time for each in street.recorded("row")][-len(shown) :]
    assert len(shown) > 3 * 96


@pytest.mark.parametrize("habits", ["bare-clock,rows=2", "bare-clock,rows=3", "bare-clock,rows=4"])
@pytest.mark.parametrize("quarter", range(1, 9))
async def test_the_hour_that_comes_twice_is_read_while_it_goes_on(tmp_path: Path, habits: str, quarter: int) -> None:
    """Whenever it is read in small pieces: what its clock does not show yet again was captured before."""
    now_ms = midnight_ms(AUTUMN) + 2 * HOUR_MS + quarter * QUARTER_MS + 300_000
    street = Street(tmp_path, habits, history_rows=30, now_ms=now_ms)
    await street.start()
    device = street.device(history_days=1)
    found = of(await street.visit(street.reader(device), device), How.PROFILE)
    await street.stop()
    assert [str(each.meter_time) for each in found] == [each.time for each in street.recorded("row")]
