"""Which part is killed when: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

PAUSE_S = (3.0, 6.5)  # between two kills: several in a run, and time to recover in between
DOWN_S = (0.0, 1.5)  # how long a killed part stays away


@dataclass(frozen=True, slots=True)
class Kill:
    """After `wait_s`, kill `part` and start it again `down_s` later."""

    wait_s: float
    part: str
    down_s: float


def kills(seed: int, parts: tuple[str, ...]) -> Iterator[Kill]:
    """An endless series; every part has its turn before one has its second."""
    rng = random.Random(seed)
    while True:
        for part in rng.sample(parts, len(parts)):
            yield Kill(rng.uniform(*PAUSE_S), part, rng.uniform(*DOWN_S))
