"""A reading that is hard to believe and that nothing confirms while its slot is open is sealed marked, and told."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from gateway_parts import NOW_MS, Time

from gateway.clock import GatewayClock
from gateway.config import MbusBus, MbusDevice
from gateway.lines import Opened
from gateway.mbus import MbusReader
from gateway.poll import BusPoller
from gateway.schedule import Schedule
from protocols.reading import Reading, Scaled, Status
from protocols.transports.serial import LineLost
from protocols.uplink.leaf import SealedReading, leaf_from_bytes
from protocols.uplink.pack import pack
from protocols.uplink.records import Event
from simulators.mbus.bus import Bus
from simulators.mbus.meters import cellar
from simulators.record import Record

CADENCE_MS = 900_000
FIRST_MS = NOW_MS // CADENCE_MS * CADENCE_MS + CADENCE_MS


class Site:
    """The three meters of a cellar, of which the first is read by a poller; it is the sink, too.

    `after` so many reads the line falls silent, or is lost (`pulled`); each read lets the energy `jump`.
    """

    def __init__(self, folder: Path) -> None:
        self.time, self.after, self.pulled, self.held = Time(FIRST_MS), 1_000_000, False, b""
        self.readings: list[Reading] = []
        self.events: list[Event] = []
        self.has_room, self.sealed, self.jump = True, 0, 0
        self.bus = Bus(cellar(), Record(folder / "record.jsonl"), lambda: self.time.wall_ms)
        devices = (MbusDevice(name="heat", address=1, cadence_s=900),)
        config = MbusBus(protocol="mbus", name="cellar", port="line", device=devices)
        clock = GatewayClock(self.time.sources())
        reader = MbusReader(config, self.open, clock, keep=True)
        self.poller = BusPoller("cellar", reader, Schedule(devices, {}), clock, self)

    async def open(self) -> Opened:
        """The line."""
        return Opened(self)

    def flush_input(self) -> None:
        """Forget what is held."""
        self.held = b""

    async def write(self, octets: bytes) -> None:
        """Ask."""
        if self.after <= 0 and self.pulled:
            raise LineLost("an open port", "a closed one", "line")
        self.held = self.bus.hear(octets) if self.after > 0 else b""
        if octets[1] & 0x4F == 0x4B:
            self.after -= 1
            self.set(self.bus.slaves[1].registers.energy + self.jump)

    async def read_some(self, timeout_s: float) -> bytes:
        """What was answered; silence takes its time."""
        self.time.pass_ms(400 if self.held else int(timeout_s * 1000) + 1)
        octets, self.held = self.held, b""
        return octets

    def close(self) -> None:
        """Nothing to let go."""

    def take(self, found: list[Reading]) -> None:
        """Keep readings."""
        self.readings += found

    def note(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)

    async def round_over(self) -> None:
        """What was taken is sealed."""
        self.sealed = len(self.readings)

    async def slots(self, count: int) -> None:
        """Poll so many slots, once each."""
        for _ in range(count):
            await self.poller._round()
            self.next_slot()

    def next_slot(self) -> None:
        """The begin of the next one."""
        self.time.pass_ms(CADENCE_MS - self.time.wall_ms % CADENCE_MS)

    async def step_back(self, answers: int = 1) -> int:
        """After some slots the energy steps back, and after so many answers nothing comes any more; which slot."""
        await self.slots(8)
        self.readings.clear()
        self.set(7)
        self.after, slot_ms = answers, self.time.wall_ms
        await self.poller._round()
        assert self.readings == [], "it may still be confirmed"
        return slot_ms

    def set(self, energy: int) -> None:
        """What the meter shows."""
        slave = self.bus.slaves[1]
        slave.registers = replace(slave.registers, energy=energy)

    def doubtful(self) -> list[Event]:
        """The events of that code."""
        return [each for each in self.events if each.code == "reading-doubtful"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def energy(reading: Reading) -> int:
    number = next(value.number for value in reading.values if value.key.parts[:3] == (b"\x06", 0, 0))
    assert isinstance(number, Scaled)
    return number.mantissa


@pytest.mark.parametrize("pulled", [False, True])
async def test_when_its_slot_is_over_it_is_sealed_marked_with_reason_and_event(site: Site, pulled: bool) -> None:
    site.pulled = pulled
    slot_ms = await site.step_back()
    site.next_slot()
    await site.poller._round()
    (found,) = site.readings
    assert (found.slot_ms, energy(found) < 100, found.status) == (slot_ms, True, Status.PARTIAL)
    assert site.sealed == 1
    (event,) = site.doubtful()
    bus, code, slot, telegram, text = event.parameters
    assert (event.device, event.meter, bus, code, slot) == ("heat", found.meter, "cellar", "PLB-M211", slot_ms)
    assert telegram == hashlib.sha256(found.exchange.telegram).digest()
    assert isinstance(text, str)
    assert all(part in text for part in ("confirms mbus:06/0/0/0/0/0", "got PLB-L" if pulled else "got PLB-M101"))
    assert SealedReading.from_wire(leaf_from_bytes(pack(SealedReading.of(found).to_wire()))).status is Status.PARTIAL


async def test_an_answer_while_the_slot_is_open_is_sealed_in_its_place(site: Site) -> None:
    slot_ms = await site.step_back()
    site.after = 1_000_000
    site.time.pass_ms(5_000)
    await site.poller._round()
    site.next_slot()
    await site.poller._round()
    assert [(each.slot_ms, each.status) for each in site.readings] == [
        (slot_ms, Status.NONE),
        (slot_ms + CADENCE_MS, Status.NONE),
    ]
    assert site.doubtful() == []


async def test_a_daemon_that_stops_seals_it_at_once(site: Site) -> None:
    slot_ms = await site.step_back()
    site.poller.stop()
    await site.poller.run()
    assert [(each.slot_ms, each.status) for each in site.readings] == [(slot_ms, Status.PARTIAL)]
    assert site.sealed == 1


async def test_it_is_sealed_once_and_its_slot_not_read_again_by_a_clock_that_is_set_back(site: Site) -> None:
    await site.step_back()
    site.next_slot()
    await site.poller._round()
    site.after, back_ms = 1_000_000, CADENCE_MS // 2
    site.time.wall_ms -= back_ms
    await site.slots(1)
    assert len(site.readings) == 1


async def test_what_the_next_slot_shows_is_not_marked(site: Site) -> None:
    """The step is confirmed by it."""
    await site.step_back()
    site.next_slot()
    site.after = 1_000_000
    await site.slots(2)
    assert [each.status for each in site.readings] == [Status.PARTIAL, Status.NONE, Status.NONE]


async def test_of_two_answers_that_differ_the_first_is_kept(site: Site) -> None:
    await site.slots(8)
    site.readings.clear()
    site.set(7)
    site.after, site.jump = 2, 50_000
    await site.slots(1)
    await site.slots(1)
    assert [(energy(each) < 100, each.status) for each in site.readings] == [(True, Status.PARTIAL)]
