"""Stands that attribution finds: the turn of months, exchanges, set days, and what was delivered since."""

from __future__ import annotations

import datetime
from dataclasses import replace
from fractions import Fraction

import ground_year as year
from ground_run import Year

from collector.attribute.stands import WITHDRAWN
from collector.grid import day_of
from collector.master.dated import Act, Span
from collector.master.meters import Kind, Register, Stood
from collector.store.sqlite import SqliteStore
from collector.store.stands import Character, StandVersion
from protocols.reading import MeterTime, NativeKey, Precision, Scaled, State, Value


def two_months(store: SqliteStore, heat: int, water: int, electricity: int = 0) -> Year:
    """September and October, read, attributed."""
    bounds = year.months(2025, 9, 10)
    run = Year(store, year.sites(electricity, heat, water, bounds), bounds)
    run.enter(run.sites)
    run.read()
    run.read_late()
    run.attribute()
    return run


def stands(run: Year, point: str) -> list[StandVersion]:
    """The stands of a point, by register and time."""
    return run.store.stands.of(point, 0, 2**50)


def test_the_stands_of_months_and_exchanges_add_up_to_what_was_delivered(store: SqliteStore) -> None:
    """Each is what the meter showed; the sum of consumptions between two turns of months is the register's."""
    run = two_months(store, 5, 3, 1)
    for site in run.sites:
        for name in site.waves:
            mine = [each.stand for each in stands(run, site.point) if each.stand.register == name]
            turns = [each for each in mine if each.character is Character.NORMAL]
            assert [each.at_ms for each in turns] == list(run.bounds)
            for meter in site.meters[1:]:
                removed, installed = [each for each in mine if each.at_ms == meter.from_ms]
                assert {removed.character, installed.character} == {Character.REMOVED, Character.INSTALLED}
            for stand in turns:
                meter = next(each for each in site.meters if each.serial == stand.meter)
                shown = site.shown(meter, name, stand.at_ms)[1]
                assert abs(Fraction(str(stand.value)) - Fraction(str(shown))) <= Fraction(10) ** shown.exponent
            used = sum(Fraction(str(each.consumption)) for each in mine if each.consumption is not None)
            truth, step = site.truth(name, run.bounds[0], run.bounds[-1])
            assert abs(used - truth) <= step
            assert [each.consumption is None for each in mine].count(True) == len(site.meters)


def test_a_corrected_factor_makes_new_versions_of_the_consumption(store: SqliteStore) -> None:
    """The stand is what it was: what the meter showed."""
    run = two_months(store, 0, 0, 1)
    site = run.sites[0]
    before = {(each.stand.register, each.stand.at_ms): each.stand.value for each in stands(run, site.point)}
    run.correct_factor(site, run.bounds[0], Fraction(7))
    run.attribute()
    after = stands(run, site.point)
    assert {(each.stand.register, each.stand.at_ms): each.stand.value for each in after} == before
    used = sum(Fraction(str(each.stand.consumption)) for each in after if each.stand.consumption is not None)
    both = [site.truth(name, run.bounds[0], run.bounds[-1]) for name in site.waves]
    assert abs(used - sum((each[0] for each in both), Fraction(0))) <= sum((each[1] for each in both), Fraction(0))
    assert {each.version for each in after} == {1, 2}


def test_a_stored_value_is_a_stand_of_its_own_day(store: SqliteStore) -> None:
    """The set day's value that each telegram of the month shows: one stand, of that day, with one version."""
    bounds = year.months(2025, 10, 10)
    run = Year(store, year.sites(0, 1, 0, bounds), bounds)
    run.enter(run.sites)
    site, key = run.sites[0], NativeKey.mbus(b"\x0e", 1, 0, 0, 0)
    register = Register(
        "H000-1", "set-day", key, Kind.TOTAL, "energy", "GJ", Fraction(1), None, Scaled(1, -2), Span(bounds[0])
    )
    with store.transaction():
        store.master.enter(Act("operator", run.bench.now_ms + 1, ""), register)
    shown = datetime.datetime(2025, 10, 7)  # noqa: DTZ001 - a meter's calendar
    readings = []
    for each in year.rows(site, bounds[0] + 8 * year.DAY_MS, bounds[0] + 10 * year.DAY_MS):
        time = MeterTime.from_calendar(shown, Precision.DAY)
        readings.append(replace(each, values=(*each.values, Value(key, "GJ", Scaled(1_300, -2), State.OK, time=time))))
    run.bench.take(run.bench.chain.seal(readings))
    run.attribute()
    (found,) = [each for each in stands(run, "H000") if each.stand.register == "set-day"]
    assert (str(found.stand.value), found.stand.character, found.version) == ("13.00", Character.SET_DAY, 1)
    assert found.stand.day == day_of(year.ZONE, year.ms(shown.replace(hour=12)))
    run.bench.take(run.bench.chain.seal([replace(readings[-1], exchange=readings[0].exchange, slot_ms=None)]))
    run.attribute()
    assert [each.version for each in stands(run, "H000") if each.stand.register == "set-day"] == [1]


def test_an_exchange_that_was_entered_wrong_is_withdrawn(store: SqliteStore) -> None:
    """Its final value is corrected: a new version; its date is: the stands of the old date are withdrawn."""
    run = two_months(store, 0, 1)
    site = run.sites[0]
    at_ms = site.meters[1].from_ms
    installation = store.master.installations.all(point="W000", meter=site.meters[0].serial)[0]
    with store.transaction(), store.master.acting(Act("operator", run.bench.now_ms + 1, "misread")) as change:
        change.correct(replace(installation, final=(Stood("volume", Scaled(12_345, -3)),)))
    run.attribute()
    removed = [each for each in stands(run, "W000") if each.stand.character is Character.REMOVED]
    assert [(str(each.stand.value), each.version, each.stand.at_ms) for each in removed] == [("12.345", 2, at_ms)]
    later = installation.span.to_ms
    assert later is not None
    with store.transaction(), store.master.acting(Act("operator", run.bench.now_ms + 9, "a day before")) as change:
        change.end(replace(installation, final=(Stood("volume", Scaled(12_345, -3)),)), later - year.DAY_MS)
    run.attribute()
    removed = [each for each in stands(run, "W000") if each.stand.character is Character.REMOVED]
    assert [each.stand.quality.reason for each in removed] == [WITHDRAWN]
