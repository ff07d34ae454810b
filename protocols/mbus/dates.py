"""Times that a meter shows: types F (4 bytes), G (2), I (6) and J (3) of EN 13757-3, told apart by their length.

Each is a time, invalid, or recurring ("every year", "every day"). A meter's time has no zone. All bytes here are low
byte first.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from protocols.reading import MeterTime, Precision, State

EVERY_DAY = 0
EVERY_MONTH = 15
EVERY_YEAR = 127
EVERY_HOUR = 31
EVERY_MINUTE = 63
LAST_YEAR_OF_2000 = 80  # without hundred-year bits 81-99 are 1981-1999
SIZES = frozenset({2, 3, 4, 6})


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The fields as sent."""

    year: int
    month: int
    day: int
    hour: int = 0
    minute: int = 0
    second: int = 0
    century: int = 0
    summer: bool = False
    precision: Precision = Precision.DAY


def decode(octets: bytes) -> tuple[State, MeterTime | None]:
    """The state and, where it is `OK`, the time of a date in its 2, 3, 4 or 6 bytes; other sizes are `UNKNOWN`."""
    if len(octets) not in SIZES:
        return State.UNKNOWN, None
    if all(octet == 0xFF for octet in octets):
        return State.INVALID, None
    if len(octets) == 3:
        return _time_of_day(octets), None
    if len(octets) == 2:
        return _judge(_Calendar(*_day(octets)))
    if len(octets) == 4:
        return _type_f(octets)
    return _type_i(octets)


def _type_f(octets: bytes) -> tuple[State, MeterTime | None]:
    if octets[0] & 0x80:  # IV: the meter says that its clock is not valid
        return State.INVALID, None
    year, month, day = _day(octets[2:4])
    hour, minute = octets[1] & 0x1F, octets[0] & 0x3F
    century, summer = octets[1] >> 5 & 3, bool(octets[1] & 0x80)
    return _judge(_Calendar(year, month, day, hour, minute, 0, century, summer, Precision.MINUTE))


def _type_i(octets: bytes) -> tuple[State, MeterTime | None]:
    if octets[1] & 0x80:
        return State.INVALID, None
    year, month, day = _day(octets[3:5])
    hour, minute, second = octets[2] & 0x1F, octets[1] & 0x3F, octets[0] & 0x3F
    return _judge(_Calendar(year, month, day, hour, minute, second, 0, bool(octets[0] & 0x40), Precision.SECOND))


def _time_of_day(octets: bytes) -> State:
    """Type J has no date: a time of it means "every day"."""
    second, minute, hour = octets[0] & 0x3F, octets[1] & 0x3F, octets[2] & 0x1F
    return State.RECURRING if _clock_fits(hour, minute, second) else State.INVALID


def _day(octets: bytes) -> tuple[int, int, int]:
    """Year (two digits), month and day of a type G."""
    year = octets[0] >> 5 | (octets[1] & 0xF0) >> 1
    return year, octets[1] & 0x0F, octets[0] & 0x1F


def _judge(shown: _Calendar) -> tuple[State, MeterTime | None]:
    if not _fits(shown):
        return State.INVALID, None
    if _recurs(shown):
        return State.RECURRING, None
    try:
        moment = datetime.datetime(  # noqa: DTZ001 - a meter's calendar has no zone
            _full_year(shown), shown.month, shown.day, shown.hour, shown.minute, shown.second
        )
    except ValueError:  # 30 February
        return State.INVALID, None
    return State.OK, MeterTime.from_calendar(moment, shown.precision, shown.summer)


def _fits(shown: _Calendar) -> bool:
    year = shown.year <= 99 or shown.year == EVERY_YEAR
    month = 1 <= shown.month <= 12 or shown.month == EVERY_MONTH
    return year and month and _clock_fits(shown.hour, shown.minute, shown.second)


def _clock_fits(hour: int, minute: int, second: int) -> bool:
    return (hour <= 23 or hour == EVERY_HOUR) and all(part <= 59 or part == EVERY_MINUTE for part in (minute, second))


def _recurs(shown: _Calendar) -> bool:
    return (
        shown.day == EVERY_DAY
        or shown.month == EVERY_MONTH
        or shown.year == EVERY_YEAR
        or shown.hour == EVERY_HOUR
        or EVERY_MINUTE in (shown.minute, shown.second)
    )


def _full_year(shown: _Calendar) -> int:
    if shown.century:
        return 1900 + 100 * shown.century + shown.year
    return shown.year + (2000 if shown.year <= LAST_YEAR_OF_2000 else 1900)
