"""Questions of commands to the meters of one bus, answered by its owner: when nothing else is due, and no longer.

Rules. Scheduled reads go first; a back-fill lets questions in between its pieces. Questions are answered while the bus
rests: what is not answered by the end of a rest is broken off, and asked again in one that is longer than what it took.
Questions to one meter that follow each other closely are answered in one association, as one command would have asked
them. Nothing is sealed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.faults import BusBusy, PollTooLong
from gateway.handed import PATIENCE_S
from protocols.errors import LinkError, PlombaError
from protocols.uplink.pack import Wire

MOST = 16  # questions that wait for one bus: a person asks them one after the other
QUESTION_S = 60.0  # one question: a day of rows at 300 baud
IDLE_S = 0.3  # until the next question of a command that is not done
CLOSE_MS = 1_000  # of a rest: to leave a meter when a question is broken off
LEAST_MS = 250  # a rest that is worth a question


class Host(Protocol):
    """A meter that was entered."""

    async def answer(self, question: list[Wire]) -> Wire:
        """What it says to a question.

        Raises:
            PlombaError: it says nothing of use, or it is no question.
        """

    def survives(self, error: PlombaError) -> bool:
        """Whether another question can follow on this answer."""


@runtime_checkable
class Hosting(Protocol):
    """A reader that lets commands ask its meters."""

    def received(self, device: str) -> AbstractAsyncContextManager[Host]:
        """One of its meters, entered.

        Raises:
            LinkError, MeterError: it cannot be entered.
        """

    def let_go(self) -> None:
        """Close the line, if it is open."""


@dataclass(slots=True, eq=False)
class Question:
    """What is asked of a meter; `took_ms` is how long it had been under way when a rest ended."""

    device: str
    words: list[Wire]
    answer: asyncio.Future[Wire]
    took_ms: int = 0


class Guests:
    """The questions that wait for one bus."""

    def __init__(self, reader: Hosting) -> None:
        self._reader = reader
        self._waiting: deque[Question] = deque()
        self._closed = False
        self._in_hand: tuple[Question, float] | None = None  # and since when
        self.arrived = asyncio.Event()  # a question came since it was cleared

    @property
    def waiting(self) -> bool:
        """Whether a question waits."""
        return bool(self._waiting)

    async def ask(self, device: str, words: list[Wire]) -> Wire:
        """What a meter answers, in its turn.

        Raises:
            BusBusy: there was no time for it.
            PlombaError: what happened at the meter.
        """
        if self._closed or len(self._waiting) >= MOST:
            got = "a daemon that stops" if self._closed else f"{MOST} that wait already"
            raise BusBusy("a bus that takes a question", got, device)
        question = Question(device, words, asyncio.get_running_loop().create_future())
        self._waiting.append(question)
        self.arrived.set()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await question.answer
        except TimeoutError:
            got = f"none of more than {question.took_ms} ms" if question.took_ms else "none"
            raise BusBusy(f"a rest of the bus within {PATIENCE_S:.0f} s", got, device) from None
        finally:
            self._forget(question)

    async def served(self, rest_ms: int, goes_on: Callable[[], bool]) -> None:
        """Answer what waits, in a rest of the bus, for as long as it `goes_on`."""
        if not self._closed:
            self.arrived.clear()
        budget_ms = rest_ms - min(CLOSE_MS, rest_ms // 2)
        while not self._closed and budget_ms >= LEAST_MS:
            first = next((each for each in self._waiting if each.took_ms < budget_ms), None)
            if first is None or not goes_on():
                return
            began_s = _now_s()
            try:
                async with asyncio.timeout(budget_ms / 1000):
                    await self._sitting(first, goes_on)
            except TimeoutError:
                self._broken_off()
                return
            budget_ms -= round((_now_s() - began_s) * 1000)

    def close(self) -> None:
        """Take no more; what waits is told so, and nobody waits for it."""
        self._closed = True
        self.arrived.set()
        for each in list(self._waiting):
            self._fail(each, BusBusy("a daemon that goes on", "one that stops", each.device))

    async def _sitting(self, first: Question, goes_on: Callable[[], bool]) -> None:
        """The questions to one meter."""
        question: Question | None = first
        self._in_hand = first, _now_s()
        try:
            async with self._reader.received(first.device) as host:
                while question is not None and await self._answered(question, host) and goes_on():
                    question = await self._next(first.device)
        except PlombaError as error:
            if question is not None:
                self._fail(question, error)
            if isinstance(error, LinkError):
                self._reader.let_go()

    async def _answered(self, question: Question, host: Host) -> bool:
        """Whether another question can follow."""
        try:
            async with asyncio.timeout(QUESTION_S):
                answer = await host.answer(question.words)
        except TimeoutError:
            self._fail(question, PollTooLong(f"an answer within {QUESTION_S:.0f} s", "none yet", question.device))
            return False
        except LinkError:
            raise
        except PlombaError as error:
            self._fail(question, error)
            return host.survives(error)
        self._forget(question)
        if not question.answer.done():
            question.answer.set_result(answer)
        return True

    async def _next(self, device: str) -> Question | None:
        """The next one to the same meter; None where none comes soon, or others wait."""
        if not self._waiting and not self._closed:
            self.arrived.clear()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self.arrived.wait()
            except TimeoutError:
                return None
        found = next((each for each in self._waiting if each.device == device), None)
        self._in_hand = None if found is None else (found, _now_s())
        return found

    def _broken_off(self) -> None:
        """The rest ended over a question: the next one that it is asked in has to be longer."""
        if self._in_hand is not None:
            question, began_s = self._in_hand
            question.took_ms = max(question.took_ms, round((_now_s() - began_s) * 1000))

    def _fail(self, question: Question, error: PlombaError) -> None:
        self._forget(question)
        if not question.answer.done():
            question.answer.set_exception(error)

    def _forget(self, question: Question) -> None:
        if question in self._waiting:
            self._waiting.remove(question)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
