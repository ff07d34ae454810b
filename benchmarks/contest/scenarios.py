"""What both go through. Each function runs one party through one fault and gives what the meters' own count says."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from feed import METERS
from party import ContestError, Party

from simulators.proxy.link import LinkFaults

RATE = 3 * METERS  # readings a second in all runs with faults: both keep up with it side by side on two busy cores
BURST = 200 * METERS
QUIET_S = 30.0  # nothing more arrives: longer than the pause before anything that was sent is sent again
LONGEST_S = 100.0
KILLS = 8
LAG_S = 2.0
HOLE_S = 20.0
OUTAGE_S = 10.0
DISK_BYTES = 8 * 1024 * 1024
IDLE_S = 3.0


@dataclass(frozen=True, slots=True)
class Speed:
    """A burst without faults."""

    readings_per_s: float
    cpu_us: float
    idle_mb: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Losses:
    """Readings that the meters answered; of those that never arrived: all, and those that the gateway had accepted."""

    answered: int
    lost: int
    lost_accepted: int
    told: str
    note: str = ""


async def burst(party: Party) -> Speed:
    """All readings at once, as fast as the gateway takes them; the clock stops when the last one has arrived."""
    await party.start()
    party.feed.release(METERS)  # the first round: connections are made, devices are announced
    await party.drained(QUIET_S, LONGEST_S)
    await asyncio.sleep(IDLE_S)
    idle_mb, before, cpu = party.resident_mb(), party.arrived_count(), party.cpu_s()
    peak = asyncio.create_task(_peak_mb(party))
    party.feed.first_s = 0.0
    party.feed.release(BURST)
    last = await party.drained(QUIET_S, LONGEST_S)
    arrived, used = party.arrived_count() - before, party.cpu_s() - cpu
    peak.cancel()
    with suppress(asyncio.CancelledError):
        await peak
    return Speed(arrived / (last - party.feed.first_s), used / arrived * 1e6, idle_mb, party.peak_mb)


async def kills(party: Party, seed: int = 4) -> Losses:
    """`KILLS` times SIGKILL at a random instant, while meters answer evenly and readings arrive as fast as they do."""
    draw = random.Random(seed)
    for _ in range(KILLS):
        await party.start()
        before = party.feed.answered
        party.feed.release(int(LONGEST_S * RATE), RATE)
        await _steady(party, before + METERS)
        await asyncio.sleep(draw.uniform(0.5, 2.5))
        await party.kill()
        party.feed.hold()
    await party.start()
    return await _losses(party, f"{KILLS} kills")


async def black_hole(party: Party) -> Losses:
    """The link takes bytes and passes none for `HOLE_S`; then its connections are reset, and it is whole again."""
    await _settled(party)
    party.feed.release(int((HOLE_S + 10) * RATE), RATE)
    await asyncio.sleep(5)
    party.proxy.faults = LinkFaults(black_hole=True)
    await asyncio.sleep(HOLE_S)
    party.proxy.reset()
    party.proxy.faults = LinkFaults()
    held = party.proxy.counts["black_hole"]
    await party.feed.all_answered(15)
    return await _losses(party, f"{held} pieces or connections held up")


async def boot(party: Party) -> Losses:
    """A start while the link is refused, readings for `OUTAGE_S`, SIGKILL, a start again, then the link comes back."""
    party.proxy.faults = LinkFaults(refuse=True)
    await party.start()
    party.feed.release(int(OUTAGE_S * RATE), RATE)
    await party.feed.all_answered(OUTAGE_S + 20)
    await asyncio.sleep(1)
    await party.kill()
    await party.start()
    await asyncio.sleep(5)
    party.proxy.faults = LinkFaults()
    return await _losses(party)


async def full_disk(party: Party) -> Losses:
    """During an outage the disk of the state folder becomes full; then there is room and a link again."""
    with _small_disk(party.state_folder):
        await _settled(party)
        party.proxy.faults = LinkFaults(refuse=True)
        party.proxy.reset()
        party.feed.release(int(5 * RATE), RATE)
        await party.feed.all_answered(15)
        await asyncio.sleep(1)
        ballast = party.state_folder / "ballast"
        filled = _fill(ballast)
        party.feed.release(int(10 * RATE), RATE)
        await party.feed.all_answered(20)
        await asyncio.sleep(1)
        ballast.unlink()
        party.feed.release(int(5 * RATE), RATE)
        await party.feed.all_answered(15)
        party.proxy.faults = LinkFaults()
        found = await _losses(party, f"disk of {DISK_BYTES >> 20} MiB, {filled >> 10} KiB of it taken by others")
        await party.kill()
        return found


async def _settled(party: Party) -> None:
    """Start, and let one round arrive."""
    await party.start()
    party.feed.release(METERS)
    await party.drained(QUIET_S, LONGEST_S)


async def _losses(party: Party, note: str = "") -> Losses:
    answered = party.feed.answered
    await party.drained(QUIET_S, LONGEST_S)
    arrived, feed = party.arrived(), party.feed
    missing = set(range(answered)) - arrived
    return Losses(answered, len(missing), len(missing & feed.accepted), party.told(), note)


async def _steady(party: Party, number: int) -> None:
    """Wait until reading `number` has arrived, or a later one, and what arrives is at most `LAG_S` behind."""
    until = time.monotonic() + LONGEST_S
    while (newest := party.newest_arrived()) < number or newest < party.feed.answered - LAG_S * RATE:
        if time.monotonic() > until:
            state = f"{newest} of {party.feed.answered}, to be beyond {number}"
            raise ContestError(f"{party.name} does not keep up with {RATE} readings/s: {state}")
        await asyncio.sleep(0.05)


async def _peak_mb(party: Party) -> None:
    while True:
        party.peak_mb = max(party.peak_mb, party.resident_mb())
        await asyncio.sleep(0.2)


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """A tmpfs of `DISK_BYTES` at `folder`; needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "contest", folder), check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", "-l", folder), check=True)


def _fill(path: Path) -> int:
    """Take all room that is left; how many bytes that was."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\xff" * 4096)
    return path.stat().st_size
