"""What a register that counts stood at, and what was delivered between two instants.

1. The value at an instant is that of the nearest read within the tolerance, else between the reads around it in
   proportion (and the value is derived), as long as these are not farther apart than one read that was missed.
2. A total that goes back went over its modulus where that leaves a small step; else both reads are in doubt, and the
   step back is kept: nothing is made up.
3. An amount is a difference of totals, each rounded to the grid of its quantity: what one interval loses in rounding
   the next one has, and the sum of all intervals is the difference of the register.
4. Where the factor changes the amount is the sum of both sides, the register standing where it stood. Where the unit
   changes a meter may show less than before, by less than a step of the old unit: until it passes that, it stands.
"""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from collector.attribute.words import (
    BACKWARD,
    EXCHANGE,
    FACTOR,
    HELD,
    INTERPOLATED,
    NO_READING,
    NO_REGISTER,
    RESET,
    ROLLOVER,
    Sample,
    Served,
    questionable,
    worse,
)
from collector.master.meters import Kind, Register
from collector.master.units import grid, in_base
from collector.quality import RAW, Quality, State

WRAP = Fraction(1, 10)  # of the modulus: the most that is taken as consumption over a rollover between two reads
DERIVED = Quality(State.DERIVED, method=INTERPOLATED)
RESET_THERE = Quality(
    State.DERIVED, method=RESET
)  # what was delivered between the last read and the reset is not in it


@dataclass(frozen=True, slots=True)
class Known:
    """What a register stood at (base units before the factor, counted on over rollovers)."""

    shown: Fraction
    quality: Quality


@dataclass(frozen=True, slots=True)
class Amount:
    """What was delivered, in steps of the grid; None: not known, and `quality.reason` says why."""

    ticks: int | None
    quality: Quality


class Course:
    """A register's course while its meter was installed.

    `tolerance_ms` is how near a read must be to count as read at an instant; `apart_ms` how far two reads may be apart
    for what lies between them to be derived.
    """

    def __init__(self, served: Served, tolerance_ms: int, apart_ms: int) -> None:
        self._served = served
        self._tolerance_ms, self._apart_ms = tolerance_ms, apart_ms
        self._samples = _counted(served)
        self._times = [each.at_ms for each in self._samples]

    def at(self, at_ms: int) -> Known | None:
        """What it stood at, or None."""
        place = bisect_left(self._times, at_ms)
        around = self._samples[max(0, place - 1) : place + 1]
        if around:
            nearest = min(around, key=lambda each: abs(each.at_ms - at_ms))
            if abs(nearest.at_ms - at_ms) <= self._tolerance_ms:
                return Known(nearest.shown, nearest.quality)
        if not 0 < place < len(self._samples):
            return None
        before, after = around
        if after.at_ms - before.at_ms > self._apart_ms:
            return None
        part = Fraction(at_ms - before.at_ms, after.at_ms - before.at_ms)
        shown = before.shown + part * (after.shown - before.shown)
        return Known(shown, worse([DERIVED, before.quality, after.quality]))

    def between(self, from_ms: int, to_ms: int) -> Amount:
        """What was delivered from one instant to another, both while the meter was installed."""
        rows = self._rows(from_ms, to_ms)
        if not rows:
            return Amount(None, Quality(State.MISSING, reason=NO_REGISTER))
        cuts = [from_ms, *(each.span.from_ms for each in rows[1:]), to_ms]
        known = [self.at(each) for each in cuts]
        ticks, qualities = 0, []
        for register, (start, end), (begun, ended) in zip(rows, pairwise(cuts), pairwise(known), strict=True):
            if begun is None or ended is None:
                return Amount(None, Quality(State.MISSING, reason=self._why(start, end)))
            ticks += ticks_of(ended.shown, register) - ticks_of(begun.shown, register)
            # What happened up to a boundary (a rollover) belongs to the interval before it.
            qualities += [ended.quality, *([begun.quality] if begun.quality.state is not RAW.state else [])]
        if len(rows) > 1:
            qualities.append(Quality(State.DERIVED, method=FACTOR))
        inside = self._samples[bisect_right(self._times, from_ms) : bisect_left(self._times, to_ms)]
        qualities += [each.quality for each in inside if each.quality != RAW]
        return Amount(ticks, worse(qualities))

    def ticks_at(self, at_ms: int) -> Amount:
        """What it stood at, in steps of the grid, with the factor."""
        known, register = self.at(at_ms), self._row_before(at_ms)
        if known is None or register is None:
            reason = NO_REGISTER if register is None else self._why(at_ms, at_ms)
            return Amount(None, Quality(State.MISSING, reason=reason))
        return Amount(ticks_of(known.shown, register), known.quality)

    def _rows(self, from_ms: int, to_ms: int) -> list[Register]:
        """The register through a span, one row for each factor; none where it is not there all the time."""
        mine = [
            each
            for each in self._served.registers
            if each.span.from_ms < to_ms and (each.span.to_ms is None or each.span.to_ms > from_ms)
        ]
        if not mine or mine[0].span.from_ms > from_ms or (mine[-1].span.to_ms or to_ms) < to_ms:
            return []
        if any(one.span.to_ms != other.span.from_ms for one, other in pairwise(mine)):
            return []
        rows = mine[:1]
        for each in mine[1:]:
            if each.factor != rows[-1].factor:
                rows.append(each)
        return rows

    def _row_before(self, at_ms: int) -> Register | None:
        return self._served.register_at(at_ms - 1) or self._served.register_at(at_ms)

    def _why(self, start_ms: int, end_ms: int) -> str:
        """Why something of this span is not known: a reading in doubt there, no value at an exchange, or no reading."""
        margin = self._apart_ms
        near = [
            each
            for each in self._served.doubts
            if start_ms - self._tolerance_ms <= each.at_ms <= end_ms + self._tolerance_ms
        ]
        if near:
            return HELD if any(each.reason == HELD for each in near) else near[0].reason
        span = self._served.installation.span
        at_edge = start_ms == span.from_ms or end_ms == span.to_ms
        reads = any(start_ms - margin <= each <= end_ms + margin for each in self._times)
        return EXCHANGE if at_edge and reads else NO_READING


