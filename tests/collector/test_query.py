"""Series by periods: exact sums over change days, counts of what is missing, as known at an instant, one rounding."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from ground_parts import ALWAYS, BUDAPEST, LATER_MS, ZONES, at, book, channel, day, put
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.faults import CurveAlteredError, NoSeriesError, QuestionError, UnitError
from collector.grid import By, edges
from collector.master.channels import Aggregate, Cadence, Computed, Term
from collector.master.dated import Act, Span
from collector.quality import MISSING, RAW, Quality, State, runs_of
from collector.query.ask import Answer, Question, ask
from collector.query.book import Listed
from collector.query.latest import latest
from collector.query.times import instant_of
from collector.shown import utc
from collector.store.curves import Curve
from collector.store.sqlite import SqliteStore
from protocols.reading import Scaled


def drawn(zone: str, first: int, end: int, seed: int, gaps: bool = True) -> dict[int, list[int | None]]:
    """Quarters of days by a seed, some missing."""
    chance = random.Random(seed)
    return {
        number: [
            None if gaps and chance.random() < 0.02 else chance.randrange(4_000) * 3_600
            for _ in edges(zone, Cadence.QUARTER, number)[1:]
        ]
        for number in range(first, end)
    }


def asked(store: SqliteStore, zone: str, name: str, span: tuple[str, str], by: By, **more: object) -> Answer:
    """A channel of point P1 between two local days."""
    question = Question("P1", name, at(zone, span[0]), at(zone, span[1]), by)
    listed = book(zone, *(channel(each) for each in ("sum", "last", "mean", "maximum", "weighted", "volume")))
    return ask(store.curves, listed, replace(question, **more), LATER_MS)  # type: ignore[arg-type]


@pytest.mark.parametrize("zone", ZONES)
def test_hours_and_quarters_sum_to_days_and_these_to_all_longer_periods(store: SqliteStore, zone: str) -> None:
    """Over a year of each zone, both change days among them: sums and counts are the same however they are cut."""
    first, end = day("2017-01-01"), day("2018-01-01")
    pages = drawn(zone, first, end, 1)
    put(store, zone, channel("sum"), pages)
    span = ("2017-01-01", "2018-01-01")
    quarters = list(asked(store, zone, "sum", span, By.QUARTER))
    flat = [value for number in range(first, end) for value in pages[number]]
    assert [None if each.value is None else each.value.mantissa for each in quarters] == flat
    total, missing = sum(each for each in flat if each is not None), flat.count(None)
    for by in By:
        found = list(asked(store, zone, "sum", span, by))
        assert sum(each.value.mantissa for each in found if each.value is not None) == total
        assert (sum(each.missing for each in found), sum(each.expected for each in found)) == (missing, len(flat))
        assert (found[0].start_ms, found[-1].end_ms) == (quarters[0].start_ms, quarters[-1].end_ms)
        assert all(before.end_ms == after.start_ms for before, after in pairwise(found))
    for each, number in zip(asked(store, zone, "sum", span, By.DAY), range(first, end), strict=True):
        assert each.value == Scaled(sum(value for value in pages[number] if value is not None))
        assert each.expected == len(pages[number])


def test_change_days_have_23_and_25_hours(store: SqliteStore) -> None:
    """And their hours are made of four quarters each."""
    put(store, BUDAPEST, channel("sum"), {day("2026-03-29"): [1] * 92, day("2026-10-25"): [1] * 100})
    spring = asked(store, BUDAPEST, "sum", ("2026-03-29", "2026-03-30"), By.HOUR)
    autumn = asked(store, BUDAPEST, "sum", ("2026-10-25", "2026-10-26"), By.HOUR)
    assert [len(spring.values), len(autumn.values)] == [23, 25]
    assert set(spring.values) == set(autumn.values) == {4}
    assert {end - start for start, end in zip(autumn.columns.starts, autumn.columns.ends, strict=True)} == {3_600_000}


def test_each_rule_makes_its_value_of_a_day(store: SqliteStore) -> None:
    """Sum, last, mean by time, maximum with its time, mean by volume; from the digest and from the cut page alike."""
    number = day("2026-05-05")
    values: list[int | None] = [*range(1, 96), None]
    for name in ("sum", "last", "mean", "maximum", "weighted"):
        put(store, BUDAPEST, channel(name), {number: values})
    put(store, BUDAPEST, channel("volume"), {number: [0] * 94 + [3, 5]})
    span = ("2026-05-05", "2026-05-06")

    def value(name: str) -> Fraction:
        (period,) = asked(store, BUDAPEST, name, span, By.DAY)
        assert period.value is not None
        assert (period.expected, period.present, period.state) == (96, 95, State.MISSING)
        return period.value.mantissa * Fraction(10) ** period.value.exponent

    assert [value(name) for name in ("sum", "last", "mean", "maximum", "weighted")] == [4_560, 95, 48, 95, 95]
    (top,) = asked(store, BUDAPEST, "maximum", span, By.DAY)
    assert top.top_ms == edges(BUDAPEST, Cadence.QUARTER, number)[94]
    whole = Question("P1", "maximum", at(BUDAPEST, span[0]) + 900_000, at(BUDAPEST, span[1]), By.DAY)
    (cut,) = ask(store.curves, book(BUDAPEST, channel("maximum")), whole, LATER_MS)
    assert (cut.top_ms, cut.expected) == (top.top_ms, 95)


def test_a_mean_is_weighted_by_time_where_intervals_differ(store: SqliteStore) -> None:
    """Of daily means a month's is by the days' lengths: October has a day of 25 hours."""
    daily = channel("mean", Cadence.DAY)
    put(store, BUDAPEST, daily, {day("2026-10-01"): [1_000] * 24 + [26_000] + [1_000] * 6}, exponent=-3)
    question = Question("P1", "mean", at(BUDAPEST, "2026-10-01"), at(BUDAPEST, "2026-11-01"), By.MONTH, decimals=9)
    (period,) = ask(store.curves, book(BUDAPEST, daily), question, LATER_MS)
    exact = Fraction(24 * 30 + 26 * 25, 24 * 30 + 25)
    assert period.value == Scaled(round(exact * 10**9), -9)


def test_without_volume_a_weighted_mean_has_no_value(store: SqliteStore) -> None:
    """What has no volume has no mean, and what lacks a weight is missing."""
    put(store, BUDAPEST, channel("weighted"), {day("2026-05-05"): [50] * 96})
    put(store, BUDAPEST, channel("volume"), {day("2026-05-05"): [0] * 95 + [None]})
    (period,) = asked(store, BUDAPEST, "weighted", ("2026-05-05", "2026-05-06"), By.DAY)
    assert (period.value, period.present, period.missing, period.state) == (None, 95, 1, State.MISSING)


def test_what_is_missing_is_counted_and_never_zero(store: SqliteStore) -> None:
    """A day that is not in the store at all, one in parts; an estimate is counted and is the month's worst state."""
    put(store, BUDAPEST, channel("sum"), {day("2026-02-01"): [5] * 96})
    put(store, BUDAPEST, channel("sum"), {day("2026-02-02"): [5] * 96}, quality=Quality(State.ESTIMATED))
    days = list(asked(store, BUDAPEST, "sum", ("2026-02-01", "2026-02-04"), By.DAY))
    assert [each.value for each in days] == [Scaled(480), Scaled(480), None]
    assert [(each.present, each.estimated, each.missing) for each in days] == [(96, 0, 0), (96, 96, 0), (0, 0, 96)]
    assert [each.state for each in days] == [State.RAW, State.ESTIMATED, State.MISSING]
    (both,) = asked(store, BUDAPEST, "sum", ("2026-02-01", "2026-02-03"), By.MONTH)
    assert (both.value, both.state, both.estimated) == (Scaled(960), State.ESTIMATED, 96)


