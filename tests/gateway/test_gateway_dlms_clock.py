"""A meter's clock: drift with its uncertainty, and adjusting it within limits, inside a quarter of an hour."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dlms_street import Street

from gateway import events
from gateway.dlms_clock import GUARD_S, ClockKeeper, Drift, drift_of, keeps_interval
from gateway.poll import BusPoller
from gateway.schedule import Schedule
from gateway.settled import Settled
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.errors import LinkError
from protocols.models.dlms import Adjusting
from protocols.reading import How, MeterTime, Precision, Reading, State, TimeQuality
from protocols.transports.dlms import Got
from protocols.uplink.records import Event

DAY_MS, MINUTE_MS, QUARTER_MS = 86_400_000, 60_000, 900_000
GOOD = TimeQuality(synchronised=True, uncertainty_ms=5)
NOON = MeterTime(850_000_950, Precision.SECOND, False, 60)


def answer(time: MeterTime, apart_ms: int, round_trip_ms: int = 400) -> Got:
    """The clock as it was read when it was ahead of ours by so much, half a second into what it shows."""
    at_ms = (clocks.utc_ms(time) or 0) + 500 - apart_ms
    return Got(axdr.octet_string(clocks.to_bytes(time)), b"", at_ms, 1_001_000, round_trip_ms)


class Sink:
    """Takes what a poller brings."""

    def __init__(self, street: Street) -> None:
        self.street, self.has_room = street, True
        self.events = street.events
        self.rounds = 0

    def take(self, found: list[Reading]) -> None:
        """Committed at once."""
        self.street.positions.committed(Settled.by(found, {}).rows)

    def note(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    async def round_over(self) -> None:
        """Count it."""
        self.rounds += 1


class Life:
    """A poller of the meter, moved by hand."""

    def __init__(self, street: Street, **given: object) -> None:
        self.street, self.device = street, street.device(**given)
        self.reader, self.sink = street.reader(self.device), Sink(street)
        schedule = Schedule([self.device], {})
        self.poller = BusPoller("street", self.reader, schedule, street.clock, self.sink, self.reader.tend)

    async def pass_ms(self, ms: int, step_ms: int = MINUTE_MS) -> None:
        """Let time pass; the poller looks in every minute."""
        for _ in range(ms // step_ms):
            self.street.time.pass_ms(step_ms)
            await self.poller._round()
            await self.poller._tend()

    def told(self, code: str) -> list[Event]:
        """The events of this code."""
        return [each for each in self.street.events if each.code == code]


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    """A meter whose clock loses seven seconds a minute after the start."""
    found = Street(tmp_path, "step=-7@60", history_rows=2)
    await found.start()
    yield found
    await found.stop()


def test_drift_comes_with_half_the_round_trip_half_a_second_and_our_own_uncertainty() -> None:
    """A clock shows whole seconds: on average half of one has passed."""
    assert drift_of(answer(NOON, 3_000), GOOD) == Drift(3_000, 200 + 500 + 5)
    minute = MeterTime(NOON.seconds // 60 * 60, Precision.MINUTE, False, 60)
    octets = bytearray(clocks.to_bytes(minute))
    octets[7] = 0xFF
    found = Got(axdr.octet_string(bytes(octets)), b"", (clocks.utc_ms(minute) or 0) + 30_000, 0, 400)
    assert drift_of(found, GOOD) == Drift(0, 200 + 30_000 + 5)


@pytest.mark.parametrize("quality", [TimeQuality(synchronised=False, uncertainty_ms=5), TimeQuality(True, None)])
def test_an_unknown_clock_of_ours_measures_nothing(quality: TimeQuality) -> None:
    """Who is wrong is not known then."""
    assert drift_of(answer(NOON, 3_000), quality) is None


def test_a_clock_without_an_offset_has_no_drift() -> None:
    """Its zone is never guessed."""
    local = MeterTime(NOON.seconds, Precision.SECOND)
    assert drift_of(Got(axdr.octet_string(clocks.to_bytes(local)), b"", 0, 0, 0), GOOD) is None


def test_no_end_of_an_interval_is_crossed_or_near() -> None:
    """From either side, and of a shorter capture period too."""
    assert keeps_interval(450, 60, ())
    assert not keeps_interval(890, 20, ())
    assert not keeps_interval(905, -10, ())
    assert not keeps_interval(900 + GUARD_S - 1, 5, ())
    assert not keeps_interval(310, -15, (300,))


async def test_a_clock_is_shifted_once_and_told_with_before_after_drift_and_who(street: Street) -> None:
    """The meter's own log has both times, too."""
    life = Life(street, model="idis", adjust_clock=True, logs=[], further_profiles=[])
    before_ms = street.meter.clock.ms() - street.time.wall_ms
    await life.pass_ms(2 * QUARTER_MS)
    assert before_ms == 0
    assert abs(street.meter.clock.ms() - street.time.wall_ms) <= 1_000
    (told,) = life.told(events.METER_CLOCK_ADJUSTED)
    before, after, drift_ms, around_ms, left_ms, left_around_ms, by_s, how, who = told.parameters
    assert isinstance(before, bytes)
    assert isinstance(after, bytes)
    times = [clocks.from_bytes(each).time for each in (before, after)]
    assert times[0] is not None
    assert times[1] is not None
    assert times[1].seconds - times[0].seconds == by_s
    assert times[0].seconds // 900 == times[1].seconds // 900
    assert (how, who) == ("shift", "configuration")
    assert isinstance(drift_ms, int)
    assert isinstance(around_ms, int)
    assert abs(drift_ms + 7_000) <= around_ms < 1_000
    assert isinstance(left_ms, int)
    assert isinstance(left_around_ms, int)
    assert abs(left_ms) <= left_around_ms
    assert life.sink.rounds > 0
    codes = [int(each.values["1/0-0:96.11.0.255/2"]["m"]) for each in street.recorded("event", "1/0-0:96.11.0.255/2")]
    assert codes.count(4) == codes.count(5) == 1
    assert [each.parameters[0] for each in life.told(events.METER_CLOCK_APART)][-1] == 0


