"""Values of intervals from what is not counted on: amounts, means and maxima of rows, and values of an instant.

A row of the meter's memory covers the time up to its instant, as long as its rows are apart. An amount is the sum of
the rows that cover an interval: all of it, else it is missing. A mean is weighted by time.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from collector.attribute.totals import ticks_of
from collector.attribute.words import INCOMPLETE, NO_READING, Sample, Served, worse
from collector.master.channels import Aggregate
from collector.master.meters import Kind, Register
from collector.quality import Quality, State

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Part:
    """A row's share in an interval: its value in steps of the grid, how much of the interval it covers."""

    ticks: int
    covered_ms: int
    sample: Sample


@dataclass(frozen=True, slots=True)
class Value:
    """The value of an interval; `ticks` is None where there is none, `moment_ms` when a maximum was reached."""

    ticks: int | None
    quality: Quality
    moment_ms: int | None = None


def value(served: list[Served], kind: Kind, aggregate: Aggregate, from_ms: int, to_ms: int) -> Value:
    """The value of the interval [from, to) of a register of this kind."""
    parts = [part for each in served for part in _parts(each, kind, from_ms, to_ms)]
    if not parts:
        return Value(None, Quality(State.MISSING, reason=_why(served, from_ms, to_ms)))
    covered = sum(part.covered_ms for part in parts)
    quality = worse([part.sample.quality for part in parts])
    whole = kind is Kind.INSTANT or covered >= to_ms - from_ms
    if kind is Kind.INTERVAL:
        if covered != to_ms - from_ms:
            return Value(None, Quality(State.MISSING, reason=_why(served, from_ms, to_ms)))
        return Value(sum(part.ticks for part in parts), quality)
    if not whole:
        quality = worse([quality, Quality(State.DERIVED, reason=INCOMPLETE)])
    if kind is Kind.MAXIMUM or aggregate is Aggregate.MAXIMUM:
        top = max(parts, key=lambda part: part.ticks)
        return Value(top.ticks, quality, top.sample.time_ms or top.sample.at_ms)
    if aggregate is Aggregate.LAST:
        return Value(max(parts, key=lambda part: part.sample.at_ms).ticks, quality)
    return Value(_mean(parts), quality)


def _mean(parts: list[Part]) -> int:
    """By time; reads of an instant count alike."""
    weights = [part.covered_ms or 1 for part in parts]
    return round(Fraction(sum(part.ticks * weight for part, weight in zip(parts, weights, strict=True)), sum(weights)))


def _parts(served: Served, kind: Kind, from_ms: int, to_ms: int) -> list[Part]:
    parts = []
    for sample in served.samples:
        register = _register(served, sample)
        if register is None:
            continue
        ticks = ticks_of(sample.shown, register)
        if kind is Kind.INSTANT:
            if from_ms <= sample.at_ms < to_ms:
                parts.append(Part(ticks, 0, sample))
            continue
        length = DAY_MS if sample.whole_day else served.period_ms or to_ms - from_ms
        begun = _begun(sample, length, from_ms, to_ms)
        covered = min(sample.at_ms, to_ms) - max(begun, from_ms)
        # A row that goes over the edge of an interval is nobody's amount; a mean or a maximum it is of both.
        if covered > 0 and (kind is not Kind.INTERVAL or (begun >= from_ms and sample.at_ms <= to_ms)):
            parts.append(Part(ticks, covered, sample))
    return parts


def _begun(sample: Sample, length_ms: int, from_ms: int, to_ms: int) -> int:
    """Where the time begins that a row covers; a day may have an hour more or less, and is the day all the same."""
    begun = sample.at_ms - length_ms
    if sample.whole_day and sample.at_ms == to_ms and abs(begun - from_ms) <= DAY_MS // 12:
        return from_ms
    return begun


def _register(served: Served, sample: Sample) -> Register | None:
    """The register as it was dated while the row was made."""
    return served.register_at(sample.at_ms - 1) or served.register_at(sample.at_ms)


def _why(served: list[Served], from_ms: int, to_ms: int) -> str:
    near = [doubt.reason for each in served for doubt in each.doubts if from_ms < doubt.at_ms <= to_ms]
    return near[0] if near else NO_READING
