"""Erases what a plan names, in small transactions; killed anywhere it goes on where it was.

First the act is recorded: from then on nothing of it is stored again, and attribution leaves its spans alone. Then the
evidence of the gateways concerned is looked through, batch by batch, and of each what is left is put in its place.
At last the pages and stands of the points, and readings whose evidence cannot be opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from collector.attribute.clock import Clock
from collector.attribute.stands import TURN_MS
from collector.erase.moments import MeterSpan, held_by, instants
from collector.erase.plan import DAYS_MS, Plan
from collector.grid import DAY_MS, STEP_S, edges
from collector.master.channels import Cadence
from collector.moments import METER
from collector.quality import Quality, State, each_of, runs_of
from collector.store.curves import Curve, Page
from collector.store.erasures import COARSE, FINE, KEPT, Closed, Erasure
from collector.store.evidence import Evidence
from collector.store.interface import Store
from collector.store.readings import Key, identity
from collector.store.stands import Character, Stand
from protocols.errors import PlombaError
from protocols.reading import How
from protocols.uplink.body import Expanded
from protocols.uplink.leaf import SealedReading
from protocols.uplink.partial import Partial
from protocols.uplink.proof import leaf_from

BATCHES = 8  # looked through in one transaction
PAGES = 64  # rewritten in one transaction
ERASED = "erased"  # as the reason of an interval that is missing
BELOW_DAY = (Cadence.QUARTER, Cadence.HOUR)
FROM_DAY = (Cadence.DAY, Cadence.MONTH)
MASTER_DATA = (Character.REMOVED, Character.INSTALLED)  # of the master data: what was read is not in them


def begin(store: Store, plan: Plan, who: str, why: str, now_ms: int) -> int:
    """Record an act and let it count for what comes from now on; its number.

    Raises:
        StoreFullError: the store does not take it; nothing counts.
    """
    with store.transaction():
        store.gateways.lock(
            store.gateways.register()
        )  # what is being stored is there afterwards, or meets what is recorded now
        number = store.erasures.put(now_ms, who, why, plan.to_json())
        store.erasures.forbid_spans(
            number, ((each.meter, each.from_ms, each.to_ms, each.clock) for each in plan.meters)
        )
        store.erasures.forbid_leaves(number, plan.leaves)
        for each in plan.points:
            store.erasures.close(each)
        store.cases.write(f"erasure {number} begun: {plan.what} by {who}: {why}", now_ms)
    return number


class Erasing:
    """Works on one store, from one thread; other processes may do so too."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, now_ms: int) -> list[Erasure]:
        """Every act that is not done yet, to its end; what they are then.

        Raises:
            StoreFullError: the store does not take it; what was done before counts.
        """
        begun = {each.number for each in self._store.erasures.unfinished()}
        while self.step(now_ms):
            pass
        return [each for each in self._store.erasures.all() if each.number in begun]

    def step(self, now_ms: int) -> bool:
        """A few batches or pages of the oldest act; false where none is left to do.

        Raises:
            StoreFullError: the store does not take it; it is done again by the next step.
        """
        left = self._store.erasures.unfinished()
        if not left:
            return False
        act = left[0]
        plan = Plan.from_json(act.subject)
        found = self._store.evidence.after_of(sorted(plan.gateways), act.reached, BATCHES)
        counts = Counter(act.counts)
        if not found:
            self._derived(act, plan, counts, now_ms)
            return True
        with self._store.transaction():
            self._store.gateways.lock(plan.gateways)
            for n in found:
                counts.update(self._batch(self._store.evidence.row(n), plan))
            self._store.erasures.reach(act.number, found[-1], dict(counts))
        return True

    def _batch(self, row: Evidence, plan: Plan) -> Counter[str]:
        named = {leaf for gateway, batch, leaf in plan.leaves if (gateway, batch) == (row.gateway, row.id)}
        try:
            keys = identities(row)
        except PlombaError:
            return Counter({"not opened": 1})
        gone = named | held_by(plan.meters, ((leaf, key[0], key[2]) for leaf, key in keys.items()))
        return take(self._store, row, gone, keys)

    def _derived(self, act: Erasure, plan: Plan, counts: Counter[str], now_ms: int) -> None:
        """Pages, a few in each transaction; then all the rest, and the act is done."""
        for each in plan.points:
            changed = list(_changed(self._store, each))
            counts["pages"] += len(changed)
            for start in range(0, len(changed), PAGES):
                with self._store.transaction():
                    for page, curve in changed[start : start + PAGES]:
                        self._store.curves.rewrite(page, curve)
                    self._store.erasures.reach(act.number, act.reached, dict(counts))
        with self._store.transaction():
            stands = [one for each in plan.points if each.kind == COARSE for one in _stands(self._store, each, plan)]
            counts["stands"] += sum(map(self._store.stands.remove, stands))
            counts["readings"] += sum(map(self._swept, plan.meters))
            for meter in {each.meter for each in plan.meters}:
                self._store.series.refresh(meter)
            done = {name: count for name, count in sorted(counts.items()) if count}
            self._store.erasures.reach(act.number, act.reached, done, now_ms)
            self._store.cases.write(f"erasure {act.number} done: {words(done)}", now_ms)

    def _swept(self, span: MeterSpan) -> int:
        """Remove readings whose evidence could not be opened."""
        return sum(self._store.readings.remove_all(key) for key in _stored(self._store, span))


