"""Injects what was drawn: a task for each line, each house's processes and those in the centre, and each clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simulators.proxy.link import NO_FAULTS
from simulators.site.parts import now_ms
from simulators.torture import draw
from simulators.torture.database import Database
from simulators.torture.draw import HALF_OPEN, LINK_KINDS, Blow, LineFault
from simulators.torture.setup import CADENCE_S, House, Line, Street

SLOWER = 3.0  # the collector's line rests longer: what happens there happens to all
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """A fault that is over; `gateway` felt it (None: all of them)."""

    kind: str
    gateway: str | None
    at_ms: int


class Injector:
    """Torments a street until an instant; `counts` and `ended` say what was done, `steps_ms` when a clock moved."""

    def __init__(self, street: Street, end_ms: int, say: Say) -> None:
        self.counts: Counter[str] = Counter()
        self.ended: list[Ended] = []
        self.steps_ms: dict[str, list[int]] = {}
        self._street, self._end_ms, self._say = street, end_ms, say
        self._seed = street.wanted.seed

    async def run(self) -> None:
        """Everything that was drawn and ends in time; afterwards nothing is wrong any more."""
        for line in self._street.lines:
            line.trouble_messages()
        try:
            async with asyncio.TaskGroup() as all_of_it:
                workers, database = self._street.collectors, self._street.database
                centre = [each.name for each in (*workers, *([database] if database else []), self._street.broker)]
                if database is not None:
                    all_of_it.create_task(self._restored(database))
                all_of_it.create_task(self._blows(draw.blows(self._seed, "centre", centre, centre)))
                all_of_it.create_task(self._line(self._street.line, None))
                for house in self._street.houses:
                    all_of_it.create_task(self._line(house.line, house))
                    all_of_it.create_task(self._clock(house))
                    parts = (house.gateway.name, house.meters.name)
                    blows = draw.blows(self._seed, house.name, parts, (), draw.HOUSE_PAUSE_S)
                    all_of_it.create_task(self._blows(blows))
        finally:
            for line in self._street.lines:
                line.mend()

    def effects(self) -> Counter[str]:
        """What the lines did to connections, pieces and messages, all together."""
        found: Counter[str] = Counter()
        for line in self._street.lines:
            found += line.tcp.counts
            found += line.mqtt.counts if line.mqtt is not None else Counter()
        return found

    async def _line(self, line: Line, house: House | None) -> None:
        has_cable = house is not None and house.cable is not None
        kinds = (*LINK_KINDS, HALF_OPEN) if has_cable else LINK_KINDS
        for fault in draw.line_faults(self._seed, line.name, kinds, SLOWER if house is None else 1.0):
            if not await self._begins(fault.wait_s, fault.lasts_s):
                return
            self._say(f"{line.name}: {fault.kind} for {fault.lasts_s:.1f} s")
            if fault.kind == HALF_OPEN and house is not None:
                await _pulled(house, fault.lasts_s)
            else:
                await _faulty(line, fault)
            self._done(fault.kind, None if house is None else house.name)

    async def _blows(self, blows: Iterator[Blow]) -> None:
        for blow in blows:
            if not await self._begins(self._aimed(blow), blow.lasts_s):
                return
            self._say(f"{blow.kind} {blow.part}, back in {blow.lasts_s:.1f} s")
            await self._strike(blow)
            houses = [each.name for each in self._street.houses if blow.part in (each.gateway.name, each.meters.name)]
            self._done(f"{blow.kind}_{blow.part.split('-')[0]}", houses[0] if houses else None)

    def _aimed(self, blow: Blow) -> float:
        """How long until the blow."""
        if blow.aim_s is None:
            return blow.wait_s
        cadence_ms = CADENCE_S * 1000
        beyond_ms = (now_ms() + blow.wait_s * 1000 - blow.aim_s * 1000) % cadence_ms
        return blow.wait_s + (cadence_ms - beyond_ms) / 1000

    async def _strike(self, blow: Blow) -> None:
        part = self._street.parts[blow.part]
        if blow.kind == "stop":
            await part.hold(blow.lasts_s)
        else:
            await part.kill_and_restart(blow.lasts_s, draw.BLOWS[blow.kind])

    async def _restored(self, database: Database) -> None:
        """In the first third the database's files are copied, in the second it is put back to them."""
        third_s = (self._end_ms - now_ms()) / 3000
        await asyncio.sleep(third_s)
        self._say("the database is copied")
        await database.back_up()
        await asyncio.sleep(third_s)
        self._say("the database is put back to its copy")
        await database.restore()
        self._done("restore_database", None)

    async def _clock(self, house: House) -> None:
        if house.clock is None:
            return
        moved = self.steps_ms.setdefault(house.name, [])
        for step in draw.clock_steps(self._seed, house.name):
            if not await self._begins(step.wait_s, step.lasts_s):
                return
            self._say(f"{house.name}: its clock is {step.by_s:+d} s off for {step.lasts_s:.1f} s")
            for by_s, lasts_s in ((step.by_s, step.lasts_s), (0, 0.0)):
                house.clock.step(by_s)
                moved.append(now_ms())
                await asyncio.sleep(lasts_s)
            self._done("clock_step", house.name)

    async def _begins(self, wait_s: float, lasts_s: float) -> bool:
        """Wait for the begin of a fault; False: it would not end in time."""
        if now_ms() + (wait_s + lasts_s) * 1000 > self._end_ms:
            return False
        await asyncio.sleep(wait_s)
        return True

    def _done(self, kind: str, gateway: str | None) -> None:
        self.counts[kind] += 1
        self.ended.append(Ended(kind, gateway, now_ms()))


async def _faulty(line: Line, fault: LineFault) -> None:
    line.tcp.faults = fault.faults
    if fault.kind in ("refuse", "reset"):
        line.tcp.reset()
    try:
        await asyncio.sleep(fault.lasts_s)
    finally:
        line.tcp.faults = NO_FAULTS


async def _pulled(house: House, lasts_s: float) -> None:
    if house.cable is None:
        return
    await house.cable.pull()
    try:
        await asyncio.sleep(lasts_s)
    finally:
        await house.cable.push()