def ticks_of(shown: Fraction, register: Register) -> int:
    """A total in whole steps of the grid of its quantity, rounded half to even."""
    return round(shown * _ticks(register.factor, register.quantity))


@functools.lru_cache(1_024)
def _ticks(factor: Fraction, quantity: str) -> Fraction:
    """Steps of the grid in a base unit, with the factor."""
    return factor / Fraction(10) ** grid(quantity)


def _counted(served: Served) -> list[Sample]:
    """The samples as if the register had never gone over, or begun anew."""
    counted: list[Sample] = []
    offset, last = Fraction(0), served.floor
    for sample in served.samples:
        register = served.register_at(sample.at_ms) or served.register_at(sample.at_ms - 1)
        now = replace(sample, shown=sample.shown + offset) if offset else sample
        if last is not None and register is not None and now.shown < last.shown and register.kind is not Kind.BALANCE:
            if _rounded(served, last, now):
                now = replace(now, shown=last.shown, unit=last.unit)  # `unit`: until the old stand is passed
            elif counted:
                now, offset = _gone_back(last, now, register, offset)
                if now.quality.reason == BACKWARD:
                    counted[-1] = replace(counted[-1], quality=questionable(BACKWARD))
        counted.append(now)
        last = now
    return counted


def _rounded(served: Served, last: Sample, now: Sample) -> bool:
    """Whether a sample is below the last one by no more than the change of its unit explains."""
    rows = [each for each in served.registers if each.unit in (last.unit, now.unit)]
    if last.unit == now.unit or not rows:
        return False
    return last.shown - now.shown <= max(in_base(each.step, each.unit, each.quantity) for each in rows)


def _gone_back(last: Sample, now: Sample, register: Register, offset: Fraction) -> tuple[Sample, Fraction]:
    """What a sample below the last one means, and the offset from there on."""
    if register.kind is Kind.RESETTING:
        shown = now.shown - offset + last.shown
        return replace(now, shown=shown, quality=worse([now.quality, RESET_THERE])), last.shown
    modulus = None if register.modulus is None else in_base(register.modulus, register.unit, register.quantity)
    if (
        register.kind is Kind.TOTAL
        and modulus is not None
        and 0 <= modulus - (last.shown - now.shown) <= WRAP * modulus
    ):
        quality = Quality(RAW.state, method=ROLLOVER) if now.quality == RAW else now.quality
        return replace(now, shown=now.shown + modulus, quality=quality), offset + modulus
    return replace(now, quality=questionable(BACKWARD)), offset