def forecast(store: Store, plan: Plan) -> dict[str, int]:
    """How many stored readings, versions of pages and stands would go; nothing is changed."""
    keys = {key for each in plan.meters for key in _stored(store, each)}
    pages = sum(1 for each in plan.points for _ in _changed(store, each))
    stands = sum(len(_stands(store, each, plan)) for each in plan.points if each.kind == COARSE)
    counts = {"leaves": len(plan.leaves), "readings": len(keys), "pages": pages, "stands": stands}
    return {name: count for name, count in counts.items() if count}


def _stored(store: Store, span: MeterSpan) -> set[Key]:
    """The identities of the stored readings in a span."""
    ranges = [("slot ", span.from_ms, span.to_ms), ("at ", span.from_ms, span.to_ms)]
    clock = Clock(span.clock)
    ranges.append((METER, clock.shown_s(span.from_ms) - 7_200, clock.shown_s(span.to_ms) + 7_200))
    keys: set[Key] = set()
    for how in How:
        for before, low, high in ranges:
            for a, b in texts(before, low, high):
                rows = store.readings.between(span.meter, int(how), a, b)
                keys |= {(span.meter, int(how), key[0], key[1]) for key, _ in rows if span.holds(key[0])}
    return keys


def identities(row: Evidence) -> dict[int, Key]:
    """The identity of each reading that is left of a batch, by its leaf.

    Raises:
        PlombaError: the batch does not hold, or cannot be decoded.
    """
    return {leaf: identity(row.gateway, each) for leaf, each in readings_of(row)}


def readings_of(row: Evidence) -> list[tuple[int, SealedReading]]:
    """The readings that are left of a batch, by leaf; errors as `identities`."""
    opened = row.opened()
    return list(enumerate(opened.readings) if isinstance(opened, Expanded) else _left(opened))


def take(store: Store, row: Evidence, gone: set[int], keys: dict[int, Key]) -> Counter[str]:
    """Erase leaves of a batch, within a transaction that holds its gateway: evidence, readings, records.

    Returns:
        how many leaves, readings and records went.
    """
    opened = row.opened()
    gone = {leaf for leaf in gone if leaf < len(opened.leaves) and opened.leaves[leaf] is not None}
    if not gone:
        return Counter()
    left = opened.without(gone) if isinstance(opened, Partial) else Partial.of(opened, gone)
    store.evidence.erase(row, left)
    removed = store.readings.remove(row.gateway, row.id, ((leaf, keys[leaf]) for leaf in sorted(gone) if leaf in keys))
    for (meter, how, part), count in removed.items():
        if count:
            store.series.removed(meter, how, part, count)
    records = store.readings.remove_records(row.gateway, row.id, sorted(gone - keys.keys()))
    return Counter({"leaves": len(gone), "readings": sum(removed.values()), "records": records, "batches": 1})