def test_what_is_not_over_yet_is_not_missing(store: SqliteStore) -> None:
    """A month that goes on is cut at the present, and at the instant as known at which it is asked for."""
    put(store, BUDAPEST, channel("sum"), {day("2026-02-01"): [5] * 96})
    begin = at(BUDAPEST, "2026-02-01")
    question = Question("P1", "sum", begin, at(BUDAPEST, "2026-03-01"), By.MONTH)
    (now,) = ask(store.curves, book(BUDAPEST, channel("sum")), question, begin + 43_200_000)
    assert (now.expected, now.missing, now.end_ms) == (48, 0, begin + 43_200_000)
    (then,) = ask(store.curves, book(BUDAPEST, channel("sum")), replace(question, known_ms=begin + 900_000), LATER_MS)
    assert (then.expected, then.value) == (1, Scaled(5))
    assert not list(ask(store.curves, book(BUDAPEST, channel("sum")), question, begin - 1))


def test_every_version_is_answered_as_known_then(store: SqliteStore) -> None:
    """Random corrections by a fixed seed; as known at each instant there is what had been put by then."""
    chance, number = random.Random(3), day("2026-06-01")
    shown: dict[int, int] = {}
    kept = {each: [0] * 96 for each in range(number, number + 5)}
    base = at(BUDAPEST, "2026-07-01")
    put(store, BUDAPEST, channel("sum"), kept, base)
    for step in range(1, 60):
        which = number + chance.randrange(5)
        kept[which] = [chance.randrange(100) for _ in range(96)]
        put(store, BUDAPEST, channel("sum"), {which: kept[which]}, base + step)
        shown[base + step] = sum(map(sum, kept.values()))
    for known_ms, total in shown.items():
        (period,) = asked(store, BUDAPEST, "sum", ("2026-06-01", "2026-06-06"), By.YEAR, known_ms=known_ms)
        assert period.value == Scaled(total)