@pytest.mark.parametrize("given", [{}, {"model": "idis"}], ids=["without a model", "not asked for"])
async def test_a_clock_that_may_not_be_moved_is_only_watched(street: Street, given: dict[str, object]) -> None:
    """It is told once that it is apart; nine seconds are allowed where no model says less."""
    life = Life(street, logs=[], further_profiles=[], **given)
    await life.pass_ms(4 * QUARTER_MS)
    assert street.meter.clock.ms() - street.time.wall_ms == -7_000
    assert len(life.told(events.METER_CLOCK_APART)) == (1 if given else 0)
    assert life.told(events.METER_CLOCK_ADJUSTED) == []


@pytest.mark.parametrize("habits", ["step=-61@60", "step=-2@60", "step=-7@60,no-deviation"])
async def test_beyond_or_below_the_limits_and_without_an_offset_it_is_left_alone(tmp_path: Path, habits: str) -> None:
    """3 to 60 seconds; and no zone is guessed."""
    street = Street(tmp_path, habits, history_rows=2)
    await street.start()
    life = Life(street, model="idis", adjust_clock=True, logs=[], further_profiles=[])
    await life.pass_ms(2 * QUARTER_MS)
    await street.stop()
    assert life.told(events.METER_CLOCK_ADJUSTED) == []


async def test_a_gateway_that_does_not_know_the_time_moves_no_clock(street: Street) -> None:
    """Nor does it say that the meter's is wrong."""
    street.time.synchronised = False
    life = Life(street, model="idis", adjust_clock=True, logs=[], further_profiles=[])
    await life.pass_ms(2 * QUARTER_MS)
    assert street.events == []


async def test_a_clock_that_cannot_be_shifted_is_set(tmp_path: Path) -> None:
    """To what it shows then and the seconds that it lacks, with its own offset from UTC."""
    street = Street(tmp_path, "step=-7@60,no-shift", history_rows=2)
    await street.start()
    life = Life(street, model="idis", adjust_clock=True, logs=[], further_profiles=[])
    keeper = life.reader._meters["pump"].keeper
    assert keeper is not None
    keeper._limits = Adjusting("set", 3, 60)
    await life.pass_ms(2 * QUARTER_MS)
    await street.stop()
    (told,) = life.told(events.METER_CLOCK_ADJUSTED)
    assert told.parameters[7] == "set"
    assert abs(street.meter.clock.ms() - street.time.wall_ms) <= 1_000


