"""Stands of a point's registers: values with a date of their own, those at the turn of a month, and exchanges.

1. A stored value that has a time of its own (a set day, a month in the meter's storage) is a stand of that time. The
   first telegram that shows it is its origin.
2. A total that was read within a hundredth of a day from the beginning of a local month is that month's stand.
3. What an installation says that a register stood at is the stand of the meter that went, or came.
4. Consumption is what the register counted since the stand before it of the same meter: over rollovers and changes of
   factor, by the reads in between where the two stands alone do not tell it. Not known is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from collector.attribute.clock import Clock
from collector.attribute.samples import clock_of, shown_in_base, value_of
from collector.attribute.totals import Course
from collector.attribute.words import Sample, Seen, Served, questionable
from collector.faults import UnitError
from collector.grid import day_of, day_start
from collector.master.dated import Span
from collector.master.meters import Installation, Kind, Register
from collector.master.units import grid, in_base
from collector.quality import RAW, State
from collector.store.curves import Origin
from collector.store.stands import Character, Stand
from protocols.reading import How, MeterTime, Precision, Scaled, Value

TURN_MS = 864_000  # a hundredth of a day
COUNTED = (Kind.TOTAL, Kind.RESETTING, Kind.BALANCE)
WITHDRAWN = "withdrawn"  # what was said of an exchange holds no more
EVER_MS = 2**62  # no two stands are too far apart


@dataclass(frozen=True, slots=True)
class Place:
    """A point, its zone, and the month that is looked at (first local day, from when to when)."""

    point: str
    zone: str
    day: int
    from_ms: int
    to_ms: int


def found(place: Place, here: Installation, registers: Sequence[Register], readings: Sequence[Seen]) -> list[Stand]:
    """The stands of one installation that the readings of a month, and its own values, give.

    Raises:
        ZoneError: the point or the installation names a zone that is none.
    """
    clock = clock_of(here, readings)
    stands: dict[tuple[str, int, Character], Stand] = {}
    nearest: dict[str, tuple[int, Stand]] = {}
    for seen in sorted(readings, key=lambda each: (each.reading.at_ms, each.moment)):
        if seen.doubt or seen.reading.how is How.EVENT_LOG:
            continue
        at_ms = _instant(here, clock, seen)
        for register in registers:
            if register.kind not in COUNTED or not register.span.holds(at_ms):
                continue
            value = value_of(seen, register)
            if value is None or isinstance(shown_in_base(value, register), str):
                continue
            if value.time is not None:
                own = _own(here, clock, value.time)
                stand = _stand(place, here, register, value, own, Character.SET_DAY, seen)
                if stand is not None and within(here.span, own):
                    stands.setdefault((register.name, own, stand.character), stand)
            elif within(here.span, at_ms) and abs(at_ms - place.from_ms) <= TURN_MS:
                stand = _stand(place, here, register, value, place.from_ms, Character.NORMAL, seen)
                known = nearest.get(register.name)
                if stand is not None and (known is None or abs(at_ms - place.from_ms) < known[0]):
                    nearest[register.name] = (abs(at_ms - place.from_ms), stand)
    return [*stands.values(), *(stand for _, stand in nearest.values()), *exchanged(place, here, registers)]


def exchanged(place: Place, here: Installation, registers: Sequence[Register]) -> list[Stand]:
    """What the registers stood at when the meter came or went, where that is in the month."""
    ends = (
        (here.initial, here.span.from_ms, Character.INSTALLED, 0),
        (here.final, here.span.to_ms, Character.REMOVED, 1),
    )
    stands = []
    for stood, at_ms, character, before in ends:
        if at_ms is None or not place.from_ms <= at_ms < place.to_ms:
            continue
        for each in stood:
            row = next((one for one in registers if one.name == each.register and one.span.holds(at_ms - before)), None)
            if row is not None:
                day = day_of(place.zone, at_ms)
                fields = (each.value, row.unit, row.quantity, None, RAW)
                stands.append(Stand(place.point, row.name, at_ms, character, day, here.meter, *fields))
    return stands


def withdrawn(stand: Stand) -> Stand:
    """A stand of an exchange that is not so any more."""
    return replace(stand, consumption=None, quality=questionable(WITHDRAWN))


def consumption(
    before: Stand | None,
    now: Stand,
    here: Installation,
    registers: Sequence[Register],
    between: Callable[[Span], Served],
) -> Scaled | None:
    """What was delivered since the stand before, in base units; None where that is not known.

    Args:
        before: the last stand of the same meter and register, or None.
        now: the stand.
        here: the installation of the meter.
        registers: the register, as it was dated.
        between: what the meter showed in a span, read when it is needed.
    """
    if before is None or now.character is Character.INSTALLED or now.quality.reason == WITHDRAWN:
        return None
    try:
        ends = [_sample(before), _sample(now)]
    except UnitError:
        return None
    same = {each.factor for each in registers if each.span.common(Span(before.at_ms, now.at_ms)) is not None}
    samples: Iterable[Sample] = ends
    if ends[1].shown < ends[0].shown or len(same) > 1:
        inside = between(Span(before.at_ms, now.at_ms)).samples
        samples = [ends[0], *(each for each in inside if before.at_ms < each.at_ms < now.at_ms), ends[1]]
    course = Course(Served(here, tuple(registers), tuple(samples)), 0, EVER_MS)
    amount = course.between(before.at_ms, now.at_ms)
    if amount.ticks is None or amount.quality.state is State.QUESTIONABLE:
        return None
    return Scaled(amount.ticks, grid(now.quantity))


def _sample(stand: Stand) -> Sample:
    return Sample(stand.at_ms, in_base(stand.value, stand.unit, stand.quantity), stand.unit, RAW)


def _instant(here: Installation, clock: Clock, seen: Seen) -> int:
    reading = seen.reading
    if reading.how is How.READ or reading.meter_time is None:
        slot = reading.slot_ms
        return slot if slot is not None and abs(slot - reading.at_ms) <= TURN_MS else reading.at_ms
    return _own(here, clock, reading.meter_time)


def _own(here: Installation, clock: Clock, time: MeterTime) -> int:
    if time.precision is Precision.DAY:
        return clock.day_edge(time, here.day_edge).at_ms
    return clock.instant(time).at_ms


def within(span: Span, at_ms: int) -> bool:
    """Whether a meter was there, at the instant that it went too."""
    return span.from_ms <= at_ms and (span.to_ms is None or at_ms <= span.to_ms)


def _stand(
    place: Place, here: Installation, register: Register, value: Value, at_ms: int, character: Character, seen: Seen
) -> Stand | None:
    """A stand as it was shown; None for a number that is not decimal."""
    if not isinstance(value.number, Scaled):
        return None
    day = day_of(place.zone, at_ms)
    if at_ms == day_start(place.zone, day):
        day -= 1 if character is Character.SET_DAY and here.day_edge.value == "end" else 0
    origin = Origin(here.meter, register.name, int(seen.reading.how), seen.moment, seen.moment)
    fields = (value.number, value.unit or register.unit, register.quantity, None, RAW, None, (origin,))
    return Stand(place.point, register.name, at_ms, character, day, here.meter, *fields)
