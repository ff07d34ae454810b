"""What attribution leaves as it is: spans of a point of which readings, or values too, were erased (docs/retention.md).

Where values were erased there are none, with that reason. Where only readings were, a value that was reckoned while
they were there stays; a gap is still filled by what comes late.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from collector.attribute.stands import TURN_MS
from collector.grid import DAY_MS, STEP_S
from collector.quality import Quality, State, each_of, runs_of
from collector.store.curves import Curve, Page
from collector.store.erasures import COARSE, FINE, KEPT, Closed
from collector.store.stands import Character, Stand, StandVersion

ERASED = Quality(State.MISSING, True, "", "erased")
_EXCHANGE = (Character.REMOVED, Character.INSTALLED)


@dataclass(frozen=True, slots=True)
class _Interval:
    """An interval's value, its quality, and the moment of a maximum."""

    value: int | None
    quality: Quality
    moment: int | None


def settled(curve: Curve, bounds: Sequence[int], apart_ms: int, closed: Sequence[Closed], known: Page | None) -> Curve:
    """A page as it was reckoned, with what must stay as it is in its place.

    Args:
        curve: what was reckoned.
        bounds: where its intervals begin, and the last one ends.
        apart_ms: how far from an interval a reading may be that it is made of.
        closed: the spans of its point.
        known: the newest version that is stored, or None.

    Raises:
        CurveAlteredError: that is not what was written.
    """
    values = FINE if STEP_S[curve.cadence] * 1_000 < DAY_MS else COARSE
    old = None if known is None else known.curve()
    before = None if old is None or len(old.values) != len(curve.values) else list(_each(old))
    made: list[_Interval] = []
    for index, (each, (start, end)) in enumerate(zip(_each(curve), pairwise(bounds), strict=True)):
        if any(_meets(one, start, end, 0) for one in closed if one.kind == values):
            made.append(_Interval(None, ERASED, None))
        elif before is not None and any(_meets(one, start, end, apart_ms) for one in closed if one.kind == KEPT):
            made.append(before[index] if before[index].value is not None else each)
        else:
            made.append(each)
    if before == made and old is not None:
        return old
    moments = None
    if curve.moments is not None or (old is not None and old.moments is not None):
        moments = tuple(each.moment or 0 for each in made if each.value is not None)
    origin = tuple(dict.fromkeys([*(old.origin if before is not None and old is not None else ()), *curve.origin]))
    there = any(each.value is not None for each in made)
    return replace(
        curve,
        values=tuple(each.value for each in made),
        runs=runs_of(each.quality for each in made),
        origin=origin if there else (),
        moments=moments,
    )


def stands_left(made: Sequence[Stand], closed: Sequence[Closed], known: Sequence[StandVersion]) -> list[Stand]:
    """The stands that may be put: none that was erased, none over what was made while the readings were there.

    What an installation says of its registers is master data: it counts, until the point's values were erased.
    """
    stored = {(each.stand.register, each.stand.at_ms, each.stand.character): each.stand for each in known}
    found = []
    for stand in made:
        kinds = {each.kind for each in closed if _meets(each, stand.at_ms, stand.at_ms, 0)}
        near = {each.kind for each in closed if _meets(each, stand.at_ms, stand.at_ms, TURN_MS)}
        old = stored.get((stand.register, stand.at_ms, stand.character))
        said = stand.character in _EXCHANGE and (
            old is None or (old.value, old.quality) != (stand.value, stand.quality)
        )
        if said or (COARSE not in kinds and KEPT not in near):
            found.append(stand)
    return found


def _meets(closed: Closed, start_ms: int, end_ms: int, beside_ms: int) -> bool:
    return start_ms <= closed.to_ms + beside_ms and end_ms >= closed.from_ms - beside_ms


def _each(curve: Curve) -> Iterator[_Interval]:
    moments = iter(curve.moments or ())
    for value, quality in zip(curve.values, each_of(curve.runs), strict=True):
        yield _Interval(value, quality, None if value is None else next(moments, None))
