"""Which pages are due: what new batches, released ones and changes of the master data touch.

Batches are looked at a few at a time and taken off the list of fresh ones in the same transaction that marks what they
touch, so that a look that ends in the middle was none. A batch that cannot be decoded comes on the list when it is.
What is held (and what is released) is compared with what was held at the last look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from collector.attribute.clock import Clock
from collector.attribute.intervals import Near
from collector.attribute.source import Source
from collector.attribute.stands import TURN_MS
from collector.faults import ZoneError
from collector.grid import STEP_S, day_of, first_day, next_page, page_of
from collector.grid import By as Period
from collector.master.channels import Cadence, Channel
from collector.master.dated import Span
from collector.master.points import Point
from collector.store.due import STANDS, Leaf
from collector.store.evidence import DECODED
from collector.store.interface import Store
from collector.store.master_marks import EVERY, Mark
from collector.store.readings import meter_key
from protocols.errors import PlombaError
from protocols.reading import How, MeterTime, Precision
from protocols.uplink.body import Expanded
from protocols.uplink.leaf import SealedReading
from protocols.uplink.proof import leaf_from

BATCHES = 16  # looked at in one transaction
MARKS = 16  # changes of the master data in one transaction
DAY_MS = 86_400_000
PERIOD_MS = 3_600_000  # a stamp may mean the start of an interval
HELD = "held"


@dataclass(slots=True)
class Looked:
    """What a look found."""

    batches: int = 0
    readings: int = 0
    marks: int = 0
    pages: int = 0

    def __bool__(self) -> bool:
        return bool(self.batches or self.marks or self.pages)


class _OthersError(Exception):
    """Another process was faster: what was looked at is taken back."""


@dataclass(frozen=True, slots=True)
class _Read:
    """When a meter was read in some batch, or (`shown`) what its clock showed in the first and the last of its rows."""

    key: bytes
    gateway: str
    device: str
    from_ms: int
    to_ms: int
    at_ms: int
    shown: tuple[MeterTime, MeterTime] | None = None

    def span(self, clock: Clock) -> tuple[int, int]:
        """From when to when that was, by the meter's clock."""
        if self.shown is None:
            return self.from_ms, self.to_ms
        first, last = self.shown
        low, high = clock.instant(first).at_ms, clock.instant(last, 1, 2).at_ms
        beside = DAY_MS if Precision.DAY in (first.precision, last.precision) else PERIOD_MS
        return low - beside, high + beside


