"""When slots begin and end: steps of the clock, or times of a calendar in a time zone.

A step of up to an hour ("15 min") begins at its multiples in UTC, so that a local day has 92, 96 or 100 quarters of an
hour. Longer steps ("6 h") and days are of the calendar: they begin when the zone's clocks show their time.

* A time that clocks skip in spring is the moment of the change. One that they show twice in autumn is the first, as a
  beginning, and the second, as an end: a slot is open for as long as its words can mean.
* A slot with an end is open up to it; an end that is not after its beginning is one of the next day. A window that
  clocks skip as a whole begins at the change and is as long as it is written. Without an end a slot is open until the
  next one begins.
* Days 29 to 31, and "last", are the last day of a month that is shorter.
"""

from __future__ import annotations

import calendar
import datetime
import re
import zoneinfo
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Protocol

from protocols.settings.table import Limits, Wanted

UTC = "UTC"
DAY_S, HOUR_S = 86_400, 3_600
MINUTE_MS = 60_000
LAST_DAY = 31
REMEMBERED = 4_096  # paces and minutes: what is due is asked for after every poll

_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_OF_MINUTE = "(1|2|3|4|5|6|10|12|15|20|30)"  # what divides 60
_OF_DAY = "(1|2|3|4|6|8|12)"  # hours
_DAY = "([1-9]|[12][0-9]|3[01]|last)"
_MONTH = "(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CALENDAR = rf"(daily|monthly on {_DAY}|yearly on {_MONTH}) at {_CLOCK}(, until {_CLOCK})?"
_STEP = rf"{_OF_MINUTE} ?(s|min)|{_OF_DAY} ?h"
_SECONDS = {"s": 1, "min": 60, "h": HOUR_S}

