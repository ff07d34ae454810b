"""From readings to intervals: exact, conserved over exchanges and corrections, never a number for what is missing."""

from __future__ import annotations

import datetime
from dataclasses import replace
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from collector.attribute.clock import SKIPPED, TWICE, Clock
from collector.attribute.intervals import Near
from collector.attribute.page import page
from collector.attribute.samples import number_of, served
from collector.attribute.words import Seen, Served
from collector.grid import day_number, edges
from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.dated import Span
from collector.master.meters import Edge, Installation, Kind, Register, Stood
from collector.master.points import Medium
from collector.quality import each_of
from collector.store.curves import Curve
from protocols.reading import (
    Float32,
    How,
    Identity,
    MeterTime,
    NativeKey,
    Precision,
    Protocol,
    Scaled,
    Status,
    TimeQuality,
    Value,
)
from protocols.reading import State as Shown
from protocols.uplink.leaf import SealedReading

ZONE = "Europe/Budapest"
KEY = NativeKey.dlms(3, bytes([1, 0, 1, 8, 0, 255]), 2)
DAY = day_number(datetime.date(2026, 6, 1))
START = edges(ZONE, Cadence.HOUR, DAY)[0]
HOUR = 3_600_000
ALL = Span(0)
HOURLY = Channel("P", "energy", "energy", "total", Cadence.HOUR, Aggregate.SUM, ALL)
TOTAL = Register("M", "total", KEY, Kind.TOTAL, "energy", "kWh", Fraction(1), Scaled(10_000), Scaled(1, -1), ALL)
INSTALLED = Installation("P", "M", ALL, "+01:00")


def read(number: Scaled, at_ms: int, unit: str = "kWh", state: Shown = Shown.OK) -> Seen:
    """A spot read of the total."""
    time = TimeQuality(True, 10)
    value = Value(KEY, unit, number, state)
    meter = Identity(Protocol.DLMS, id="1")
    sealed = SealedReading(
        meter, "m", None, How.READ, None, None, at_ms, 0, 0, time, bytes(32), None, Status.NONE, 0, (value,)
    )
    return Seen(sealed, f"at {at_ms}")


def row(number: int, shown: str, how: How = How.PROFILE, *, summer: bool = False, part: int = 0) -> Seen:
    """A row of the meter's memory with the time that it shows."""
    precision = Precision.DAY if len(shown) == 10 else Precision.MINUTE
    time = MeterTime.from_calendar(datetime.datetime.fromisoformat(shown), precision, summer)
    seen = read(Scaled(number), START)
    return replace(seen, reading=replace(seen.reading, how=how, meter_time=time, part=part), moment=f"{shown} {part}")


def made(*meters: Served, channel: Channel = HOURLY, day: int = DAY, medium: Medium = Medium.ELECTRICITY) -> Curve:
    """The page of a day."""
    return page(channel, ZONE, day, Near.of(channel.cadence, medium), meters)


def of(*readings: Seen, register: Register = TOTAL, installation: Installation = INSTALLED) -> Served:
    """What one meter served."""
    return served(installation, [register], readings, 36_000, HOUR)