def words(counts: dict[str, int]) -> str:
    """How much it was, for people."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"


def without_values(page: Page, bounds: Iterable[int], from_ms: int, to_ms: int) -> Curve | None:
    """A stored page without the values of the intervals that meet [from, to]; None where there are none in it."""
    curve = page.curve()
    gone = [start <= to_ms and end >= from_ms for start, end in pairwise(bounds)]
    if len(gone) != len(curve.values) or not any(
        away and value is not None for away, value in zip(gone, curve.values, strict=True)
    ):
        return None
    values = tuple(None if away else value for away, value in zip(gone, curve.values, strict=True))
    missing = Quality(State.MISSING, True, "", ERASED)
    quality = runs_of(missing if away else each for away, each in zip(gone, each_of(curve.runs), strict=True))
    moments = None
    if curve.moments is not None:
        there = [index for index, value in enumerate(curve.values) if value is not None]
        moments = tuple(moment for index, moment in zip(there, curve.moments, strict=True) if not gone[index])
    origin = curve.origin if any(each is not None for each in values) else ()
    return replace(curve, values=values, runs=quality, moments=moments, origin=origin)


def bounds_of(zones: Iterable[str], page: Page) -> tuple[int, ...]:
    """Where the intervals of a stored page begin and end, by the zone that its point had when it was made."""
    for zone in zones:
        found = edges(zone, page.cadence, page.day)
        if (found[0], len(found) - 1) == (page.start_ms, page.intervals):
            return found
    step_ms = STEP_S[page.cadence] * 1_000
    return tuple(range(page.start_ms, page.start_ms + (page.intervals + 1) * step_ms, step_ms))


def texts(before: str, low: int, high: int) -> Iterable[tuple[str, str]]:
    """Numbers from low to high (included) as texts that sort as they do: those of as many digits."""
    low = max(low, 0)
    while low <= high:
        end = min(high + 1, 10 ** len(str(low)))
        yield f"{before}{low}", f"{before}{end}" if len(str(end)) == len(str(low)) else f"{before}:"
        low = end


def _left(opened: Partial) -> Iterable[tuple[int, SealedReading]]:
    for leaf, octets in enumerate(opened.leaves):
        content = None if octets is None else leaf_from(octets)
        if isinstance(content, SealedReading):
            yield leaf, content


def _changed(store: Store, closed: Closed) -> Iterable[tuple[Page, Curve]]:
    """The stored versions that have values in a span, without them."""
    cadences = {FINE: BELOW_DAY, COARSE: FROM_DAY, KEPT: ()}[closed.kind]
    zones = {each.zone for each in store.master.points.all(point=closed.point)}
    first, last = (closed.from_ms - DAYS_MS) // DAY_MS, closed.to_ms // DAY_MS + 1
    for page in store.curves.meeting(closed.point, cadences, first, last):
        curve = without_values(page, bounds_of(sorted(zones), page), closed.from_ms, closed.to_ms)
        if curve is not None:
            yield page, curve


def _stands(store: Store, closed: Closed, plan: Plan) -> list[Stand]:
    """The stands in a span, and those that come from a reading in it."""
    low, high = closed.from_ms, closed.to_ms
    clocks = {each.clock for each in plan.meters}
    found = (each.stand for each in store.stands.of(closed.point, low - TURN_MS, high + TURN_MS + 1))
    return [each for each in found if _stand_within(each, low, high, clocks)]


def _stand_within(stand: Stand, low: int, high: int, clocks: Iterable[str]) -> bool:
    if stand.character in MASTER_DATA:
        return False
    read = (at for each in stand.origin for clock in clocks for at in instants(each.first, clock))
    return low <= stand.at_ms <= high or any(low <= at <= high for at in read)
