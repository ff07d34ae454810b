"""The clock rules of the trust requirements, each named, over the jump table: jumps x kinds of meters x a boundary."""

from __future__ import annotations

import datetime
import itertools
from zoneinfo import ZoneInfo

import pytest
from gateway_parts import CADENCE_MS, NOW_MS, Time

from gateway import events
from gateway.clock import BUILD_MS, GatewayClock
from gateway.config import Device, DlmsDevice, MbusDevice, ModbusDevice
from gateway.dlms_clock import ClockKeeper
from gateway.exchanges import spanning
from gateway.schedule import RETRY_MS, Schedule
from gateway.steps import STEP_MS
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.reading import MeterTime, Precision, TimeQuality
from protocols.transports.dlms import Got
from protocols.uplink.header import ClockState
from protocols.uplink.records import Event

STEPPED_MS = (500, 8_000, 9_000, 10_000, 11_000, 40_000, 3_600_000)
JUMPS_MS = (*STEPPED_MS, *(-each for each in STEPPED_MS), -1_700_000_000_000)
KINDS: tuple[Device, ...] = (
    MbusDevice(name="meter", address=1, cadence_s=900),
    DlmsDevice(name="meter", cadence_s=900),
    ModbusDevice(name="meter", model="eastron-sdm630-modbus", cadence_s=900),
)
BOUNDARY_MS = NOW_MS // CADENCE_MS * CADENCE_MS + 3 * CADENCE_MS
DAY_MS = 86_400_000
NOON = MeterTime(850_000_950, Precision.SECOND, False, 60)


