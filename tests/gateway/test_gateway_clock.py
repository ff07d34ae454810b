"""The clock: floor, unset, signed time, steps; and the schedule that stands on it."""

from __future__ import annotations

import pytest
from gateway_parts import CADENCE_MS, NOW_MS, Time

from gateway.clock import BUILD_MS, GatewayClock, system_sources
from gateway.config import MbusDevice as Device
from gateway.schedule import KEPT_SLOTS, LINE_TRIES, RETRY_MS, Schedule
from protocols.uplink.header import ClockSource, ClockState

HEAT = Device(name="heat", address=1, cadence_s=CADENCE_MS // 1000)
WATER = Device(name="water", address=2, cadence_s=CADENCE_MS // 1000)


def test_a_plausible_disciplined_clock_is_synchronised() -> None:
    """And shows the system's uncertainty."""
    clock = GatewayClock(Time().sources())
    assert clock.utc_ms() == NOW_MS
    assert (clock.quality().synchronised, clock.quality().uncertainty_ms) == (True, 5)
    assert clock.shown().source is ClockSource.NTP


def test_a_clock_that_nothing_disciplines_is_set_and_not_synchronised() -> None:
    """Plausible is not good."""
    clock = GatewayClock(Time(synchronised=False).sources())
    assert clock.shown().state is ClockState.SET
    assert not clock.quality().synchronised


def test_a_start_in_1970_is_unset_and_counts_from_the_floor() -> None:
    """G09: instants are after 2000 and rise with the monotonic clock; nothing is good."""
    time = Time(wall_ms=0)
    clock = GatewayClock(time.sources())
    assert clock.unset
    assert clock.utc_ms() == BUILD_MS
    time.pass_ms(5000)
    assert clock.utc_ms() == BUILD_MS + 5000
    assert not clock.quality().synchronised
    assert clock.shown().state is ClockState.UNSET


def test_an_unset_clock_never_repeats_an_instant_that_was_sealed() -> None:
    """Slots of the last start stay done, so new ones must be new."""
    clock = GatewayClock(Time(wall_ms=0).sources(), sealed_ms=NOW_MS)
    assert clock.utc_ms() == NOW_MS


def test_a_clock_below_the_last_signed_time_is_unset() -> None:
    """A rolled back clock is known by what the collector once signed."""
    assert GatewayClock(Time().sources(), signed_ms=NOW_MS + 1).unset


def test_signed_time_sets_an_unset_clock_and_asks_for_a_correction() -> None:
    """The correction spans what was stamped since the start of this process."""
    time = Time(wall_ms=0)
    clock = GatewayClock(time.sources())
    time.pass_ms(10_000)
    step = clock.signed(NOW_MS, 200)
    assert step is not None
    assert step.corrects
    assert (step.from_mono_ms, step.mono_ms) == (1_000_000, 1_010_000)
    assert step.by_ms == NOW_MS + 100 - (BUILD_MS + 10_000)
    assert clock.utc_ms() == NOW_MS + 100
    assert clock.shown().source is ClockSource.COLLECTOR
    time.pass_ms(86_400_000)
    uncertainty = clock.quality().uncertainty_ms
    assert uncertainty == 200 + 8640


def test_signed_time_leaves_a_plausible_clock_alone() -> None:
    """C07: the collector's clock may be the wrong one."""
    clock = GatewayClock(Time().sources())
    assert clock.signed(NOW_MS + 3_600_000, 10) is None
    assert clock.shown().source is ClockSource.NTP


def test_a_collector_whose_clock_is_ahead_moves_neither_clock_nor_floor() -> None:
    """C07: its time owns no slot here; that the two part is told, and a reboot does not fall below its own past."""
    time = Time()
    clock = GatewayClock(time.sources())
    floor_ms = clock.floor_ms
    for ahead_ms in (60_000, 3_600_000, 70 * 365 * 86_400_000):
        assert clock.apart_ms(NOW_MS + ahead_ms, 100) == ahead_ms + 50
        assert clock.signed(NOW_MS + ahead_ms, 100) is None
        assert clock.utc_ms() == NOW_MS
    assert floor_ms <= clock.floor_ms <= NOW_MS
    time.pass_ms(1_000)
    assert clock.utc_ms() == NOW_MS + 1_000
    assert clock.apart_ms(NOW_MS + 1_000 + 9_000, 100) == 0


def test_a_step_of_the_wall_clock_is_seen_against_the_monotonic() -> None:
    """An hour ahead is a step; drift of a second is not."""
    time = Time()
    clock = GatewayClock(time.sources())
    time.pass_ms(1000)
    time.wall_ms += 900
    assert clock.check() is None
    time.wall_ms += 3_600_000
    step = clock.check()
    assert step is not None
    assert step.by_ms == 3_600_000
    assert clock.check() is None


def test_a_system_clock_that_becomes_plausible_ends_the_unset_state() -> None:
    """NTP came after the start: what was stamped before is corrected by a record."""
    time = Time(wall_ms=0)
    clock = GatewayClock(time.sources())
    assert clock.check() is None
    time.wall_ms = NOW_MS
    step = clock.check()
    assert step is not None
    assert step.corrects
    assert not clock.unset


def test_the_machines_own_clocks_can_be_read() -> None:
    """Boot id of 16 bytes, both clocks, and the kernel's word on the discipline."""
    sources = system_sources()
    assert len(sources.boot) == 16
    assert sources.wall_ms() > BUILD_MS
    assert sources.discipline().synchronised in (True, False)


def test_a_slot_is_due_once_and_open_until_the_next_begins() -> None:
    """Aligned to the wall clock."""
    schedule = Schedule([HEAT], {})
    start = NOW_MS // CADENCE_MS * CADENCE_MS
    (due,) = schedule.due(start + 1, 0)
    assert (due.slot_ms, due.end_ms) == (start, start + CADENCE_MS)
    schedule.read(due)
    assert schedule.due(start + CADENCE_MS - 1, 0) == []
    assert schedule.wait_ms(start + 1, 0) == CADENCE_MS - 1
    assert len(schedule.due(start + CADENCE_MS, 0)) == 1


def test_a_slot_that_was_sealed_is_not_read_after_a_restart_and_an_open_one_is() -> None:
    """No reading twice, none left out."""
    start = NOW_MS // CADENCE_MS * CADENCE_MS
    schedule = Schedule([HEAT, WATER], {"heat": [start]})
    assert [due.device.name for due in schedule.due(NOW_MS, 0)] == ["water"]


def test_a_device_that_was_not_read_lately_comes_last_until_it_is_read() -> None:
    """After a start; a slot that ends earlier goes first all the same, and one slot that was missed is no sign."""
    start = NOW_MS // CADENCE_MS * CADENCE_MS
    late = Schedule([HEAT, WATER], {"water": [start - CADENCE_MS], "heat": [start - 4 * CADENCE_MS]})
    water, heat = late.due(NOW_MS, 0)
    assert (water.device.name, heat.device.name) == ("water", "heat")
    late.read(heat)
    late.read(water)
    assert [due.device.name for due in late.due(NOW_MS + CADENCE_MS, 1)] == ["heat", "water"]
    once = Schedule([HEAT, WATER], {"water": [start - CADENCE_MS], "heat": [start - 2 * CADENCE_MS]})
    assert [due.device.name for due in once.due(NOW_MS, 0)] == ["heat", "water"]


def test_a_failed_device_comes_last_and_after_a_pause() -> None:
    """It costs the others nothing while it is silent."""
    schedule = Schedule([HEAT, WATER], {})
    heat, water = schedule.due(NOW_MS, 0)
    schedule.failed(heat, 0)
    schedule.read(water)
    assert schedule.due(NOW_MS, RETRY_MS - 1) == []
    assert schedule.wait_ms(NOW_MS, 0) == RETRY_MS
    assert len(schedule.due(NOW_MS, RETRY_MS)) == 1
    assert [due.device.name for due in schedule.due(NOW_MS + CADENCE_MS, 1)] == ["water", "heat"]


def test_a_device_whose_line_fails_is_due_again_at_once_for_a_few_times_and_behind_the_others() -> None:
    """It may be well; but one that takes the line down each time it is asked may not hold up the others for ever."""
    schedule = Schedule([HEAT, WATER], {})
    for _ in range(LINE_TRIES):
        heat = next(due for due in schedule.due(NOW_MS, 0) if due.device.name == "heat")
        schedule.failed(heat, 0, line=True)
        assert [due.device.name for due in schedule.due(NOW_MS, 0)] == ["water", "heat"]
    schedule.failed(heat, 0, line=True)
    assert [due.device.name for due in schedule.due(NOW_MS, RETRY_MS - 1)] == ["water"]
    schedule.failed(heat, RETRY_MS, line=True)
    assert [due.device.name for due in schedule.due(NOW_MS, 3 * RETRY_MS - 1)] == ["water"]
    assert len(schedule.due(NOW_MS, 3 * RETRY_MS)) == 2


def test_a_clock_that_was_set_back_meets_slots_that_are_done() -> None:
    """G10: they are not read a second time under the same name."""
    schedule = Schedule([HEAT], {})
    for at in (NOW_MS, NOW_MS + CADENCE_MS):
        (due,) = schedule.due(at, 0)
        schedule.read(due)
    assert schedule.due(NOW_MS, 0) == []


STEPS_MS = (3_600_000, 10_000_000_000, -3_600_000, -100_000_000)


@pytest.mark.parametrize("step_ms", STEPS_MS)
def test_a_clock_that_was_off_for_a_while_meets_no_slot_twice(step_ms: int) -> None:
    """A slot that was read while the clock was far behind was the lowest, so it was forgotten at once."""
    schedule = Schedule([HEAT], {})
    read: list[int] = []

    def pass_slots(start_ms: int, count: int) -> None:
        for n in range(2 * count):  # two looks at each slot: what was read may not be due at the second
            for due in schedule.due(start_ms + n // 2 * CADENCE_MS, 0):
                schedule.read(due)
                read.append(due.slot_ms)

    pass_slots(NOW_MS, KEPT_SLOTS)
    now_ms = NOW_MS + (KEPT_SLOTS - 1) * CADENCE_MS
    pass_slots(now_ms + step_ms, 3)
    pass_slots(now_ms, 2 * KEPT_SLOTS)
    assert len(read) == len(set(read))
    assert now_ms // CADENCE_MS * CADENCE_MS + CADENCE_MS in read


def test_what_was_stamped_before_the_clock_was_set_is_not_called_good_after_it() -> None:
    """Found by seed 19: a question asked by an unset clock, whose answer came when the system knew the time."""
    time = Time(wall_ms=0)
    clock = GatewayClock(time.sources())
    asked = clock.mono_ms()
    time.pass_ms(100)
    time.wall_ms = NOW_MS
    clock.check()
    assert clock.quality().synchronised
    assert not clock.quality_since(asked).synchronised
    time.pass_ms(100)
    assert clock.quality_since(clock.mono_ms()).synchronised
