"""The intervals of a channel: what the meters that served the point counted or showed in each. Knows no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from collector.attribute import rows
from collector.attribute.rows import Value
from collector.attribute.totals import Course
from collector.attribute.words import NO_METER, NO_REGISTER, Served, worse
from collector.grid import STEP_S
from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.meters import Kind
from collector.master.points import Medium
from collector.quality import Quality, State

TOLERANCE = 100  # a read counts as read at a boundary within this part of the interval
HEAT_TOLERANCE_MS = 60_000  # ... but where heat is measured
COUNTED = (Kind.TOTAL, Kind.RESETTING, Kind.BALANCE)


@dataclass(frozen=True, slots=True)
class Near:
    """How near a read must be to a boundary, and how far two may be apart with a boundary between them (ms).

    Half as much again as an interval: one read that was missed leaves a gap.
    """

    tolerance_ms: int
    apart_ms: int

    @classmethod
    def of(cls, cadence: Cadence, medium: Medium) -> Near:
        """For a channel's cadence at a point of this medium."""
        step_ms = STEP_S[cadence] * 1_000
        heat = medium in (Medium.HEAT, Medium.COOLING)
        return cls(HEAT_TOLERANCE_MS if heat else step_ms // TOLERANCE, step_ms * 3 // 2)


def values(channel: Channel, bounds: Sequence[int], near: Near, served: Sequence[Served]) -> list[Value]:
    """The value of each interval between two neighbouring bounds.

    Args:
        channel: whose series.
        bounds: where intervals begin, and last where the last one ends (ms UTC).
        near: the tolerances.
        served: the installations that meet the intervals and their surroundings, by time.
    """
    courses = [Course(each, near.tolerance_ms, near.apart_ms) for each in served]
    return [_value(channel, start, end, served, courses) for start, end in pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class _Here:
    """A meter in an interval: from when to when it was installed there."""

    served: Served
    course: Course
    from_ms: int
    to_ms: int


def _value(channel: Channel, start_ms: int, end_ms: int, served: Sequence[Served], courses: Sequence[Course]) -> Value:
    if not channel.span.holds(start_ms):
        return Value(None, Quality(State.MISSING))
    all_of = [_Here(each, one, *_common(each, start_ms, end_ms)) for each, one in zip(served, courses, strict=True)]
    here = [each for each in all_of if each.from_ms < each.to_ms]
    if not here:
        return Value(None, Quality(State.MISSING, reason=NO_METER))
    kinds = {row.kind for each in here for row in each.served.registers if row.quantity == channel.quantity}
    if len(kinds) != 1:
        return Value(None, Quality(State.MISSING, reason=NO_REGISTER))
    kind = kinds.pop()
    if kind not in COUNTED:
        return rows.value([each.served for each in here], kind, channel.aggregate, start_ms, end_ms)
    if channel.aggregate is Aggregate.LAST:
        found = here[-1].course.ticks_at(here[-1].to_ms)
        return Value(found.ticks, found.quality)
    return _delivered(here, end_ms - start_ms)


def _delivered(here: Sequence[_Here], length_ms: int) -> Value:
    """What all meters of an interval counted in it."""
    amounts = [each.course.between(each.from_ms, each.to_ms) for each in here]
    missing = next((each.quality for each in amounts if each.ticks is None), None)
    if missing is not None:
        return Value(None, missing)
    qualities = [each.quality for each in amounts]
    if sum(each.to_ms - each.from_ms for each in here) < length_ms:
        qualities.append(Quality(State.DERIVED, reason=NO_METER))
    return Value(sum(each.ticks for each in amounts if each.ticks is not None), worse(qualities))


def _common(served: Served, start_ms: int, end_ms: int) -> tuple[int, int]:
    """What of an interval a meter was installed."""
    span = served.installation.span
    return max(start_ms, span.from_ms), end_ms if span.to_ms is None else min(end_ms, span.to_ms)
