"""Rows of a profile as a technician asks for them: from a time to a time of the meter's own clock, or the last few.

Rows are read in pieces of about a day, or of less where the meter refuses that, and shown oldest first however it sorts
them. A time that is given has no offset from UTC. Some meters take it for UTC then, so that they are asked for as much
more as their clock is off UTC, and what is beside the range left out; a meter that wants an offset is asked with that
of its clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from gateway import pieces
from gateway.desk import names_of
from gateway.pieces import Fit, Range, Source
from protocols.dlms import data as axdr
from protocols.dlms import objects, profile
from protocols.dlms.data import Data
from protocols.dlms.faults import AccessRefused, ExceptionAnswer, Malformed, ServiceError
from protocols.dlms.objects import Attribute, ScalerUnit
from protocols.dlms.profile import Column, Row
from protocols.reading import MeterTime
from protocols.transports.dlms import Asking

DAY_S, HOUR_S = 86_400, 3_600
PIECE_ROWS = 96
SORT_METHOD, LIFO = 5, 2  # attribute of a profile, and its value where the newest row is the first
WIDER = (1, 4, 16)  # where rows are missing the last ones are looked for so many times further back
REFUSALS = (AccessRefused, ExceptionAnswer, ServiceError)


@dataclass(frozen=True, slots=True)
class Wish:
    """Which rows: from `first` to `last`, both included (None: the meter's clock), or the last `count`."""

    first: MeterTime | None = None
    last: MeterTime | None = None
    count: int = 0


@dataclass(slots=True)
class Profile:
    """A profile of a meter: what its rows hold, and the meter's clock (None: it shows no time) at our `at_ms`.

    `compressed`: a null is the value of the row above, as polling takes it.
    """

    name: bytes
    meter: tuple[str | None, str | None]  # its logical device name and device number
    period_s: int
    columns: tuple[Column, ...]
    scalers: dict[Attribute, ScalerUnit]
    clock: MeterTime | None
    at_ms: int
    compressed: bool = False
    newest_first: bool = False
    with_offset: bool = field(default=False)  # the meter wants an offset with the times of a range
    fit: Fit = field(default_factory=Fit)  # how much of a range one answer may have

    @property
    def valued(self) -> tuple[Column, ...]:
        """The columns that hold values: all but the time and the status of the row."""
        return tuple(each for each in self.columns if not each.is_clock and not each.is_status)


async def begun(association: Asking, name: bytes, compressed: bool = False) -> Profile:
    """What the profile captures; `compressed` says that the meter writes null for what is as in the row above.

    Raises:
        MeterError, LinkError: no usable answer; there is no such profile, or this client may not read it.
    """
    meter = await names_of(association)
    captured = await association.get(_of(name, profile.CAPTURE_OBJECTS))
    columns = profile.columns(captured.data)
    period_s = await _number(association, _of(name, profile.CAPTURE_PERIOD))
    scalers = {}
    for each in dict.fromkeys(column.attribute for column in columns):
        if each.scaler is not None:
            try:
                scalers[each] = ScalerUnit.from_data((await association.get(each.scaler)).data)
            except (*REFUSALS, Malformed):  # the value is shown as it is then, without a unit
                continue
    newest_first = await _number(association, _of(name, SORT_METHOD)) == LIFO
    clock = await association.get(objects.CLOCK_TIME)
    time = objects.time_of(objects.clock_value(objects.CLOCK_TIME, clock.data))
    return Profile(name, meter, period_s, columns, scalers, time, clock.at_ms, compressed, newest_first)


async def rows(association: Asking, found: Profile, wish: Wish) -> AsyncIterator[tuple[Row, ...]]:
    """The rows that are wished for, in pieces, oldest first.

    Raises:
        MeterError, LinkError: no usable answer.
    """
    async for shown, _ in parts(association, found, wish):
        yield shown


async def parts(association: Asking, found: Profile, wish: Wish) -> AsyncIterator[tuple[tuple[Row, ...], Wish | None]]:
    """The rows that are wished for, in pieces, oldest first; with each what is still wished for, None where nothing is.

    Raises:
        MeterError, LinkError: no usable answer.
    """
    if wish.count:
        yield await _last(association, found, wish.count), None
        return
    end = wish.last or found.clock
    if wish.first is None or end is None:
        raise Malformed("a clock that shows the time", "none", "meter")
    end = replace(end, deviation_min=None)
    at = wish.first
    while at.seconds <= end.seconds:
        last = min(_end_of_piece(at, found.period_s), end, key=lambda each: each.seconds)
        shown = await _between(association, found, at, last)
        at = replace(last, seconds=last.seconds + 1)
        yield shown, Wish(at, end) if at.seconds <= end.seconds else None


async def _last(association: Asking, found: Profile, count: int) -> tuple[Row, ...]:
    """The last rows: by their time where they come regularly, else by their place."""
    if not found.period_s or found.clock is None:
        return await _last_places(association, found, count)
    shown: list[Row] = []
    for times in WIDER:
        before = len(shown)
        first = replace(found.clock, seconds=max(0, found.clock.seconds - times * count * found.period_s))
        shown = [row async for piece in rows(association, found, Wish(_plain(first))) for row in piece]
        if len(shown) >= count or (times > 1 and len(shown) == before):
            break
    return tuple(shown[-count:])


async def _last_places(association: Asking, found: Profile, count: int) -> tuple[Row, ...]:
    buffer = profile.buffer_of(found.name)
    in_use = await _number(association, _of(found.name, profile.ENTRIES_IN_USE))
    newest_first = found.newest_first
    try:
        if not in_use:
            return ()
        chosen = profile.entries(1, count) if newest_first else profile.entries(max(1, in_use - count + 1), in_use)
        shown = _rows((await association.get(buffer, chosen)).data, found)
    except REFUSALS:  # it takes no selection by place: all of it, then
        shown = _rows((await association.get(buffer)).data, found)
    if newest_first:
        shown = shown[::-1]
    return shown[-count:]


async def _between(association: Asking, found: Profile, first: MeterTime, last: MeterTime) -> tuple[Row, ...]:
    """The rows of a range; a meter that shows no offset, or refused a range without one, is asked in one way alone."""
    offset = None if found.clock is None else found.clock.deviation_min
    if not found.with_offset:
        try:
            beside_s = 0 if offset is None else 60 * abs(offset) + HOUR_S
            shown = await _read(association, found, _wider(first, last, beside_s, None))
            return _inside(shown, first, last)
        except REFUSALS:
            if offset is None:
                raise
    shown = await _read(association, found, _wider(first, last, HOUR_S, offset))
    found.with_offset = True
    return _inside(shown, first, last)


async def _read(association: Asking, found: Profile, ends: tuple[MeterTime, MeterTime]) -> Sequence[Row]:
    ways = found.columns, found.scalers, found.period_s, found.compressed, found.newest_first
    least_s = max(1, (found.period_s or HOUR_S) - 1)
    wanted = Range(*ends, least_s, questions=ends[1].seconds - ends[0].seconds + 1, now=found.clock)
    return (await pieces.read(Source(association, found.name, *ways), wanted, found.fit)).rows


def _wider(first: MeterTime, last: MeterTime, by_s: int, offset: int | None) -> tuple[MeterTime, MeterTime]:
    """A range with this offset, wider at both ends: an offset is another one at the other side of a change."""
    begin = replace(first, seconds=max(0, first.seconds - by_s), deviation_min=offset)
    return begin, replace(last, seconds=last.seconds + by_s, deviation_min=offset)


def _inside(shown: Sequence[Row], first: MeterTime, last: MeterTime) -> tuple[Row, ...]:
    """The rows of an answer in the range that was asked for: some meters send more; those without a time stay."""
    return tuple(row for row in shown if row.time is None or first.seconds <= row.time.seconds <= last.seconds)


def _rows(data: Data, found: Profile) -> tuple[Row, ...]:
    ways = found.period_s, found.compressed, found.newest_first
    return tuple(profile.rows(data, found.columns, found.scalers, *ways))


def _end_of_piece(first: MeterTime, period_s: int) -> MeterTime:
    """The end of the day in which so many rows are full: between two days no clock is put back by an hour."""
    days = max(1, PIECE_ROWS * (period_s or DAY_S) // DAY_S)
    return replace(first, seconds=(first.seconds // DAY_S + days) * DAY_S - 1)


def _plain(time: MeterTime) -> MeterTime:
    """The time as it is shown, without its offset from UTC."""
    return replace(time, deviation_min=None)


def _of(name: bytes, number: int) -> Attribute:
    return Attribute(objects.PROFILE, name, number)


async def _number(association: Asking, attribute: Attribute) -> int:
    """A whole number that a meter may keep to itself: 0 then."""
    try:
        return axdr.whole((await association.get(attribute)).data, str(attribute))
    except (*REFUSALS, Malformed):
        return 0
