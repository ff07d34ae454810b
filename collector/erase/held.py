"""What a store holds for which purpose, how much, since when, and until when the oldest of it is held."""

from __future__ import annotations

from dataclasses import dataclass

from collector.erase.purposes import BILLING, DIAGNOSIS, OPERATION, ZONES_MS, Purposes, months_after
from collector.erase.work import BELOW_DAY, FROM_DAY
from collector.grid import DAY_MS, STEP_S, day_of, day_start
from collector.shown import utc
from collector.store.interface import Store

UTC = "UTC"


@dataclass(frozen=True, slots=True)
class Held:
    """A kind of thing: how many there are, the oldest (ms UTC), its purpose, until when that one is held (None: ever).

    What is already over may still be there: nothing is removed unasked, and a whole page at a time.
    """

    what: str
    count: int
    oldest_ms: int | None
    purpose: str
    until_ms: int | None

    def shown(self) -> dict[str, object]:
        """For programs."""
        oldest, until = self.oldest_ms, self.until_ms
        return {
            "what": self.what,
            "count": self.count,
            "oldest": None if oldest is None else utc(oldest),
            "purpose": self.purpose,
            "until": None if until is None else utc(until),
        }


def held(store: Store, purposes: Purposes, now_ms: int, point: str | None = None) -> list[Held]:
    """What there is (of one point: by its zone, without batches).

    Raises:
        ZoneError: the point names a zone that is none.
    """
    known = store.master.points.all(point=point) if point is not None else []
    zone = known[-1].zone if known else UTC
    rows: list[Held] = []
    if point is None:
        count, oldest = store.evidence.above(int(store.due.progress("retention") or 0))
        days = purposes.diagnosis_days
        until = None if days is None or oldest is None else oldest + days * DAY_MS + ZONES_MS
        rows.append(Held("batches with all their readings", count, oldest, DIAGNOSIS, until))
    for what, cadences, months, purpose in (
        ("pages of quarters and hours", BELOW_DAY, purposes.operation_months, OPERATION),
        ("pages of days and months", FROM_DAY, purposes.billing_months, BILLING),
    ):
        count, oldest = store.curves.extent([STEP_S[each] for each in cadences], point)
        rows.append(Held(what, count, oldest, purpose, _until(zone, oldest, months)))
    count, oldest = store.stands.extent(point)
    rows.append(Held("stands", count, oldest, BILLING, _until(zone, oldest, purposes.billing_months)))
    return rows


def _until(zone: str, oldest_ms: int | None, months: int | None) -> int | None:
    if months is None or oldest_ms is None:
        return None
    return day_start(zone, months_after(day_of(zone, oldest_ms), months) + 1)
