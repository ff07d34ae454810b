"""When it was that a meter's clock showed a time: its own deviation or summer-time flag first, else the zone it keeps.

The rules, the first that fits:

1. Where the meter shows its offset from UTC, that holds.
2. A clock that keeps one offset all year ("+01:00") is that far ahead of UTC, and an hour more under its summer flag.
3. A clock that follows an IANA zone shows one hour twice in autumn. The summer flag tells the first from the second;
   where the meter shows no flags at all, the order of its rows does. A row that stands alone there is in doubt.
4. A time that the zone skips in spring is in doubt, but for its first instant: an interval may end there.
"""

from __future__ import annotations

import datetime
import functools
import re
from dataclasses import dataclass

from collector.faults import ZoneError
from collector.grid import zone_of
from collector.master.meters import Edge
from protocols.reading import METER_EPOCH, MeterTime, Precision

METER_EPOCH_MS = 946_684_800_000  # METER_EPOCH, were it UTC
HOUR_MS, MINUTE_MS, DAY_S = 3_600_000, 60_000, 86_400
_FIXED = re.compile(r"([+-])(\d\d):(\d\d)")
SKIPPED, TWICE = "clock-skipped", "clock-twice"  # why an instant is in doubt


@dataclass(frozen=True, slots=True)
class Instant:
    """An instant (ms UTC); `doubt` is why it is not sure, or empty."""

    at_ms: int
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """A meter's clock: the zone it keeps (an IANA name, or "+01:00"), whether it shows the summer-time flag at all."""

    zone: str
    flags: bool = False

    def instant(self, time: MeterTime, nth: int = 0, of: int = 1) -> Instant:
        """When the clock showed this; `nth` (from 0) of the `of` rows that show the same, in the meter's order.

        Raises:
            ZoneError: there is no such zone.
        """
        local_ms = METER_EPOCH_MS + time.seconds * 1_000
        if time.deviation_min is not None:
            return Instant(local_ms - time.deviation_min * MINUTE_MS)
        fixed = _fixed_ms(self.zone)
        if fixed is not None:
            return Instant(local_ms - fixed - HOUR_MS * time.summer)
        first, second = _offsets(self.zone, time.seconds)
        if first == second:
            return Instant(local_ms - first)
        if first < second:  # spring: what is shown does not exist there, before the change it would have been so
            skipped = _offsets(self.zone, time.seconds - 1)
            return Instant(local_ms - first, "" if skipped[0] == skipped[1] else SKIPPED)
        if time.summer or self.flags:
            return Instant(local_ms - (first if time.summer else second))
        return Instant(local_ms - (second if nth else first), "" if of > 1 else TWICE)

    def day_edge(self, time: MeterTime, edge: Edge) -> Instant:
        """The edge of the day that the clock shows.

        Raises:
            ZoneError: there is no such zone.
        """
        days = time.seconds // DAY_S + (edge is Edge.END)
        return self.instant(MeterTime(days * DAY_S, Precision.SECOND, False, time.deviation_min), 0, 2)

    def shown_s(self, at_ms: int) -> int:
        """What it shows at an instant, in seconds as `MeterTime` has them: to look rows up near it.

        Raises:
            ZoneError: there is no such zone.
        """
        fixed = _fixed_ms(self.zone)
        if fixed is None:
            utc = datetime.datetime.fromtimestamp(at_ms // 1_000, datetime.UTC)
            offset = utc.astimezone(zone_of(self.zone)).utcoffset() or datetime.timedelta()
            fixed = offset // datetime.timedelta(milliseconds=1)
        return (at_ms + fixed - METER_EPOCH_MS) // 1_000


@functools.lru_cache(256)
def _fixed_ms(zone: str) -> int | None:
    """The offset of a zone that is written as one, in ms; None for a name.

    Raises:
        ZoneError: it begins as an offset and is none.
    """
    if not zone.startswith(("+", "-")):
        return None
    found = _FIXED.fullmatch(zone)
    if found is None:
        raise ZoneError('an offset such as "+01:00"', repr(zone), "the clock of an installation")
    minutes = int(found[2]) * 60 + int(found[3])
    return (minutes if found[1] == "+" else -minutes) * MINUTE_MS


@functools.lru_cache(65_536)
def _offsets(zone: str, seconds: int) -> tuple[int, int]:
    """The zone's offsets (ms) at a local time, taken as the first and as the second that shows it."""
    local = (METER_EPOCH + datetime.timedelta(seconds=seconds)).replace(tzinfo=zone_of(zone))
    both = (local.utcoffset(), local.replace(fold=1).utcoffset())
    first, second = ((each or datetime.timedelta()) // datetime.timedelta(milliseconds=1) for each in both)
    return first, second