def wh(curve: Curve) -> list[int | None]:
    """The values in Wh."""
    return [None if each is None else each // 3_600 for each in curve.values]


def states(curve: Curve) -> list[str]:
    """State, and reason where there is one, of each interval."""
    return [f"{each.state} {each.reason}".strip() for each in each_of(curve.runs)]


def test_the_intervals_are_the_differences_of_the_register() -> None:
    """Reads on the hour, a few seconds late: raw, and what is behind the last one is missing."""
    reads = [read(Scaled(1_000 + 7 * hour, -1), START + hour * HOUR + 20_000) for hour in range(4)]
    curve = made(of(*reads))
    assert wh(curve)[:4] == [700, 700, 700, None]
    assert states(curve)[:4] == ["raw", "raw", "raw", "missing no-reading"]


def test_reads_beside_the_hour_are_interpolated_and_nothing_is_lost() -> None:
    """Values are derived, and their sum is what the register says between two boundaries, to the joule."""
    reads = [read(Scaled(1_000 + hour * hour, -1), START + hour * HOUR - HOUR // 3) for hour in range(26)]
    curve = made(of(*reads))
    assert set(states(curve)) == {"derived"}
    ends = [Fraction(hour * hour * 2, 3) + Fraction((hour + 1) ** 2, 3) for hour in (0, 24)]
    assert sum(each or 0 for each in curve.values) == round((ends[1] - ends[0]) * 360_000 - Fraction(1, 2)) + 0


def test_a_read_that_was_missed_leaves_two_intervals_missing() -> None:
    """Never a zero, and never a straight line through a gap."""
    reads = [read(Scaled(1_000 + hour), START + hour * HOUR) for hour in range(6) if hour != 3]
    assert wh(made(of(*reads)))[:6] == [1_000, 1_000, None, None, 1_000, None]


@pytest.mark.parametrize("state", [Shown.INVALID, Shown.ERROR_STATE, Shown.UNKNOWN])
def test_a_value_that_is_not_ok_never_feeds(state: Shown) -> None:
    """What is missing says why."""
    reads = [read(Scaled(1_000 + hour), START + hour * HOUR) for hour in range(4)]
    reads[2] = read(Scaled(1_002), START + 2 * HOUR, state=state)
    assert states(made(of(*reads)))[:3] == ["raw", *[f"missing {state.name.lower()}"] * 2]


@pytest.mark.parametrize("doubt", ["conflict", "held", "partial"])
def test_a_reading_in_doubt_never_feeds(doubt: str) -> None:
    """In conflict, held, or not whole: the intervals beside it are missing and say so."""
    reads = [read(Scaled(1_000 + hour), START + hour * HOUR) for hour in range(4)]
    reads[2] = replace(reads[2], doubt=doubt)
    assert states(made(of(*reads)))[:3] == ["raw", *[f"missing {doubt}"] * 2]


def test_a_unit_of_something_else_never_feeds() -> None:
    """Volume in an energy register is a doubt; another unit of energy is taken as sealed."""
    reads = [read(Scaled(1), START), read(Scaled(1_500), START + HOUR, "Wh"), read(Scaled(3), START + 2 * HOUR, "m3")]
    assert states(made(of(*reads)))[:3] == ["raw", *["missing unit"] * 2]
    assert wh(made(of(*reads)))[0] == 500


def test_a_rollover_is_explained_by_the_modulus_and_a_step_back_is_not() -> None:
    """9,999 to 1 at 10,000 is 2; 5,000 to 4,999 is kept as it is, in doubt on both sides."""
    over = made(of(*[read(Scaled(each), START + hour * HOUR) for hour, each in enumerate((9_998, 9_999, 1, 2))]))
    assert wh(over)[:3] == [1_000, 2_000, 1_000]
    assert [each.method for each in each_of(over.runs)][:3] == ["", "rollover", ""]
    back = made(
        of(*[read(Scaled(each), START + hour * HOUR) for hour, each in enumerate((5_000, 5_001, 4_999, 5_000))])
    )
    assert wh(back)[:3] == [1_000, -2_000, 1_000]
    assert states(back)[:3] == ["questionable backward"] * 3


def test_an_exchange_adds_what_both_meters_counted() -> None:
    """At half past, with final and initial values: the hour has both parts, and is not interpolated."""
    at = START + 2 * HOUR + HOUR // 2
    old = replace(INSTALLED, span=Span(0, at), final=(Stood("total", Scaled(1_025, -1)),))
    new = Installation("P", "N", Span(at), "+01:00", initial=(Stood("total", Scaled(5)),))
    before = of(*[read(Scaled(100 + hour), START + hour * HOUR) for hour in range(3)], installation=old)
    reads = [read(Scaled(2 + hour), START + hour * HOUR) for hour in range(4, 6)]
    third = read(Scaled(54, -1), START + 3 * HOUR)
    after = of(third, *reads, register=replace(TOTAL, meter="N"), installation=new)
    curve = made(before, after)
    assert wh(curve)[:5] == [1_000, 1_000, 900, 600, 1_000]
    assert states(curve)[:5] == ["raw"] * 5
    unknown = made(before, replace(after, samples=after.samples[1:]))
    assert states(unknown)[2] == "missing exchange"


def test_a_corrected_factor_counts_from_its_date_on() -> None:
    """The register stands where it stood; the hour of the change is the sum of both sides."""
    at = START + HOUR + HOUR // 2
    rows = [replace(TOTAL, span=Span(0, at)), replace(TOTAL, span=Span(at), factor=Fraction(3))]
    reads = [read(Scaled(100 + hour), START + hour * HOUR) for hour in range(4)]
    curve = made(served(INSTALLED, rows, reads, 36_000, HOUR))
    assert wh(curve)[:3] == [1_000, 2_000, 3_000]
    assert states(curve)[:3] == ["raw", "derived", "raw"]


def test_a_change_of_unit_loses_and_makes_nothing() -> None:
    """From GJ to MWh the meter shows less at first, by less than a step: it stands until that is passed."""
    rows = [
        replace(TOTAL, unit="GJ", step=Scaled(1, -2), modulus=None, span=Span(0, START + 2 * HOUR - 1)),
        replace(TOTAL, unit="MWh", step=Scaled(1, -3), modulus=None, span=Span(START + 2 * HOUR - 1)),
    ]
    shown = [(1_233, -2, "GJ"), (1_234, -2, "GJ"), (3_427, -3, "MWh"), (3_427, -3, "MWh"), (3_429, -3, "MWh")]
    reads = [read(Scaled(m, e), START + hour * HOUR, unit) for hour, (m, e, unit) in enumerate(shown)]
    curve = made(served(INSTALLED, rows, reads, 36_000, HOUR))
    assert curve.values[:4] == (10_000_000, 0, 0, 4_400_000)
    later = made(replace(served(INSTALLED, rows, reads[2:], 36_000, HOUR), floor=of(reads[1]).samples[0]))
    assert later.values[:4] == (None, None, 0, 4_400_000)


def test_a_clock_without_flags_shows_an_hour_twice_by_order() -> None:
    """Quarters of the autumn day at the meter's local time: 100 amounts, each in its place."""
    day = day_number(datetime.date(2026, 10, 25))
    bounds = edges(ZONE, Cadence.QUARTER, day)
    readings: list[Seen] = []
    told: dict[str, int] = {}
    for number, at in enumerate(bounds):
        local = datetime.datetime.fromtimestamp(at / 1_000, ZoneInfo(ZONE)).strftime("%Y-%m-%dT%H:%M")
        told[local] = told.get(local, -1) + 1
        readings.append(row(1_000 + number * number, local, part=told[local]))
    installation = replace(INSTALLED, clock=ZONE)
    channel = replace(HOURLY, cadence=Cadence.QUARTER)
    curve = made(of(*reversed(readings), installation=installation), channel=channel, day=day)
    assert wh(curve) == [(2 * number + 1) * 1_000 for number in range(100)]
    assert set(states(curve)) == {"raw"}


def test_the_clock_says_when_it_was() -> None:
    """Deviation before flag before zone; a skipped time and a lonely one of the double hour are in doubt."""

    def shown(text: str, *, summer: bool = False, deviation: int | None = None) -> MeterTime:
        time = MeterTime.from_calendar(datetime.datetime.fromisoformat(text), Precision.MINUTE, summer)
        return replace(time, deviation_min=deviation)

    def utc(clock: Clock, time: MeterTime, nth: int = 0, of: int = 1) -> tuple[str, str]:
        found = clock.instant(time, nth, of)
        return datetime.datetime.fromtimestamp(found.at_ms / 1_000, datetime.UTC).strftime("%dT%H:%M"), found.doubt

    zone, all_year, flags = Clock(ZONE), Clock("+01:00"), Clock(ZONE, flags=True)
    assert utc(zone, shown("2026-07-01T12:00", deviation=0)) == ("01T12:00", "")
    assert utc(all_year, shown("2026-07-01T12:00")) == ("01T11:00", "")
    assert utc(all_year, shown("2026-07-01T12:00", summer=True)) == ("01T10:00", "")
    assert utc(zone, shown("2026-07-01T12:00")) == ("01T10:00", "")
    assert utc(flags, shown("2026-10-25T02:30", summer=True)) == ("25T00:30", "")
    assert utc(flags, shown("2026-10-25T02:30")) == ("25T01:30", "")
    assert [utc(zone, shown("2026-10-25T02:30"), nth, 2) for nth in (0, 1)] == [("25T00:30", ""), ("25T01:30", "")]
    assert utc(zone, shown("2026-10-25T02:30")) == ("25T00:30", TWICE)
    assert utc(zone, shown("2026-03-29T02:30")) == ("29T01:30", SKIPPED)
    assert utc(zone, shown("2026-03-29T02:00")) == ("29T01:00", "")


def test_amounts_of_a_profile_are_summed_as_they_are_by_the_edge_of_their_stamps() -> None:
    """Quarters into hours; a stamp names the end or the start; where a quarter lacks the hour is missing."""
    register = replace(TOTAL, kind=Kind.INTERVAL, modulus=None)
    times = [(f"2026-06-01T{hour:02}:{minute:02}", hour) for hour in range(24) for minute in (0, 15, 30, 45)]
    rows = [row(1 + hour, shown) for shown, hour in times]
    standard = replace(INSTALLED, clock="+02:00")
    ends = made(of(*rows, register=register, installation=standard))
    assert wh(ends)[:3] == [5_000, 9_000, 13_000]
    starts = made(of(*rows, register=register, installation=replace(standard, interval_edge=Edge.START)))
    assert wh(starts)[:3] == [4_000, 8_000, 12_000]
    holes = made(of(*rows[:5], *rows[6:], register=register, installation=replace(standard, interval_edge=Edge.START)))
    assert wh(holes)[:3] == [4_000, None, 12_000]


def test_a_storage_of_a_day_is_of_its_start_or_of_its_end() -> None:
    """By what the installation says of the meter's stamps."""
    channel = replace(HOURLY, cadence=Cadence.DAY)
    rows = [row(100 + day, f"2026-06-0{day}", How.STORAGE) for day in (1, 2, 3)]
    first = day_number(datetime.date(2026, 6, 1))
    local = replace(INSTALLED, clock=ZONE)
    assert wh(made(of(*rows, installation=local), channel=channel, day=first))[:3] == [1_000, 1_000, None]
    ends = replace(local, day_edge=Edge.END)
    assert wh(made(of(*rows, installation=ends), channel=channel, day=first))[:4] == [None, 1_000, 1_000, None]


def test_a_gateway_without_a_good_clock_makes_its_reads_doubtful() -> None:
    """TRUST R20: kept, flagged, never as good."""
    reads = [read(Scaled(1_000 + hour), START + hour * HOUR) for hour in range(3)]
    reads[1] = replace(reads[1], reading=replace(reads[1].reading, quality=TimeQuality(False, None)))
    assert states(made(of(*reads)))[:2] == ["questionable clock"] * 2


def test_a_float_is_taken_by_its_bits() -> None:
    """Exactly, also near zero and below; what is no number has none."""
    assert number_of(Float32(0x42F6E979, -1)) == Fraction(16_181_625, 131_072) / 10
    assert number_of(Float32(0xC0200000)) == Fraction(-5, 2)
    assert number_of(Float32(0x00000001)) == Fraction(1, 2**149)
    assert number_of(Float32(0x7F800000)) is None
