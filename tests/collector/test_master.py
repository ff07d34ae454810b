"""The master data: what is known when, what a utility must not have, what must be computed again, who waits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from chain import NOW_MS, Bench, reading
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.faults import (
    IdentityTakenError,
    InstalledError,
    MasterDataError,
    NotEnteredError,
    OverlapError,
    RoleError,
    UnitError,
)
from collector.master.channels import Aggregate, Cadence, Channel, Computed, Term
from collector.master.dated import ALWAYS, Act, Span
from collector.master.meters import Installation, Kind, Mapped, Meter, Register, Stood
from collector.master.points import Medium, Point, Related, Relation, Scheme, Supply
from collector.store.master import Master
from collector.store.master_marks import DAY_MS, EVERY
from collector.store.master_words import Word
from collector.store.sqlite import SqliteStore
from protocols.reading import Identity, NativeKey, Protocol, Scaled

START = NOW_MS - 400 * DAY_MS
ENERGY = NativeKey.mbus(b"\x06", 0, 0, 0, 0)
VOLUME = NativeKey.mbus(b"\x13", 0, 0, 0, 0)
POINT = Point("plant 1", Scheme.FREE, Medium.HEAT, "Europe/Budapest", Span(START))


def meter(number: int) -> Meter:
    """The meter that `chain.reading` shows under this number, as a utility knows it: without version and medium."""
    return Meter(f"{number}", "m", Identity(Protocol.MBUS, "KAM", f"{number:08d}"))


def register(number: int, name: str = "heat", key: NativeKey = ENERGY, factor: int = 1, start: int = 0) -> Register:
    """A register of it."""
    quantity, unit = ("energy", "Wh") if key == ENERGY else ("volume", "m3")
    return Register(f"{number}", name, key, Kind.TOTAL, quantity, unit, Fraction(factor), None, Scaled(1), Span(start))


def installed(number: int, point: str = "plant 1", start: int = START, end: int | None = None) -> Installation:
    """It at a point."""
    return Installation(point, f"{number}", Span(start, end), "+01:00")


def channel(name: str = "heat", source: str = "heat") -> Channel:
    """A channel of energy by the hour."""
    return Channel("plant 1", name, "energy", source, Cadence.HOUR, Aggregate.SUM, Span(START))


def enter(store: SqliteStore, *words: Word, at_ms: int = NOW_MS) -> None:
    """Enter in an act of its own."""
    with store.transaction():
        store.master.enter(Act("operator", at_ms, "test"), *words)


def correct(store: SqliteStore, *words: Word, at_ms: int = NOW_MS) -> None:
    """Correct in an act of its own."""
    with store.transaction():
        store.master.correct(Act("operator", at_ms, "found wrong"), *words)


def site(store: SqliteStore) -> Master:
    """A point with meter 1 and a channel; nothing is left to compute again."""
    enter(store, POINT, meter(1), register(1), installed(1), channel())
    clear(store)
    return store.master


def clear(store: SqliteStore) -> None:
    """Take all marks away."""
    with store.transaction():
        for mark in store.master.recompute():
            assert store.master.recomputed(mark.number)


def test_a_factor_corrected_back_to_january_leaves_what_was_known_before(store: SqliteStore) -> None:
    """As known before it is 1 all along; now it is 40 from that day on, and who said so stands beside it."""
    master = site(store)
    before = master.registers.versions(meter="1")[0].act.at_ms
    january = START + 30 * DAY_MS
    correct(store, register(1, factor=40, start=january), at_ms=NOW_MS + 1)
    assert [each.factor for each in master.registers.at(january, before, meter="1")] == [1]
    assert [(each.factor, each.span) for each in master.registers.all(meter="1")] == [
        (Fraction(1), Span(0, january)),
        (Fraction(40), Span(january)),
    ]
    newest = master.registers.versions(meter="1")[-1]
    assert (newest.act.who, newest.act.why, newest.known_to_ms) == ("operator", "found wrong", None)


Change = tuple[str, int, int | None, int]
_changes = st.lists(
    st.tuples(
        st.sampled_from(["lay", "end"]), st.integers(0, 8), st.one_of(st.none(), st.integers(1, 5)), st.integers(0, 3)
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=_changes)
def test_every_answer_stays_as_it_was_known(store: SqliteStore, changes: list[Change]) -> None:
    """Whatever is entered, corrected and ended: each instant's customer, as known after each act, is that of a list."""
    with store.transaction():
        store._connection.execute("DELETE FROM master_supply")
        store.master.enter(Act("operator", NOW_MS), replace(POINT, span=ALWAYS))
    days: dict[int, str] = {}
    known: list[tuple[int, dict[int, str]]] = []
    for kind, start, length, customer in changes:
        span = Span(START + start, None if length is None else START + start + length)
        with store.transaction(), store.master.acting(Act("operator", NOW_MS)) as change:
            if kind == "lay":
                change.set(Supply("plant 1", f"{customer}", span))
                days |= {day: f"{customer}" for day in range(16) if span.holds(START + day)}
            else:
                for there in store.master.supplies.at(START + start, point="plant 1"):
                    change.end(there, START + start)
                    days = {day: each for day, each in days.items() if not _ended(there.span, start, day)}
        known += [(change.act.at_ms, dict(days))] if change.changes else []
    for known_ms, expected in known:
        found = {day: store.master.supplies.at(START + day, known_ms, point="plant 1") for day in range(16)}
        assert {day: [each.customer for each in rows] for day, rows in found.items()} == {
            day: [expected[day]] if day in expected else [] for day in range(16)
        }


