"""A serial line in virtual time on which every byte takes its time, and meters that are as slow as they may be."""

from __future__ import annotations

import asyncio

from simulators.mbus.line import Hearing

CHARACTER_BITS = 11
THINKS_BITS, THINKS_S = 330, 0.05  # EN 13757-2: the latest moment at which a meter begins to answer
PIECE = 16  # bytes that a converter hands over at once


class PacedLine:
    """An open port with a line behind it; `busy_s` adds up how long it was in use.

    `thinks_s` is from a question to its answer; by default as long as an M-Bus meter may take.
    """

    def __init__(self, bus: Hearing, baud: int, thinks_s: float | None = None) -> None:
        self.bus, self.baud, self.busy_s = bus, baud, 0.0
        self._thinks_s = self._bits_s(THINKS_BITS) + THINKS_S if thinks_s is None else thinks_s
        self._held = bytearray()
        self._some = asyncio.Event()
        self._free_s = 0.0

    def flush_input(self) -> None:
        """Forget what came."""
        self._held.clear()

    async def write(self, octets: bytes) -> None:
        """The question goes out behind what is on the line; the answer comes piece by piece."""
        loop = asyncio.get_running_loop()
        start_s = max(loop.time(), self._free_s)
        end_s = start_s + self._bits_s(CHARACTER_BITS * len(octets))
        answer = self.bus.hear(octets)
        if answer:
            end_s += self._thinks_s
        for at in range(0, len(answer), PIECE):
            piece = answer[at : at + PIECE]
            end_s += self._bits_s(CHARACTER_BITS * len(piece))
            loop.call_at(end_s, self._arrive, piece)
        self.busy_s += end_s - start_s
        self._free_s = end_s

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

    def _bits_s(self, bits: int) -> float:
        return bits / self.baud
