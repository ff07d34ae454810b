"""What a run came to: the tally of every house by telegram, and times of recovery. Pure; truth is the meters' record.

A meter never sends the same telegram twice, so that each can be followed from its display to the store, whatever the
gateway's clock showed meanwhile. Produced is each telegram that arrived whole, unless

* the gateway was down before it must have been sealed, or when it came,
* it came in the last slot, which the freeze cut short: who was not heard there cannot be asked again,
* the gateway asked again in the same slot (where its clock was set: at once): it had not taken the answer, which
  belonged to the slot before, or came when its clock was set; or it asked twice, for a step in the numbers that it did
  not believe at once, and sealed the one of both that the other confirmed,
* where its clock was set: the round had lasted for more than a second, so that the answer may have come too late.

Slots in which everything ran and nobody asked are lost too; where the gateway's clock was set, each meter must at least
have been asked often enough. Two readings of one slot are one too many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from simulators.record import Answered
from simulators.site.count import Stored, displayed, raw_hash
from simulators.site.parts import Down

SEALED_MS = 1_500  # a round ends and is sealed so long after the answer, on a busy machine too
AGAIN_MS = 4_500  # a poll that failed is repeated after 2 s, on a busy machine later; still below the cadence
AT_ONCE_MS = 1_000  # what is asked twice in one visit is answered twice within this time
SLOW_MS = 1_000  # a round that lasts longer is a busy machine's: its answers may come after their slot
STEP_MS = 1_500  # around a step of the clock a poll may be repeated
START_MS = 4_500  # a gateway, or the meters, that were started answer after this time, on a busy machine too
ROUND_MS = 1_000  # an answer may come so long after the middle of its exchange
ASKED_SHARE = 4  # of all slots a meter must have answered in one of so many, whatever the clock showed


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of a house in a run: when it was watched, its cadence, what was down and when its clock was set.

    `seen` are hashes of telegrams that the collector already showed during the run: nothing excuses their loss.
    """

    began_ms: int
    frozen_ms: int
    cadence_ms: int
    downs: tuple[Down, ...] = ()
    steps_ms: tuple[int, ...] = ()
    seen: frozenset[str] = field(default_factory=frozenset)


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


def tally(answers: Sequence[Answered], stored: Sequence[Stored], run: Watched, buffered: int = 0) -> Tally:
    """Compare what the meters of a house sent with all that is stored of it; `buffered` readings are on their way."""
    truth = {raw_hash(each.telegram): each for each in answers}
    held = {each.raw_hash for each in stored}
    whole = {digest for digest, each in truth.items() if each.damaged is None and each.at_ms >= run.began_ms}
    sealed = [truth[digest] for digest in held & truth.keys()]
    missing = whole - held - run.seen
    excused = {
        each for each in missing if _excused(truth[each], answers, run) or _asked_twice(truth[each], sealed, run)
    }
    produced = (whole - excused) | run.seen
    lost = [*(_named(truth.get(digest), digest) for digest in produced - held), *_unasked(answers, run)]
    return Tally(
        len(produced),
        len(produced & held),
        max(0, len(lost) - buffered),
        _twice(stored),
        sum(_differs(truth.get(each.raw_hash), each, run) for each in stored),
        len(excused),
        tuple(sorted(lost)),
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


def _excused(answer: Answered, answers: Sequence[Answered], run: Watched) -> bool:
    """Whether the gateway may have gone before this was sealed, or asked again because it had not taken it."""
    at = answer.at_ms
    if at >= run.frozen_ms // run.cadence_ms * run.cadence_ms:
        return True
    if any(abs(at - step) < STEP_MS for step in run.steps_ms):
        return True
    if any(down.from_ms < at + SEALED_MS and down.to_ms > at for down in run.downs):
        return True
    if run.steps_ms and any(SLOW_MS < at - each.at_ms < run.cadence_ms - SLOW_MS // 2 for each in answers):
        return True
    slot_end = at // run.cadence_ms * run.cadence_ms + run.cadence_ms
    until = at + AGAIN_MS if run.steps_ms else slot_end - 1
    return any(each.meter == answer.meter and at < each.at_ms <= until for each in answers)


def _asked_twice(answer: Answered, sealed: Sequence[Answered], run: Watched) -> bool:
    """Whether another answer of the same meter in the same slot (where the clock was set: at once) is sealed."""
    mine = [each.at_ms for each in sealed if each.meter == answer.meter]
    if run.steps_ms:
        return any(abs(at - answer.at_ms) < AT_ONCE_MS for at in mine)
    return any(at // run.cadence_ms == answer.at_ms // run.cadence_ms for at in mine)


def _differs(answer: Answered | None, reading: Stored, run: Watched) -> bool:
    """Whether a stored reading is not what the meter showed, or not of the slot in which it did."""
    if answer is None or answer.meter != reading.meter or displayed(answer) != reading.values:
        return True
    slots = {at // run.cadence_ms * run.cadence_ms for at in (answer.at_ms, answer.at_ms - ROUND_MS)}
    return not run.steps_ms and reading.slot_ms not in slots


def _twice(stored: Sequence[Stored]) -> int:
    """Readings of a telegram, or of a slot, that is there already."""
    telegrams = len(stored) - len({each.raw_hash for each in stored})
    slots = len(stored) - len({(each.meter, each.slot_ms) for each in stored})
    return max(telegrams, slots)


def _unasked(answers: Sequence[Answered], run: Watched) -> Iterator[str]:
    """Slots in which a meter was not asked although everything ran; a clock that was set moves them."""
    first = -(-run.began_ms // run.cadence_ms)
    slots = range(first, run.frozen_ms // run.cadence_ms)
    for meter in {each.meter for each in answers}:
        asked = {each.at_ms // run.cadence_ms for each in answers if each.meter == meter}
        if run.steps_ms:
            if len(asked) * ASKED_SHARE < len(slots):
                yield f"meter {meter}, hardly asked"
            continue
        for slot in slots:
            if slot not in asked and not _disturbed(slot * run.cadence_ms, run):
                yield f"meter {meter}, slot {slot * run.cadence_ms}, never asked"


def _disturbed(slot_ms: int, run: Watched) -> bool:
    """Whether something was down in a slot, or was starting when it began."""
    end_ms = slot_ms + run.cadence_ms
    return any(down.from_ms < end_ms and down.to_ms + START_MS > slot_ms for down in run.downs)


def _named(answer: Answered | None, digest: str) -> str:
    return f"telegram {digest[:16]}" if answer is None else f"meter {answer.meter}, answered at {answer.at_ms}"