def _ended(span: Span, start: int, day: int) -> bool:
    return span.holds(START + day) and day >= start


def test_acts_of_one_instant_are_told_apart(store: SqliteStore) -> None:
    """A clock that stands still or goes back does not make two acts one."""
    site(store)
    correct(store, register(1, factor=2), at_ms=NOW_MS)
    correct(store, register(1, factor=3), at_ms=NOW_MS - 5_000)
    acts = [each.act.at_ms for each in store.master.registers.versions(meter="1")]
    assert acts == sorted(set(acts))
    assert [store.master.registers.at(NOW_MS, at, meter="1")[0].factor for at in acts] == [1, 2, 3]


def test_what_is_entered_again_is_no_act(store: SqliteStore) -> None:
    """The same, or a part of the same time, says nothing new and marks nothing."""
    master = site(store)
    enter(store, POINT, meter(1), register(1), installed(1), replace(channel(), span=Span(START + 5)))
    assert len(master.installations.versions(meter="1")) == 1
    assert master.recompute() == []
    assert store._connection.execute("SELECT count(*) FROM master_act").fetchone()[0] == 1


def test_what_is_entered_otherwise_is_refused_and_names_what_is_there(store: SqliteStore) -> None:
    """A correction must say that it is one."""
    site(store)
    with pytest.raises(OverlapError, match="another one"):
        enter(store, register(1, factor=2))


def test_a_meter_is_at_one_point_at_one_time(store: SqliteStore) -> None:
    """Whoever enters it elsewhere learns where it is."""
    site(store)
    enter(store, replace(POINT, id="plant 2"))
    with pytest.raises(InstalledError, match="it is at point plant 1"):
        enter(store, installed(1, "plant 2", START + 5))


def test_two_meters_at_a_point_have_no_register_in_common(store: SqliteStore) -> None:
    """Neither when the meter comes nor when the register does; another register is allowed."""
    master = site(store)
    enter(store, meter(2), register(2, "volume", VOLUME))
    enter(store, installed(2))
    with pytest.raises(RoleError, match="meter 1 has it too"):
        enter(store, register(2))
    enter(store, meter(3), register(3))
    with pytest.raises(RoleError, match="both with heat"):
        enter(store, installed(3))
    assert {each.meter for each in master.installations.at(NOW_MS, point="plant 1")} == {"1", "2"}


