"""The rows of a profile in pieces that fit the meter: what it refuses at once is asked for in smaller ones.

Rules. A refusal that may be about the length of an answer halves the time that one question asks for, down to a row;
one that stays is the meter's last word, and what had fitted before counts on. What fits is kept as long as the process
runs, and after so many pieces twice as much is tried again. A range has no gaps: each piece begins with the second in
which the one before it ended, and what stands in both is taken once. A range is cut short rather than asked for in more
pieces than a slot that is due can wait for; it is cut in no hour that comes twice, whose rows belong together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.dlms_rows import instant
from gateway.passes import HOUR_S, Passes
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

    Whatever fits, `begun_s` of it are read; beyond that it is cut short after so many `questions`. `now` is what the
    meter's clock shows, where that is known.
    """

    first: MeterTime
    last: MeterTime
    least_s: int
    begun_s: int = 0
    questions: int = QUESTIONS
    now: MeterTime | None = None

    def goal_s(self, span_s: int, again_s: int | None) -> int:
        """How much of it is read in pieces of `span_s`: to the end of the hour that begins with `again_s`, too."""
        whole_s = self.last.seconds - self.first.seconds
        hour_s = 0 if again_s is None else again_s + HOUR_S - self.first.seconds
        return max(min(whole_s, self.begun_s + self.questions * span_s), min(whole_s + HOUR_S, hour_s))


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of a range, in the order of capture, and the time up to which these are all.

    `is_certain`: they say themselves in which order they were captured, or one answer did.
    """

    rows: Sequence[Row]
    end: MeterTime
    is_certain: bool = True


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
        return tuple(reversed(found) if self.newest_first else found)


async def read(source: Source, wanted: Range, fit: Fit) -> Found:
    """The rows of a range, oldest first.

    Raises:
        MeterError: no usable answer, and a smaller piece does not mend it; nothing was read behind what it begins with.
        LinkError: the line is gone.
    """
    fitted, whole_s = fit.span_s, wanted.last.seconds - wanted.first.seconds
    found, goal_s = Passes(wanted.now, source.period_s > 0), whole_s
    piece: Sequence[Row] = ()
    done_s, at = 0, wanted.first
    while True:
        span_s = fit.of(max(whole_s, goal_s) - done_s)
        end = replace(at, seconds=at.seconds + span_s)
        try:
            shown = await source.ask(at, end)
        except (AccessRefused, ExceptionAnswer, ServiceError, TooMuch) as error:
            if _is_of_length(error) and span_s > wanted.least_s:
                fit.refused(span_s, wanted.least_s)
                continue
            fit.span_s = fitted
            if found.rows and done_s > wanted.begun_s:
                return Found(found.rows, at, found.is_certain)
            raise
        if span_s < whole_s:
            fit.took(len(shown))
        found.take(shown, _new(shown, piece, at))
        done_s, at, piece = done_s + span_s, end, shown
        goal_s = wanted.goal_s(span_s, found.again_s)
        if done_s >= goal_s:
            return Found(found.rows, at, found.is_certain)


def _is_of_length(error: MeterError) -> bool:
    """Whether less of the same may be answered."""
    return not isinstance(error, AccessRefused) or error.got in OF_LENGTH


def _new(shown: Sequence[Row], before: Sequence[Row], border: MeterTime) -> list[int]:
    """The places of the rows that were not in the piece before this one.

    Both have those of the second between them, the `border`. These are known by their times and how many have the same:
    what is null in one piece may be said in the next. Of any other time a row that is the same in all is one that the
    meter sends beside what was asked for.
    """
    known = Counter(row.time for row in before if row.time is not None and _is_at(row.time, border))
    told = [(row.time, row.status, row.values) for row in before if row.time is not None and _tells(row.time)]
    found = []
    for at, row in enumerate(shown):
        if row.time is not None and known[row.time] > 0:
            known[row.time] -= 1
        elif (row.time, row.status, row.values) not in told:
            found.append(at)
    return found


def _is_at(time: MeterTime, border: MeterTime) -> bool:
    return time.seconds == border.seconds or instant(time) == instant(border)


def _tells(time: MeterTime) -> bool:
    """Whether an hour that comes twice has two names."""
    return time.deviation_min is not None
