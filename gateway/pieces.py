"""The rows of a profile in pieces that fit the meter: what it refuses at once is asked for in smaller ones.

Rules. A refusal that may be about the length of an answer halves the time that one question asks for, down to a row;
one that stays is the meter's last word, and what had fitted before counts on. What fits is kept as long as the process
runs, and after so many pieces twice as much is tried again. A range has no gaps: each piece begins with the second in
which the one before it ended, and what stands in both is taken once. A range is cut short rather than asked for in more
pieces than a slot that is due can wait for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.dlms_rows import instant, moment
from protocols.dlms import profile
from protocols.dlms.faults import AccessRefused, ExceptionAnswer, ServiceError, TooMuch
from protocols.dlms.get import AccessResult, result_name
from protocols.dlms.objects import Attribute, ScalerUnit
from protocols.dlms.profile import Column, Row
from protocols.errors import MeterError
from protocols.reading import MeterTime
from protocols.transports.dlms import Asking, Got

QUESTIONS = 16  # pieces of one range, beside those of what it begins with
TRIED_AGAIN = 32  # pieces after which twice as much is tried: one refusal for each so many answers
EMPTY = 8  # for so many pieces counts one without rows: it says nothing of how long an answer may be
# What meters say to a question whose answer is too long for them. Whoever may not read, or asks for what is not there,
# is told otherwise, and asking for less mends nothing.
OF_LENGTH = frozenset(
    result_name(each)
    for each in (
        AccessResult.HARDWARE_FAULT,
        AccessResult.TEMPORARY_FAILURE,
        AccessResult.SCOPE_OF_ACCESS_VIOLATED,
        AccessResult.DATA_BLOCK_UNAVAILABLE,
        AccessResult.LONG_GET_ABORTED,
        AccessResult.OTHER_REASON,
    )
)


@dataclass(slots=True)
class Fit:
    """How many seconds one question to a meter may ask for; None: as many as are wanted."""

    span_s: int | None = None
    taken: int = 0  # pieces that it took since then

    def of(self, wanted_s: int) -> int:
        """As much of what is wanted as fits."""
        return wanted_s if self.span_s is None else min(wanted_s, self.span_s)

    def took(self, rows: int) -> None:
        """It answered a piece that was as long as fits, with so many rows."""
        self.taken += 1 if rows else EMPTY
        if self.span_s is not None and self.taken >= TRIED_AGAIN:
            self.span_s, self.taken = 2 * self.span_s, 0

    def refused(self, asked_s: int, least_s: int) -> None:
        """It takes no piece of `asked_s`, and may take half as much, or `least_s`."""
        self.span_s, self.taken = max(least_s, asked_s // 2), 0


@dataclass(frozen=True, slots=True)
class Range:
    """From `first` to `last`, both included; no piece needs to be shorter than `least_s`.

    Whatever fits, `begun_s` of it are read; beyond that it is cut short after so many `questions`.
    """

    first: MeterTime
    last: MeterTime
    least_s: int
    begun_s: int = 0
    questions: int = QUESTIONS


@dataclass(slots=True)
class Source:
    """Where rows come from: the buffer `name` of a meter, and what it says in its answers.

    `newest_first`: the meter gives them so. `offset`: it is asked for them with the offset of its times from UTC.
    """

    association: Asking
    name: bytes
    columns: tuple[Column, ...]
    scalers: Mapping[Attribute, ScalerUnit]
    period_s: int
    compressed: bool
    newest_first: bool
    offset: bool = True
    answers: list[Got] = field(default_factory=list)

    async def ask(self, first: MeterTime, last: MeterTime) -> Sequence[Row]:
        """The rows with times from `first` to `last`, both included, oldest first.

        Raises:
            MeterError, LinkError: no usable answer.
        """
        chosen = profile.between(first, last, self.offset)
        answer = await self.association.get(profile.buffer_of(self.name), chosen)
        self.answers.append(answer)
        ways = self.period_s, self.compressed, self.newest_first
        found = profile.rows(answer.value, self.columns, self.scalers, *ways)
        return found[::-1] if self.newest_first else found


async def read(source: Source, wanted: Range, fit: Fit) -> tuple[Sequence[Row], MeterTime]:
    """The rows of a range, oldest first, and the time up to which these are all.

    Raises:
        MeterError: no usable answer, and a smaller piece does not mend it; nothing was read behind what it begins with.
        LinkError: the line is gone.
    """
    fitted, whole_s = fit.span_s, wanted.last.seconds - wanted.first.seconds
    rows: list[Row] = []
    piece: Sequence[Row] = ()
    done_s, at = 0, wanted.first
    while True:
        span_s = fit.of(whole_s - done_s)
        end = replace(at, seconds=at.seconds + span_s)
        try:
            shown = await source.ask(at, end)
        except (AccessRefused, ExceptionAnswer, ServiceError, TooMuch) as error:
            if _is_of_length(error) and span_s > wanted.least_s:
                fit.refused(span_s, wanted.least_s)
                continue
            fit.span_s = fitted
            if rows and done_s > wanted.begun_s:
                return _in_order(rows), at
            raise
        if span_s == whole_s:
            return shown, end
        fit.took(len(shown))
        rows += _new(shown, piece, at)
        done_s, at, piece = done_s + span_s, end, shown
        if done_s >= min(whole_s, wanted.begun_s + wanted.questions * span_s):
            return _in_order(rows), at


def _is_of_length(error: MeterError) -> bool:
    """Whether less of the same may be answered."""
    return not isinstance(error, AccessRefused) or error.got in OF_LENGTH


def _in_order(rows: list[Row]) -> list[Row]:
    """Rows by their instants: a meter that seeks by local time gives those of an hour that comes twice in turns."""
    times = [row.time for row in rows if row.time is not None]
    if len(times) < len(rows) or all(each.deviation_min is None and not each.summer for each in times):
        return rows  # nothing tells
    return [
        row
        for _, _, row in sorted((moment(time), n, row) for n, (time, row) in enumerate(zip(times, rows, strict=True)))
    ]


def _new(shown: Sequence[Row], before: Sequence[Row], border: MeterTime) -> list[Row]:
    """The rows that were not in the piece before this one: both have those of the second between them, the `border`.

    These are known by their times and how many have the same: what is null in one piece may be said in the next. Of
    any other time a row that is the same in all is one that the meter sends beside what was asked for.
    """
    known = Counter(row.time for row in before if row.time is not None and _is_at(row.time, border))
    told = [(row.time, row.status, row.values) for row in before if row.time is not None and _tells(row.time)]
    found = []
    for row in shown:
        if row.time is not None and known[row.time] > 0:
            known[row.time] -= 1
        elif (row.time, row.status, row.values) not in told:
            found.append(row)
    return found


def _is_at(time: MeterTime, border: MeterTime) -> bool:
    return time.seconds == border.seconds or instant(time) == instant(border)


def _tells(time: MeterTime) -> bool:
    """Whether an hour that comes twice has two names."""
    return time.deviation_min is not None
