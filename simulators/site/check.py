"""demo-check: run a site, cut its link, kill its parts if asked, freeze the meters, drain, and count."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from simulators.record import Answered, read
from simulators.site.count import Count, Run, count
from simulators.site.held import Verdict, stored_readings, verify_all
from simulators.site.kills import kills
from simulators.site.parts import PartError, now_ms
from simulators.site.setup import Site, Waiting

READ_S = 50.0  # reading time in all, the cut included
CUT_AT_S = 20.0  # after the first slot
CUT_S = 10.0
FIRST_S = 20.0  # the first reading must be stored by then
DRAIN_S = 25.0  # after the freeze everything sealed must be stored by then
SETTLE_S = 1.5  # a round that was under way at the freeze ends and is sealed
CADENCE_MS = 5_000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    count: Count
    verdict: Verdict
    buffered: Waiting
    kills: int
    seed: int | None
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        drained = not self.buffered.batches
        return self.count.holds() and drained and not self.verdict.failures and self.verdict.batches > 0

    def to_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                "result": "held" if self.holds else "failed",
                **self.count.to_dict(),
                "readings_buffered": self.buffered.readings,
                "seal_failures": self.verdict.failures,
                "batches": self.verdict.batches,
                "batches_not_stored": self.buffered.batches,
                "kills": self.kills,
                "link_cut_s": CUT_S,
                "seed": self.seed,
                "seconds": round(self.seconds, 1),
            }
        )


def not_counted(reason: str) -> str:
    """The last line of a run that came to no count: the same fields, of which nothing is known."""
    counts = {field.name: None for field in fields(Count)}
    return json.dumps({"result": "not counted", "reason": reason, **counts, "seal_failures": None, "seconds": None})


async def demo_check(site: Site, seed: int | None, say: Say) -> Result:
    """Run the whole story on a site that is set up.

    Raises:
        PartError: a part ended by itself, or something did not happen in its time.
    """
    began = time.monotonic()
    try:
        await site.start()
        await _first_reading(site, say)
        run, killed = await _read(site, seed, say)
        say(f"frozen: the meters answer no more; {len(run.downs)} interruptions so far; draining")
        await asyncio.sleep(SETTLE_S)
        buffered = await _drain(site)
    finally:
        await site.stop()
    say("stopped; counting")
    answers = list(read(site.record))
    verdict = await verify_all(site.folder)
    counted = count(_own(answers, run), await stored_readings(site, run.began_ms), run, buffered.readings)
    return Result(counted, verdict, buffered, killed, seed, time.monotonic() - began)


async def _first_reading(site: Site, say: Say) -> None:
    until = time.monotonic() + FIRST_S
    while time.monotonic() < until:
        if await site.stored_count():
            say("the first sealed reading is stored")
            return
        await asyncio.sleep(0.3)
    raise PartError(f"no reading was stored within {FIRST_S:.0f} s: see the logs in {site.folder}")


async def _read(site: Site, seed: int | None, say: Say) -> tuple[Run, int]:
    """Read for a while from the next slot on, with the link cut in the middle; freeze in the middle of a slot."""
    began_ms = -(-now_ms() // CADENCE_MS) * CADENCE_MS
    end_ms = began_ms + int(READ_S * 1000)
    killer = asyncio.create_task(_kill(site, seed, end_ms, say))
    try:
        await asyncio.sleep((began_ms - now_ms()) / 1000 + CUT_AT_S)
        say(f"the link is cut for {CUT_S:.0f} s")
        site.link.cut()
        await asyncio.sleep(CUT_S)
        site.link.mend()
        say("the link is back")
        killed = await killer
    finally:
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
    await asyncio.sleep(max(0, end_ms + CADENCE_MS // 2 - now_ms()) / 1000)
    for name in site.killable:
        if site.part(name).died():
            raise PartError(f"{name} ended by itself: see {site.folder / name}.log")
    site.part("meters").tell(signal.SIGUSR1)
    downs = tuple(down for part in ("gateway", "meters") for down in site.part(part).downs)
    frozen_ms = now_ms()
    shown = await stored_readings(site, began_ms)
    seen = frozenset((each.meter, each.slot_ms) for each in shown if each.slot_ms is not None)
    return Run(CADENCE_MS, began_ms, frozen_ms, downs, seen, site.cadences), killed


async def _kill(site: Site, seed: int | None, end_ms: int, say: Say) -> int:
    """Kill parts one after another until shortly before the end; without a seed none."""
    killed = 0
    if seed is None:
        return killed
    for kill in kills(seed, site.killable):
        if now_ms() + (kill.wait_s + kill.down_s) * 1000 > end_ms:
            return killed
        await asyncio.sleep(kill.wait_s)
        say(f"kill -9 {kill.part}, back in {kill.down_s:.1f} s")
        await site.part(kill.part).kill_and_restart(kill.down_s)
        killed += 1
    return killed


async def _drain(site: Site) -> Waiting:
    """Wait until the gateway knows everything sealed to be stored; what it does not know in the end."""
    until = time.monotonic() + DRAIN_S
    waiting = await site.not_stored()
    while waiting.batches and time.monotonic() < until:
        await asyncio.sleep(0.3)
        waiting = await site.not_stored()
    return waiting


def _own(answers: list[Answered], run: Run) -> list[Answered]:
    """The answers from the first counted slot on, and all rows."""
    return [answer for answer in answers if answer.at_ms >= run.began_ms or answer.kind == "row"]
