"""Retention at work: erases what no purpose holds any more, a little at a time, beside everything else.

Batches are looked at in the order of their commits, once diagnosis holds them no more. What keeps one (an open case, a
conflict, no safe acknowledgement, a stand that rests on it) is written down with when to look again. Then each point's
pages and stands. What went is counted in the same transactions, and told when there is nothing more to do: one line in
the journal, one event. Killed anywhere it goes on where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import takewhile

import structlog

from collector.attribute.source import Source
from collector.epochs import Facts
from collector.erase.moments import instants
from collector.erase.purposes import BILLING, CASE, Purposes
from collector.erase.work import BELOW_DAY, FROM_DAY, MASTER_DATA, Erasing, identities, readings_of, take, words
from collector.faults import ZoneError
from collector.grid import DAY_MS, day_of, day_start, next_page
from collector.master.meters import Installation
from collector.store.curves import Page
from collector.store.erasures import COARSE, FINE, KEPT, Closed
from collector.store.evidence import DECODED, Evidence
from collector.store.interface import Store
from collector.store.readings import Key
from protocols.errors import PlombaError

log = structlog.get_logger()

BATCHES = 8  # looked at in one transaction
PAGES = 128  # removed in one transaction
ROUND_MS = 6 * 3_600_000  # from one look at all points to the next
AGAIN_MS = DAY_MS  # until a batch that something keeps is looked at again
LATER_MS = 30 * DAY_MS  # ... that billing keeps: the configuration may have changed
CURSOR, POINT, ROUND, COUNTS = "retention", "retention-point", "retention-round", "retention-counts"
UNDECODED, CONFLICT, NOT_SAFE, NOT_ATTRIBUTED, ALTERED = (
    "undecoded",
    "conflict",
    "not-safe",
    "not-attributed",
    "altered",
)


@dataclass(frozen=True, slots=True)
class _Now:
    """What holds for all batches of one step."""

    at_ms: int
    holding: Collection[tuple[str, bytes, bytes]]
    facts: dict[str, dict[bytes, Facts]]


class Retention:
    """Works on one store, from one thread; a batch is safe so long after it came, as acknowledgements say it."""

    def __init__(self, store: Store, purposes: Purposes, safe_after_ms: int) -> None:
        self._store, self._purposes, self._safe_after_ms = store, purposes, safe_after_ms
        self._erasing = Erasing(store)
        self._source = Source(store)

    def all(self, now_ms: int) -> Counter[str]:
        """Everything that there is to do now; what went.

        Raises:
            StoreFullError: the store does not take it; what was done before counts.
        """
        with self._store.transaction():
            self._store.due.keep(ROUND, "0")
        done: Counter[str] = Counter()
        while (step := self.step(now_ms)) is not None:
            done.update(step)
        return done

    def step(self, now_ms: int) -> Counter[str] | None:
        """A few batches or pages; None when there is nothing to do now.

        Raises:
            StoreFullError: the store does not take it; it is done again by the next step.
        """
        if self._erasing.step(now_ms):
            return Counter()
        if not self._purposes.remove:
            return None
        found = self._batches(now_ms)
        if found is None:
            found = self._point(now_ms)
        if found is None:
            self._tell(now_ms)
        return found

    def _batches(self, now_ms: int) -> Counter[str] | None:
        """The next batches that diagnosis holds no more; None where there are none."""
        before_ms = self._purposes.readings_before(now_ms)
        if before_ms is None:
            return None
        store = self._store
        cursor = int(store.due.progress(CURSOR) or 0)
        again = store.erasures.retained_until(now_ms, BATCHES)
        new = [] if again else store.evidence.after(cursor, BATCHES)
        rows = [store.evidence.row(n) for n in again]
        rows += takewhile(lambda each: each.received_ms < before_ms, map(store.evidence.row, new))
        if not rows:
            return None
        self._source.forget()
        with store.transaction():
            store.master.identities.look()
        counts: Counter[str] = Counter()
        with store.transaction():
            store.gateways.lock({each.gateway for each in rows})
            now = self._now(now_ms)
            for each in rows:
                counts.update(self._batch(store.evidence.row(each.n), now))
            if new:
                store.due.keep(CURSOR, str(max(cursor, *(each.n for each in rows))))
            self._count(counts)
        return counts

    def _now(self, now_ms: int) -> _Now:
        return _Now(now_ms, set(self._store.cases.holding()), {})

    def _batch(self, row: Evidence, now: _Now) -> Counter[str]:
        """Erase of a batch what nothing holds; what holds the rest is written down."""
        why, keys = self._kept(row, now)
        if why:
            self._store.erasures.retain(row.gateway, row.n, now.at_ms + AGAIN_MS, why)
            return Counter()
        try:
            billed = self._billed(row, keys, now.at_ms)
        except ZoneError:
            self._store.erasures.retain(row.gateway, row.n, now.at_ms + AGAIN_MS, NOT_ATTRIBUTED)
            return Counter()
        counts = take(self._store, row, keys.keys() - billed, keys)
        if billed:
            self._store.erasures.retain(row.gateway, row.n, now.at_ms + LATER_MS, BILLING)
        else:
            self._store.erasures.release(row.gateway, row.n)
        return counts

    def _kept(self, row: Evidence, now: _Now) -> tuple[str, dict[int, Key]]:
        """Why nothing of a batch may go, or empty; and the readings in it."""
        if row.state != DECODED:
            return UNDECODED, {}
        if {(row.gateway, row.epoch, b""), (row.gateway, row.epoch, row.id)} & set(now.holding):
            return CASE, {}
        if self._store.due.is_fresh(row.gateway, row.n):
            return NOT_ATTRIBUTED, {}
        if row.gateway not in now.facts:
            now.facts[row.gateway] = {each.epoch: each for each in self._store.evidence.facts(row.gateway)}
        facts = now.facts[row.gateway].get(row.epoch)
        safe = 0 if facts is None else self._store.evidence.safe_to(row.gateway, facts, now.at_ms - self._safe_after_ms)
        if safe < row.seq:
            return NOT_SAFE, {}
        try:
            keys = identities(row)
        except PlombaError:
            return ALTERED, {}
        rows = (self._store.readings.at(*each) for each in keys.values())
        return CONFLICT if any(each is not None and each.conflict for each in rows) else "", keys

    def _billed(self, row: Evidence, keys: dict[int, Key], now_ms: int) -> set[int]:
        """The leaves that stands rest on; attribution is told to leave alone what is made of all others."""
        found: set[int] = set()
        newest: dict[str, int] = {}
        origins: dict[str, set[tuple[str, int, str]]] = {}
        installed: dict[str, list[Installation]] = {}
        for leaf, reading in readings_of(row):
            key, how, moment, _ = keys[leaf]
            shown = self._source.whose(key, row.gateway, reading.device, reading.at_ms)
            for meter in {each.meter for each in shown.mapped} | ({shown.meter} if shown.meter else set()):
                if meter not in installed:
                    installed[meter] = self._store.master.installations.all(meter=meter)
                for here in installed[meter]:
                    times = [at for at in instants(moment, here.clock) if here.span.holds(at)]
                    if not times:
                        continue
                    if here.point not in origins:
                        origins[here.point] = self._origins(here.point, now_ms)
                    if (meter, how, moment) in origins[here.point]:
                        found.add(leaf)
                    newest[here.point] = max(newest.get(here.point, 0), *times)
        for point, at_ms in newest.items():
            self._store.erasures.close(Closed(point, KEPT, 0, at_ms))
        return found

    def _origins(self, point: str, now_ms: int) -> set[tuple[str, int, str]]:
        """Meter, way and time of the readings that the stands of a point rest on, as far as billing holds them."""
        before_ms = self._purposes.coarse_before(self._zone(point), now_ms) or 0
        return {
            (each.serial, each.how, moment)
            for version in self._store.stands.of(point, before_ms, now_ms + DAY_MS)
            for each in version.stand.origin
            for moment in (each.first, each.last)
        }

    def _point(self, now_ms: int) -> Counter[str] | None:
        """Pages and stands of the next point; None where the round is over, until the next one."""
        due = self._store.due
        if now_ms < int(due.progress(ROUND) or 0):
            return None
        found = self._store.master.points.page(due.progress(POINT) or "", 1)
        point = found[0].id if found else None
        with self._store.transaction():
            if point is None:
                due.keep(POINT, "")
                due.keep(ROUND, str(now_ms + ROUND_MS))
                return Counter()
            counts, more = self._of_point(point, now_ms)
            if not more:
                due.keep(POINT, point)
            self._count(counts)
        return counts

    def _of_point(self, point: str, now_ms: int) -> tuple[Counter[str], bool]:
        """Remove of a point what is over; whether there is more of it."""
        counts: Counter[str] = Counter()
        try:
            zone = self._zone(point)
            fine, coarse = self._purposes.fine_before(zone, now_ms), self._purposes.coarse_before(zone, now_ms)
        except ZoneError:
            return counts, False  # nothing of it can be reckoned; the page of the point says it
        over: list[Page] = []
        for kind, cadences, before_ms in ((FINE, BELOW_DAY, fine), (COARSE, FROM_DAY, coarse)):
            if before_ms is None:
                continue
            last = day_of(zone, before_ms)
            pages = self._store.curves.meeting(point, cadences, 0, last - 1)
            mine = [each for each in pages if next_page(each.cadence, each.day) <= last]
            if mine:
                self._store.erasures.close(Closed(point, kind, 0, day_start(zone, last) - 1))
            over += mine
        self._store.curves.remove(over[:PAGES])
        counts["pages"] = len(over[:PAGES])
        if coarse is not None:
            stands = [each.stand for each in self._store.stands.of(point, 0, coarse)]
            mine_of = [each for each in stands if each.character not in MASTER_DATA]
            counts["stands"] = sum(self._store.stands.remove(each) for each in mine_of)
            if mine_of:
                self._store.erasures.close(Closed(point, COARSE, 0, coarse - 1))
        return counts, len(over) > PAGES

    def _zone(self, point: str) -> str:
        return self._store.master.points.all(point=point)[-1].zone

    def _count(self, counts: Counter[str]) -> None:
        """Add to what is told at the end, within the transaction that did it."""
        if counts.total():
            known = Counter(json.loads(self._store.due.progress(COUNTS) or "{}"))
            self._store.due.keep(COUNTS, json.dumps(known + counts))

    def _tell(self, now_ms: int) -> None:
        """One line and one event for what went since the last ones."""
        counts = json.loads(self._store.due.progress(COUNTS) or "{}")
        if not counts:
            return
        with self._store.transaction():
            self._store.cases.write(f"retention: erased {words(counts)}, held for no purpose any more", now_ms)
            self._store.due.keep(COUNTS, "{}")
        log.info("what no purpose holds any more is erased", **counts)