def test_a_computed_channel_is_missing_where_a_term_is_and_as_bad_as_its_worst(store: SqliteStore) -> None:
    """Main less sub: states are the worst, gaps of either are gaps; of another cadence a term is added up first."""
    zone, number = BUDAPEST, day("2026-03-29")
    main, sub = channel("sum", Cadence.HOUR, "P1"), channel("sum", Cadence.QUARTER, "P2")
    put(store, zone, main, {number: [100, None, *[100] * 21]})
    put(store, zone, sub, {number: [None, *[10] * 91]}, quality=Quality(State.ESTIMATED))
    terms = (Term(1, "P1", "sum"), Term(-1, "P2", "sum"))
    rest = Computed("P1", "rest", "energy", Cadence.HOUR, Aggregate.SUM, terms, ALWAYS)
    points = (*book(zone).all_points, *book(zone, point="P2").all_points)
    listed = Listed(points, (main, sub, rest))
    hours = list(
        ask(store.curves, listed, Question("P1", "rest", *_span("2026-03-29", "2026-03-30"), By.HOUR), LATER_MS)
    )
    assert [each.value for each in hours] == [None, None, *[Scaled(60)] * 21]
    assert [each.state for each in hours] == [State.MISSING, State.MISSING, *[State.ESTIMATED] * 21]
    (whole,) = ask(store.curves, listed, Question("P1", "rest", *_span("2026-03-29", "2026-03-30"), By.DAY), LATER_MS)
    assert (whole.value, whole.expected, whole.missing, whole.estimated) == (Scaled(21 * 60), 23, 2, 21)


def test_a_channel_computed_from_itself_is_refused(store: SqliteStore) -> None:
    """Also by way of another one."""
    one = Computed("P1", "one", "energy", Cadence.DAY, Aggregate.SUM, (Term(1, "P1", "two"),), ALWAYS)
    two = replace(one, name="two", terms=(Term(1, "P1", "one"),))
    listed = Listed(book(BUDAPEST).all_points, (one, two))
    with pytest.raises(QuestionError, match="from itself"):
        ask(store.curves, listed, Question("P1", "one", *_span("2026-03-01", "2026-03-02"), By.DAY), LATER_MS)


def test_a_cadence_may_change_and_months_go_on(store: SqliteStore) -> None:
    """Daily until June, by quarter hours after that: months and their sums hold, finer periods are refused."""
    change = at(BUDAPEST, "2026-06-15")
    daily = channel("sum", Cadence.DAY, span=Span(0, change))
    finer = channel("sum", Cadence.QUARTER, span=Span(change))
    put(store, BUDAPEST, daily, {day("2026-06-01"): [*[96] * 14, *[None] * 16]})
    put(store, BUDAPEST, finer, {day("2026-06-01") + each: [1] * 96 for each in range(14, 30)})
    listed = book(BUDAPEST, daily, finer)
    (june,) = ask(store.curves, listed, Question("P1", "sum", *_span("2026-06-01", "2026-07-01"), By.MONTH), LATER_MS)
    assert (june.value, june.expected, june.missing) == (Scaled(96 * 30), 14 + 16 * 96, 0)
    with pytest.raises(QuestionError, match=r"day, week, month, year, got hour"):
        ask(store.curves, listed, Question("P1", "sum", *_span("2026-06-01", "2026-07-01"), By.HOUR), LATER_MS)


