"""Series and stands in the store: exact, versioned, as known at an instant, and never a zero for what is missing."""

from __future__ import annotations

import datetime
import random
from dataclasses import replace

import pytest

from collector.faults import CurveAlteredError
from collector.grid import day_number, edges
from collector.master.channels import Cadence
from collector.master.dated import Act
from collector.quality import MISSING, RAW, Quality, State, runs_of
from collector.store.curves import Curve, Origin
from collector.store.packing import MOST, pack, unpack
from collector.store.sqlite import SqliteStore
from collector.store.stands import Character, Stand, scaled_from
from protocols.reading import Scaled

ZONE = "Europe/Budapest"
DAY = 20_541  # 2026-03-29: clocks go forward
ORIGIN = Origin("HU-4711", "1-0:1.8.0", 1, "meter 828057600 1", "meter 828140400 1")


def curve(values: list[int | None], day: int = DAY) -> Curve:
    """Quarter hours of a day, raw where there is a value."""
    runs = runs_of(RAW if each is not None else MISSING for each in values)
    start = edges(ZONE, Cadence.QUARTER, day)[0]
    return Curve("P1", "A+", Cadence.QUARTER, day, start, 0, tuple(values), runs, (ORIGIN,))


def by(at_ms: int, why: str = "") -> Act:
    """An act of the attribution at an instant."""
    return Act("attribution", at_ms, why)


def test_packing_gives_back_every_number_of_any_size() -> None:
    """2,000 pages by a fixed seed: short, long, small, of 200 bits, with common factors, rising and random."""
    drawn = random.Random(8)
    for _ in range(2_000):
        bits, factor = drawn.choice([0, 1, 7, 8, 9, 16, 31, 32, 63, 64, 65, 200]), drawn.choice([1, 3_600, -10])
        numbers = [factor * (drawn.getrandbits(bits + 1) - (1 << bits)) for _ in range(drawn.randrange(101))]
        if drawn.random() < 0.5:
            numbers.sort()
        assert unpack(pack(numbers)) == numbers


def test_packing_refuses_too_many_numbers() -> None:
    """A page has a limit, at writing and at reading."""
    with pytest.raises(ValueError, match="at most 4096"):
        pack([0] * (MOST + 1))


def test_a_day_of_quarter_hours_takes_at_most_two_octets_a_value() -> None:
    """Of a household's meter that shows watt-hours, kept in joules."""
    drawn = random.Random(1)
    days = [[3_600 * drawn.randrange(20, 400) for _ in range(96)] for _ in range(100)]
    assert sum(len(pack(day)) for day in days) <= 2 * 96 * 100


def test_damaged_bytes_raise_an_error_with_a_code(store: SqliteStore) -> None:
    """Every octet of a page changed, one at a time: another number, or an error that names the page; nothing else."""
    with store.transaction():
        store.curves.put(curve([*range(90), None, 7]), by(1))
    page = store.curves.pages("P1", "A+", Cadence.QUARTER, DAY, DAY)[0]
    told = set()
    for at in range(len(page.packed)):
        wrong = bytearray(page.packed)
        wrong[at] ^= 0x55
        damaged = page._replace(packed=bytes(wrong))
        try:
            assert len(damaged.values()) == 92
        except CurveAlteredError as error:
            told.add(error.where)
    assert told == {f"P1, channel A+, page {DAY}, version 1"}


def test_a_page_comes_back_as_it_was_put(store: SqliteStore) -> None:
    """Values, what is missing, qualities with method and reason, origin and who put it."""
    values: list[int | None] = [3_600 * each for each in range(92)]
    values[7] = None
    qualities = [RAW] * 92
    qualities[7] = replace(MISSING, reason="silent")
    qualities[8] = Quality(State.ESTIMATED, True, "E1", "silent")
    put = replace(curve(values), runs=runs_of(qualities))
    with store.transaction():
        assert store.curves.put(put, by(5, "first"))
    (page,) = store.curves.pages("P1", "A+", Cadence.QUARTER, DAY - 3, DAY + 3)
    assert page.curve() == put
    assert page.values() == values
    assert (page.act, page.version, page.newest) == (by(5, "first"), 1, True)
    assert (page.digest().present, page.digest().estimated, page.digest().state) == (91, 1, State.MISSING)


