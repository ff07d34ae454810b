"""Intervals folded into periods: one row of columns for each period in which an interval should be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from collector.master.channels import Aggregate
from collector.quality import State
from collector.query.parts import Part, Weights, add
from collector.query.stretches import Amount, Stretch, within


@dataclass(slots=True)
class Columns:
    """Periods side by side: from and to (ms UTC), the value (None: none), how many intervals, and how good they are.

    `tops` says when a maximum was reached: the beginning of its interval, or the instant where the meter tells it.
    """

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    values: list[Amount | None] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)
    present: list[int] = field(default_factory=list)
    estimated: list[int] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    finals: list[bool] = field(default_factory=list)
    tops: list[int | None] = field(default_factory=list)


def common_exponent(stretches: Iterable[Stretch]) -> int:
    """The power of ten of which all numbers are whole multiples."""
    return min((each.exponent for each in stretches), default=0)


def fold(
    stretches: Sequence[Stretch],
    spans: Iterable[tuple[int, int]],
    rule: Aggregate,
    exponent: int,
    weights: Weights | None = None,
) -> Columns:
    """Stretches, in order, by periods, in order; values are times 10^`exponent`.

    An interval counts in the period in which it lies wholly; a period in which none should be is left out.
    """
    found, begin = Columns(), 0
    for start, end in spans:
        part = Part()
        while begin < len(stretches) and stretches[begin].edges[stretches[begin].end] <= start:
            begin += 1
        for at in range(begin, len(stretches)):
            stretch = stretches[at]
            if stretch.edges[stretch.first] >= end:
                break
            both = within(stretch.edges, start, end)
            first, last = (max(both[0], stretch.first), min(both[1], stretch.end)) if both else (0, 0)
            if first < last:
                add(part, stretch, first, last, rule, 10 ** (stretch.exponent - exponent), weights or {})
        if part.expected:
            _append(found, start, end, part, rule)
    return found


def singly(stretches: Sequence[Stretch], rule: Aggregate, exponent: int) -> Columns:
    """Each interval as a period of its own; much quicker than to fold it."""
    found = Columns()
    for stretch in stretches:
        first, end, scale = stretch.first, stretch.end, 10 ** (stretch.exponent - exponent)
        values = stretch.values[first:end]
        found.starts += stretch.edges[first:end]
        found.ends += stretch.edges[first + 1 : end + 1]
        found.values += values if scale == 1 else [None if value is None else value * scale for value in values]
        found.expected += [1] * len(values)
        for count, quality in stretch.qualities(first, end):
            found.present += [int(quality.state is not State.MISSING)] * count
            found.estimated += [int(quality.state is State.ESTIMATED)] * count
            found.states += [quality.state] * count
            found.finals += [quality.final] * count
        if rule is Aggregate.MAXIMUM:
            at = range(first, end)
            found.tops += [
                None if value is None else stretch.moments.get(place, stretch.edges[place])
                for place, value in zip(at, values, strict=True)
            ]
        else:
            found.tops += [None] * len(values)
    return found


def _append(found: Columns, start: int, end: int, part: Part, rule: Aggregate) -> None:
    found.starts.append(start)
    found.ends.append(end)
    found.values.append(part.value(rule))
    found.expected.append(part.expected)
    found.present.append(part.present)
    found.estimated.append(part.estimated)
    found.states.append(part.state)
    found.finals.append(part.final)
    found.tops.append(part.top_ms if rule is Aggregate.MAXIMUM else None)