def read_over(device: Device, jump_ms: int, around_ms: int) -> tuple[list[int], list[int], GatewayClock]:
    """The slots that were read, and every slot that our clock was in, second by second, with one jump at a boundary."""
    time = Time(wall_ms=BOUNDARY_MS - 2 * CADENCE_MS + 1)
    clock, schedule = GatewayClock(time.sources()), Schedule([device], {})
    read, was_in = list[int](), list[int]()
    for _ in range(5 * CADENCE_MS // 1000):
        if not clock.steps and time.wall_ms >= BOUNDARY_MS + around_ms:
            time.wall_ms += jump_ms
            around_ms = 10**15  # once
        clock.check()
        was_in.append(clock.utc_ms() // CADENCE_MS * CADENCE_MS)
        for due in schedule.due(clock.utc_ms(), clock.mono_ms()):
            schedule.read(due)
            read.append(due.slot_ms)
        time.pass_ms(1000)
    return read, was_in, clock


@pytest.mark.parametrize("around_ms", [-5_000, 5_000])
@pytest.mark.parametrize("device", KINDS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("jump_ms", JUMPS_MS)
def test_jump_table_each_slot_that_the_clock_was_in_is_read_once(jump_ms: int, device: Device, around_ms: int) -> None:
    """None twice where it went back, and none is made up where it went ahead."""
    read, was_in, _ = read_over(device, jump_ms, around_ms)
    assert read == list(dict.fromkeys(was_in))


@pytest.mark.parametrize("jump_ms", JUMPS_MS)
def test_rule_5_a_step_above_a_second_is_told_with_its_size_and_a_smaller_one_is_not(jump_ms: int) -> None:
    """What the clock tells here is what the daemon notes as an event."""
    _, _, clock = read_over(KINDS[0], jump_ms, 5_000)
    assert [each.by_ms for each in clock.steps] == ([jump_ms] if abs(jump_ms) > STEP_MS else [])


@pytest.mark.parametrize("jump_ms", [each for each in JUMPS_MS if abs(each) > STEP_MS])
def test_rule_5_what_was_asked_before_a_step_and_answered_after_it_is_not_good(jump_ms: int) -> None:
    """Exactly that reading; the one before and the one after are as good as the clock."""
    time = Time()
    clock = GatewayClock(time.sources())
    before = clock.quality_since(clock.mono_ms())
    asked = clock.mono_ms()
    time.pass_ms(100)
    time.wall_ms += jump_ms
    clock.check()
    assert before.synchronised
    assert not clock.quality_since(asked).synchronised
    time.pass_ms(100)
    assert clock.quality_since(clock.mono_ms()).synchronised == (not clock.unset)


@pytest.mark.parametrize(("ahead_ms", "apart"), [(each, abs(each) >= 10_000) for each in JUMPS_MS if each > -(10**10)])
def test_rule_1_a_meters_clock_beyond_nine_seconds_is_an_event_and_nothing_is_changed(
    ahead_ms: int, apart: bool
) -> None:
    """It has to be beyond them whatever is not known of it: nine seconds give or take one are not."""
    time, told = Time(), list[Event]()
    keeper = ClockKeeper(DlmsDevice(name="meter", cadence_s=900), GatewayClock(time.sources()), told.append)
    time.pass_ms(1_000)
    at_ms = (clocks.utc_ms(NOON) or 0) + 500 - ahead_ms
    keeper.saw(Got(axdr.octet_string(clocks.to_bytes(NOON)), b"", at_ms, time.mono_ms, 400))
    assert [each.code for each in told] == ([events.METER_CLOCK_APART] if apart else [])
    assert keeper.drift is not None
    assert keeper.drift.ms == ahead_ms
    assert not keeper.wants(900)


def test_rule_1_what_tells_of_a_meters_clock_says_from_when_on_its_rows_are_marked() -> None:
    """When it was last seen otherwise: nothing at first, then the last look at which it agreed, or was apart."""
    time, told = Time(), list[Event]()
    keeper = ClockKeeper(DlmsDevice(name="meter", cadence_s=900), GatewayClock(time.sources()), told.append)
    noon_ms = clocks.utc_ms(NOON) or 0
    at_ms = [noon_ms + 500 - ahead_ms for ahead_ms in (0, 100, 11_000, 12_000, 0)]
    for each in at_ms:
        time.pass_ms(1_000)
        keeper.saw(Got(axdr.octet_string(clocks.to_bytes(NOON)), b"", each, time.mono_ms, 400))
    (apart, agreed) = told
    assert apart.parameters == (11_000, 200 + 500 + 5, at_ms[1])
    assert agreed.parameters == (0, 200 + 500 + 5, at_ms[3])


@pytest.mark.parametrize(("trip_ms", "good"), [(17_990, True), (17_992, False)])
def test_rule_2_what_took_too_long_to_be_known_within_nine_seconds_is_not_good(trip_ms: int, good: bool) -> None:
    """Half of the exchange and the clock's own 5 ms together; it is kept with what is known of it."""
    quality, data = GatewayClock(Time().sources()).quality(), axdr.octet_string(b"x")
    only = Got(data, b"", NOW_MS, 1_000, trip_ms)
    made = spanning(only, only, b"", quality, False)
    assert made.quality == TimeQuality(good, trip_ms // 2 + 5)


def test_rule_2_the_gateway_stamps_the_middle_of_the_exchange_and_says_how_long_it_took() -> None:
    """The uncertainty is half of that, and the clock's own."""
    quality = GatewayClock(Time().sources()).quality()
    data = axdr.octet_string(b"x")
    first, last = Got(data, b"", NOW_MS, 1_000, 400), Got(data, b"", NOW_MS + 1_000, 2_000, 400)
    made = spanning(first, last, b"", quality, False)
    assert made.at_ms == NOW_MS + 500
    assert made.round_trip_ms == 1_400
    assert made.quality.uncertainty_ms == 1_400 // 2 + 5


@pytest.mark.parametrize(("days", "good"), [(0, True), (1, True), (2, False), (30, False)])
def test_rule_3_without_a_source_the_uncertainty_grows_and_beyond_nine_seconds_it_is_not_good(
    days: int, good: bool
) -> None:
    """G11: 100 ppm are 8.64 s a day; it is stamped and kept all the same."""
    time = Time(wall_ms=0)
    clock = GatewayClock(time.sources())
    clock.signed(NOW_MS, 200)
    time.pass_ms(days * DAY_MS)
    assert clock.quality().uncertainty_ms == 200 + days * 8_640
    assert clock.quality().synchronised is good
    assert clock.utc_ms() == NOW_MS + 100 + days * DAY_MS


@pytest.mark.parametrize("days", [0, 1, 2, 30])
def test_rule_3_a_system_clock_that_lost_its_source_is_known_less_and_less(days: int) -> None:
    """G11: from the last look at which something disciplined it; nothing disciplines it, so it is not synchronised."""
    time = Time()
    clock = GatewayClock(time.sources())
    time.pass_ms(60_000)
    clock.check()
    time.synchronised = False
    time.pass_ms(days * DAY_MS)
    clock.check()
    assert clock.quality() == TimeQuality(False, 5 + days * 8_640)
    assert clock.shown().uncertainty_ms == 5 + days * 8_640


def test_rule_3_of_a_clock_that_was_set_by_hand_nothing_is_known() -> None:
    """Not until something disciplines it again."""
    time = Time()
    clock = GatewayClock(time.sources())
    time.synchronised = False
    time.wall_ms += 5_000
    clock.check()
    assert clock.quality() == TimeQuality(False, None)
    time.synchronised = True
    clock.check()
    assert clock.quality() == TimeQuality(True, 5)


def test_rule_4_a_clock_that_is_set_later_gives_a_correction_and_stamps_nothing_again() -> None:
    """With the monotonic range and the offset; a step of a clock that was set before corrects nothing."""
    time = Time(wall_ms=0)
    clock = GatewayClock(time.sources())
    begun, stamped = clock.mono_ms(), clock.utc_ms()
    time.pass_ms(60_000)
    time.wall_ms = NOW_MS
    step = clock.check()
    assert step is not None
    assert (step.corrects, step.from_mono_ms, step.mono_ms) == (True, begun, begun + 60_000)
    assert stamped + step.by_ms == NOW_MS - 60_000
    time.wall_ms += 40_000
    step = clock.check()
    assert step is not None
    assert not step.corrects


def test_rule_6_slots_are_on_the_boundaries_of_utc_and_exactly_spaced_for_a_month() -> None:
    """R18: where it is woken when it asked to be, no spacing is beyond a second, let alone nine."""
    schedule, now_ms, mono_ms = Schedule([KINDS[0]], {}), NOW_MS, 0
    began = list[int]()
    while now_ms < NOW_MS + 30 * DAY_MS:
        for due in schedule.due(now_ms, mono_ms):
            schedule.read(due)
            began.append(now_ms)
        wait_ms = schedule.wait_ms(now_ms, mono_ms)
        now_ms, mono_ms = now_ms + wait_ms, mono_ms + wait_ms
    spaces = {later - before for before, later in itertools.pairwise(began[1:])}
    assert spaces == {CADENCE_MS}
    assert len(began) == 30 * 96 + 1
    assert {each % CADENCE_MS for each in began[1:]} == {0}


def test_rule_6_a_pause_after_a_failure_is_counted_by_the_monotonic_clock() -> None:
    """A wall clock that goes back a minute meanwhile does not make it a minute longer, nor one ahead any shorter."""
    for step_ms in (-60_000, 60_000):
        schedule = Schedule([KINDS[0]], {})
        (due,) = schedule.due(BOUNDARY_MS + 100_000, 0)
        schedule.failed(due, 0)
        assert schedule.due(BOUNDARY_MS + 100_000 + step_ms, RETRY_MS - 1) == []
        assert len(schedule.due(BOUNDARY_MS + 100_000 + step_ms, RETRY_MS)) == 1


@pytest.mark.parametrize("wall_ms", [0, 946_684_800_000, BUILD_MS - 1])
def test_rule_7_a_time_before_the_build_is_no_time(wall_ms: int) -> None:
    """1970, 2000, and the instant before this release."""
    clock = GatewayClock(Time(wall_ms=wall_ms).sources())
    assert clock.shown().state is ClockState.UNSET
    assert not clock.quality().synchronised
    assert clock.utc_ms() == BUILD_MS
    assert not GatewayClock(Time(wall_ms=BUILD_MS).sources()).unset


def test_rule_8_an_unset_clock_is_set_by_signed_time_alone_and_a_set_one_never() -> None:
    """The handshake that leaves the dates out until then is tested with the link."""
    unset, good = (GatewayClock(Time(wall_ms=each).sources()) for each in (0, NOW_MS))
    assert unset.unset
    assert unset.signed(NOW_MS, 10) is not None
    assert not unset.unset
    assert good.signed(NOW_MS + 3_600_000, 10) is None
    assert good.utc_ms() == NOW_MS


@pytest.mark.parametrize(("day", "slots"), [((2026, 10, 25), 100), ((2027, 3, 28), 92), ((2026, 11, 22), 96)])
def test_rule_9_summer_time_changes_no_slot_and_a_local_day_has_what_it_lasts(
    day: tuple[int, int, int], slots: int
) -> None:
    """M10: in Prague as in UTC: what is stored is UTC, each quarter of an hour once."""
    zone = ZoneInfo("Europe/Prague")
    first = datetime.datetime(*day, tzinfo=zone)
    last = datetime.datetime(*day, tzinfo=zone) + datetime.timedelta(days=1)  # of the calendar
    begin_ms, end_ms = int(first.timestamp()) * 1000, int(last.timestamp()) * 1000
    schedule, read = Schedule([KINDS[0]], {}), list[int]()
    for now_ms in range(begin_ms, end_ms, 60_000):
        for due in schedule.due(now_ms, now_ms - begin_ms):
            schedule.read(due)
            read.append(due.slot_ms)
    assert len(read) == len(set(read)) == slots
    assert {later - before for before, later in itertools.pairwise(read)} == {CADENCE_MS}
