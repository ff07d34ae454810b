"""The grid of a point's time zone: which intervals a local day, month or year has, and where days, weeks, ... begin.

A local day begins at the first instant that shows its date. Within it an interval ends wherever the local clock shows a
whole quarter of an hour (an hour), and at the end of the day: a day has 92, 96 or 100 quarters and 23, 24 or 25 hours.
Where clocks change by 30 minutes (Lord Howe) it has 94 or 98 quarters, and 23 or 24 hours, one of which has 90 minutes.
A day that a zone left out (Samoa, 30 December 2011) has no interval.

Intervals are kept in pages: those of a day for quarters and hours, of a month for days, of a year for months. A page is
named by its first local day. Days are numbers: whole days since 1970-01-01. Instants are milliseconds UTC.
"""

from __future__ import annotations

import datetime
import functools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise
from zoneinfo import ZoneInfo

from collector.faults import ZoneError
from collector.master.channels import Cadence

DAY_MS = 86_400_000
QUARTER_MS = 900_000  # every offset that is in use today is a multiple of it
HOUR_MS = 3_600_000
STEP_S = {Cadence.QUARTER: 900, Cadence.HOUR: 3_600, Cadence.DAY: 86_400, Cadence.MONTH: 2_592_000}
# ... the last two are names: days and months are those of the zone, whatever long
CADENCES = {step_s: cadence for cadence, step_s in STEP_S.items()}
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_ZONES = 8_192  # days that are remembered, for all zones


class By(Enum):
    """The periods of an answer; all but the first two are those of the zone's calendar (weeks by ISO 8601)."""

    QUARTER = "15min"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


COARSENESS = list(By)  # the finest first
BY = {Cadence.QUARTER: By.QUARTER, Cadence.HOUR: By.HOUR, Cadence.DAY: By.DAY, Cadence.MONTH: By.MONTH}


def day_number(date: datetime.date) -> int:
    """The number of a date."""
    return date.toordinal() - _EPOCH


def date_of(day: int) -> datetime.date:
    """The date of a day's number."""
    return datetime.date.fromordinal(day + _EPOCH)


@functools.lru_cache(256)
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name.

    Raises:
        ZoneError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise ZoneError("the IANA name of a time zone, such as Europe/Budapest", repr(name), "point") from error


@functools.lru_cache(_ZONES)
def day_start(zone: str, day: int) -> int:
    """When a local day begins: in a day that begins twice the first time, where its midnight is skipped at the change.

    Raises:
        ZoneError: there is no such zone.
    """
    midnight = datetime.datetime.combine(date_of(day), datetime.time(), zone_of(zone))
    return day * DAY_MS - _offset_ms(midnight)


def day_of(zone: str, instant_ms: int) -> int:
    """The local day that an instant is in, so that `day_start(day) <= instant < day_start(day + 1)`."""
    day = (instant_ms + _offset_ms(_local(zone, instant_ms))) // DAY_MS
    while day_start(zone, day) > instant_ms:
        day -= 1
    while day_start(zone, day + 1) <= instant_ms:
        day += 1
    return day


def page_of(zone: str, cadence: Cadence, instant_ms: int) -> int:
    """The page that the interval which begins at (or spans) an instant is in."""
    return first_day(_PAGES[cadence], day_of(zone, instant_ms))


def next_page(cadence: Cadence, page: int) -> int:
    """The page after one."""
    return next_first(_PAGES[cadence], page)


def pages_of(zone: str, cadence: Cadence, from_ms: int, to_ms: int) -> list[int]:
    """The pages of [from, to), in order."""
    by, last = _PAGES[cadence], page_of(zone, cadence, to_ms - 1)
    return list(_firsts(by, page_of(zone, cadence, from_ms), last + 1))


def edges(zone: str, cadence: Cadence, page: int) -> tuple[int, ...]:
    """Where the intervals of a page begin, and last where the last one ends: one more than there are intervals.

    Raises:
        ZoneError: there is no such zone.
    """
    return edges_by(zone, STEP_S[cadence], page)


