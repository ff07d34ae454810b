"""A bus that is nearly full, with meters that are silent or talk rubbish: the healthy ones lose no slot.

In virtual time, over a line on which every byte takes its time, with meters that are as slow as the standard allows.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from paced_lines import PacedLine
from virtual import run

from gateway import buses
from gateway.clock import Discipline, GatewayClock, Sources
from gateway.config import MbusBus, MbusDevice
from gateway.faults import BusBusy
from gateway.forecast import BUSY_PERMILLE, forecast
from gateway.guests import Guests, Hosting
from gateway.handed import PATIENCE_S
from gateway.lines import MACHINE
from gateway.poll import BusPoller
from gateway.schedule import Schedule
from gateway.settled import Positions
from protocols.errors import MeterError
from protocols.reading import Reading
from protocols.uplink.records import Event
from simulators.mbus.bus import Bus
from simulators.mbus.meters import Plate, cellar
from simulators.record import Record

BAUD, METERS, MIXED, SLOTS = 2400, 50, 40, 8
CADENCE_S = 41
START_MS = 1_793_000_000_000 // (900 * CADENCE_S * 1000) * (900 * CADENCE_S * 1000)
Hear = Callable[[bytes], bytes]


class Kept:
    """A sink that keeps which slots were read, and the events."""

    def __init__(self) -> None:
        self.slots: list[tuple[str, int]] = []
        self.events: list[tuple[str | None, str]] = []
        self.has_room = True

    def take(self, found: list[Reading]) -> None:
        """Keep the slots."""
        self.slots += [(each.device, each.slot_ms or 0) for each in found]

    def note(self, event: Event) -> None:
        """Keep device and code."""
        self.events.append((event.device, event.code))

    async def round_over(self) -> None:
        """Nothing is sealed here."""


class Faulty(Bus):
    """A bus on which some meters, from a moment on, say nothing, or rubbish in place of their answers."""

    silent: Collection[int] = ()
    rubbish: Collection[int] = ()
    flood: Collection[int] = ()
    babble: Collection[int] = ()

    def hear(self, octets: bytes) -> bytes:
        """What is on the wire."""
        address = octets[2] if octets[0] == 0x10 else 0
        if address in self.silent:
            return b""
        heard = super().hear(octets)
        if address in (*self.flood, *self.babble):
            return b"\x68\xff\xff\x68" + bytes(200 if address in self.flood else 450)  # a frame that never ends
        return heard[:-2] + b"\x00\x16" if address in self.rubbish else heard


def plates() -> list[Plate]:
    """Meters of three kinds: their answers have 99 bytes in the mean, the forecast assumes 98."""
    kinds = cellar()
    return [replace(kinds[n % len(kinds)], address=n, number=f"{20_000_000 + n}") for n in range(1, METERS + 1)]


class Site:
    """One bus and its poller, in virtual time from the start of a slot."""

    def __init__(
        self,
        folder: Path,
        devices: Collection[MbusDevice],
        seed: int,
        sealed: Mapping[str, Collection[int]] = MappingProxyType({}),
    ) -> None:
        self.kept = Kept()
        self.bus = Faulty(plates(), Record(folder / f"{seed}.jsonl"), self.now_ms, seed)
        self.line = PacedLine(self.bus, BAUD)
        config = MbusBus(protocol="mbus", name="full", port="line", baud=2400, device=tuple(devices))
        sources = Sources(self.now_ms, self._mono_ms, lambda: Discipline(True, 5), bytes(16))
        clock = GatewayClock(sources)
        reader = buses.reader(config, Positions({}), clock, True, replace(MACHINE, serial=lambda *_: self.line))
        self.forecast = forecast(config)
        assert isinstance(reader, Hosting)
        self.guests = Guests(reader)
        schedule = Schedule(config.device, sealed)
        self.poller = BusPoller("full", reader, schedule, clock, self.kept, guests=self.guests)

    def now_ms(self) -> int:
        """True time (UTC)."""
        return START_MS + self._mono_ms()

    def _mono_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000)

    async def pass_slots(self, first: int, last: int, cadence_s: int = CADENCE_S) -> Counter[str]:
        """Poll to the end of slot `last`; how many slots from `first` on each device was read in."""
        await asyncio.sleep((last + 1) * cadence_s - asyncio.get_running_loop().time())
        wanted = {START_MS + slot * cadence_s * 1000 for slot in range(first, last + 1)}
        return Counter(device for device, slot_ms in set(self.kept.slots) if slot_ms in wanted)


def device(address: int, cadence_s: int = CADENCE_S) -> MbusDevice:
    return MbusDevice(name=f"meter-{address}", address=address, cadence_s=cadence_s)


BAD = (1, 2, 3, 25, 50)  # a tenth of the meters, most of them in front of the others
KINDS: dict[str, dict[str, tuple[int, ...]]] = {
    "silent": {"silent": BAD},
    "rubbish": {"rubbish": BAD},
    "four silent, one flood": {"silent": BAD[:4], "flood": BAD[4:]},
    "flood": {"flood": BAD},
    "three silent, one rubbish, one flood": {"silent": BAD[:3], "rubbish": BAD[3:4], "flood": BAD[4:]},
}
LEARNT = {
    "flood": 1
}  # slots in which five that begin to flood at once, and are asked three times, still cost the others


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_tenth_of_bad_meters_on_a_bus_that_is_nearly_full_costs_the_others_no_slot(
    tmp_path: Path, kind: str, seed: int
) -> None:
    async def story() -> None:
        site = Site(tmp_path, [device(n) for n in range(1, METERS + 1)], seed)
        assert site.forecast.permille >= BUSY_PERMILLE
        polling = asyncio.create_task(site.poller.run())
        await site.pass_slots(0, 1)
        for how, which in KINDS[kind].items():
            setattr(site.bus, how, which)
        await site.pass_slots(2, 1 + LEARNT.get(kind, 0))
        read = await site.pass_slots(first := 2 + LEARNT.get(kind, 0), first + SLOTS - 1)
        site.poller.stop()
        await polling
        lost = {n: SLOTS - read[f"meter-{n}"] for n in range(1, METERS + 1) if read[f"meter-{n}"] < SLOTS}
        assert set(lost) == set(BAD), lost

    run(story(), seed)


@pytest.mark.parametrize("bad", [BAD, (46, 47, 48, 49, 50)])
def test_meters_that_never_answered_cost_the_others_no_slot_but_the_first(tmp_path: Path, bad: tuple[int, ...]) -> None:
    """In the slot in which the daemon starts each meter is reset, too: that is more than the bus has time for.

    As slow as the standard allows an answer takes 0.68 s and a reset 0.20 s: 44 s of 41 for all fifty, 39.6 s for those
    that answer. A silent one that nobody knows of yet takes 0.95 s.
    """

    async def story() -> None:
        site = Site(tmp_path, [device(n) for n in range(1, METERS + 1)], 1)
        assert site.forecast.permille >= BUSY_PERMILLE
        site.bus.silent = bad
        polling = asyncio.create_task(site.poller.run())
        read = await site.pass_slots(1, SLOTS)
        site.poller.stop()
        await polling
        assert {n for n in range(1, METERS + 1) if read[f"meter-{n}"] < SLOTS} == set(bad)

    run(story(), 1)


@pytest.mark.parametrize("history", [(), (START_MS - 4 * CADENCE_S * 1000,)], ids=["never", "once"])
def test_meters_that_were_silent_before_a_start_cost_the_others_not_even_the_first_slot(
    tmp_path: Path, history: tuple[int, ...]
) -> None:
    """Each meter is reset in that slot; the time of those that do not answer is what makes it enough."""

    async def story() -> None:
        sealed = {f"meter-{n}": history if n in BAD else (START_MS - CADENCE_S * 1000,) for n in range(1, METERS + 1)}
        site = Site(tmp_path, [device(n) for n in range(1, METERS + 1)], 1, sealed)
        assert site.forecast.permille >= BUSY_PERMILLE
        site.bus.silent = BAD
        polling = asyncio.create_task(site.poller.run())
        read = await site.pass_slots(0, 2)
        site.poller.stop()
        await polling
        assert {n for n in range(1, METERS + 1) if read[f"meter-{n}"] < 3} == set(BAD)

    run(story(), 1)


@pytest.mark.parametrize(
    "bad", [{"silent": (1, 2)}, {"silent": (2,), "babble": (1,)}, {"silent": (1,), "rubbish": (2,)}]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_bad_meters_of_short_and_long_cadence_cost_a_frequent_healthy_one_no_slot(
    tmp_path: Path, bad: dict[str, Collection[int]], seed: int
) -> None:
    """One bad meter is due every 5 s and one every 15 min; a healthy one every 8 s beside 37 slower ones."""
    cadences = {1: 5, 2: 900, 3: 8}

    async def story() -> None:
        site = Site(tmp_path, [device(n, cadences.get(n, CADENCE_S)) for n in range(1, MIXED + 1)], seed)
        assert site.forecast.permille >= BUSY_PERMILLE
        for how, which in bad.items():
            setattr(site.bus, how, which)
        polling = asyncio.create_task(site.poller.run())
        await site.pass_slots(0, 1)
        slow = await site.pass_slots(2, 1 + SLOTS)
        site.poller.stop()
        await polling
        first = -(-2 * CADENCE_S // 8)
        frequent = {START_MS + slot * 8_000 for slot in range(first, (2 + SLOTS) * CADENCE_S // 8)}
        assert {n for n in range(4, MIXED + 1) if slow[f"meter-{n}"] < SLOTS} == set()
        assert frequent <= {slot_ms for name, slot_ms in site.kept.slots if name == "meter-3"}
        told = Counter(site.kept.events)
        assert max(told.values()) == 1, "a poll that was cut short is no news"

    run(story(), seed)


def test_on_a_bus_that_never_rests_a_meter_that_failed_has_its_turn_all_the_same(tmp_path: Path) -> None:
    """Else one bad answer would end the readings of a meter for good."""

    async def story() -> None:
        site = Site(tmp_path, [device(n, 30 if n > 1 else 60) for n in range(1, METERS + 1)], 1)
        site.bus.silent = (1,)
        polling = asyncio.create_task(site.poller.run())
        await site.pass_slots(0, 1, 60)
        site.bus.silent = ()
        read = await site.pass_slots(2, 6, 60)
        site.poller.stop()
        await polling
        assert read["meter-1"] >= 3

    run(story(), 1)


async def asking(site: Site, addresses: Collection[int]) -> list[str]:
    """A command that asks one meter after the other without an end; how each question went is noted."""
    went: list[str] = []
    for address in itertools.cycle(addresses):
        try:
            await site.guests.ask(f"meter-{address}", [])
            went.append("answered")
        except (BusBusy, MeterError) as error:
            went.append(error.code)
            if "stops" in error.got:
                break
    return went


@pytest.mark.parametrize("silent", [(), (3, 25)])
def test_commands_that_never_stop_asking_cost_no_meter_a_slot(tmp_path: Path, silent: tuple[int, ...]) -> None:
    """On a bus that is nearly full; they are answered all the same, in what is left of each cadence."""

    async def story() -> None:
        site = Site(tmp_path, [device(n) for n in range(1, METERS + 1)], 1)
        site.bus.silent = silent
        polling = asyncio.create_task(site.poller.run())
        commands = [asyncio.create_task(asking(site, each)) for each in ((1, 3), (50, 49), (25,))]
        found = await site.pass_slots(1, SLOTS)
        site.poller.stop()
        await polling
        went = Counter(itertools.chain.from_iterable(await asyncio.gather(*commands)))
        healthy = [f"meter-{n}" for n in range(1, METERS + 1) if n not in silent]
        assert found == dict.fromkeys(healthy, SLOTS)
        assert went["answered"] >= SLOTS
        assert set(went) <= {"answered", "PLB-L109", "PLB-M101"}
        assert ("PLB-M101" in went) == bool(silent)

    run(story(), 1)


def test_a_bus_that_never_rests_says_so_to_who_asks(tmp_path: Path) -> None:
    """After a while, with what to do; the schedule goes on."""

    async def story() -> None:
        site = Site(tmp_path, [device(n, 20) for n in range(1, METERS + 1)], 1)
        polling = asyncio.create_task(site.poller.run())
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(BusBusy, match=r"PLB-L109.*stop the daemon"):
            await site.guests.ask("meter-1", [])
        assert asyncio.get_running_loop().time() - began_s == PATIENCE_S
        site.poller.stop()
        await polling

    run(story(), 1)
