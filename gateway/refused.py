"""Readings that nobody took: counted in memory, and in the buffer as soon as it takes the count."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.buffer import Buffer
from gateway.faults import BufferFull
from gateway.writer import Writer
from protocols.reading import How, Reading
from protocols.uplink.leaf import SealedReading

READINGS_REFUSED = "readings-refused"  # a counter


class Refused:
    """Counts what is refused; rows of load profiles are not: they stay in their meter and are asked for again."""

    def __init__(self, buffer: Buffer, writer: Writer) -> None:
        self._buffer, self._writer = buffer, writer
        self._since = self._uncounted = 0

    def add(self, readings: Iterable[Reading | SealedReading]) -> None:
        """These were refused."""
        count = sum(each.how is How.READ for each in readings)
        self._since += count
        self._uncounted += count

    @property
    def so_far(self) -> int:
        """How many were refused since it was told last."""
        return self._since

    def told(self) -> int:
        """How many were refused since this was asked last."""
        count, self._since = self._since, 0
        return count

    async def keep(self) -> None:
        """Write what is not yet counted in the buffer.

        Raises:
            WriteFailed: not now.
        """
        count = self._uncounted
        if count:
            await self._writer.do(lambda: self._buffer.count(READINGS_REFUSED, BufferFull.code, count))
            self._uncounted -= count