@functools.lru_cache(_ZONES)
def edges_by(zone: str, step_s: int, page: int) -> tuple[int, ...]:
    """The same by the number that stands for the cadence: an enum's hash would cost more than the rest.

    Raises:
        ZoneError: there is no such zone.
    """
    cadence = CADENCES[step_s]
    start, end = day_start(zone, page), day_start(zone, next_page(cadence, page))
    if cadence in (Cadence.DAY, Cadence.MONTH):
        firsts = _firsts(BY[cadence], page, next_page(cadence, page))
        return tuple(sorted({*(day_start(zone, day) for day in firsts), end}))
    step_ms = step_s * 1_000
    if end - start == DAY_MS and _offset_ms(_local(zone, start)) == _offset_ms(_local(zone, end)):
        return (*range(start, end, step_ms), end)
    inner = range(start + QUARTER_MS, end, QUARTER_MS)
    shown = (each for each in inner if (each + _offset_ms(_local(zone, each))) % step_ms == 0)
    return tuple(dict.fromkeys((start, *shown, end)))


def periods(zone: str, by: By, from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
    """The periods that are in [from, to), the first and the last one cut there.

    Raises:
        ZoneError: there is no such zone.
    """
    for start, end in _whole(zone, by, from_ms, to_ms):
        if end > from_ms and start < to_ms:
            yield max(start, from_ms), min(end, to_ms)


def within(edges: tuple[int, ...], from_ms: int, to_ms: int) -> tuple[int, int] | None:
    """The first of the intervals that lie wholly in [from, to), and the one after the last; None where none does."""
    if from_ms <= edges[0] and edges[-1] <= to_ms:
        return (0, len(edges) - 1) if len(edges) > 1 else None
    first, end = bisect_left(edges, from_ms), bisect_right(edges, to_ms) - 1
    return (first, end) if first < end else None


def local(instant_ms: int, zone: str) -> str:
    """An instant on a zone's clock, with its offset, to the minute where it is a whole one."""
    utc_time = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(milliseconds=instant_ms)
    precision = "milliseconds" if instant_ms % 1_000 else "seconds" if instant_ms % 60_000 else "minutes"
    return utc_time.astimezone(zone_of(zone)).isoformat(timespec=precision)


def first_day(by: By, day: int) -> int:
    """The first day of the period (a day or longer) that a day is in."""
    date = date_of(day)
    match by:
        case By.WEEK:
            return day - date.weekday()
        case By.MONTH:
            return day_number(date.replace(day=1))
        case By.YEAR:
            return day_number(date.replace(month=1, day=1))
        case _:
            return day


def next_first(by: By, first: int) -> int:
    """The first day of the period after the one that begins with the day `first`."""
    if by in (By.MONTH, By.YEAR):
        return first_day(by, first + (31 if by is By.MONTH else 366))
    return first + (7 if by is By.WEEK else 1)


_PAGES = {Cadence.QUARTER: By.DAY, Cadence.HOUR: By.DAY, Cadence.DAY: By.MONTH, Cadence.MONTH: By.YEAR}


def _whole(zone: str, by: By, from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
    day = day_of(zone, from_ms)
    if by in (By.QUARTER, By.HOUR):
        cadence = Cadence.QUARTER if by is By.QUARTER else Cadence.HOUR
        while day_start(zone, day) < to_ms:
            yield from pairwise(edges(zone, cadence, day))
            day += 1
        return
    first = first_day(by, day)
    while (start := day_start(zone, first)) < to_ms:
        first = next_first(by, first)
        yield start, day_start(zone, first)


def _firsts(by: By, first: int, end: int) -> Iterator[int]:
    if by is By.DAY:
        yield from range(first, end)
        return
    while first < end:
        yield first
        first = next_first(by, first)


def _local(zone: str, instant_ms: int) -> datetime.datetime:
    seconds, rest = divmod(instant_ms, 1_000)
    utc = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=seconds, milliseconds=rest)
    return utc.astimezone(zone_of(zone))


def _offset_ms(local: datetime.datetime) -> int:
    offset = local.utcoffset()
    return 0 if offset is None else offset // datetime.timedelta(milliseconds=1)