async def test_a_clock_is_moved_in_the_middle_of_an_interval_only(tmp_path: Path) -> None:
    """The visit is twenty seconds after a quarter by our clock, and ten before it by the meter's: it is waited for."""
    street = Street(tmp_path, "step=-30@600", history_rows=2)
    await street.start()
    life = Life(street, model="idis", adjust_clock=True, logs=[], further_profiles=[])
    await life.pass_ms(2 * QUARTER_MS)
    await street.stop()
    (told,) = life.told(events.METER_CLOCK_ADJUSTED)
    shown = [clocks.from_bytes(each).time for each in told.parameters[:2] if isinstance(each, bytes)]
    quarters = {(each.seconds + at) // 900 for each in shown if each is not None for at in (-GUARD_S, GUARD_S)}
    assert len(shown) == 2
    assert len(quarters) == 1


async def test_a_refusal_is_told_once_a_day(tmp_path: Path) -> None:
    """And readings go on."""
    street = Street(tmp_path, "step=-7@60,fixed-clock", history_rows=2)
    await street.start()
    life = Life(street, model="idis", adjust_clock=True, logs=[], further_profiles=[])
    await life.pass_ms(4 * QUARTER_MS)
    (told,) = life.told(events.METER_CLOCK_FAILED)
    assert told.parameters[0] == "PLB-M308"
    await life.pass_ms(DAY_MS, QUARTER_MS // 3)
    await street.stop()
    assert len(life.told(events.METER_CLOCK_FAILED)) == 2


async def test_a_clock_that_drifts_is_moved_once_a_day_at_most(tmp_path: Path) -> None:
    """200 ppm are seventeen seconds a day."""
    street = Street(tmp_path, "ppm=200", history_rows=2)
    await street.start()
    life = Life(street, model="idis", adjust_clock=True, logs=[], further_profiles=[])
    await life.pass_ms(2 * DAY_MS, QUARTER_MS // 3)
    await street.stop()
    assert len(life.told(events.METER_CLOCK_ADJUSTED)) == 2


async def test_a_line_that_goes_while_the_clock_is_moved_is_told(street: Street) -> None:
    """Nobody knows whether it was moved."""
    keeper = ClockKeeper(street.device(model="idis", adjust_clock=True), street.clock, street.events.append)

    class Gone:
        """An association that breaks off behind the question."""

        async def get(self, attribute: object) -> Got:
            return answer(NOON, -7_000)

        async def act(self, method: object, parameter: object) -> None:
            raise LinkError("a line", "none", "street")

    keeper.saw(answer(NOON, -7_000))
    with pytest.raises(LinkError):
        await keeper.adjust(Gone(), 900)  # type: ignore[arg-type]
    assert [each.code for each in street.events] == [events.METER_CLOCK_APART, events.METER_CLOCK_FAILED]


@pytest.mark.parametrize(("habits", "configured"), [("reversed", None), ("", "reversed")])
async def test_an_offset_of_the_other_sign_is_told_once_and_its_rows_are_doubtful(
    tmp_path: Path, habits: str, configured: str | None
) -> None:
    """Whichever side has it wrong: what is sealed is what the meter shows, and feeds no billing."""
    street = Street(tmp_path, habits, history_rows=8)
    await street.start()
    device = street.device(history_days=1, offset_sign=configured)
    reader = street.reader(device)
    found: list[Reading] = []
    for _ in range(3):
        found += await street.visit(reader, device)
        street.time.pass_ms(QUARTER_MS)
    await street.stop()
    rows = [each for each in found if each.how is How.PROFILE]
    assert [str(each.meter_time) for each in rows] == [each.time for each in street.recorded("row")]
    assert {value.state for each in rows for value in each.values} == {State.UNKNOWN}
    assert [each.meter_time for each in found if each.how is How.READ] == [None] * 3
    (told,) = (each for each in street.events if each.code == events.METER_OFFSET_DOUBTFUL)
    assert f'offset_sign = "{"standard" if configured else "reversed"}"' in str(told.parameters[1])


@pytest.mark.parametrize("step", ["-5400@0", "-7200@60"])
async def test_a_clock_that_is_hours_wrong_otherwise_has_no_offset_of_the_other_sign(tmp_path: Path, step: str) -> None:
    """It is apart, and its rows are as they are: by another step, or by as much when it had been right before."""
    street = Street(tmp_path, f"step={step}", history_rows=8)
    await street.start()
    device = street.device(history_days=1)
    reader = street.reader(device)
    found = await street.visit(reader, device)
    street.time.pass_ms(QUARTER_MS)
    found += await street.visit(reader, device)
    await street.stop()
    assert {value.state for each in found for value in each.values} == {State.OK}
    assert [each.code for each in street.events] == [events.METER_CLOCK_APART]
