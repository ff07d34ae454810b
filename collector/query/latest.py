"""The newest value of each channel of a point."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from collector.faults import NoSeriesError
from collector.grid import BY, day_start, edges, page_of
from collector.master.channels import Channel, Computed
from collector.master.dated import Span
from collector.query.ask import Answer, Period, Question, ask
from collector.query.book import Book
from collector.query.source import zone_at
from collector.store.curves import CurveTable


@dataclass(frozen=True, slots=True)
class Latest:
    """The last interval of a channel that has a value; None: there is none yet."""

    channel: str
    answer: Answer | None

    @property
    def period(self) -> Period | None:
        """That interval."""
        return None if self.answer is None else next(iter(self.answer))


@dataclass(frozen=True, slots=True)
class _Interval:
    row: Channel | Computed
    start_ms: int
    end_ms: int


def latest(table: CurveTable, book: Book, point: str, now_ms: int, known_ms: int | None = None) -> list[Latest]:
    """The newest values of a point's channels, by name, in base units; as known at an instant (None: now).

    Of a computed channel: the last interval for which all its terms have a value, looked for in the page in which the
    term that is furthest behind ends, and in the page before.

    Raises:
        NoSeriesError: there is no such point.
        CurveAlteredError: the store does not hold what was written.
    """
    if not book.points(point, known_ms):
        raise NoSeriesError("the id of a metering point", repr(point[:80]))
    names = sorted({each.name for each in book.channels(point, known_ms)})
    looking = _Looking(table, book, known_ms, now_ms)
    found = []
    for name in names:
        interval = looking.newest(point, name, ())
        found.append(Latest(name, None if interval is None else looking.answer(interval)))
    return found


@dataclass(frozen=True, slots=True)
class _Looking:
    table: CurveTable
    book: Book
    known_ms: int | None
    now_ms: int

    def newest(self, point: str, name: str, seen: tuple[tuple[str, str], ...]) -> _Interval | None:
        rows = [each for each in self.book.channels(point, self.known_ms) if each.name == name]
        if (point, name) in seen:
            return None
        seen = (*seen, (point, name))
        found = [self._computed(row, seen) if isinstance(row, Computed) else self._read(row) for row in rows]
        return max((each for each in found if each is not None), key=lambda each: each.end_ms, default=None)

    def answer(self, interval: _Interval) -> Answer:
        row = interval.row
        span = (interval.start_ms, interval.end_ms)
        question = Question(row.point, row.name, *span, BY[row.cadence], known_ms=self.known_ms)
        return ask(self.table, self.book, question, self.now_ms)

    def _read(self, row: Channel) -> _Interval | None:
        page = self.table.newest(row.point, row.name, row.cadence, self.known_ms)
        if page is None:
            return None
        marks = edges(self._zone(row.point, page.start_ms), row.cadence, page.day)
        there = [
            _Interval(row, start, end)
            for start, end, value in zip(marks, marks[1:], page.values(), strict=False)
            if value is not None and row.span.common(Span(start, end)) == Span(start, end)
        ]
        return there[-1] if there else None

    def _computed(self, row: Computed, seen: tuple[tuple[str, str], ...]) -> _Interval | None:
        ends = [self.newest(term.point, term.channel, seen) for term in row.terms]
        known = [each.end_ms for each in ends if each is not None]
        if len(known) < len(ends) or not known:
            return None
        zone = self._zone(row.point, min(known) - 1)
        page = page_of(zone, row.cadence, min(known) - 1)
        before = page_of(zone, row.cadence, day_start(zone, page) - 1)
        marks = edges(zone, row.cadence, page)
        end = marks[bisect_right(marks, min(known)) - 1]
        periods = self.answer(_Interval(row, day_start(zone, before), end))
        there = [each for each in periods if each.value is not None]
        return _Interval(row, there[-1].start_ms, there[-1].end_ms) if there else None

    def _zone(self, point: str, at_ms: int) -> str:
        return zone_at(self.book, point, Span(at_ms, at_ms + 1), self.known_ms)