def test_a_meter_without_registers_is_not_put_beside_another(store: SqliteStore) -> None:
    """Nobody could tell what it gives."""
    site(store)
    enter(store, meter(2))
    with pytest.raises(RoleError, match="none entered"):
        enter(store, installed(2))


@pytest.mark.parametrize(
    ("other", "fits"),
    [
        (Identity(Protocol.MBUS, "KAM", "00000001", 3), True),
        (Identity(Protocol.MBUS, None, "00000001"), True),
        (Identity(Protocol.MBUS, "SEN", "00000001"), False),
        (Identity(Protocol.DLMS, "KAM", "00000001"), False),
        (Identity(Protocol.MBUS, "KAM", "00000002"), False),
    ],
)
def test_identities_that_one_reading_could_fit_are_refused(store: SqliteStore, other: Identity, fits: bool) -> None:
    """What is more than the other says does not tell two meters apart; what contradicts it does."""
    enter(store, meter(1))
    newcomer = Meter("9", "m", other)
    if fits:
        with pytest.raises(IdentityTakenError, match="meter 1"):
            enter(store, newcomer)
    else:
        enter(store, newcomer)


@pytest.mark.parametrize(
    ("word", "error"),
    [
        (installed(1, "plant 9"), NotEnteredError),
        (Supply("plant 1", "4711", Span(START - 5)), NotEnteredError),
        (installed(9), NotEnteredError),
        (register(9), NotEnteredError),
        (replace(register(1, "other", VOLUME), key=ENERGY), RoleError),
        (replace(register(1, "other", VOLUME), unit="kWh"), UnitError),
        (replace(register(1, "other", VOLUME), factor=Fraction(0)), MasterDataError),
        (replace(channel("volume"), quantity="volume"), UnitError),
        (replace(channel("mean"), aggregate=Aggregate.WEIGHTED), MasterDataError),
        (replace(channel("mean"), aggregate=Aggregate.WEIGHTED, weight="none"), NotEnteredError),
        (Related("plant 1", "plant 1", Relation.SUB, Fraction(1), Span(START)), MasterDataError),
        (Related("plant 1", "plant 9", Relation.CHECK, Fraction(1), Span(START)), NotEnteredError),
        (Mapped("house-1", "heat", VOLUME, "1", "none", ALWAYS), NotEnteredError),
        (Computed("plant 1", "heat", "energy", Cadence.HOUR, Aggregate.SUM, (), Span(START)), MasterDataError),
        (replace(POINT, id="plant 3", zone="Europe/Nowhere"), MasterDataError),
        (Supply("plant 9", "4711", Span(START)), NotEnteredError),
    ],
)
def test_what_does_not_hold_is_refused_and_nothing_of_it_stays(
    store: SqliteStore, word: Word, error: type[MasterDataError]
) -> None:
    """Each of them by its own error."""
    master = site(store)
    with pytest.raises(error):
        enter(store, word)
    key = master.table(word).form.key(word)
    assert [each for each in master.table(word).all(**key) if each == word] == []


def test_a_computed_channel_is_of_one_quantity_and_cadence(store: SqliteStore) -> None:
    """Its terms are channels that hold in all of its time."""
    site(store)
    minus = (Term(1, "plant 1", "heat"), Term(-1, "plant 1", "heat"))
    whole = Computed("plant 1", "none", "energy", Cadence.HOUR, Aggregate.SUM, minus, Span(START))
    enter(store, whole)
    assert store.master.computed.at(NOW_MS, point="plant 1") == [whole]
    with pytest.raises(UnitError, match="energy, hour"):
        enter(store, replace(whole, name="day", cadence=Cadence.DAY))


def test_nobody_is_part_of_itself(store: SqliteStore) -> None:
    """Not by way of a third point either."""
    enter(store, *(replace(POINT, id=f"plant {n}") for n in range(1, 4)))
    enter(store, *(Related(f"plant {n}", f"plant {n + 1}", Relation.SUB, Fraction(1), Span(START)) for n in (1, 2)))
    with pytest.raises(MasterDataError, match="part of itself"):
        enter(store, Related("plant 3", "plant 1", Relation.SUB, Fraction(1), Span(START)))


