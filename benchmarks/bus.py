"""How much of the bus time a round of 50 M-Bus meters needs is the standard's minimum, at 2400 baud.

The gateway's own path - session, line, pseudo-terminal - against simulated meters that are as fast as the standard
allows: each byte takes 11 bits, an answer begins 11 bits after its question. Beside: a loop that knows what comes and
does nothing but write and read, on ten of the same meters.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from figures import Figure

from protocols.mbus import select
from protocols.mbus.pymeterbus import req_ud2
from protocols.mbus.select import Secondary
from protocols.mbus.session import ReadSession, Route, SlaveState, primary
from protocols.mbus.timing import Timing
from protocols.transports.exchange import Clock, run
from protocols.transports.serial import SerialLine
from simulators.mbus.bus import Bus
from simulators.mbus.line import PtyLine, serve
from simulators.mbus.meters import Plate, cellar
from simulators.record import Record

BAUD, METERS, BARE_METERS = 2400, 50, 10
PATIENCE_S = 5.0  # of the bare loop: longer than any answer takes
CLOCK = Clock(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000)
TIMING = Timing(BAUD)


@dataclass(frozen=True, slots=True)
class Spent:
    """Bus time that was needed at least, and the time that passed (both ms)."""

    least_ms: int
    passed_ms: float

    @property
    def efficiency(self) -> float:
        """The share of the time that the standard itself takes."""
        return self.least_ms / self.passed_ms


def figures() -> Iterator[Figure]:
    """Efficiency by primary address, and by secondary address with SND_NKE."""
    for name, secondary, least in (("primary", False, 90), ("secondary", True, 85)):
        ours, bare = asyncio.run(_measured(secondary))
        beside = f"a bare loop, {BARE_METERS} of {METERS} meters ({bare.efficiency:.3f})"
        ratio = ours.efficiency / bare.efficiency
        yield Figure(f"mbus_bus_efficiency_{name}_{BAUD}", 100 * ours.efficiency, "%", beside, ratio, least)


def plates() -> list[Plate]:
    """Fifty meters of three kinds: answers of 99 bytes in the mean."""
    kinds = cellar()
    return [replace(kinds[n % len(kinds)], address=n, number=f"{10_000_000 + n}") for n in range(1, METERS + 1)]


async def _measured(secondary: bool) -> tuple[Spent, Spent]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bus, states = (
            Bus(plates(), Record(folder / "record.jsonl"), CLOCK.utc_ms),
            [SlaveState() for _ in range(METERS)],
        )
        ways = [_way(each, secondary) for each in plates()]
        async with _line(bus, folder / "bus", None) as line:  # met once: the first visit of a run resets each meter
            await _round(line, ways, states, secondary)
        async with _line(bus, folder / "bus", BAUD) as line:
            ours = await _round(line, ways, states, secondary)
            bare = await _bare(line, plates()[:BARE_METERS], secondary)
    return ours, bare


def _way(plate: Plate, secondary: bool) -> Route:
    return select.selected(Secondary.of(plate.number)) if secondary else primary(plate.address)


@asynccontextmanager
async def _line(bus: Bus, path: Path, baud: int | None) -> AsyncIterator[SerialLine]:
    far, stop = PtyLine(path), asyncio.Event()
    serving = asyncio.create_task(serve(bus, far, stop, baud))
    try:
        with SerialLine.open(str(path)) as line:
            yield line
    finally:
        stop.set()
        await serving
        far.close()


async def _round(line: SerialLine, ways: list[Route], states: list[SlaveState], secondary: bool) -> Spent:
    least_ms, start = 0, time.perf_counter()
    for way, state in zip(ways, states, strict=True):
        (answer,) = await run(ReadSession(way, state, TIMING), line, CLOCK)
        least_ms += TIMING.minimum_ms(len(answer.frame.octets), reset=secondary, select=secondary)
    return Spent(least_ms, 1000 * (time.perf_counter() - start))


async def _bare(line: SerialLine, meters: list[Plate], secondary: bool) -> Spent:
    """The same questions, and nothing but the bytes that are known to come."""
    least_ms, start = 0, time.perf_counter()
    for plate in meters:
        if secondary:
            await _exchanged(line, select.select(Secondary.of(plate.number)), 1)
        asked = select.SELECTED if secondary else plate.address
        octets = await _exchanged(line, req_ud2(asked, plate.address % 2 > 0), 0)
        if secondary:
            await _exchanged(line, select.deselect(), 1)
        least_ms += TIMING.minimum_ms(len(octets), reset=secondary, select=secondary)
    return Spent(least_ms, 1000 * (time.perf_counter() - start))


async def _exchanged(line: SerialLine, question: bytes, size: int) -> bytes:
    """What follows a question: `size` bytes, or as many (0) as their second one announces."""
    await line.write(question)
    octets = b""
    while len(octets) < (size or 2) or (not size and len(octets) < octets[1] + 6):
        got = await line.read_some(PATIENCE_S)
        assert got, "expected an answer, got silence"
        octets += got
    return octets
