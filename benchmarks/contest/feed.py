"""The meters of the contest: 96 of them, read in rounds, six values each; both gateways ask them the same way.

A gateway connects and asks: one line with the serial number of the newest reading that it has accepted (-1: none). The
answer is one line of JSON with the next readings, when they are due. Readings are numbered through: number n is meter
n % 96 in round n // 96. What was answered and what was accepted is counted here, not by those who compete; after a kill
the next question is answered with the next readings, as a meter does that shows what it shows now.
"""

from __future__ import annotations

import asyncio
import json
import time

from sixes import Six

METERS = 96
PERIOD_MS = 1_000  # of the meters' slots
ANSWER_READINGS = METERS  # at most so many in one answer, and never of two rounds


class Feed:
    """Answers on a port of its own, chosen free.

    Args:
        start_ms: when the first round was, by the meters' clock (UTC).
    """

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.port = 0
        self.answered = 0  # readings that left here
        self.accepted: set[int] = set()
        self.first_s = self.last_s = 0.0  # when the first and the last answer left (monotonic)
        self._released, self._rate, self._since_s, self._before = 0, 0.0, 0.0, 0
        self._more = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    def release(self, readings: int, rate: float = 0.0) -> None:
        """So many more readings become due, `rate` a second (0: all at once)."""
        self._before, self._since_s, self._rate = self._released, time.monotonic(), rate
        self._released += readings
        self._more.set()

    def hold(self) -> None:
        """What was released and not answered is due no more."""
        self._released = self.answered

    async def all_answered(self, timeout_s: float) -> bool:
        """Whether everything that was released has been asked for in time."""
        until = time.monotonic() + timeout_s
        while self.answered < self._released:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._before, self._since_s = self.answered, time.monotonic()  # what nobody asked for meanwhile never was
        first, asked = self.answered, asyncio.create_task(reader.readline())
        try:
            while line := await asked:
                self.accepted.update(range(first, int(line) + 1))
                first = max(first, int(line) + 1)
                asked = asyncio.create_task(reader.readline())
                if not await self._due_before(asked):
                    return
                writer.write(self._answer())
                await writer.drain()
        except OSError:
            return
        finally:
            asked.cancel()
            writer.close()

    async def _due_before(self, gone: asyncio.Task[bytes]) -> bool:
        """Whether readings became due before the one who asked went away."""
        due = asyncio.create_task(self._due())
        await asyncio.wait({due, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            due.cancel()
        return not gone.done()

    def _answer(self) -> bytes:
        count = min(self._due_now() - self.answered, ANSWER_READINGS, METERS - self.answered % METERS)
        numbers = range(self.answered, self.answered + count)
        rows = [(number % METERS, self.slot_ms(number), *expected(number)) for number in numbers]
        self.answered += count
        self.last_s = time.monotonic()
        self.first_s = self.first_s or self.last_s
        answer = {"newest": self.answered - 1, "ends_round": self.answered % METERS == 0, "rows": rows}
        return json.dumps(answer).encode() + b"\n"

    async def _due(self) -> None:
        while self._due_now() <= self.answered:
            if self.answered >= self._released:
                self._more.clear()
                await self._more.wait()
            else:
                await asyncio.sleep(0.002)

    def _due_now(self) -> int:
        if not self._rate:
            return self._released
        return min(self._released, self._before + int((time.monotonic() - self._since_s) * self._rate))

    def slot_ms(self, number: int) -> int:
        """The slot of a reading."""
        return self.start_ms + number // METERS * PERIOD_MS

    def number(self, meter: int, slot_ms: int) -> int:
        """Which reading this is."""
        return (slot_ms - self.start_ms) // PERIOD_MS * METERS + meter


def expected(number: int) -> tuple[int, ...]:
    """The six values of a reading."""
    return Six(number % METERS, number // METERS).values
