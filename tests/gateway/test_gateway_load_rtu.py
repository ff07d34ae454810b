"""A Modbus RTU line that is nearly full, with units that are silent: the healthy ones deliver every slot.

In virtual time, over a line on which every byte takes its time; what was answered is counted from the meters' record.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from paced_lines import PacedLine
from virtual import run

from gateway import buses
from gateway.clock import Discipline, GatewayClock, Sources
from gateway.config import ModbusBus, ModbusDevice
from gateway.forecast import BUSY_PERMILLE, MODBUS_ANSWER_MS, forecast
from gateway.lines import MACHINE
from gateway.poll import BusPoller
from gateway.schedule import Schedule
from gateway.settled import Positions
from protocols.reading import Reading
from protocols.uplink.records import Event
from simulators.modbus.faults import RtuFaults
from simulators.modbus.rtu import RtuBus, units
from simulators.record import Record, read

UNITS, SLOTS, CADENCE_S, CALM_S = 50, 8, 28, 56
START_MS = 1_793_000_000_000 // (900 * CALM_S * 1000) * (900 * CALM_S * 1000)
SILENT = {"one": (1,), "the last": (50,), "five": (1, 2, 3, 25, 50)}


class Kept:
    """A sink that keeps which slots were read."""

    def __init__(self) -> None:
        self.slots: set[tuple[str, int]] = set()
        self.telegrams: list[str] = []
        self.events: list[tuple[str | None, str]] = []
        self.has_room = True

    def take(self, found: list[Reading]) -> None:
        """Keep the slots."""
        self.slots |= {(each.device, each.slot_ms or 0) for each in found}
        self.telegrams += [each.exchange.telegram.hex() for each in found]

    def note(self, event: Event) -> None:
        """Keep device and code."""
        self.events.append((event.device, event.code))

    async def round_over(self) -> None:
        """Nothing is sealed here."""


class Site:
    """One line and its poller, in virtual time from the start of a slot."""

    def __init__(self, folder: Path, seed: int, faults: RtuFaults | None = None, cadence_s: int = CADENCE_S) -> None:
        self._cadence_s = cadence_s
        self.kept, self.path = Kept(), folder / f"{seed}.jsonl"
        chosen = faults or RtuFaults()
        meters = units(UNITS, seed, START_MS, chosen)
        self.bus = RtuBus(meters, Record(self.path), self.now_ms, seed, chosen)
        line = PacedLine(self.bus, 9600, MODBUS_ANSWER_MS / 1000)
        devices = tuple(device(unit, cadence_s) for unit in meters)
        config = ModbusBus(protocol="modbus", name="full", port="line", baud=9600, device=devices)
        sources = Sources(self.now_ms, self._mono_ms, lambda: Discipline(True, 5), bytes(16))
        clock = GatewayClock(sources)
        reader = buses.reader(config, Positions({}), clock, True, replace(MACHINE, serial=lambda *_: line))
        self.forecast = forecast(config)
        self.poller = BusPoller("full", reader, Schedule(config.device, {}), clock, self.kept)

    def now_ms(self) -> int:
        """True time (UTC)."""
        return START_MS + self._mono_ms()

    def _mono_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000)

    def silence(self, which: Collection[int]) -> None:
        """These say nothing from now on."""
        for unit in which:
            self.bus.meters[unit].dead = True

    async def pass_slots(self, first: int, last: int) -> Counter[str]:
        """Poll to the end of slot `last`; how many slots from `first` on each device was read in."""
        await asyncio.sleep((last + 1) * self._cadence_s - asyncio.get_running_loop().time())
        wanted = {START_MS + slot * self._cadence_s * 1000 for slot in range(first, last + 1)}
        return Counter(device for device, slot_ms in self.kept.slots if slot_ms in wanted)


def device(unit: int, cadence_s: int) -> ModbusDevice:
    """A configured EM340."""
    return ModbusDevice(name=f"unit-{unit}", cadence_s=cadence_s, unit=unit, model="carlo-gavazzi-em340")


@pytest.mark.parametrize("which", SILENT)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("since", ["ever", "slot 2"])
def test_silent_units_of_50_on_a_line_that_is_nearly_full_cost_the_others_no_slot(
    tmp_path: Path, which: str, seed: int, since: str
) -> None:
    """Of 50 units at a forecast of 80 %: every slot of every healthy one, from the first on."""

    async def story() -> None:
        site = Site(tmp_path, seed)
        assert site.forecast.permille >= BUSY_PERMILLE
        if since == "ever":
            site.silence(SILENT[which])
        polling = asyncio.create_task(site.poller.run())
        read_before = Counter[str]() if since == "ever" else await site.pass_slots(0, 1)
        site.silence(SILENT[which])
        read_later = await site.pass_slots(0 if since == "ever" else 2, SLOTS - 1)
        site.poller.stop()
        await polling
        total = read_before + read_later
        lost = {unit for unit in range(1, UNITS + 1) if total[f"unit-{unit}"] < SLOTS}
        assert lost == set(SILENT[which])
        assert max(Counter(site.kept.events).values()) == 1, "each silence is told once"

    run(story(), seed)


def test_a_line_with_faults_gives_only_what_meters_said_and_loses_no_slot(tmp_path: Path) -> None:
    """One answer in eight is spoilt, late or of another unit: every slot is read all the same, from whole answers."""
    faults = RtuFaults.parse("crc=0.03,late=0.01,noise=0.05,wrong_unit=0.01,short=0.01,silent=0.01,exception=0.01")

    async def story() -> None:
        site = Site(tmp_path, 1, faults, CALM_S)
        polling = asyncio.create_task(site.poller.run())
        found = await site.pass_slots(0, SLOTS - 1)
        site.poller.stop()
        await polling
        whole = [each.telegram for each in read(site.path) if each.damaged in (None, "noise")]
        assert all(any(part in telegram for part in whole) for telegram in site.kept.telegrams)
        assert min(found[f"unit-{unit}"] for unit in range(1, UNITS + 1)) == SLOTS

    run(story(), 1)
