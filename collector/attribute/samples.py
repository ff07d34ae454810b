"""Readings of a meter to the samples of one register under one installation.

What may not feed (a reading in conflict, held or not whole, a value that is not OK, a unit of something else) becomes a
doubt with its reason, never a sample. A spot read is of its slot where it was read within the tolerance of it, else of
when it was read; profile rows and storages are of the meter's own time, through the zone that its clock keeps and the
edges that its stamps mean.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from collector.attribute.clock import Clock
from collector.attribute.words import CLOCK, NO_NUMBER, UNIT, Doubt, Sample, Seen, Served, questionable
from collector.faults import UnitError
from collector.master.meters import Edge, Installation, Kind, Register
from collector.master.units import in_base
from collector.quality import RAW, Quality
from protocols.reading import Float32, How, MeterTime, NativeKey, Number, Precision, Scaled, State, Value

GOOD_CLOCK_MS = 9_000  # 1 % of a quarter of an hour (PTB-A 50.8): a gateway's clock that is worse makes a read doubtful
NEAR_MS = 86_400_000  # how far from its date a change of a register's key or unit may have been made
_OWN_TIME = (How.PROFILE, How.STORAGE, How.PUSH)
_RANK = {How.PROFILE: 0, How.STORAGE: 1, How.PUSH: 2, How.READ: 3}  # which of two at one instant is taken
_HIGHEST_EXPONENT = 255  # of a float32: infinity, or no number


@dataclass(frozen=True, slots=True)
class _Placed:
    """A reading and the instant that it is of."""

    seen: Seen
    at_ms: int
    doubt: str
    whole_day: bool


def served(
    installation: Installation,
    registers: Sequence[Register],
    readings: Iterable[Seen],
    tolerance_ms: int,
    interval_ms: int,
) -> Served:
    """What one installation has of a register.

    Args:
        installation: the meter at the point.
        registers: the register that feeds, as it was dated, by time.
        readings: the meter's readings, in any order.
        tolerance_ms: how far from its slot a spot read may be to count as read in it.
        interval_ms: the distance of profile rows where there are too few to tell it.

    Raises:
        ZoneError: the installation names a zone that is none.
    """
    placed = _placed(installation, readings, tolerance_ms)
    stored = [each for each in placed if each.seen.reading.how in _OWN_TIME]
    period_ms = _period_ms(stored) or interval_ms
    samples: dict[int, Sample] = {}
    doubts: list[Doubt] = []
    for each in placed:
        shifted = each
        if each.seen.reading.how is How.PROFILE and installation.interval_edge is Edge.START and not each.whole_day:
            shifted = replace(each, at_ms=each.at_ms + period_ms)
        if not _within(installation, shifted.at_ms):
            continue
        found = _sample(shifted, registers, installation)
        if isinstance(found, Doubt):
            doubts.append(found)
        elif found is not None and _first(found, samples.get(found.at_ms)):
            samples[found.at_ms] = found
    for stood in _stood(installation, registers):
        samples[stood.at_ms] = stood
    ordered = tuple(samples[at_ms] for at_ms in sorted(samples))
    doubts = [each for each in doubts if each.at_ms not in samples]
    return Served(
        installation, tuple(registers), ordered, tuple(sorted(doubts, key=lambda each: each.at_ms)), period_ms
    )


def number_of(number: Number) -> Scaled | Fraction | None:
    """A number that can be reckoned with: as it is, a float32 exactly; None for what is none."""
    if isinstance(number, Scaled):
        return number
    if not isinstance(number, Float32) or (number.bits >> 23) & 255 == _HIGHEST_EXPONENT:
        return None
    exponent, fraction = (number.bits >> 23) & 255, number.bits & 0x7FFFFF
    mantissa = fraction | 0x800000 if exponent else fraction  # IEEE 754: 1.fraction, but for the numbers near zero
    value = mantissa * Fraction(2) ** (max(exponent, 1) - 150) * Fraction(10) ** number.exponent
    return -value if number.bits >> 31 else value


def shown_in_base(value: Value, register: Register) -> Fraction | str:
    """What a value is in base units, before the factor; or why it is none."""
    if value.state is not State.OK:
        return value.state.name.lower()
    number = number_of(value.number)
    if number is None:
        return NO_NUMBER
    # The meter's own unit, where it shows one: it was sealed.
    unit = value.unit or register.unit
    try:
        if isinstance(number, Scaled):
            return number.mantissa * _base(number.exponent, unit, register.quantity)
        return number * _base(0, unit, register.quantity)
    except UnitError:
        return UNIT


@functools.lru_cache(1_024)
def _base(exponent: int, unit: str, quantity: str) -> Fraction:
    """Base units in a number's last digit."""
    return in_base(Scaled(1, exponent), unit, quantity)


def value_of(seen: Seen, register: Register) -> Value | None:
    """The value of a reading that is this register's (`register` as dated then)."""
    mapped = dict(seen.mapped)
    for value in seen.reading.values:
        if value.key in mapped:
            if mapped[value.key] == register.name:
                return value
        elif seen.own and value.key == register.key:
            return value
    return None


def clock_of(installation: Installation, readings: Iterable[Seen]) -> Clock:
    """The clock of an installed meter; that it shows summer time is told by any row that says so."""
    times = (each.reading.meter_time for each in readings)
    return Clock(installation.clock, any(each is not None and each.summer for each in times))


