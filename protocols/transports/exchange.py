"""Drives an M-Bus session over a line: a read, noting when each answer was asked and came, or a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from protocols.mbus.link import Frame
from protocols.mbus.session import Done, Failed, ReadSession, Send, Wait


class Line(Protocol):
    """What a session needs of a line; `SerialLine` is one. All but `read_some` of a lost line raise LinkError too."""

    def flush_input(self) -> None:
        """Forget what has come and was not read."""

    async def write(self, octets: bytes) -> None:
        """Hand over all of `octets`, or raise LinkError."""

    async def read_some(self, timeout_s: float) -> bytes:
        """What has come or comes first; empty after `timeout_s`; LinkError where the line is gone."""


class Told(Protocol):
    """What is told what happens on the line: a session or a search."""

    def received(self, octets: bytes) -> None:
        """These bytes came."""

    def timed_out(self) -> None:
        """Nothing came within the wait, or the deadline has passed."""


class Search(Told, Protocol):
    """A search, question by question."""

    def next(self) -> Send | Wait | Failed | None:
        """What to do now; None when all is done."""

    @property
    def between(self) -> bool:
        """Whether no question is under way."""


class ClosableLine(Line, Protocol):
    """A line that can be let go."""

    def close(self) -> None:
        """Let the port or connection go; closing twice does no harm."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time comes from: UTC for the record, monotonic for differences; both whole milliseconds."""

    utc_ms: Callable[[], int]
    mono_ms: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Answer:
    """One telegram of a meter and the middle of its question and answer; `frame.octets` are its raw bytes."""

    frame: Frame
    at_ms: int
    mono_ms: int
    round_trip_ms: int


async def run(session: ReadSession, line: Line, clock: Clock) -> tuple[Answer, ...]:
    """Read one meter: its telegrams (one, or several where more records follow) with their times.

    Raises:
        MeterError: no usable answer came.
        LinkError: the line is gone.
    """
    answers: list[Answer] = []
    asked_utc_ms = asked_mono_ms = deadline_ms = 0
    while True:
        step = session.next()
        match step:
            case Send():
                line.flush_input()
                asked_utc_ms, asked_mono_ms = clock.utc_ms(), clock.mono_ms()
                deadline_ms = asked_mono_ms + step.deadline_ms
                await line.write(step.octets)
            case Wait():
                await _listen(session, line, min(step.timeout_ms, deadline_ms - clock.mono_ms()))
            case Failed():
                raise step.error
            case Done():
                return tuple(answers)
        del answers[len(session.telegrams) :]  # begun anew
        for frame in session.telegrams[len(answers) :]:
            round_trip = clock.mono_ms() - asked_mono_ms
            middle = round_trip // 2
            answers.append(Answer(frame, asked_utc_ms + middle, asked_mono_ms + middle, round_trip))


async def ask(search: Search, line: Line, clock: Clock) -> bool:
    """One question of a search and what follows it; whether there is another.

    Raises:
        MeterError: the search cannot go on.
        LinkError: the line is gone.
    """
    deadline_ms: int | None = None
    while True:
        match step := search.next():
            case Send():
                line.flush_input()
                deadline_ms = clock.mono_ms() + step.deadline_ms
                await line.write(step.octets)
            case Wait():
                left_ms = step.timeout_ms if deadline_ms is None else deadline_ms - clock.mono_ms()
                await _listen(search, line, min(step.timeout_ms, left_ms))
            case Failed():
                raise step.error
            case None:
                return False
        if search.between:
            return True


async def _listen(session: Told, line: Line, timeout_ms: int) -> None:
    octets = await line.read_some(timeout_ms / 1000) if timeout_ms > 0 else b""
    if octets:
        session.received(octets)
    else:
        session.timed_out()