CadenceText = Annotated[
    str,
    Limits(pattern=f"^({_STEP}|{_CALENDAR})$"),
    Wanted(
        'as "15 min", "6 h", "daily at 00:10, until 06:00", "monthly on 1 at 00:10" or "yearly on 12-31 at 23:50"',
        "steps divide a minute, an hour or a day evenly (s, min, h); times have two digits each: 00:10",
    ),
]
BillingText = Annotated[
    str,
    Limits(pattern=f"^{_CALENDAR}$"),
    Wanted(
        'as "monthly on 15 at 00:10, until 06:00", "monthly on last at 23:50" or "yearly on 12-31 at 23:50"',
        "times have two digits each, a day of the year is MONTH-DAY: 12-31",
    ),
]
ZoneText = Annotated[
    str,
    Limits(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$"),
    Wanted('the name of a time zone in quotes, as "Europe/Prague"'),
]

Span = tuple[int, int]  # of a slot: its beginning, and where it is over (ms UTC)


class Pace(Protocol):
    """When the slots of one kind begin and end."""

    @property
    def every_s(self) -> int:
        """Seconds from one slot to the next, where days have 24 hours and months 28 days."""

    @property
    def longest_ms(self) -> int:
        """Milliseconds from one slot to the next, where they are furthest apart."""

    def span(self, utc_ms: int) -> Span | None:
        """The slot that is open then; None between the end of one and the beginning of the next."""

    def last(self, utc_ms: int) -> Span:
        """The slot that began last, open or over."""

    def next_ms(self, utc_ms: int) -> int:
        """When the next slot begins."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Slots that follow each other, from multiples of their length in UTC."""

    every_s: int

    @property
    def longest_ms(self) -> int:
        """The same."""
        return self.every_s * 1000

    def span(self, utc_ms: int) -> Span | None:
        """There is always one."""
        return self.last(utc_ms)

    def last(self, utc_ms: int) -> Span:
        """The slot in which `utc_ms` lies."""
        start_ms = utc_ms // self.longest_ms * self.longest_ms
        return start_ms, start_ms + self.longest_ms

    def next_ms(self, utc_ms: int) -> int:
        """Where it ends."""
        return self.last(utc_ms)[1]


@dataclass(frozen=True, slots=True)
class Days:
    """Slots that begin at `times` of days in `zone`: every day, on a day of the month, or of one month of the year."""

    zone: str
    times: tuple[datetime.time, ...]
    day: int | None = None
    month: int | None = None
    until: datetime.time | None = None

    @property
    def every_s(self) -> int:
        """Of days, months and years the shortest, but for the hour that clocks are set."""
        if self.day is None:
            return DAY_S // len(self.times)
        return DAY_S * (28 if self.month is None else 365)

    @property
    def longest_ms(self) -> int:
        """Of days, months and years the longest."""
        days = 1 if self.day is None else 31 if self.month is None else 366
        return (days * DAY_S + HOUR_S) * 1000

    def span(self, utc_ms: int) -> Span | None:
        """The slot that is open then."""
        found = self.last(utc_ms)
        return found if utc_ms < found[1] else None

    def last(self, utc_ms: int) -> Span:
        """The slot that began last."""
        start_ms, end_ms, _ = _around(self, utc_ms // MINUTE_MS)
        return start_ms, end_ms

    def next_ms(self, utc_ms: int) -> int:
        """When the next slot begins."""
        return _around(self, utc_ms // MINUTE_MS)[2]


def starts(pace: Pace, slot_ms: int) -> bool:
    """Whether a slot begins then."""
    return pace.last(slot_ms)[0] == slot_ms


@lru_cache(maxsize=REMEMBERED)
def pace_of(text: str, zone: str) -> Pace:
    """What a text that fits its pattern says."""
    if found := re.fullmatch(r"([0-9]+) ?(s|min|h)", text):
        step_s = int(found[1]) * _SECONDS[found[2]]
        if step_s <= HOUR_S:
            return Steps(step_s)
        return Days(zone, tuple(datetime.time(hour) for hour in range(0, 24, int(found[1]))))
    when, _, rest = text.partition(" at ")
    at, _, until = rest.partition(", until ")
    month, day = _date(when)
    end = datetime.time.fromisoformat(until) if until else None
    return Days(zone, (datetime.time.fromisoformat(at),), day, month, end)


def zone_of(name: str) -> datetime.tzinfo:
    """The zone of a name.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: nobody here knows it.
    """
    return datetime.UTC if name == UTC else zoneinfo.ZoneInfo(name)


def is_zone(name: str) -> bool:
    """Whether this machine knows the zone."""
    try:
        zone_of(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a folder's name is an IsADirectoryError
        return False
    return True


def local(utc_ms: int, zone: str) -> str:
    """An instant as the zone's clocks show it, with its offset."""
    return datetime.datetime.fromtimestamp(utc_ms // 1000, zone_of(zone)).isoformat(" ")


def _date(when: str) -> tuple[int | None, int | None]:
    """Month and day in "daily", "monthly on 15", "yearly on 12-31"."""
    _, _, date = when.partition(" on ")
    if not date:
        return None, None
    month, _, day = date.rpartition("-")
    return (int(month) if month else None), (LAST_DAY if day == "last" else int(day))


@lru_cache(maxsize=REMEMBERED)
def _around(days: Days, minute: int) -> tuple[int, int, int]:
    """Of the slot that began last its beginning and end, and when the next one begins; zones change at full minutes."""
    now_ms, zone = minute * MINUTE_MS, zone_of(days.zone)
    today = datetime.datetime.fromtimestamp(minute * 60, zone).date()
    moments = [datetime.datetime.combine(day, time) for day in _dates(days, today) for time in days.times]
    begun = sorted({_instant_ms(each, zone): each for each in moments}.items())
    start_ms, moment = max(each for each in begun if each[0] <= now_ms)
    next_ms = min(start for start, _ in begun if start > now_ms)
    return start_ms, _end_ms(days, start_ms, moment, next_ms), next_ms


def _dates(days: Days, today: datetime.date) -> list[datetime.date]:
    """The days on which the last slot may have begun and the next one may begin, and more."""
    if days.day is None:
        return [today + datetime.timedelta(each) for each in (-1, 0, 1)]
    if days.month is None:
        months = [divmod(today.year * 12 + today.month - 1 + each, 12) for each in (-1, 0, 1)]
        return [_clamped(year, month + 1, days.day) for year, month in months]
    return [_clamped(today.year + each, days.month, days.day) for each in (-1, 0, 1)]


def _clamped(year: int, month: int, day: int) -> datetime.date:
    return datetime.date(year, month, min(day, calendar.monthrange(year, month)[1]))


def _end_ms(days: Days, start_ms: int, moment: datetime.datetime, next_ms: int) -> int:
    if days.until is None:
        return next_ms
    end = datetime.datetime.combine(moment.date(), days.until)
    if end <= moment:
        end += datetime.timedelta(days=1)
    end_ms = _instant_ms(end, zone_of(days.zone), second=True)
    if end_ms <= start_ms:
        end_ms = start_ms + (end - moment) // datetime.timedelta(milliseconds=1)
    return min(end_ms, next_ms)


def _instant_ms(moment: datetime.datetime, zone: datetime.tzinfo, second: bool = False) -> int:
    """When the zone's clocks show `moment`: where twice, the first time (or the `second`); where never, the change."""
    first_s, second_s = (_seconds(moment.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first_s <= second_s:
        return 1000 * (second_s if second else first_s)
    before_s, after_s = second_s, first_s  # PEP 495: of a time that is skipped, fold 0 is the later instant
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        if _offset(middle_s, zone) == _offset(after_s, zone):
            after_s = middle_s
        else:
            before_s = middle_s
    return 1000 * after_s


def _seconds(moment: datetime.datetime) -> int:
    return (moment - datetime.datetime.fromtimestamp(0, datetime.UTC)) // datetime.timedelta(seconds=1)


def _offset(utc_s: int, zone: datetime.tzinfo) -> datetime.timedelta | None:
    return datetime.datetime.fromtimestamp(utc_s, zone).utcoffset()
