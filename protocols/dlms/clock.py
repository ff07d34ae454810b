"""The twelve bytes of a COSEM date-time (Blue Book 4.1.6.1): as a meter's time, and back.

Year 2, month, day, weekday, hour, minute, second, hundredths, deviation 2, status. FF (8000 in the deviation) means
"not specified". The deviation counts from local time to UTC: -60 is a clock an hour ahead of UTC, so our offset has the
other sign.
"""

from __future__ import annotations

import calendar
import datetime
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from protocols.dlms.data import SHOWN, Data, Tag
from protocols.dlms.faults import Malformed
from protocols.reading import METER_EPOCH, MOST_EAST, MOST_WEST, MeterTime, Precision

SIZE = 12
ANY = 0xFF
ANY_YEAR = 0xFFFF
NO_DEVIATION = -0x8000
# Minutes from local time to UTC: Kiribati is 14 hours ahead of UTC, and no place more than 12 behind it.
LEAST_DEVIATION, MAX_DEVIATION = -MOST_EAST, MOST_WEST
INVALID, DOUBTFUL, DIFFERENT_BASE, BAD_STATUS, SUMMER = 0x01, 0x02, 0x04, 0x08, 0x80
DOUBTS = DOUBTFUL | DIFFERENT_BASE
LAST_YEAR = 2099  # what a meter time can say
DATES = 512  # days that are kept as seconds: a profile has a few, and each of them many times
EPOCH_S = calendar.timegm(METER_EPOCH.timetuple())
_PARTS = Struct(">4sx3Bxhx").unpack  # date, hour, minute, second, deviation


@dataclass(frozen=True, slots=True)
class Clock:
    """A date-time as sent: `time` is None where no whole time is in it; `status` is None where the meter says none."""

    octets: bytes
    time: MeterTime | None
    status: int | None

    @property
    def invalid(self) -> bool:
        """Whether the meter says that its time is wrong (invalid value, or invalid clock status)."""
        return self.status is not None and bool(self.status & (INVALID | BAD_STATUS))

    @property
    def doubtful(self) -> bool:
        """Whether the meter says that its time may be wrong: "doubtful value", or "different clock base"."""
        return self.status is not None and bool(self.status & DOUBTS)


def from_data(data: Data, where: str) -> Clock:
    """The clock in an octet-string of 12 bytes or a date-time.

    Raises:
        Malformed: neither.
    """
    if data.tag not in {Tag.OCTET_STRING, Tag.DATE_TIME} or not isinstance(data.content, bytes):
        raise Malformed("a date-time", str(data.tag.name), where)
    return from_bytes(data.content, where)


def from_bytes(octets: bytes, where: str = "date-time") -> Clock:
    """The clock in 12 bytes.

    Raises:
        Malformed: another number of bytes.
    """
    if len(octets) != SIZE:
        raise Malformed(f"{SIZE} bytes", f"{len(octets)}: {octets[:SHOWN].hex()}", where)
    status = None if octets[11] == ANY else octets[11]
    return Clock(octets, _time(octets, status), status)


def times(column: Sequence[int | bytes]) -> tuple[MeterTime | None, ...]:
    """The times in a column of date-times of 12 bytes; None where no whole time is in one."""
    moments = (each for each in column if isinstance(each, bytes))
    return tuple([_time(each, None if each[11] == ANY else each[11]) for each in moments])


def to_bytes(time: MeterTime, with_deviation: bool = True) -> bytes:
    """The 12 bytes of `time`; without deviation its status is not specified either."""
    shown = time.calendar()
    deviation, status = NO_DEVIATION, ANY
    if with_deviation and time.deviation_min is not None:
        deviation, status = -time.deviation_min, SUMMER if time.summer else 0
    date = shown.year.to_bytes(2, "big") + bytes((shown.month, shown.day, shown.isoweekday()))
    tail = deviation.to_bytes(2, "big", signed=True) + bytes((status,))
    return date + bytes((shown.hour, shown.minute, shown.second, 0)) + tail


def utc_ms(time: MeterTime) -> int | None:
    """The instant of `time`; None where the meter shows no offset from UTC: it is never guessed."""
    if time.deviation_min is None:
        return None
    return (EPOCH_S + time.seconds - 60 * time.deviation_min) * 1000


def _time(octets: bytes, status: int | None) -> MeterTime | None:
    date, hour, minute, second, deviation = _PARTS(octets)
    precision = Precision.SECOND
    if second == ANY:
        second, precision = 0, Precision.MINUTE
    if hour > 23 or minute > 59 or second > 59:
        return None
    midnight = _midnight(date)
    if midnight is None or not (LEAST_DEVIATION <= deviation <= MAX_DEVIATION or deviation == NO_DEVIATION):
        return None
    summer = status is not None and status & SUMMER > 0
    seconds = midnight + hour * 3600 + minute * 60 + second
    return MeterTime(seconds, precision, summer, None if deviation == NO_DEVIATION else -deviation)


@functools.lru_cache(DATES)
def _midnight(date: bytes) -> int | None:
    """Seconds of the meter's calendar to the beginning of a day (year 2, month, day); None where it is none."""
    year = int.from_bytes(date[:2], "big")
    if not METER_EPOCH.year <= year <= LAST_YEAR:
        return None
    try:
        day = datetime.date(year, date[2], date[3])
    except ValueError:  # FE and FD (last days of a month) are no days either
        return None
    return (day.toordinal() - METER_EPOCH.toordinal()) * 86_400