def _placed(installation: Installation, readings: Iterable[Seen], tolerance_ms: int) -> list[_Placed]:
    mine = list(readings)
    clock = clock_of(installation, mine)
    rows: dict[tuple[MeterTime, How, NativeKey | None], list[Seen]] = {}
    placed = []
    for seen in mine:
        reading = seen.reading
        if reading.how is How.EVENT_LOG:
            continue
        if reading.how in _OWN_TIME and reading.meter_time is not None and reading.slot_ms is None:
            first = reading.values[0].key if reading.values else None  # a wide row comes in parts of other registers
            rows.setdefault((reading.meter_time, reading.how, first), []).append(seen)
        else:
            placed.append(_spot(seen, tolerance_ms))
    for (time, _, _), same in rows.items():
        placed += _stamped(installation, clock, time, same)
    return placed


def _spot(seen: Seen, tolerance_ms: int) -> _Placed:
    reading = seen.reading
    slot_ms, at_ms, quality = reading.slot_ms, reading.at_ms, reading.quality
    if slot_ms is not None and reading.how is not How.READ:
        return _Placed(seen, slot_ms, "", False)
    in_slot = slot_ms is not None and abs(at_ms - slot_ms) <= tolerance_ms
    good = quality.synchronised or (quality.uncertainty_ms is not None and quality.uncertainty_ms <= GOOD_CLOCK_MS)
    return _Placed(seen, slot_ms if in_slot and slot_ms is not None else at_ms, "" if good else CLOCK, False)


def _stamped(installation: Installation, clock: Clock, time: MeterTime, same: list[Seen]) -> list[_Placed]:
    """Rows that show one time: more than one only where the clock shows an hour twice, in the meter's order."""
    if time.precision is Precision.DAY:
        found = clock.day_edge(time, installation.day_edge)
        return [_Placed(each, found.at_ms, found.doubt, True) for each in same]
    same.sort(key=lambda each: (each.reading.part, each.variant))
    instants = [clock.instant(time, nth, len(same)) for nth in range(len(same))]
    return [_Placed(each, at.at_ms, at.doubt, False) for each, at in zip(same, instants, strict=True)]


def _period_ms(stored: list[_Placed]) -> int | None:
    """The distance of the rows of a meter's memory: that of most of them."""
    times = sorted({each.at_ms for each in stored if not each.whole_day})
    distances = Counter(after - before for before, after in pairwise(times))
    return max(distances, key=lambda each: (distances[each], -each)) if distances else None


def _within(installation: Installation, at_ms: int) -> bool:
    """At its very end too: that is where it stood when it went."""
    return installation.span.from_ms <= at_ms and (installation.span.to_ms is None or at_ms <= installation.span.to_ms)


def _sample(placed: _Placed, registers: Sequence[Register], installation: Installation) -> Sample | Doubt | None:
    at_ms, seen = placed.at_ms, placed.seen
    found = _found(registers, placed, installation)
    if found is None:
        return None
    register, value = found
    if value.time is not None and register.kind is not Kind.MAXIMUM:
        return None  # a stored value, of another time: a stand
    if seen.doubt:
        return Doubt(at_ms, seen.doubt)
    shown = shown_in_base(value, register)
    if isinstance(shown, str):
        return Doubt(at_ms, shown)
    time_ms = None if value.time is None else clock_of(installation, [seen]).instant(value.time).at_ms
    if placed.whole_day and register.kind is Kind.INTERVAL and installation.day_edge is Edge.START:
        at_ms = clock_of(installation, [seen]).day_edge(_day(seen), Edge.END).at_ms
    quality: Quality = questionable(placed.doubt) if placed.doubt else RAW
    unit = value.unit or register.unit
    return Sample(at_ms, shown, unit, quality, seen.reading.how, seen.moment, time_ms, placed.whole_day)


def _found(registers: Sequence[Register], placed: _Placed, installation: Installation) -> tuple[Register, Value] | None:
    """The register as it was dated, and its value; what the meter shows already (or still) of a change near that day.

    Who enters a change of what a meter shows knows the day, seldom the minute.
    """
    dated = _register_at(registers, placed.at_ms, installation)
    near = [each for each in registers if dated is not None and each is not dated and _near(each, placed.at_ms)]
    for register in (dated, *near):
        value = None if register is None else value_of(placed.seen, register)
        if register is not None and value is not None:
            return register, value
    return None


def _near(register: Register, at_ms: int) -> bool:
    span = register.span
    return span.from_ms - NEAR_MS <= at_ms and (span.to_ms is None or at_ms < span.to_ms + NEAR_MS)


def _day(seen: Seen) -> MeterTime:
    time = seen.reading.meter_time
    if time is None:
        raise ValueError("expected a row with the meter's day")
    return time


def _register_at(registers: Sequence[Register], at_ms: int, installation: Installation) -> Register | None:
    """The register as it was dated; at the end of the installation, as it was just before."""
    last = installation.span.to_ms == at_ms
    return next((each for each in registers if each.span.holds(at_ms - last)), None)


def _first(new: Sample, known: Sample | None) -> bool:
    """Whether of two samples of one instant the new one is taken."""
    if known is None:
        return True
    ranks = [_RANK.get(each.how, -1) if each.how is not None else -1 for each in (new, known)]
    return (ranks[0], new.moment) < (ranks[1], known.moment)


def _stood(installation: Installation, registers: Sequence[Register]) -> Iterable[Sample]:
    """What the installation says that the register stood at when its meter came and went."""
    ends = ((installation.initial, installation.span.from_ms), (installation.final, installation.span.to_ms))
    for stood, at_ms in ends:
        if at_ms is None:
            continue
        register = _register_at(registers, at_ms, installation)
        for each in stood:
            if register is not None and each.register == register.name:
                yield Sample(at_ms, in_base(each.value, register.unit, register.quantity), register.unit, RAW)