def test_a_correction_is_a_new_version_and_what_was_known_stays(store: SqliteStore) -> None:
    """Asked as known at an instant there is the newest version of those known by then, before the first one none."""
    with store.transaction():
        for version in (1, 2, 3):
            assert store.curves.put(curve([version] * 92), by(version * 100))
        assert not store.curves.put(curve([3] * 92), by(900))

    def known(at_ms: int | None) -> list[int]:
        return [page.version for page in store.curves.pages("P1", "A+", Cadence.QUARTER, DAY, DAY, at_ms)]

    assert [known(at) for at in (99, 100, 199, 200, 299, 300, None)] == [[], [1], [1], [2], [2], [3], [3]]
    assert [page.values()[0] for page in store.curves.versions("P1", "A+", Cadence.QUARTER, DAY)] == [1, 2, 3]


def test_the_newest_page_is_the_last_one_that_has_a_value(store: SqliteStore) -> None:
    """A day that is all missing is passed over; as known at an instant, what came later too."""
    with store.transaction():
        store.curves.put(curve([1] * 92), by(100))
        store.curves.put(curve([2] * 96, DAY + 1), by(200))
        store.curves.put(curve([None] * 96, DAY + 2), by(300))

    def newest(at_ms: int | None = None) -> int | None:
        page = store.curves.newest("P1", "A+", Cadence.QUARTER, at_ms)
        return None if page is None else page.day - DAY

    assert [newest(), newest(199), newest(99)] == [1, 0, None]
    assert store.curves.channels("P1") == [("A+", Cadence.QUARTER)]


def test_a_missing_value_is_never_a_number() -> None:
    """A page whose values and states disagree is refused at the door."""
    good = curve([1] * 92)
    with pytest.raises(ValueError, match="state missing"):
        replace(good, values=(None, *good.values[1:]))
    with pytest.raises(ValueError, match="state missing"):
        replace(good, runs=runs_of([MISSING] * 92))


def test_stands_are_versioned_and_two_may_be_at_one_instant(store: SqliteStore) -> None:
    """At an exchange both meters have one; a correction leaves what was known then."""
    removed = Stand(
        *("P1", "1-0:1.8.0", 1_000, Character.REMOVED, DAY, "M1", Scaled(12_345, -1), "kWh", "energy"),
        *(Scaled(36, 8), Quality(State.VALID, True), "operator"),
    )
    first = replace(removed, character=Character.INSTALLED, meter="M2", value=Scaled(2, 3), consumption=None)
    with store.transaction():
        assert store.stands.put(removed, by(10))
        assert store.stands.put(first, by(10))
        assert not store.stands.put(first, by(20))
        assert store.stands.put(replace(removed, value=Scaled(12_346, -1)), by(30, "misread"))

    def values(known_ms: int | None) -> list[str]:
        return [str(each.stand.value) for each in store.stands.of("P1", 0, 2_000, known_ms)]

    assert values(None) == ["2000", "1234.6"]
    assert values(29) == ["2000", "1234.5"]
    assert values(9) == []
    assert [each.act.why for each in store.stands.versions(removed)] == ["", "misread"]
    before = store.stands.before("P1", "1-0:1.8.0", 2_000)
    assert before is not None
    assert before.stand.value == scaled_from("1234.6")
    assert store.stands.before("P1", "1-0:1.8.0", 1_000) is None


def test_day_numbers_are_those_of_the_calendar() -> None:
    """The day on which the tests' clocks go forward has 92 quarters."""
    assert day_number(datetime.date(2026, 3, 29)) == DAY
    assert len(edges(ZONE, Cadence.QUARTER, DAY)) == 93
