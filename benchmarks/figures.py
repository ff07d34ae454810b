"""What a benchmark prints and keeps: two things measured in the same run, and their ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 5  # the median of so many, taken in turns: A B A B ...


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of results.json: `value` in `unit`, `beside` says what the ratio is to."""

    name: str
    value: float
    unit: str
    beside: str
    ratio: float


def in_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of each, run in turns so that a machine's moods meet both."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in (ours, theirs):
        run()
    for _ in range(ROUNDS):
        for run, kept in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            run()
            kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])
