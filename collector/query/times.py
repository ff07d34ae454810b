"""From what a person or a program writes to the time that a question is about."""

from __future__ import annotations

import re

from collector.faults import LocalTimeError, QuestionError
from collector.grid import zone_of
from collector.master import clocks

EXPECTED = "a day (2026-03-01), a month (2026-03), a year (2026) or a time (2026-03-01T06:00, with Z or its offset)"
_FINE = re.compile(r"(.+:\d{2}:\d{2})\.(\d{3})(|Z|[+-]\d{2}:\d{2})")  # with milliseconds, as answers show instants
_MONTH, _YEAR = re.compile(r"\d{4}-\d{2}"), re.compile(r"\d{4}")
FIRST_YEAR, LAST_YEAR = "1971", "2099"


def instant_of(text: str, zone: str, what: str) -> int:
    """When a day, month or year begins in a zone, or a time is (ms UTC).

    Raises:
        QuestionError: it is none of these; `what` is named.
        ZoneError: there is no such zone.
    """
    zone_of(zone)
    fine = _FINE.fullmatch(text)
    if fine is not None:
        return instant_of(fine[1] + fine[3], zone, what) + int(fine[2])
    written = f"{text}-01-01" if _YEAR.fullmatch(text) else f"{text}-01" if _MONTH.fullmatch(text) else text
    if not FIRST_YEAR <= written[:4] <= LAST_YEAR:
        raise QuestionError(f"{EXPECTED} from {FIRST_YEAR} to {LAST_YEAR}", repr(text[:40]), what)
    try:
        return clocks.instant(written, zone)
    except LocalTimeError as error:
        raise QuestionError(EXPECTED if text != written else error.expected, error.got, what) from error
