"""For how long which purpose holds what was read, by the calendar of the point's zone.

* diagnosis: readings as they were sealed (leaves of evidence and their rows), from when their batch came;
* operation: intervals shorter than a day, from their own day;
* billing: days, months and stands, from their own day; and the readings that a held stand names as its origin.

A purpose without a time holds for ever. What is in an open case or in conflict is held whatever the purposes say.
"""

from __future__ import annotations

import calendar
import datetime
from dataclasses import dataclass

from collector.grid import DAY_MS, date_of, day_number, day_of, day_start

DIAGNOSIS, OPERATION, BILLING, CASE = "diagnosis", "operation", "billing", "case"
ALL = (DIAGNOSIS, OPERATION, BILLING, CASE)
ZONES_MS = 26 * 3_600_000  # a day of 25 hours, and an hour: a count of whole days is over wherever the point is


@dataclass(frozen=True, slots=True)
class Purposes:
    """What holds for how long (None: for ever), and whether what is held no more is removed without being asked for."""

    diagnosis_days: int | None = None
    operation_months: int | None = None
    billing_months: int | None = None
    remove: bool = False

    def readings_before(self, now_ms: int) -> int | None:
        """Before when a batch must have come for diagnosis to hold it no more; None: it holds all."""
        return None if self.diagnosis_days is None else now_ms - self.diagnosis_days * DAY_MS - ZONES_MS

    def fine_before(self, zone: str, now_ms: int) -> int | None:
        """Before when intervals below a day are held no more: a local midnight; None: they are held for ever.

        Raises:
            ZoneError: there is no such zone.
        """
        return _before(zone, now_ms, self.operation_months)

    def coarse_before(self, zone: str, now_ms: int) -> int | None:
        """The same of days, months and stands; errors as `fine_before`."""
        return _before(zone, now_ms, self.billing_months)


def months_before(day: int, months: int) -> int:
    """The local day that is so many months before another; the last of its month where it has no such day."""
    return months_after(day, -months)


def months_after(day: int, months: int) -> int:
    """The local day that is so many months after another; the last of its month where it has no such day."""
    date = date_of(day)
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    return day_number(datetime.date(year, month + 1, min(date.day, calendar.monthrange(year, month + 1)[1])))


def _before(zone: str, now_ms: int, months: int | None) -> int | None:
    return None if months is None else day_start(zone, months_before(day_of(zone, now_ms), months))
