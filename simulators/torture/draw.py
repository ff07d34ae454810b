"""What happens when: drawn from a seed, so that a run can be repeated. Pure.

Every kind has its turn before one has its second. Each target draws for itself: what happens to one gateway does not
depend on how many others there are.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulators.proxy.link import LinkFaults
from simulators.proxy.messages import MessageFaults

QUIET_S = (1.0, 3.0)  # between two faults of one line
FAULT_S = (1.5, 4.0)  # how long one lasts
HALF_OPEN = "half_open"
LINK_KINDS = ("refuse", "reset", "black_hole", "drip", "delay", "flap")
PAUSE_S = (0.5, 2.5)  # between two blows at the processes in the centre
HOUSE_PAUSE_S = (2.0, 6.0)  # ... and at those of a house, which must have slots that nothing excuses
DOWN_S = (0.0, 1.5)
HOLD_S = (1.0, 6.0)  # how long a part stands still; longer than the 5 s after which a gateway only says hello
AIM_S = (-0.1, 0.6)  # around the begin of a slot, where meters are read, readings sealed and sent
AIMED = 0.5  # the share of blows that are aimed there
STEP_PAUSE_S = (3.0, 7.0)  # between two steps of a clock
STEPS_S = (8, 11, -11, 40, -40, 3_600, -3_600, -700_000_000)  # the last one: far before our release
BLOWS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}


@dataclass(frozen=True, slots=True)
class LineFault:
    """After `wait_s` of quiet, `kind` for `lasts_s` (0 for "reset"); `faults` is what to set.

    Refused lines are reset too: where nobody listens, nothing is open.
    """

    wait_s: float
    kind: str
    lasts_s: float
    faults: LinkFaults


@dataclass(frozen=True, slots=True)
class Blow:
    """After `wait_s`, `kind` (kill, term, stop) at `part`, which is away (or stands still) for `lasts_s`.

    `aim_s`: not before the next moment that is so far from the begin of a slot.
    """

    wait_s: float
    kind: str
    part: str
    lasts_s: float
    aim_s: float | None


@dataclass(frozen=True, slots=True)
class ClockStep:
    """After `wait_s` the clock is `by_s` from ours for `lasts_s`, then right again."""

    wait_s: float
    by_s: int
    lasts_s: float


def line_faults(seed: int, line: str, kinds: Sequence[str], slower: float = 1.0) -> Iterator[LineFault]:
    """An endless series for one line; `slower` stretches the quiet in between."""
    rng = random.Random(f"{seed}/line/{line}")
    while True:
        for kind in rng.sample(kinds, len(kinds)):
            wait_s, lasts_s = slower * rng.uniform(*QUIET_S), rng.uniform(*FAULT_S)
            yield LineFault(wait_s, kind, 0.0 if kind == "reset" else lasts_s, _faults(kind, rng))


def blows(
    seed: int, name: str, parts: Sequence[str], stopped: Sequence[str], pause_s: tuple[float, float] = PAUSE_S
) -> Iterator[Blow]:
    """An endless series `name`: each part killed and terminated, those in `stopped` also held."""
    rng = random.Random(f"{seed}/blows/{name}")
    deck = [(kind, part) for part in parts for kind in BLOWS] + [("stop", part) for part in stopped]
    while True:
        for kind, part in rng.sample(deck, len(deck)):
            wait_s, lasts_s = rng.uniform(*pause_s), rng.uniform(*(HOLD_S if kind == "stop" else DOWN_S))
            aim_s = rng.uniform(*AIM_S)
            yield Blow(wait_s, kind, part, lasts_s, aim_s if rng.random() < AIMED else None)


def clock_steps(seed: int, gateway: str) -> Iterator[ClockStep]:
    """An endless series of steps there and back."""
    rng = random.Random(f"{seed}/clock/{gateway}")
    while True:
        for by_s in rng.sample(STEPS_S, len(STEPS_S)):
            yield ClockStep(rng.uniform(*STEP_PAUSE_S), by_s, rng.uniform(*FAULT_S))


def message_faults(seed: int, line: str) -> MessageFaults:
    """Shares for the whole run."""
    rng = random.Random(f"{seed}/messages/{line}")
    duplicate, late, swallow = rng.uniform(0.1, 0.4), rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.3)
    return MessageFaults(duplicate, late, swallow, rng.uniform(0.5, 4.0))


def _faults(kind: str, rng: random.Random) -> LinkFaults:
    match kind:
        case "refuse":
            return LinkFaults(refuse=True)
        case "black_hole":
            return LinkFaults(black_hole=True)
        case "drip":
            return LinkFaults(drip=rng.choice([50.0, 500.0, 5_000.0]))
        case "delay":
            return LinkFaults(delay_ms=rng.uniform(50, 800), jitter_ms=rng.uniform(0, 400))
        case "flap":
            return LinkFaults(flap_s=(rng.uniform(0.2, 1.0), rng.uniform(0.1, 0.8)))
    return LinkFaults()
