"""What a run came to: the count of every house, of one whose clock was set by telegram, and times of recovery. Pure.

Where a gateway's clock was set, a slot is not an instant: its readings are compared by telegram, of which a meter
never sends the same twice. Produced is each telegram that arrived whole, unless the gateway was killed before it must
have been sealed, or its clock was set in that moment (the poll is then repeated); and each meter must have been asked
often enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from simulators.record import Answered
from simulators.site.count import Stored, displayed, raw_hash
from simulators.site.parts import Down

SEALED_MS = 3_000  # a round ends and is sealed so long after the answer, on a busy machine too
STEP_MS = 1_500  # around a step of the clock a poll may be repeated
ASKED_SHARE = 4  # of all slots a meter must have answered in one of so many, whatever the clock showed


@dataclass(frozen=True, slots=True)
class Tally:
    """Readings of one house: `lost` says how many are missing beyond what is buffered, `missing` which."""

    produced: int
    stored: int
    lost: int
    twice: int
    altered: int
    excused: int
    missing: tuple[str, ...] = ()

    def holds(self) -> bool:
        """Whether the promise was kept, and there was something to keep."""
        return self.produced > 0 and not (self.lost or self.twice or self.altered)


def total(tallies: Sequence[Tally]) -> Tally:
    """All houses together."""
    return Tally(
        sum(each.produced for each in tallies),
        sum(each.stored for each in tallies),
        sum(each.lost for each in tallies),
        sum(each.twice for each in tallies),
        sum(each.altered for each in tallies),
        sum(each.excused for each in tallies),
        tuple(name for each in tallies for name in each.missing),
    )


@dataclass(frozen=True, slots=True)
class Stepped:
    """A house whose clock was set: how long it was watched, its cadence, what was down and when its clock moved (ms).

    `seen` are the telegrams' hashes that the collector already showed during the run.
    """

    began_ms: int
    frozen_ms: int
    cadence_ms: int
    downs: tuple[Down, ...]
    steps_ms: tuple[int, ...]
    seen: frozenset[str]


def by_telegram(answers: Sequence[Answered], stored: Sequence[Stored], run: Stepped, buffered: int) -> Tally:
    """Compare telegrams; `buffered` readings are sealed and still on their way."""
    truth = {raw_hash(each.telegram): each for each in answers}
    held = [each.raw_hash for each in stored]
    altered = sum(
        each.raw_hash not in truth
        or displayed(truth[each.raw_hash]) != each.values
        or each.meter != truth[each.raw_hash].meter
        for each in stored
    )
    whole = {digest for digest, each in truth.items() if each.damaged is None}
    excused = {digest for digest in whole - set(held) - run.seen if _excused(truth[digest], run)}
    produced = (whole - excused) | run.seen
    lost = sorted(produced - set(held), key=lambda digest: truth[digest].at_ms if digest in truth else 0)
    silent = _silent(answers, run)
    return Tally(
        len(produced),
        len(produced & set(held)),
        max(0, len(lost) - buffered) + len(silent),
        len(held) - len(set(held)),
        altered,
        len(excused),
        (*(_named(truth.get(digest), digest) for digest in lost), *(f"meter {each}, hardly asked" for each in silent)),
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of all do not exceed; None: there is none."""
    found = sorted(values)
    return found[max(0, math.ceil(share * len(found)) - 1)] if found else None


def recoveries(
    ended: Sequence[tuple[str | None, int]], batches: Sequence[tuple[str, int]], gateways: Sequence[str]
) -> tuple[list[float], int]:
    """Seconds from the end of each fault to the next stored batch of each gateway that felt it; how many never came.

    `ended`: gateway (None: all) and instant of each fault's end; `batches`: gateway and receipt. All ms.
    """
    found, never = [], 0
    for gateway, at_ms in ended:
        for each in gateways if gateway is None else [gateway]:
            after = [received for name, received in batches if name == each and received >= at_ms]
            if after:
                found.append((min(after) - at_ms) / 1000)
            else:
                never += 1
    return found, never


def _excused(answer: Answered, run: Stepped) -> bool:
    """Whether the gateway may have been killed before this was sealed, or repeated the poll."""
    at = answer.at_ms
    if any(abs(at - step) < STEP_MS for step in run.steps_ms):
        return True
    return any(down.from_ms < at + SEALED_MS and down.to_ms > at for down in run.downs)


def _silent(answers: Sequence[Answered], run: Stepped) -> list[str]:
    """Meters that answered in too few slots."""
    meters = {each.meter for each in answers}
    slots = (run.frozen_ms - run.began_ms) // run.cadence_ms
    asked = {meter: len({each.at_ms // run.cadence_ms for each in answers if each.meter == meter}) for meter in meters}
    return sorted(meter for meter in meters if asked[meter] * ASKED_SHARE < slots)


def _named(answer: Answered | None, digest: str) -> str:
    return f"telegram {digest[:16]}" if answer is None else f"meter {answer.meter}, answered at {answer.at_ms}"