def test_a_contract_unit_is_rounded_once_at_the_end_half_to_even(store: SqliteStore) -> None:
    """The rounded month is not the sum of rounded quarters; halves go to the even neighbour, below zero too."""
    put(store, BUDAPEST, channel("sum"), {day("2026-05-05"): [1_800] * 93 + [-1_800, 5_400, 9_000]})
    span = ("2026-05-05", "2026-05-06")
    quarters = asked(store, BUDAPEST, "sum", span, By.QUARTER, unit="Wh")
    assert quarters.values == (*[0] * 94, 2, 2)
    (whole,) = asked(store, BUDAPEST, "sum", span, By.DAY, unit="Wh")
    assert whole.value == Scaled(50)
    (exact,) = asked(store, BUDAPEST, "sum", span, By.DAY, unit="GJ")
    assert str(exact.value) == "0.000180000"
    (rough,) = asked(store, BUDAPEST, "sum", span, By.DAY, unit="kWh", decimals=1)
    assert str(rough.value) == "0.0"
    with pytest.raises(UnitError, match="a unit of energy"):
        asked(store, BUDAPEST, "sum", span, By.DAY, unit="m3")


def test_numbers_of_different_powers_of_ten_add_up(store: SqliteStore) -> None:
    """A page that was kept more finely than its neighbour."""
    put(store, BUDAPEST, channel("volume"), {day("2026-05-05"): [5] * 96}, exponent=-3)
    put(store, BUDAPEST, channel("volume"), {day("2026-05-06"): [7] * 96}, exponent=-6)
    (whole,) = asked(store, BUDAPEST, "volume", ("2026-05-05", "2026-05-07"), By.YEAR)
    assert whole.value == Scaled(96 * 5_007, -6)


def test_questions_that_cannot_be_answered_say_what_can_be(store: SqliteStore) -> None:
    """An unknown point or channel, a time before the channel, an end before the start, too many periods."""
    with pytest.raises(NoSeriesError, match=r"a channel of the point: last, maximum"):
        asked(store, BUDAPEST, "A+", ("2026-05-05", "2026-05-06"), By.DAY)
    with pytest.raises(NoSeriesError, match="id of a metering point"):
        ask(store.curves, Listed((), ()), Question("P9", "sum", 0, 1, By.DAY), LATER_MS)
    late = channel("sum", span=Span(LATER_MS))
    with pytest.raises(NoSeriesError, match="in which the channel is there"):
        ask(store.curves, book(BUDAPEST, late), Question("P1", "sum", 0, 1, By.DAY), LATER_MS)
    for wrong in ((5, 5), (0, LATER_MS)):
        with pytest.raises(QuestionError):
            Question("P1", "sum", *wrong, By.QUARTER)


def test_a_page_of_another_zone_is_not_taken_for_this_one(store: SqliteStore) -> None:
    """A point whose zone was corrected: its pages must be reckoned anew first, and the answer says so."""
    put(store, "Europe/Kyiv", channel("sum"), {day("2026-05-05"): [1] * 96})
    with pytest.raises(CurveAlteredError, match="by the point's zone"):
        asked(store, BUDAPEST, "sum", ("2026-05-05", "2026-05-06"), By.DAY)


def _span(first: str, end: str) -> tuple[int, int]:
    return at(BUDAPEST, first), at(BUDAPEST, end)


def test_a_channel_of_hours_is_answered_over_its_uneven_day(store: SqliteStore) -> None:
    """On Lord Howe clocks change by 30 minutes: an hour of 90 minutes weighs as much in the day's mean."""
    zone, hourly = "Australia/Lord_Howe", channel("mean", Cadence.HOUR)
    number = day("2026-04-05")
    marks = edges(zone, Cadence.HOUR, number)
    lengths = [end - start for start, end in pairwise(marks)]
    assert sorted(set(lengths)) == [3_600_000, 5_400_000]
    values: list[int | None] = [50 if length == 5_400_000 else 1 for length in lengths]
    put(store, zone, hourly, {number: values})
    question = Question("P1", "mean", marks[0], marks[-1], By.DAY, decimals=9)
    (period,) = ask(store.curves, book(zone, hourly), question, LATER_MS)
    assert period.value == Scaled(round(Fraction(50 * 90 + 23 * 60, 24 * 60 + 30) * 10**9), -9)


