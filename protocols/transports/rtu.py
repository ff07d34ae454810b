"""Modbus RTU on a line that passes bytes on: a serial port of this machine, or a converter's over TCP or RFC 2217.

One question at a time. Before each the line is quiet for 3.5 characters, and what came unasked is forgotten; behind one
that was not answered it is listened to until it is quiet, so that a late answer meets nobody. What came spoilt is asked
for again at once, `TRIES` times in all; silence is not: who is silent the schedule asks again, behind the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from protocols.errors import LinkError, MeterError
from protocols.modbus import rtu
from protocols.modbus.adu import Answer, Question
from protocols.modbus.debts import Debts
from protocols.modbus.faults import AnotherFunction, AnotherUnit, BadCheck, RefusedError, WrongLength
from protocols.modbus.registers import Table
from protocols.modbus.timing import Timing
from protocols.transports.block import Block
from protocols.transports.exchange import Clock, ClosableLine

TRIES = 3  # of a question whose answer came spoilt, or that others answered
LONGEST_QUIET_MS = 2_000  # a line that is not quiet by then is asked all the same: its noise is named then
AGAIN = (BadCheck, AnotherUnit, AnotherFunction, WrongLength)


class RtuLine:
    """An open line.

    Args:
        line: passes bytes on.
        timing: the waits on it.
        debts: what its units owe; it outlives the line, for a late answer does.
    """

    def __init__(self, line: ClosableLine, timing: Timing, debts: Debts) -> None:
        self._line, self._timing, self._debts = line, timing, debts
        self._closed = False
        self._spoke_s = 0.0  # when something was on the line last, by the loop's clock
        self._now: Callable[[], float] = asyncio.get_running_loop().time

    @property
    def closed(self) -> bool:
        """Whether it is of no more use."""
        return self._closed

    def close(self) -> None:
        """Let the line go; closing twice does no harm."""
        self._closed = True
        self._line.close()

    async def read(self, unit: int, table: Table, address: int, count: int, clock: Clock) -> Block:
        """The `count` registers of `table` from `address` on.

        Raises:
            MeterError: no usable answer came; the line stays open.
            LinkError: the line is gone, and closed.
        """
        question = Question(unit, table, address, count)
        try:
            for left in reversed(range(TRIES)):
                try:
                    return await self._once(question, clock)
                except AGAIN:
                    if not left:
                        raise
        except LinkError:
            self.close()
            raise
        raise AssertionError("the last try returns or raises")

    async def _once(self, question: Question, clock: Clock) -> Block:
        while (fence := self._debts.fence(question)) is not None:
            with contextlib.suppress(RefusedError):  # an answer, too
                await self._ask(fence)
        utc_ms, mono_ms = clock.utc_ms(), clock.mono_ms()
        answer = await self._ask(question)
        round_trip_ms = clock.mono_ms() - mono_ms
        middle = round_trip_ms // 2
        return Block(answer.octets, answer.words, utc_ms + middle, mono_ms + middle, round_trip_ms)

    async def _ask(self, question: Question) -> Answer:
        asked = rtu.to_bytes(question)
        await self._rest()
        self._line.flush_input()
        self._debts.missed(question)  # until it is answered: also where the poll is cut short
        await self._line.write(asked)
        try:
            answer = await self._heard(question, len(asked))
        except RefusedError:
            self._debts.refused(question)
            raise
        except MeterError:
            await self._quiet()
            raise
        self._debts.answered(question)
        return answer

    async def _heard(self, question: Question, asked: int) -> Answer:
        """The answer in what comes, until it is too late for it or only a spoilt one came."""
        wait_ms = self._timing.whole_ms(asked, rtu.answer_size(question))
        deadline_s, received = self._now() + wait_ms / 1000, b""
        while (left_s := deadline_s - self._now()) > 0:
            spoilt = rtu.spoilt(question, received)
            octets = await self._line.read_some(min(left_s, self._timing.quiet_ms() / 1000) if spoilt else left_s)
            self._spoke_s = self._now() if octets else self._spoke_s
            received += octets
            answer = rtu.judge(question, received)
            if answer is not None:
                return answer
            if spoilt and not octets:
                break
        raise rtu.missing(question, received)

    async def _rest(self) -> None:
        """Until the line has been quiet for as long as must be between two frames."""
        left_s = self._spoke_s + self._timing.gap_ms() / 1000 - self._now()
        if left_s > 0:
            await asyncio.sleep(left_s)

    async def _quiet(self) -> None:
        """Listen until nothing comes any more."""
        deadline_s = self._now() + LONGEST_QUIET_MS / 1000
        while self._now() < deadline_s and await self._line.read_some(self._timing.quiet_ms() / 1000):
            self._spoke_s = self._now()
