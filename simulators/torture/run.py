"""The torture run: set a street up, torment it, let it drain, count."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from simulators.record import read
from simulators.site.count import Stored, raw_hash
from simulators.site.held import grouped, verify_all
from simulators.site.parts import PartError, now_ms, program, run
from simulators.site.setup import Waiting
from simulators.torture.clock import FakeClock
from simulators.torture.inject import Injector
from simulators.torture.setup import CADENCE_S, House, Street, freeze
from simulators.torture.tally import Tally, Watched, percentile, recoveries, tally, total

CADENCE_MS = CADENCE_S * 1000
FIRST_S = 30.0  # the first batch of every gateway must be stored by then
SETTLE_S = 2.0  # a round that was under way at the freeze ends and is sealed
DRAIN_S = 180.0  # after the freeze everything sealed must be stored by then: a pause of 60 s, and one of hellos
LOOK_S = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    seed: int
    gateways: int
    meters: int
    broker: str
    workers: int
    seconds: float
    tormented_s: float
    drained_s: float
    tally: Tally
    faults: Counter[str]
    effects: Counter[str]
    not_injected: dict[str, str]
    buffered: Waiting
    refused: int
    seal_failures: int
    batches: int
    recovered_s: tuple[float, ...]
    never_recovered: int

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        kept = not (self.seal_failures or self.never_recovered or self.buffered.batches or self.refused)
        return self.tally.holds() and kept and self.batches > 0

    def to_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                "result": "held" if self.holds else "failed",
                "seed": self.seed,
                "seconds": round(self.tormented_s, 1),
                "gateways": self.gateways,
                "meters": self.meters,
                "broker": self.broker,
                "workers": self.workers,
                "faults": dict(sorted(self.faults.items())),
                "effects": dict(sorted(self.effects.items())),
                "not_injected": self.not_injected,
                "produced": self.tally.produced,
                "stored": self.tally.stored,
                "buffered": self.buffered.readings,
                "refused": self.refused,
                "lost": self.tally.lost,
                "twice": self.tally.twice,
                "altered": self.tally.altered,
                "excused": self.tally.excused,
                "missing": self.tally.missing,
                "batches": self.batches,
                "batches_not_stored": self.buffered.batches,
                "seal_failures": self.seal_failures,
                "recovery_p50_s": _rounded(percentile(self.recovered_s, 0.5)),
                "recovery_p99_s": _rounded(percentile(self.recovered_s, 0.99)),
                "never_recovered": self.never_recovered,
                "readings_per_s": round(self.tally.stored / self.tormented_s, 2),
                "drained_s": round(self.drained_s, 1),
                "seconds_in_all": round(self.seconds, 1),
            }
        )


def not_counted(reason: str) -> str:
    """The last line of a run that came to no count."""
    return json.dumps({"result": "not counted", "reason": reason})


async def torture(street: Street, seconds: float, say: Say) -> Result:
    """The whole story on a street that is set up.

    Raises:
        PartError: a part ended by itself, or something did not happen in its time.
    """
    began = time.monotonic()
    try:
        await street.start()
        await _all_stored(street, say)
        began_ms = -(-now_ms() // CADENCE_MS) * CADENCE_MS
        await asyncio.sleep((began_ms - now_ms()) / 1000)
        injector = Injector(street, began_ms + int(seconds * 1000), say)
        await injector.run()
        say("all faults are off; reading for another slot and a half")
        await asyncio.sleep(max(0, began_ms + seconds * 1000 - now_ms()) / 1000 + CADENCE_S)
        await asyncio.sleep((CADENCE_MS * 3 // 2 - now_ms() % CADENCE_MS) / 1000)
        street.check_alive()
        seen = {house.name: await _seen(street, house, began_ms) for house in street.houses}
        for house in street.houses:
            freeze(house.meters)
        frozen_ms = now_ms()
        say("frozen: the meters answer no more; draining")
        await asyncio.sleep(SETTLE_S)
        waiting = await _drain(street, say)
        drained_s = (now_ms() - frozen_ms) / 1000
        refused = await street.refused()
    finally:
        await street.stop()
    say("stopped; counting")
    tallies = []
    for house in street.houses:
        downs = tuple(down for part in (house.gateway, house.meters) for down in part.downs)
        steps = tuple(injector.steps_ms.get(house.name, ()))
        watched = Watched(began_ms, frozen_ms, CADENCE_MS, downs, steps, seen[house.name])
        found = await _stored(street, house)
        tallies.append(tally(list(read(house.record)), found, watched, waiting[house.name].readings))
    verdicts = [await verify_all(street.folder, house.name, f"export-{house.name}") for house in street.houses]
    ended = [(each.gateway, each.at_ms) for each in injector.ended]
    recovered, never = recoveries(ended, await street.batches(), [house.name for house in street.houses])
    return Result(
        street.wanted.seed,
        street.wanted.gateways,
        street.wanted.meters,
        street.wanted.broker,
        street.wanted.workers,
        time.monotonic() - began,
        (frozen_ms - began_ms) / 1000,
        drained_s,
        total(tallies),
        injector.counts,
        injector.effects(),
        _not_injected(street),
        Waiting(sum(each.batches for each in waiting.values()), sum(each.readings for each in waiting.values())),
        refused,
        sum(each.failures for each in verdicts),
        sum(each.batches for each in verdicts),
        tuple(recovered),
        never,
    )


async def _all_stored(street: Street, say: Say) -> None:
    until = time.monotonic() + FIRST_S
    names = {house.name for house in street.houses}
    while {gateway for gateway, _ in await street.batches()} < names:
        if time.monotonic() > until:
            raise PartError(f"not every gateway had a batch stored within {FIRST_S:.0f} s: see {street.folder}")
        await asyncio.sleep(LOOK_S)
    say("every gateway has a batch stored; now the faults")


async def _drain(street: Street, say: Say) -> dict[str, Waiting]:
    """Wait until every gateway knows everything sealed to be stored; what they do not know in the end."""
    until = time.monotonic() + DRAIN_S
    waiting = {house.name: await house.not_stored() for house in street.houses}
    while any(each.batches for each in waiting.values()) and time.monotonic() < until:
        say(f"batches on their way: {', '.join(f'{name} {each.batches}' for name, each in waiting.items())}")
        await asyncio.sleep(LOOK_S)
        for house in street.houses:
            if waiting[house.name].batches:
                waiting[house.name] = await house.not_stored()
    return waiting


async def _stored(street: Street, house: House) -> list[Stored]:
    """What the collector shows of a house."""
    options = ("--config", "collector/collector.toml", "--gateway", house.name, "--json")
    done = await run(program("plomba-collector"), "readings", *options, folder=street.folder, accepted=(0, 3))
    return grouped(json.loads(done.data))


async def _seen(street: Street, house: House, from_ms: int) -> frozenset[str]:
    """Telegrams since the begin that the collector shows before the freeze."""
    shown = {each.raw_hash for each in await _stored(street, house)}
    return frozenset(
        digest for each in read(house.record) if each.at_ms >= from_ms and (digest := raw_hash(each.telegram)) in shown
    )


def _not_injected(street: Street) -> dict[str, str]:
    """Faults that cannot be injected here, and why."""
    clock = FakeClock.why_not()
    return street.reasons | ({} if clock is None else {"clock_step": clock})


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
