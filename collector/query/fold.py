"""Intervals folded into periods: one row of columns for each period in which an interval should be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from collector.grid import within
from collector.master.channels import Aggregate
from collector.quality import State
from collector.query.parts import Part, Weights, add, add_whole, by_digest
from collector.query.stretches import Amount, Stretch


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
    found, begin, count = Columns(), 0, len(stretches)
    whole = [by_digest(stretch, rule) for stretch in stretches]
    for start, end in spans:
        part, at = Part(), begin
        while at < count and stretches[at].starts_ms < end:
            until = _wholes(stretches, whole, at, (start, end))
            if until > at:
                add_whole(part, stretches[at:until], rule, exponent)
            else:
                _add_cut(part, stretches[at], (start, end), rule, exponent, weights or {})
                until += 1
            at = until
        while begin < count and stretches[begin].ends_ms <= end:
            begin += 1
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


def _wholes(stretches: Sequence[Stretch], whole: Sequence[bool], at: int, span: tuple[int, int]) -> int:
    """Where the whole pages that begin at `at` and lie in the span end; `at` where there is none."""
    start, end = span
    while at < len(stretches) and whole[at] and start <= stretches[at].starts_ms and stretches[at].ends_ms <= end:
        at += 1
    return at


def _add_cut(
    part: Part, stretch: Stretch, span: tuple[int, int], rule: Aggregate, exponent: int, weights: Weights
) -> None:
    both = within(stretch.edges, *span)
    if both is None:
        return
    first, end = max(both[0], stretch.first), min(both[1], stretch.end)
    if first < end:
        add(part, stretch, first, end, rule, 10 ** (stretch.exponent - exponent), weights)


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