def test_of_equal_maxima_the_first_counts(store: SqliteStore) -> None:
    """Within a day, and of two days."""
    put(store, BUDAPEST, channel("maximum"), {day("2026-05-05"): [1, 7, *[2] * 93, 7], day("2026-05-06"): [7] * 96})
    (both,) = asked(store, BUDAPEST, "maximum", ("2026-05-05", "2026-05-07"), By.MONTH)
    assert both.top_ms == at(BUDAPEST, "2026-05-05") + 900_000


def test_a_maximum_is_at_the_instant_that_the_meter_tells(store: SqliteStore) -> None:
    """Where it has times of its own, the month's maximum has the one of its value; missing ones have none."""
    monthly = channel("maximum", Cadence.MONTH)
    number, year = day("2026-01-01"), at(BUDAPEST, "2026-01-01")
    values = (None, 500, 900, *[None] * 9)
    runs = runs_of(MISSING if each is None else RAW for each in values)
    moments = (year + 4_000_000_123, year + 7_000_000_456)
    with store.transaction():
        place = ("P1", "maximum", Cadence.MONTH, number, year, 0)
        store.curves.put(Curve(*place, values, runs, (), moments), Act("test", 1))
    question = Question("P1", "maximum", year, at(BUDAPEST, "2027-01-01"), By.YEAR)
    (whole,) = ask(store.curves, book(BUDAPEST, monthly), question, LATER_MS)
    assert (whole.value, whole.top_ms) == (Scaled(900), moments[1])
    months = list(ask(store.curves, book(BUDAPEST, monthly), replace(question, by=By.MONTH), LATER_MS))
    assert [each.top_ms for each in months] == [None, *moments, *[None] * 9]


def test_the_newest_value_of_a_computed_channel_waits_for_all_its_terms(store: SqliteStore) -> None:
    """It is that of the last interval for which each of them has a value; none while one has nothing."""
    main, sub = channel("sum"), channel("sum", point="P2")
    terms = (Term(1, "P1", "sum"), Term(-1, "P2", "sum"))
    rest = Computed("P1", "rest", "energy", Cadence.QUARTER, Aggregate.SUM, terms, ALWAYS)
    points = (*book(BUDAPEST).all_points, *book(BUDAPEST, point="P2").all_points)
    listed = Listed(points, (main, sub, rest))

    def newest() -> list[int | None]:
        found = latest(store.curves, listed, "P1", LATER_MS)
        assert [each.channel for each in found] == ["rest", "sum"]
        return [None if each.period is None else each.period.start_ms for each in found]

    put(store, BUDAPEST, main, {day("2026-05-05"): [5] * 96, day("2026-05-06"): [5] * 96})
    last = at(BUDAPEST, "2026-05-07") - 900_000
    assert newest() == [None, last]
    put(store, BUDAPEST, sub, {day("2026-05-05"): [1] * 96, day("2026-05-06"): [1, None, 3, *[None] * 93]})
    assert newest() == [at(BUDAPEST, "2026-05-06") + 2 * 900_000, last]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", "2026-02-28T23:00:00.000Z"),
        ("2026-03", "2026-02-28T23:00:00.000Z"),
        ("2026", "2025-12-31T23:00:00.000Z"),
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30:00.000Z"),
        ("2026-03-01T06:00:07.123Z", "2026-03-01T06:00:07.123Z"),
    ],
)
def test_times_are_written_as_days_months_years_or_instants(text: str, expected: str) -> None:
    """In the point's zone; instants as answers show them."""
    assert utc(instant_of(text, BUDAPEST, "from")) == expected


@given(st.text(max_size=24) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{3})?)?Z?", fullmatch=True))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_whatever_is_written_as_a_time_is_one_or_is_refused(text: str) -> None:
    """By an error with a code, never otherwise."""
    with contextlib.suppress(QuestionError):
        assert isinstance(instant_of(text, BUDAPEST, "from"), int)