def test_a_point_does_not_end_under_a_meter(store: SqliteStore) -> None:
    """What goes on there is named."""
    site(store)
    with pytest.raises(OverlapError, match="installation of meter 1"), store.transaction():
        store.master.end(Act("operator", NOW_MS), POINT, NOW_MS)


def test_an_exchange_is_one_act(store: SqliteStore) -> None:
    """One goes and the other comes at one instant with what they stood at; before that it was not known."""
    master = site(store)
    enter(store, meter(2), register(2))
    at_ms = START + 100 * DAY_MS
    with store.transaction(), master.acting(Act("operator", NOW_MS + 9, "calibration")) as change:
        change.exchange("plant 1", "1", "2", at_ms, (Stood("heat", Scaled(9)),), (Stood("heat", Scaled(0)),))
    old, new = master.installations.all(point="plant 1")
    assert (old.meter, old.span, old.final) == ("1", Span(START, at_ms), (Stood("heat", Scaled(9)),))
    assert (new.meter, new.span, new.initial) == ("2", Span(at_ms), (Stood("heat", Scaled(0)),))
    assert master.installations.at(at_ms, NOW_MS + 1, point="plant 1") == [installed(1)]
    assert [(each.from_ms, each.channel) for each in master.recompute()] == [(at_ms, EVERY)]


def test_an_exchange_needs_what_feeds_the_channels(store: SqliteStore) -> None:
    """A meter without the register would end the channel in silence."""
    site(store)
    enter(store, meter(2), register(2, "volume", VOLUME))
    with (
        pytest.raises(NotEnteredError, match="register heat of meter 2"),
        store.transaction(),
        store.master.acting(Act("operator", NOW_MS)) as change,
    ):
        change.exchange("plant 1", "1", "2", START + DAY_MS)


def test_a_piece_of_an_installation_stood_at_nothing(store: SqliteStore) -> None:
    """A clock that is set otherwise from March on is no exchange: initial and final values stay at the ends."""
    stood = (Stood("heat", Scaled(5)),)
    first = replace(installed(1, end=START + 90), initial=stood, final=stood)
    enter(store, POINT, meter(1), register(1), first)
    correct(store, replace(first, span=Span(START + 30, START + 90), clock="+02:00", initial=()))
    pieces = store.master.installations.all(meter="1")
    assert [(each.clock, each.initial, each.final) for each in pieces] == [
        ("+01:00", stood, ()),
        ("+02:00", (), stood),
    ]


def test_readings_wait_until_their_meter_is_entered(bench: Bench, store: SqliteStore) -> None:
    """They are listed with since when and how many; then they are marked from their first, and wait no longer."""
    bench.take(bench.chain.seal([reading(0), reading(1), reading(1, 2, device="other")]))
    waiting = store.master.waiting()
    assert [(each.words, each.devices, each.stored, each.first_ms) for each in waiting] == [
        ("mbus:KAM/00000001", ("heat",), 2, NOW_MS),
        ("mbus:KAM/00000002", ("other",), 1, NOW_MS + 900_000),
    ]
    now = NOW_MS + 5 * DAY_MS
    enter(store, POINT, meter(1), register(1), installed(1), channel(), at_ms=now)
    assert [each.words for each in store.master.waiting()] == ["mbus:KAM/00000002"]
    mark = store.master.recompute()[0]
    assert (mark.point, mark.channel, mark.from_ms, mark.to_ms) == ("plant 1", EVERY, NOW_MS - DAY_MS, now)
    assert store.master.keys_of("1") == [waiting[0].key.octets]


