"""How far the values of a series may be trusted, kept as runs of equal quality.

State, final flag, method and reason are separate: an estimate (state) may be by a shape of like days (method) because
the meter was silent (reason), and is final once nobody waits for a true value any more.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby


class State(IntEnum):
    """What a value of a series is, the best first: of several the worst counts. The numbers are stored."""

    VALID = 0
    EDITED = 1  # entered or changed by a person, and approved
    RAW = 2  # as read, not validated yet
    DERIVED = 3  # reckoned between two reads
    ESTIMATED = 4
    QUESTIONABLE = 5
    MISSING = 6  # there is none; never a zero

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of one value."""

    state: State
    final: bool = False
    method: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """So many intervals, one after the other, of one quality."""

    count: int
    quality: Quality

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"expected a run of at least one interval, got {self.count}")


Runs = tuple[Run, ...]
MISSING = Quality(State.MISSING)
RAW = Quality(State.RAW)


def runs_of(qualities: Iterable[Quality]) -> Runs:
    """The runs of qualities, one for each interval."""
    return tuple(Run(sum(1 for _ in same), quality) for quality, same in groupby(qualities))


def each_of(runs: Iterable[Run]) -> Iterator[Quality]:
    """The quality of each interval."""
    for run in runs:
        for _ in range(run.count):
            yield run.quality


def worst(states: Iterable[State]) -> State:
    """The worst of states; of none: missing."""
    return max(states, default=State.MISSING)


def runs_to_text(runs: Sequence[Run]) -> str:
    """Runs as the store keeps them: JSON arrays of count, state, final, method, reason, without what is empty last."""
    return json.dumps([_fields(each) for each in runs], separators=(",", ":"), ensure_ascii=False)


@functools.lru_cache(4_096)  # most pages of a utility have one of a few
def runs_from_text(text: str) -> Runs:
    """The runs in a text of `runs_to_text`.

    Raises:
        ValueError, TypeError: it is none.
    """
    return tuple(_run(*each) for each in json.loads(text))


def _fields(run: Run) -> list[object]:
    quality = run.quality
    fields: list[object] = [run.count, int(quality.state), int(quality.final), quality.method, quality.reason]
    while not fields[-1] and len(fields) > 2:
        fields.pop()
    return fields


def _run(count: int, state: int, final: int = 0, method: str = "", reason: str = "") -> Run:
    return Run(count, Quality(State(state), bool(final), method, reason))
