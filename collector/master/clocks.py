"""Which instant a written local time is: a day or a time of a zone, exactly or not at all."""

from __future__ import annotations

import datetime
import re
from zoneinfo import ZoneInfo

from collector.faults import LocalTimeError
from protocols.uplink import limits

_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{3})?)?)(Z|[+-]\d{2}:\d{2})?")
MOST_EAST, MOST_WEST = 14 * 60, 12 * 60  # minutes that a clock may be ahead of UTC, or behind it
EXPECTED = "a day as 2026-03-01 or a time as 2026-03-01T06:00, with its offset where the clock shows it twice"
SHOWN = 40  # characters of what is none in a message


def fixed_offset(text: str) -> datetime.timezone | None:
    """The clock "+01:00" that never changes; None where the text is no offset (an IANA name)."""
    match = _OFFSET.fullmatch(text)
    if match is None or int(match[3]) >= 60:
        return None
    minutes = (int(match[2]) * 60 + int(match[3])) * (-1 if match[1] == "-" else 1)
    if not -MOST_WEST <= minutes <= MOST_EAST:
        return None
    return datetime.timezone(datetime.timedelta(minutes=minutes))


def instant(text: str, zone: str) -> int:
    """The instant (ms UTC) of a day (its first moment) or a time in the zone; the zone is known to be one.

    Raises:
        LocalTimeError: it is no time, or the zone's clock never shows it, or shows it twice, or no meter is so old.
    """
    try:
        at_ms = _instant(text, zone)
    except OverflowError:
        at_ms = -1
    if not 0 <= at_ms < limits.FUTURE_MS:
        raise LocalTimeError("a time from 1970 to 2099", repr(text[:SHOWN]))
    return at_ms


def _instant(text: str, zone: str) -> int:
    day, time, offset = _parts(text)
    try:
        naive = datetime.datetime.fromisoformat(f"{day}T{time or '00:00'}")
        if offset:
            return _ms(datetime.datetime.fromisoformat(f"{day}T{time}{offset.replace('Z', '+00:00')}"))
    except ValueError as error:
        raise LocalTimeError(EXPECTED, f"{text[:SHOWN]!r} ({error})") from None
    clock = ZoneInfo(zone)
    early, late = (_ms(naive.replace(tzinfo=clock, fold=fold)) for fold in (0, 1))
    shown = [at for at in dict.fromkeys((early, late)) if _shows(at, clock) == naive]
    if time is None:  # a day begins with its first moment, also where midnight is left out or comes twice
        return shown[0] if shown else _after_gap(naive, clock)
    if len(shown) != 1:
        got = f"{text[:SHOWN]!r}, which the clocks of {zone} {'show twice' if shown else 'leave out'}"
        raise LocalTimeError("a time that is one instant: write its offset", got)
    return shown[0]


def _parts(text: str) -> tuple[str, str | None, str | None]:
    if _DAY.fullmatch(text):
        return text, None, None
    match = _TIME.fullmatch(text)
    if match is None:
        raise LocalTimeError(EXPECTED, repr(text[:SHOWN]))
    return match[1], match[2], match[3]


def _after_gap(naive: datetime.datetime, clock: ZoneInfo) -> int:
    """The instant at which the clock jumps over this time: before it, it would be read by the offset of before."""
    return _ms(_jump(naive, clock))


def _jump(naive: datetime.datetime, clock: ZoneInfo) -> datetime.datetime:
    before = naive.replace(tzinfo=clock, fold=1).astimezone(datetime.UTC)
    after = naive.replace(tzinfo=clock, fold=0).astimezone(datetime.UTC)
    while after - before > datetime.timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(clock).replace(tzinfo=None) < naive:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _shows(at_ms: int, clock: ZoneInfo) -> datetime.datetime:
    return (_EPOCH + datetime.timedelta(milliseconds=at_ms)).astimezone(clock).replace(tzinfo=None)


def _ms(moment: datetime.datetime) -> int:
    return (moment - _EPOCH) // datetime.timedelta(milliseconds=1)