def test_a_device_is_told_by_the_map_where_the_meter_says_nothing(bench: Bench, store: SqliteStore) -> None:
    """A pulse input shows another meter's register; the rest of the device is its own meter's."""
    bench.take(bench.chain.seal([reading(0)]))
    pulse = Meter("W1", "pulse", Identity(Protocol.MBUS))
    mapped = Mapped("house-1", "heat", VOLUME, "W1", "water", Span(NOW_MS))
    water = replace(register(1, "water", VOLUME), meter="W1")
    enter(store, meter(1), register(1), pulse, water, mapped)
    identity = Identity(Protocol.MBUS, "KAM", "00000001", 1, 4)
    shown = store.master.shown(identity, None, "house-1", "heat", NOW_MS)
    assert shown.owner(ENERGY) == ("1", None)
    assert shown.owner(VOLUME) == ("W1", "water")
    assert store.master.shown(identity, None, "house-1", "heat", NOW_MS - 1).owner(VOLUME) == ("1", None)
    assert len(store.master.keys_of("W1")) == 1


def test_only_what_a_register_feeds_is_marked(store: SqliteStore, bench: Bench) -> None:
    """A wrong factor touches its channel from then on; a customer touches nothing; the future touches nothing."""
    master = site(store)
    enter(store, register(1, "volume", VOLUME))
    enter(store, replace(channel("volume", "volume"), quantity="volume"))
    bench.take(bench.chain.seal([reading(0)]))
    clear(store)
    now = NOW_MS + 9 * DAY_MS
    correct(store, register(1, factor=40, start=NOW_MS + DAY_MS), at_ms=now)
    assert [(each.channel, each.from_ms, each.to_ms) for each in master.recompute()] == [("heat", NOW_MS + DAY_MS, now)]
    clear(store)
    enter(store, Supply("plant 1", "4711", Span(START)), at_ms=now)
    correct(store, register(1, factor=50, start=now + DAY_MS), at_ms=now + 5)
    assert master.recompute() == []


def test_what_never_held_is_computed_again_too(store: SqliteStore, bench: Bench) -> None:
    """An installation that is taken back wholly leaves a point without a meter, and its series with readings in it."""
    bench.take(bench.chain.seal([reading(0)]))
    enter(store, POINT, meter(1), register(1), installed(1), channel(), at_ms=NOW_MS + DAY_MS)
    clear(store)
    with store.transaction():
        store.master.end(Act("operator", NOW_MS + 2 * DAY_MS), installed(1), START)
    assert store.master.installations.all() == []
    assert [(each.point, each.from_ms) for each in store.master.recompute()] == [("plant 1", NOW_MS - DAY_MS)]


def test_a_device_that_is_mapped_marks_whose_it_was(store: SqliteStore, bench: Bench) -> None:
    """What it shows was its own meter's until then."""
    bench.take(bench.chain.seal([reading(0)]))
    enter(store, POINT, meter(1), register(1), installed(1), channel(), Meter("W1", "m", Identity(Protocol.MBUS)))
    clear(store)
    enter(store, Mapped("house-1", "heat", None, "W1", None, Span(NOW_MS)), at_ms=NOW_MS + DAY_MS)
    assert [(each.point, each.from_ms) for each in store.master.recompute()] == [("plant 1", NOW_MS)]


def test_a_mark_is_taken_away_once(store: SqliteStore, bench: Bench) -> None:
    """By its number, in the transaction that stores what was computed."""
    bench.take(bench.chain.seal([reading(0)]))
    enter(store, POINT, meter(1), register(1), installed(1), at_ms=NOW_MS + DAY_MS)
    number = store.master.recompute()[0].number
    with store.transaction():
        assert store.master.recomputed(number)
        assert not store.master.recomputed(number)
    assert store.master.recompute() == []


def test_a_version_3_store_is_raised_and_takes_master_data(tmp_path: Path) -> None:
    """The tables are added, what was in it stays."""
    import sqlite3  # noqa: PLC0415

    path = tmp_path / "old.sqlite3"
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent / "store_version_3.sql").read_text())
    old.execute("INSERT INTO journal VALUES (1, 2, 'kept', x'00')")
    old.commit()
    old.close()
    raised = SqliteStore.open(path)
    enter(raised, POINT)
    assert raised.master.points.at(NOW_MS) == [POINT]
    assert raised._connection.execute("SELECT what FROM journal").fetchall() == [("kept",)]
    raised.close()
