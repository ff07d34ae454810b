"""Slots of a calendar: days, months and days for bills, in the metering point's zone, across both changes of clocks."""

from __future__ import annotations

import datetime
import json
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from gateway_parts import CADENCE_MS, Rig, reading

from gateway.cadence import Days, Pace, Steps, local, pace_of, starts
from gateway.cli import main
from gateway.config import MbusDevice
from gateway.config_file import read_configuration
from gateway.schedule import KEPT_SLOTS, PATIENT_CAP_MS, Due, Schedule
from gateway.settled import Settled, billing_key
from gateway.upcoming import upcoming
from protocols.settings.model import checked

PRAGUE = "Europe/Prague"
HOUR_MS = 3_600_000
SPRING, AUTUMN = datetime.date(2026, 3, 29), datetime.date(2026, 10, 25)  # 02:00 to 03:00, and 03:00 to 02:00
NIGHT = "daily at 00:10, until 06:00"


def ms(text: str, zone: str = PRAGUE, fold: int = 0) -> int:
    """When the zone's clocks show a time (the first time, or with `fold` the second)."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1000


def spans(pace: Pace, day: datetime.date, days: int = 1) -> list[tuple[str, str]]:
    """The slots that begin on these local days, as the clocks there show them."""
    at_ms, end_ms = ms(f"{day}"), ms(f"{day + datetime.timedelta(days)}")
    found = []
    at_ms = at_ms if starts(pace, at_ms) else pace.next_ms(at_ms)
    while at_ms < end_ms:
        found.append((local(at_ms, PRAGUE), local(pace.last(at_ms)[1], PRAGUE)))
        at_ms = pace.next_ms(at_ms)
    return found


@pytest.mark.parametrize(("day", "quarters"), [(SPRING, 92), (datetime.date(2026, 7, 1), 96), (AUTUMN, 100)])
def test_a_day_has_as_many_quarters_of_an_hour_as_it_is_long(day: datetime.date, quarters: int) -> None:
    """92 where clocks go forward, 100 where they go back; each ends where the next one begins."""
    found = spans(pace_of("15 min", PRAGUE), day)
    assert len(found) == quarters
    assert [end for _, end in found[:-1]] == [begin for begin, _ in found[1:]]


@pytest.mark.parametrize(
    ("text", "day", "begin", "end"),
    [
        (NIGHT, SPRING, "2026-03-29 00:10:00+01:00", "2026-03-29 06:00:00+02:00"),
        (NIGHT, AUTUMN, "2026-10-25 00:10:00+02:00", "2026-10-25 06:00:00+01:00"),
        # A time that is skipped is the change; one that comes twice begins with the first and ends with the second.
        ("daily at 02:30", SPRING, "2026-03-29 03:00:00+02:00", "2026-03-30 02:30:00+02:00"),
        ("daily at 02:30, until 02:45", SPRING, "2026-03-29 03:00:00+02:00", "2026-03-29 03:15:00+02:00"),
        ("daily at 02:30, until 02:45", AUTUMN, "2026-10-25 02:30:00+02:00", "2026-10-25 02:45:00+01:00"),
        ("daily at 23:50, until 06:00", SPRING, "2026-03-29 23:50:00+02:00", "2026-03-30 06:00:00+02:00"),
    ],
)
def test_a_day_on_which_clocks_change_has_its_slot(text: str, day: datetime.date, begin: str, end: str) -> None:
    """Exactly one, at the local time, or at the moment of the change."""
    assert spans(pace_of(text, PRAGUE), day) == [(begin, end)]


@pytest.mark.parametrize(
    ("day", "hours"), [(SPRING, [0, 3, 4, 6, 8]), (AUTUMN, [0, 2, 4, 6, 8])], ids=["spring", "autumn"]
)
def test_steps_of_hours_are_those_of_the_local_clock(day: datetime.date, hours: list[int]) -> None:
    """Every two hours from midnight; 02:00 is skipped in spring, and is not a second one in autumn."""
    found = spans(pace_of("2 h", PRAGUE), day)
    assert [int(begin[11:13]) for begin, _ in found][:5] == hours
    assert len(found) == 12


@pytest.mark.parametrize("day", [*range(1, 32), "last"])
def test_every_month_has_its_day(day: int | str) -> None:
    """Days 29 to 31 are the last one where the month is shorter, 29 February in a leap year, too."""
    pace = pace_of(f"monthly on {day} at 00:10, until 06:00", PRAGUE)
    found = [begin[:10] for begin, _ in spans(pace, datetime.date(2027, 1, 1), 2 * 365 + 1)]
    first = [datetime.date(2027 + month // 12, month % 12 + 1, 1) for month in range(25)]
    last = [(after - datetime.timedelta(1)).day for after in first[1:]]
    wanted = [min(31 if day == "last" else int(day), each) for each in last]
    assert found == [f"{each.replace(day=mine)}" for each, mine in zip(first, wanted, strict=False)]


def test_a_year_has_one_day_for_bills() -> None:
    """The set day of heat, over new year; between the slots none is open."""
    pace = pace_of("yearly on 12-31 at 23:50, until 06:00", PRAGUE)
    assert pace.last(ms("2026-06-01")) == (ms("2025-12-31 23:50"), ms("2026-01-01 06:00"))
    assert pace.span(ms("2026-01-01 05:59:59")) is not None
    assert pace.span(ms("2026-01-01 06:00")) is None
    assert pace.next_ms(ms("2026-01-01 06:00")) == ms("2026-12-31 23:50")


@pytest.mark.parametrize("zone", ["UTC", PRAGUE, "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"])
@pytest.mark.parametrize("text", ["6 h", NIGHT, "daily at 02:15", "monthly on last at 02:30, until 02:20"])
def test_slots_follow_each_other_through_years_and_never_overlap(zone: str, text: str) -> None:
    """Each ends after its beginning and at the latest where the next one begins, in odd zones, too."""
    pace = pace_of(text, zone)
    at_ms = pace.next_ms(ms("2026-01-01", zone))
    while at_ms < ms("2028-01-01", zone):
        begin_ms, end_ms = pace.last(at_ms)
        next_ms = pace.next_ms(at_ms)
        assert begin_ms == at_ms < end_ms <= next_ms
        assert pace.every_s * 1000 - HOUR_MS <= next_ms - begin_ms <= pace.longest_ms
        assert pace.last(next_ms - 1)[0] == begin_ms
        at_ms = next_ms


def test_a_step_of_up_to_an_hour_is_that_of_seconds() -> None:
    """Both words for one thing."""
    assert pace_of("15 min", PRAGUE) == Steps(900) == MbusDevice(name="heat", cadence_s=900).pace
    assert isinstance(pace_of("6 h", PRAGUE), Days)


def heat(**fields: str | int) -> MbusDevice:
    """A meter in Prague."""
    return checked(MbusDevice, {"name": "heat", "address": 1, "timezone": PRAGUE, **fields})


def test_a_daily_meter_is_asked_again_with_growing_pauses_until_the_end() -> None:
    """From 00:10 to 06:00: at first after seconds, later every 15 minutes, and never after it."""
    schedule, asked = Schedule([heat(cadence=NIGHT)], {}), list[int]()
    at_ms, end_ms = ms("2026-10-24 12:00"), ms("2026-10-25 18:00")
    while at_ms < end_ms:
        for due in schedule.due(at_ms, at_ms):
            schedule.failed(due, at_ms)
            asked.append(at_ms)
        at_ms += schedule.wait_ms(at_ms, at_ms)
    assert asked[0] == ms("2026-10-25 00:10")
    assert ms("2026-10-25 06:00") - PATIENT_CAP_MS <= asked[-1] < ms("2026-10-25 06:00")
    pauses = [after - before for before, after in pairwise(asked)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (2_000, PATIENT_CAP_MS)
    assert len(asked) < 40  # of an hour more than other nights have


def missed(schedule: Schedule, at_ms: int) -> list[tuple[str, bool]]:
    """What is told then, in local time, and whether it was for bills."""
    return [(local(due.slot_ms, PRAGUE)[:16], due.billing) for due in schedule.missed(at_ms)]


def test_a_slot_that_is_over_without_a_reading_is_told_once() -> None:
    """Also those of an outage of the gateway; not what was over before the meter was known, and no short slot."""
    mine = heat(cadence="1 h", billing=NIGHT)
    fresh = Schedule([mine], {})
    assert missed(fresh, ms("2026-10-20 12:00")) == []
    assert missed(fresh, ms("2026-10-21 05:59")) == []
    assert missed(fresh, ms("2026-10-21 06:00")) == [("2026-10-21 00:10", True)]
    assert missed(fresh, ms("2026-10-21 06:00")) == []
    again = Schedule([mine], {billing_key("heat"): [ms("2026-10-22 00:10")]})
    due = again.due(ms("2026-10-26 00:10"), 0)[0]
    assert missed(again, ms("2026-10-26 00:10")) == [(f"2026-10-{day} 00:10", True) for day in (23, 24, 25)]
    again.read(due)
    assert missed(again, ms("2026-10-26 23:00")) == []


def test_bills_go_first_and_one_slot_serves_both() -> None:
    """The reading at midnight of the first is that of the hour and that of the bill; at 06:00 it is over."""
    now_ms, water = ms("2026-11-01 00:05"), MbusDevice(name="water", address=2, cadence_s=60)
    mine = heat(cadence="1 h", billing="monthly on 1 at 00:00, until 06:00")
    schedule = Schedule([water, mine], {})
    first, second = schedule.due(now_ms, 0)
    assert first == Due(mine, ms("2026-11-01"), ms("2026-11-01 06:00"), billing=True)
    assert second.device.name == "water"
    hour_later = [(due.device.name, due.billing) for due in schedule.due(now_ms + HOUR_MS, 0)]
    assert hour_later == [("heat", True), ("water", False), ("heat", False)]
    schedule.read(first)
    assert [due.device.name for due in schedule.due(now_ms, 0)] == ["water"]
    assert [due.billing for due in schedule.due(ms("2026-11-01 06:00"), 0)] == [False, False]


def test_a_bill_that_was_read_is_not_read_again_after_a_restart_however_often_the_meter_is_read(tmp_path: Path) -> None:
    """Its slot is remembered apart: more slots of the cadence than are remembered pass while it is open."""
    rig = Rig(tmp_path)
    first_ms = ms("2026-11-01")
    mine = heat(cadence="15 min", billing="monthly on 1 at 00:00")
    found = [reading(first_ms + CADENCE_MS * n) for n in range(2 * KEPT_SLOTS)]
    for each in found:
        settled = Settled.by([each], {"heat": mine.billing_pace})
        assert (billing_key("heat") in dict(settled.slots)) is (each.slot_ms == first_ms)
    rig.buffer.quarantine([], Settled.by(found, {"heat": mine.billing_pace}))
    slots = rig.buffer.known().slots
    assert first_ms not in slots["heat"]
    now_ms = first_ms + CADENCE_MS * 2 * KEPT_SLOTS
    assert [due.billing for due in Schedule([mine], slots).due(now_ms, 0)] == [False]


CONFIG = """
gateway = "boiler-room-7"
state_folder = "state"
keys_folder = "keys"
timezone = "Europe/Prague"
[broker]
host = "broker.example"
port = 8883
[[bus]]
name = "riser"
protocol = "mbus"
port = "/dev/serial/by-id/usb"
[[bus.device]]
name = "heat"
address = 1
cadence = "daily at 00:10, until 06:00"
billing = "monthly on last at 23:50, until 06:00"
manufacturer = "KAM"
version = 48
medium = 4
[[bus.device]]
name = "water"
address = 2
cadence_s = 900
timezone = "Europe/Lisbon"
"""


def test_what_is_read_next_is_said_in_the_zone_of_the_metering_point(tmp_path: Path) -> None:
    """With the offset of that day: the night before clocks go back it begins in summer time and ends in winter time."""
    (tmp_path / "gateway.toml").write_text(CONFIG)
    found = list(upcoming(read_configuration(tmp_path / "gateway.toml"), ms("2026-10-24 12:00")))
    assert [(each.device, each.begin, each.end) for each in found] == [
        ("heat", "2026-10-25 00:10:00+02:00", "2026-10-25 06:00:00+01:00"),
        ("heat", "2026-10-31 23:50:00+01:00", "2026-11-01 06:00:00+01:00"),
        ("water", "2026-10-24 11:15:00+01:00", "2026-10-24 11:30:00+01:00"),
    ]


def test_check_shows_what_is_read_next_and_counts_both_readings_of_a_battery(tmp_path: Path) -> None:
    """A line for each meter, and one more for bills; a day has at most one of both."""
    (tmp_path / "gateway.toml").write_text(CONFIG)
    command = ["check", "--config", str(tmp_path / "gateway.toml")]
    lines = CliRunner().invoke(main, command).output.partition("next readings\n")[2].splitlines()
    assert [each.split(": ")[0].strip() for each in lines[:3]] == ["riser/heat", "riser/heat", "riser/water"]
    said = json.loads(CliRunner().invoke(main, [*command, "--json"]).output)
    assert [each["billing"] for each in said["upcoming"]] == [False, True, False]
    assert [each["reads_a_day"] for each in said["batteries"]] == [2, 96]
