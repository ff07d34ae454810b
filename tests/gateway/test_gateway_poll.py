"""Polling the simulated meters: every poll ends in exactly one of readings or a failure, and events tell of changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cellar_parts import BusLine, Kept, device
from gateway_parts import GOOD, NOW_MS, Time

from gateway import events
from gateway.clock import GatewayClock
from gateway.config import MbusBus as BusConfig
from gateway.config import MbusDevice as Device
from gateway.lines import Opened
from gateway.mbus import MbusReader
from gateway.poll import BusPoller
from gateway.schedule import Schedule
from simulators.mbus.bus import Bus, Slave
from simulators.mbus.faults import Faults
from simulators.mbus.meters import cellar
from simulators.record import Record


class Cellar:
    """Three meters, the poller of their bus, and what it gave."""

    def __init__(self, folder: Path, *devices: Device, faults: str = "") -> None:
        self.time, self.kept = Time(), Kept()
        self.bus = Bus(cellar(), Record(folder / "record.jsonl"), lambda: self.time.wall_ms, 1, Faults.parse(faults))
        self.lines: list[BusLine] = []
        config = BusConfig(protocol="mbus", name="cellar", port="line", device=devices)
        clock = GatewayClock(self.time.sources())
        reader = MbusReader(config, self.open, clock, keep=True)
        self.poller = BusPoller("cellar", reader, Schedule(devices, {}), clock, self.kept)

    async def open(self) -> Opened:
        """A new line to the same slaves."""
        self.lines.append(BusLine(self.bus, self.time))
        return Opened(self.lines[-1])

    async def round(self, pass_ms: int = 0) -> None:
        """One round, after some time."""
        self.time.pass_ms(pass_ms)
        await self.poller._round()

    def codes(self) -> list[str]:
        """The codes of all events."""
        return [event.code for event in self.kept.events]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Cellar]:
    """Makes a cellar with these devices."""
    return lambda *devices, faults="": Cellar(tmp_path, *devices, faults=faults)


async def test_a_round_reads_each_device_once_and_seals(make: Callable[..., Cellar]) -> None:
    """Three meters, three readings in their slot, one seal; nothing is due again."""
    site = make(device("one", 1), device("two", 2), device("three", 3))
    await site.round()
    await site.round()
    assert [each.device for each in site.kept.readings] == ["one", "two", "three"]
    assert site.kept.rounds == 1
    for each in site.kept.readings:
        assert each.slot_ms == NOW_MS // 900_000 * 900_000
        assert each.values
        assert each.exchange.quality.synchronised == GOOD.synchronised
        assert each.exchange.telegram[0] == 0x68


async def test_a_silent_meter_is_one_event_and_costs_the_others_nothing(make: Callable[..., Cellar]) -> None:
    """It is asked again while its slot is open; recovery would be the next event."""
    site = make(device("silent", 9), device("one", 1))
    await site.round()
    for _ in range(5):
        await site.round(10_000)
    assert [each.device for each in site.kept.readings] == ["one"]
    assert site.codes() == [events.POLL_FAILED]
    assert site.kept.events[0].parameters[1] == "PLB-M101"
    await site.round(900_000)
    assert [each.device for each in site.kept.readings] == ["one", "one"]


async def test_a_silent_meter_with_a_daily_time_is_one_event_a_day(make: Callable[..., Cellar]) -> None:
    """Asked from 00:10 on; at 06:00 its slot is over, which is said with its beginning and end, under its name."""
    night = partial(replace, cadence="daily at 00:10, until 06:00", timezone="Europe/Prague", cadence_s=None)
    silent, one = (night(device(*each)) for each in (("silent", 9), ("one", 1)))
    site = make(silent, one)
    begin_ms, end_ms = silent.pace.last(silent.pace.next_ms(NOW_MS))
    await site.round(begin_ms - site.time.wall_ms - 1)
    assert site.kept.readings == []
    await site.round(1)
    assert [(each.device, each.slot_ms) for each in site.kept.readings] == [("one", begin_ms)]
    for at_ms in (end_ms - 1, end_ms, end_ms + 1):
        await site.round(at_ms - site.time.wall_ms)
    assert site.codes() == [events.POLL_FAILED, events.SLOT_MISSED]
    assert site.kept.events[1].device == "silent"
    assert site.kept.events[1].parameters == ("cellar", begin_ms, end_ms, "cadence")


async def test_another_meter_gives_no_reading_under_this_name(make: Callable[..., Cellar]) -> None:
    """M12: the mismatch is an event with its code."""
    site = make(device("one", 1, id="99999999"))
    await site.round()
    assert site.kept.readings == []
    assert site.codes() == [events.IDENTITY_MISMATCH]


async def test_the_right_identity_passes(make: Callable[..., Cellar]) -> None:
    """As printed on the plate."""
    site = make(device("one", 1, id="60300001", manufacturer="KAM"))
    await site.round()
    assert [each.meter.id for each in site.kept.readings] == ["60300001"]


async def test_a_line_that_vanished_is_opened_again_and_told_once(
    make: Callable[..., Cellar], monkeypatch: pytest.MonkeyPatch
) -> None:
    """G17: one incident of the bus, none of its meters."""
    monkeypatch.setattr("gateway.poll.REOPEN_S", 0)
    site = make(device("one", 1))
    await site.round()
    site.lines[0].gone = True
    await site.round(900_000)
    await site.round(10_000)
    assert len(site.lines) == 2
    assert site.lines[0].closed
    assert len(site.kept.readings) == 2
    assert site.codes() == [events.BUS_FAILED, events.BUS_RECOVERED]


async def test_a_line_that_fails_again_and_again_in_a_short_slot_costs_the_meter_no_pause(
    make: Callable[..., Cellar], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by demo-check: meters killed twice within 2 s, well for the last 3 s of their slot, were not read in it."""
    monkeypatch.setattr("gateway.poll.REOPEN_S", 0)
    site = make(*(replace(device(*each), cadence_s=5) for each in (("one", 1), ("two", 2))))
    await site.round()
    for wait_ms in (5_000, 2_000):  # the first failure takes one's turn, the second one's next try
        site.lines[-1].gone = True
        await site.round(wait_ms)
    await site.round(1_000)
    slot_ms = NOW_MS // 5_000 * 5_000
    read = sorted((each.device, (each.slot_ms or 0) - slot_ms) for each in site.kept.readings)
    assert read == [("one", 0), ("one", 5_000), ("two", 0), ("two", 5_000)]


