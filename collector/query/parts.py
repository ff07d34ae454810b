"""What periods are made of: sums over intervals that are added up, so that a day is the sum of its hours, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from collector.master.channels import Aggregate
from collector.quality import State
from collector.query.stretches import Amount, Stretch

Weights = dict[int, Amount]  # by where an interval begins (ms UTC); what is not there is missing


@dataclass(slots=True)
class Part:
    """Some intervals of a period, added up. `expected` of them should be there, `present` are.

    `amount` is the sum, or for means the sum of values times weight (their length in ms, or another channel's amount),
    `weight` the sum of these; `top` the greatest, reached at `top_ms`. All numbers are times 10^exponent of the whole.
    """

    expected: int = 0
    present: int = 0
    estimated: int = 0
    state: State = State.VALID
    final: bool = True
    amount: Amount = 0
    weight: Amount = 0
    last: Amount | None = None
    top: Amount | None = None
    top_ms: int | None = None

    def value(self, rule: Aggregate) -> Amount | None:
        """The period's value; None where nothing is there, or where what weighs a mean is zero."""
        if not self.present:
            return None
        match rule:
            case Aggregate.SUM:
                return self.amount
            case Aggregate.LAST:
                return self.last
            case Aggregate.MAXIMUM:
                return self.top
            case Aggregate.MEAN | Aggregate.WEIGHTED:
                return Fraction(self.amount) / self.weight if self.weight else None

    def judge(self, expected: int, present: int, estimated: int, state: State, final: bool) -> None:
        """Take up how many intervals there are, and how good they are."""
        self.expected += expected
        self.present += present
        self.estimated += estimated
        self.state = max(self.state, state)
        self.final = self.final and final

    def rise(self, top: Amount, at_ms: int) -> None:
        """Take up a maximum; of equal ones the first counts."""
        if self.top is None or top > self.top:
            self.top, self.top_ms = top, at_ms


def add(part: Part, stretch: Stretch, first: int, end: int, rule: Aggregate, scale: int, weights: Weights) -> None:
    """Take up the intervals of a stretch from `first` to before `end`, their numbers times `scale`."""
    values = stretch.values[first:end]
    if rule is Aggregate.WEIGHTED:
        _weighted(part, stretch, first, values, scale, weights)
        return
    for count, quality in stretch.qualities(first, end):
        missing, estimated = quality.state is State.MISSING, quality.state is State.ESTIMATED
        part.judge(count, 0 if missing else count, count if estimated else 0, quality.state, quality.final)
    there = [(at, value * scale) for at, value in enumerate(values, first) if value is not None]
    if not there:
        return
    part.last = there[-1][1]
    match rule:
        case Aggregate.SUM:
            part.amount += sum(value for _, value in there)
        case Aggregate.MEAN:
            part.amount += sum(value * (stretch.edges[at + 1] - stretch.edges[at]) for at, value in there)
            part.weight += sum(stretch.edges[at + 1] - stretch.edges[at] for at, _ in there)
        case Aggregate.MAXIMUM:
            at, top = max(there, key=lambda each: (each[1], -each[0]))
            part.rise(top, stretch.moments.get(at, stretch.edges[at]))
        case _:
            pass


def by_digest(stretch: Stretch, rule: Aggregate) -> bool:
    """Whether a whole page may be taken up by its digest, without being unpacked."""
    if stretch.digest is None or stretch.page is None or (stretch.first, stretch.end) != (0, stretch.page.intervals):
        return False
    match rule:
        case Aggregate.MEAN:
            return stretch.is_even()
        case Aggregate.MAXIMUM:
            return stretch.page.moments is None
        case _:
            return rule is not Aggregate.WEIGHTED


def add_whole(part: Part, stretches: Sequence[Stretch], rule: Aggregate, exponent: int) -> None:
    """Take up whole pages, in order, by their digests."""
    digests = [stretch.digest for stretch in stretches if stretch.digest is not None]
    part.judge(
        sum([digest.expected for digest in digests]),
        sum([digest.present for digest in digests]),
        sum([digest.estimated for digest in digests]),
        max([digest.state for digest in digests]),
        all(digest.final for digest in digests),
    )
    for stretch, digest in zip(stretches, digests, strict=True):
        if digest.total is None or digest.last is None or digest.top is None or digest.top_place is None:
            continue
        scale = 10 ** (stretch.exponent - exponent)
        match rule:
            case Aggregate.SUM:
                part.amount += digest.total * scale
            case Aggregate.LAST:
                part.last = digest.last * scale
            case Aggregate.MAXIMUM:
                part.rise(digest.top * scale, stretch.edges[digest.top_place])
            case _:
                length = stretch.edges[1] - stretch.edges[0]
                part.amount += digest.total * scale * length
                part.weight += digest.present * length


def weights_of(stretches: Iterable[Stretch], exponent: int) -> Weights:
    """The amounts of a channel by where its intervals begin, times 10^exponent."""
    return {
        start: value * 10 ** (stretch.exponent - exponent)
        for stretch in stretches
        for (start, _), value in zip(pairwise(stretch.edges), stretch.values, strict=True)
        if value is not None
    }


def _weighted(
    part: Part, stretch: Stretch, first: int, values: Sequence[Amount | None], scale: int, weights: Weights
) -> None:
    """A value whose weight is missing counts as missing."""
    at = first
    for count, quality in stretch.qualities(first, first + len(values)):
        for _ in range(count):
            value, weight = values[at - first], weights.get(stretch.edges[at])
            there = value is not None and weight is not None
            state = quality.state if there or value is None else State.MISSING
            part.judge(1, int(there), int(there and state is State.ESTIMATED), state, quality.final and there)
            if value is not None and weight is not None:
                part.amount += value * scale * weight
                part.weight += weight
                part.last = value * scale
            at += 1
