"""A question for a series, and its answer: by which periods, in which unit, as known when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from collector.faults import NoSeriesError, QuestionError
from collector.grid import By
from collector.master import units
from collector.master.channels import Aggregate, Cadence, Channel, Computed
from collector.master.dated import Span
from collector.quality import State
from collector.query.book import Book, named
from collector.query.contract import Rounding
from collector.query.fold import Columns
from collector.query.source import Source, refuse_finer, zone_at
from collector.shown import utc
from collector.store.curves import CurveTable
from protocols.reading import Scaled

MOST_PERIODS = 200_000  # of an answer: five years of quarter hours
LONGEST_MS = 100 * 366 * 86_400_000  # a question's span: 100 years
_PERIOD_MS = {By.QUARTER: 900_000, By.HOUR: 3_600_000}
_DAY_MS = 23 * 3_600_000  # the shortest that is usual; what is longer has fewer
_MEANS = (Aggregate.MEAN, Aggregate.WEIGHTED)


@dataclass(frozen=True, slots=True)
class Question:
    """A channel of a point from an instant to before another (ms UTC), by periods of its zone.

    `unit` None asks for the base unit, exactly; `decimals` is how many a unit is rounded to. `known_ms` asks for what
    was known at that instant, else what is known now.
    """

    point: str
    channel: str
    from_ms: int
    to_ms: int
    by: By
    unit: str | None = None
    decimals: int | None = None
    known_ms: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.to_ms - self.from_ms <= LONGEST_MS:
            got = f"{utc(self.from_ms)} to {utc(self.to_ms)}"
            raise QuestionError("an end after the start, and at most 100 years later", got)
        if periods_at_most(self) > MOST_PERIODS:
            raise QuestionError(f"at most {MOST_PERIODS} periods: a shorter time or longer periods", "more")


@dataclass(frozen=True, slots=True)
class Period:
    """One period of an answer: [start, end) in ms UTC, its value (None: there is none), and what it is made of.

    Of `expected` intervals `present` have a value, `estimated` of these an estimated one. `state` is the worst of all,
    `final` says that all are. `top_ms` is when a maximum was reached (the beginning of its interval, or the instant
    where the meter tells it). A period that the question or the present cuts is shown as cut.
    """

    start_ms: int
    end_ms: int
    value: Scaled | None
    expected: int
    present: int
    estimated: int
    state: State
    final: bool
    top_ms: int | None

    @property
    def missing(self) -> int:
        """How many intervals have no value."""
        return self.expected - self.present


@dataclass(frozen=True, slots=True)
class Answer:
    """The periods of a question, as columns; `columns.values` are integers times 10^`exponent` of `unit`."""

    question: Question
    zone: str
    quantity: str
    aggregate: Aggregate
    cadence: Cadence
    unit: str
    exponent: int
    columns: Columns
    values: tuple[int | None, ...]

    def __iter__(self) -> Iterator[Period]:
        """The periods one by one."""
        columns = self.columns
        shown = (None if value is None else Scaled(value, self.exponent) for value in self.values)
        rest = (columns.expected, columns.present, columns.estimated, columns.states, columns.finals, columns.tops)
        for fields in zip(columns.starts, columns.ends, shown, *rest, strict=True):
            yield Period(*fields)


def periods_at_most(question: Question) -> int:
    """How many periods an answer has at the most."""
    return (question.to_ms - question.from_ms) // _PERIOD_MS.get(question.by, _DAY_MS) + 1


def ask(table: CurveTable, book: Book, question: Question, now_ms: int) -> Answer:
    """The answer: of what is over by now (or by when it was to be known).

    Raises:
        NoSeriesError: there is no such point or channel, or not in that time.
        QuestionError: the channel cannot be asked so.
        UnitError: the unit is none of its quantity.
        CurveAlteredError: the store does not hold what was written.
    """
    zone = zone_at(book, question.point, Span(question.from_ms, question.to_ms), question.known_ms)
    rows = _rows(book, question)
    latest_ms = now_ms if question.known_ms is None else min(now_ms, question.known_ms)
    span = (question.from_ms, min(question.to_ms, latest_ms))
    source = Source(table, book, question.known_ms)
    exponent, columns = source.columns(rows, zone, question.by, span, ())
    rounding = _rounding(question, rows[0], exponent)
    values = rounding.all(columns.values)
    first = rows[0]
    about = (zone, first.quantity, first.aggregate, rows[-1].cadence)
    return Answer(question, *about, rounding.unit, rounding.exponent, columns, values)


def _rows(book: Book, question: Question) -> list[Channel | Computed]:
    """The rows of the channel that hold in the question's time: of one quantity and rule, none coarser than asked."""
    span = Span(question.from_ms, question.to_ms)
    where = f"{question.point}, channel {question.channel}"
    all_rows = named(book, question.point, question.channel, question.known_ms)
    rows = [row for row in all_rows if row.span.common(span)]
    if not rows:
        raise NoSeriesError("a time in which the channel is there", "none of it", where)
    if len({(row.quantity, row.aggregate) for row in rows}) > 1:
        raise QuestionError("a time in which the channel has one quantity and rule", "several; ask for each", where)
    refuse_finer(rows, question.by, where)
    return rows


def _rounding(question: Question, row: Channel | Computed, exponent: int) -> Rounding:
    unit, decimals = question.unit, question.decimals
    if unit is None and decimals is None and row.aggregate not in _MEANS:
        return Rounding.none(row.quantity, exponent)
    if unit is None:
        decimals = max(0, -min(exponent, units.grid(row.quantity))) if decimals is None else decimals
        unit = units.base_unit(row.quantity)
    return Rounding.to(unit, row.quantity, decimals, exponent)