async def test_a_disturbed_line_gives_right_readings_or_failures_only(
    make: Callable[..., Cellar], tmp_path: Path
) -> None:
    """Noise, damage and late answers: nothing altered, nothing under another's slot."""
    site = make(device("one", 1), device("two", 2), faults="noise=0.2,garble=0.2,silent=0.2")
    for _ in range(40):
        await site.round(450_000)
    answered = {json.loads(line)["telegram"] for line in (tmp_path / "record.jsonl").read_text().splitlines()}
    assert {each.exchange.telegram.hex() for each in site.kept.readings} <= answered
    assert len({(each.device, each.slot_ms) for each in site.kept.readings}) == len(site.kept.readings) > 20


async def test_stopping_ends_after_the_poll_in_hand(make: Callable[..., Cellar]) -> None:
    """SIGTERM does not wait for the next slot."""
    site = make(device("one", 1))
    task = asyncio.create_task(site.poller.run())
    while not site.kept.readings:  # noqa: ASYNC110 - the sink tells nobody
        await asyncio.sleep(0)
    site.poller.stop()
    await asyncio.wait_for(task, 5)
    assert site.lines[0].closed


async def test_a_meter_that_comes_back_does_not_repeat_what_it_showed_before_it_was_taken_away(
    make: Callable[..., Cellar],
) -> None:
    """Another meter was at its address for a while: the frame count bit that it knows is not ours any more."""
    site = make(device("one", 1, id="60300001", manufacturer="KAM"))
    await site.round()
    ours = site.bus.slaves[1]
    stranger = Slave(replace(ours.plate, number="60300009"), ours.plate.first, 5)
    site.bus.slaves[1] = stranger
    await site.round(900_000)
    site.bus.slaves[1] = ours
    await site.round(900_000)
    telegrams = [each.exchange.telegram for each in site.kept.readings]
    assert len(telegrams) == 2
    assert telegrams[0] != telegrams[1]
