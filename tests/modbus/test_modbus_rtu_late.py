"""Answers that come late, not at all, or are refusals, at random: none is ever taken for that of another question.

In virtual time; each answer's registers hold the address that was asked for, so that a wrong one shows.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from virtual import run

from protocols.errors import MeterError
from protocols.modbus.debts import Debts
from protocols.modbus.timing import Timing
from protocols.transports.exchange import Clock
from protocols.transports.rtu import RtuLine
from simulators.modbus.rtu import ASKING, frame

QUESTIONS = 200
LATE_S = (1.05, 1.2, 2.0, 3.0, 6.0)  # behind a wait of one second
BUSY = b"\x06"


class LateLine:
    """Two units that answer in the order in which they are asked; four answers of ten are late or never come."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._held = bytearray()
        self._some = asyncio.Event()
        self._free_s: dict[int, float] = {}

    def flush_input(self) -> None:
        """Forget what came."""
        self._held.clear()

    async def write(self, octets: bytes) -> None:
        """The answer comes when it comes."""
        unit, function, address, count, _ = ASKING.unpack(octets)
        cast = self._dice.random()
        if cast < 0.13:
            return
        delay_s = self._dice.choice(LATE_S) if cast < 0.4 else 0.05
        loop = asyncio.get_running_loop()
        at_s = self._free_s[unit] = max(loop.time() + delay_s, self._free_s.get(unit, 0) + 0.01)
        answer = frame(unit, function, bytes([2 * count]) + address.to_bytes(2, "big") * count)
        refused = self._dice.random() < 0.05
        loop.call_at(at_s, self._arrive, frame(unit, function | 0x80, BUSY) if refused else answer)

    async def read_some(self, timeout_s: float) -> bytes:
        """What has come or comes first."""
        self._some.clear()
        if not self._held:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._some.wait()
            except TimeoutError:
                return b""
        octets = bytes(self._held)
        self._held.clear()
        return octets

    def close(self) -> None:
        """Nothing to let go."""

    def _arrive(self, octets: bytes) -> None:
        self._held += octets
        self._some.set()


@pytest.mark.parametrize("seed", range(6))
def test_no_answer_is_taken_for_that_of_another_question(seed: int) -> None:
    """Without the fence about one in twelve is, though the line waits until it is quiet."""
    dice, good = random.Random(seed), []

    async def story() -> None:
        line = RtuLine(LateLine(dice), Timing(9_600, 100, 1_000), Debts())
        for _ in range(QUESTIONS):
            unit, address, count = dice.choice((1, 2)), dice.randrange(1_000), dice.choice((2, 2, 4, 7))
            try:
                block = await line.read(unit, "input", address, count, Clock(lambda: 0, lambda: 0))
            except MeterError:
                continue
            assert block.words == address.to_bytes(2, "big") * count
            good.append(block)

    run(story(), seed)
    assert len(good) > QUESTIONS // 4
