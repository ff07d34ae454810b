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
    """The state and, where it is `OK`, the time of a date in its 2, 3, 4 or 6 bytes.

    Other sizes are `INVALID`: table 10 of EN 13757-3:2018 says so.
    """
    if len(octets) not in SIZES or all(octet == 0xFF for octet in octets) or _says_invalid(octets):
        return State.INVALID, None
    return _judge(_calendar(octets))


def pattern(octets: bytes) -> str:
    """A recurring date as people write it, "*" for "every": `2024-12-*`, `*-12-31`, `*-*-*T12:45:30`."""
    shown = _calendar(octets)
    year = "*" if shown.year == EVERY_YEAR else f"{_full_year(shown):04}"
    day = f"{year}-{_part(shown.month, EVERY_MONTH)}-{_part(shown.day, EVERY_DAY)}"
    if shown.precision is Precision.DAY:
        return day
    clock = f"{day}T{_part(shown.hour, EVERY_HOUR)}:{_part(shown.minute, EVERY_MINUTE)}"
    return clock if shown.precision is Precision.MINUTE else f"{clock}:{_part(shown.second, EVERY_MINUTE)}"


def _part(shown: int, every: int) -> str:
    return "*" if shown == every else f"{shown:02}"


def _calendar(octets: bytes) -> _Calendar:
    """The fields of a type F, G, I or J."""
    if len(octets) == 2:
        return _Calendar(*_day(octets))
    if len(octets) == 4:
        hour, minute = octets[1] & 0x1F, octets[0] & 0x3F
        century, summer = octets[1] >> 5 & 3, bool(octets[1] & 0x80)
        return _Calendar(*_day(octets[2:4]), hour, minute, 0, century, summer, Precision.MINUTE)
    hour, minute, second = octets[2] & 0x1F, octets[1] & 0x3F, octets[0] & 0x3F
    if len(octets) == 3:  # type J has no date: a time of it means "every day"
        return _Calendar(EVERY_YEAR, EVERY_MONTH, EVERY_DAY, hour, minute, second, precision=Precision.SECOND)
    summer = bool(octets[0] & 0x40)
    return _Calendar(*_day(octets[3:5]), hour, minute, second, 0, summer, Precision.SECOND)


def _says_invalid(octets: bytes) -> bool:
    """The bit IV of types F and I: the meter says that its clock is not valid."""
    return (len(octets) == 4 and bool(octets[0] & 0x80)) or (len(octets) == 6 and bool(octets[1] & 0x80))


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
