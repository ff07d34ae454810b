"""From a channel's rows of master data to its columns: read channels from the store, computed ones from their terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from collector.faults import NoSeriesError, QuestionError
from collector.grid import BY, COARSENESS, By, day_start, edges, next_page, pages_of, periods, within
from collector.master.channels import Aggregate, Channel, Computed
from collector.master.dated import Span
from collector.quality import MISSING, Quality, Runs, runs_of
from collector.query.book import Book, named
from collector.query.fold import Columns, common_exponent, fold, singly
from collector.query.parts import weights_of
from collector.query.stretches import Amount, Stretch, stored
from collector.store.curves import CurveTable

Seen = tuple[tuple[str, str], ...]  # computed channels (point, name) of which this one is a term


@dataclass(frozen=True, slots=True)
class Source:
    """What a question reads from."""

    table: CurveTable
    book: Book
    known_ms: int | None

    def columns(
        self,
        rows: Sequence[Channel | Computed],
        zone: str,
        by: By,
        span: tuple[int, int],
        seen: Seen,
    ) -> tuple[int, Columns]:
        """The columns of a channel's rows and the power of ten of their values."""
        stretches: list[Stretch] = []
        weighing: list[Stretch] = []
        for row in rows:
            from_ms, to_ms = max(span[0], row.span.from_ms), min(span[1], row.span.to_ms or span[1])
            if from_ms >= to_ms:
                continue
            if isinstance(row, Computed):
                stretches += self._computed(row, zone, (from_ms, to_ms), seen)
                continue
            stretches += stored(self.table, (row.point, row.name), zone, row.cadence, (from_ms, to_ms), self.known_ms)
            if row.aggregate is Aggregate.WEIGHTED and BY[row.cadence] is not by:
                weighing += self._weights(row, zone, (from_ms, to_ms))
        exponent, rule = common_exponent(stretches), rows[0].aggregate
        if all(BY[row.cadence] is by for row in rows):
            return exponent, singly(stretches, rule, exponent)
        spans = periods(zone, by, *span) if span[0] < span[1] else ()
        weights = weights_of(weighing, common_exponent(weighing))
        return exponent, fold(stretches, spans, rule, exponent, weights)

    def _weights(self, row: Channel, zone: str, span: tuple[int, int]) -> list[Stretch]:
        """What weighs the means of a channel."""
        if row.weight is None:
            raise QuestionError("a channel whose amounts weigh the mean", "none", f"{row.point}, channel {row.name}")
        found = []
        for other in named(self.book, row.point, row.weight, self.known_ms):
            if isinstance(other, Computed) or other.cadence is not row.cadence:
                got = f"{row.weight}, {'computed' if isinstance(other, Computed) else other.cadence.value}"
                raise QuestionError(f"a read channel by {row.cadence.value} as weight", got, f"{row.point}, {row.name}")
            within = (max(span[0], other.span.from_ms), min(span[1], other.span.to_ms or span[1]))
            name = (other.point, other.name)
            found += stored(self.table, name, zone, other.cadence, within, self.known_ms)
        return found

    def _computed(self, row: Computed, zone: str, span: tuple[int, int], seen: Seen) -> list[Stretch]:
        """The intervals of a computed channel, page by page."""
        here = (row.point, row.name)
        if here in seen:
            raise QuestionError("a channel that is not computed from itself", " of ".join(map(str, (*seen, here))))
        days = pages_of(zone, row.cadence, *span)
        whole = (day_start(zone, days[0]), day_start(zone, next_page(row.cadence, days[-1])))
        terms = [(each.sign, self._term(each.point, each.channel, row, whole, (*seen, here))) for each in row.terms]
        exponent = min((exponent for _, (exponent, _) in terms), default=0)
        tables = [(sign * 10 ** (mine - exponent), _by_start(columns)) for sign, (mine, columns) in terms]
        found = []
        for day in days:
            marks = edges(zone, row.cadence, day)
            asked = within(marks, *span)
            if asked is not None:
                found.append(Stretch(marks, exponent, asked, reckoned=_summed(marks, tables)))
        return found

    def _term(self, point: str, channel: str, row: Computed, span: tuple[int, int], seen: Seen) -> tuple[int, Columns]:
        rows = named(self.book, point, channel, self.known_ms)
        refuse_finer(rows, BY[row.cadence], f"{point}, channel {channel}")
        if any(each.quantity != row.quantity for each in rows):
            got = f"{rows[0].quantity} of {point}, channel {channel}"
            raise QuestionError(f"terms of {row.quantity}", got, f"{row.point}, channel {row.name}")
        zone = zone_at(self.book, point, Span(*span), self.known_ms)
        return self.columns(rows, zone, BY[row.cadence], span, seen)


def zone_at(book: Book, point: str, span: Span, known_ms: int | None) -> str:
    """The zone of a point in a span.

    Raises:
        NoSeriesError: there is no such point.
        QuestionError: the zone changes in it.
    """
    rows = book.points(point, known_ms)
    if not rows:
        raise NoSeriesError("the id of a metering point", repr(point[:80]))
    zones = {row.zone for row in rows if row.span.common(span)} or {max(rows, key=lambda row: row.span.from_ms).zone}
    if len(zones) > 1:
        raise QuestionError(
            "a time in which the point has one zone", " and ".join(sorted(zones)), f"{point}; ask for each apart"
        )
    return zones.pop()


def refuse_finer(rows: Sequence[Channel | Computed], by: By, where: str) -> None:
    """Refuse periods that are shorter than the intervals.

    Raises:
        QuestionError: they are.
    """
    coarsest = max(COARSENESS.index(BY[row.cadence]) for row in rows)
    if COARSENESS.index(by) < coarsest:
        known = ", ".join(each.value for each in COARSENESS[coarsest:])
        raise QuestionError(f"periods of the channel's cadence or longer: {known}", by.value, where)


_Interval = tuple[int, Amount | None, Quality]  # its end, value and quality


def _by_start(columns: Columns) -> dict[int, _Interval]:
    """What a term has, by where its intervals begin; of what is not whole there is no value."""
    found = {}
    for at, start in enumerate(columns.starts):
        whole = columns.present[at] == columns.expected[at]
        value = columns.values[at] if whole else None
        quality = MISSING if value is None else Quality(columns.states[at], columns.finals[at])
        found[start] = (columns.ends[at], value, quality)
    return found


def _summed(
    marks: tuple[int, ...], tables: Sequence[tuple[int, dict[int, _Interval]]]
) -> tuple[tuple[Amount | None, ...], Runs]:
    """The sum of what the terms have, by intervals; missing where one of them is, else the worst of their states."""
    values: list[Amount | None] = []
    qualities = []
    for start, end in pairwise(marks):
        mine = [(factor, table.get(start)) for factor, table in tables]
        there = [(factor, one[1], one[2]) for factor, one in mine if one is not None and one[0] == end]
        known = [(factor * value, quality) for factor, value, quality in there if value is not None]
        if len(known) < len(tables):
            values.append(None)
            qualities.append(MISSING)
            continue
        values.append(sum(value for value, _ in known))
        state, final = max(quality.state for _, quality in known), all(quality.final for _, quality in known)
        qualities.append(Quality(state, final))
    return tuple(values), runs_of(qualities)