class Looking:
    """Looks at a store; what is due is not reckoned before `settle_ms` (`stands_ms`) after the look."""

    def __init__(self, store: Store, source: Source, settle_ms: int, stands_ms: int) -> None:
        self._store, self._source = store, source
        self._settle_ms, self._stands_ms = settle_ms, stands_ms

    def look(self, now_ms: int) -> Looked:
        """Look at the next few batches and changes; false when there were none.

        Raises:
            StoreFullError: the store does not take it; nothing counts.
        """
        due, looked = self._store.due, Looked()
        fresh = due.fresh(BATCHES)
        before, held = due.progress(HELD), _held(self._store)
        changed = self._changed(before, held)
        marks = self._store.master.recompute(MARKS)
        if not fresh and not changed and not marks and before == held:
            return looked
        self._source.forget()
        with self._store.transaction():
            self._store.master.identities.look()
        leaves: set[Leaf] = set()
        new = {n for _, n in fresh}
        for n in sorted(new | set(changed)):
            readings = self._readings(n)
            looked.readings += len(readings) if n in new else 0
            leaves |= set(self._touched(self._store.evidence.row(n).gateway, readings))
        for mark in marks:
            leaves |= set(self._marked(mark))
        try:
            self._mark(fresh, marks, leaves, (before, held), now_ms)
        except _OthersError:
            return Looked()
        looked.batches, looked.marks, looked.pages = len(new), len(marks), len(leaves)
        return looked

    def _mark(
        self,
        fresh: Sequence[tuple[str, int]],
        marks: Sequence[Mark],
        leaves: set[Leaf],
        held: tuple[str | None, str],
        now_ms: int,
    ) -> None:
        """Mark what was touched, and that it was looked at; `held`: what was held before and is now.

        Raises:
            _OthersError: another process has done some of it; nothing is marked.
        """
        due = self._store.due
        with self._store.transaction():
            due.turn()
            if due.progress(HELD) != held[0] or not due.looked(fresh):
                raise _OthersError
            stands = {each for each in leaves if (each.channel, each.step_s) == STANDS}
            due.touch(leaves - stands, now_ms + self._settle_ms)
            due.touch(stands, now_ms + self._stands_ms)
            for mark in marks:
                self._store.master.recomputed(mark.number)
            due.keep(HELD, held[1])

    def _readings(self, n: int) -> list[SealedReading]:
        """What a batch holds; nothing where it is not decoded yet."""
        row = self._store.evidence.row(n)
        if row.state != DECODED:
            return []
        try:
            opened = row.opened()
            if isinstance(opened, Expanded):
                return list(opened.readings)
            left = [leaf_from(each) for each in opened.leaves if each is not None]
            return [each for each in left if isinstance(each, SealedReading)]
        except PlombaError:
            return []  # the evidence was altered: who shows it says so

    def _changed(self, before: str | None, held: str) -> list[int]:
        """The batches that are held and were not, or were and are not."""
        if before == held:
            return []
        known: set[tuple[str, str, str]] = {tuple(each) for each in json.loads(before or "[]")}
        different = known ^ {tuple(each) for each in json.loads(held)}
        found = []
        for gateway, epoch, batch in sorted(different):
            rows = self._store.evidence.numbers(gateway, bytes.fromhex(epoch), bytes.fromhex(batch))
            found += rows
        return found

    def _touched(self, gateway: str, readings: list[SealedReading]) -> Iterator[Leaf]:
        for read in _reads(gateway, readings):
            whose = self._source.whose(read.key, read.gateway, read.device, read.at_ms)
            meters = {each.meter for each in whose.mapped} | ({whose.meter} if whose.meter else set())
            for meter in sorted(meters):
                for here in self._store.master.installations.all(meter=meter):
                    low, high = read.span(Clock(here.clock))
                    if here.span.common(Span(low - PERIOD_MS, high + PERIOD_MS)) is not None:
                        yield from self._leaves(here.point, None, low, high)

    def _marked(self, mark: Mark) -> Iterator[Leaf]:
        only = None if mark.channel == EVERY else mark.channel
        end = min(mark.to_ms, self._newest_ms(mark.point))
        if mark.from_ms <= end:
            yield from self._leaves(mark.point, only, mark.from_ms, end)

    def _newest_ms(self, point: str) -> int:
        """Until when there is anything of a point: behind it no page can change."""
        here = self._store.master.installations.all(point=point)
        ends = [at for each in here for at in (each.span.from_ms, each.span.to_ms) if at is not None]
        keys = {key for each in here for key in self._source.keys_of(each.meter)}
        read = [newest + DAY_MS for key in keys if (newest := self._store.series.newest_ms(key)) is not None]
        return max([*ends, *read], default=0)

    def _leaves(self, point: str, only: str | None, from_ms: int, to_ms: int) -> Iterator[Leaf]:
        """The pages of a point that what is read in [from, to] may be in, or beside."""
        known = self._store.master.points.all(point=point)
        if not known:
            return
        medium, zone = known[-1].medium, known[-1].zone
        try:
            for channel in self._store.master.channels.all(point=point):
                if only in (None, channel.name):
                    near = Near.of(channel.cadence, medium)
                    margin = near.apart_ms + near.tolerance_ms
                    yield from _pages(channel, zone, from_ms - margin, to_ms + margin)
            for day in _months(known[-1], from_ms - TURN_MS, to_ms + TURN_MS):
                yield Leaf(point, *STANDS, day)
        except ZoneError:
            return  # nothing can be reckoned there; the page of the point says it


def _held(store: Store) -> str:
    found = [[gateway, epoch.hex(), batch.hex()] for gateway, epoch, batch in store.cases.holding()]
    return json.dumps(found, separators=(",", ":"))


def _reads(gateway: str, readings: Iterable[SealedReading]) -> list[_Read]:
    """When each meter was read: spot reads and rows of its memory apart."""
    found: dict[tuple[bytes, str, How], list[SealedReading]] = {}
    for each in readings:
        if each.how is not How.EVENT_LOG:
            found.setdefault((meter_key(gateway, each), each.device, each.how), []).append(each)
    return [_read(key, gateway, device, mine) for (key, device, _), mine in found.items()]


def _read(key: bytes, gateway: str, device: str, mine: list[SealedReading]) -> _Read:
    own = [each.meter_time for each in mine if each.how is not How.READ and each.slot_ms is None]
    times = [each for each in own if each is not None]
    slots = [at for each in mine for at in (each.at_ms, each.slot_ms) if at is not None]
    shown = (min(times, key=_order), max(times, key=_order)) if len(times) == len(mine) else None
    return _Read(key, gateway, device, min(slots), max(slots), mine[0].at_ms, shown)


def _order(time: MeterTime) -> int:
    return time.seconds - (time.deviation_min or 0) * 60


def _pages(channel: Channel, zone: str, from_ms: int, to_ms: int) -> Iterator[Leaf]:
    span = channel.span.common(Span(from_ms, max(to_ms, from_ms + 1)))
    if span is None or span.to_ms is None:
        return
    page = page_of(zone, channel.cadence, max(span.from_ms, 0))
    last = page_of(zone, channel.cadence, span.to_ms)
    while page <= last:
        yield Leaf(channel.point, channel.name, STEP_S[channel.cadence], page)
        page = next_page(channel.cadence, page)


def _months(point: Point, from_ms: int, to_ms: int) -> Iterator[int]:
    """The first days of the months that a span meets."""
    day = first_day(Period.MONTH, day_of(point.zone, from_ms))
    last = day_of(point.zone, to_ms)
    while day <= last:
        yield day
        day = next_page(Cadence.DAY, day)
