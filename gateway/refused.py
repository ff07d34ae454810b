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
    """Counts what is refused; rows of load profiles are not: they stay in their meter and are asked for again.

    What a process before this one counted, and no sealed event tells, is told by this one.
    """

    def __init__(self, buffer: Buffer, writer: Writer) -> None:
        self._buffer, self._writer = buffer, writer
        self._uncounted = 0
        self._since = buffer.counted(READINGS_REFUSED) - buffer.told(READINGS_REFUSED)
        self._telling: int | None = None  # the count that an event tells which is not sealed yet

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
        self._telling = 0
        return count

    async def sealed(self) -> None:
        """A batch was committed: behind the one that made room comes the one with the event that tells of it.

        Raises:
            WriteFailed: not now.
        """
        if self._telling is None or self._since:
            return
        if not self._telling:
            self._telling = 1
            return
        total = self._buffer.counted(READINGS_REFUSED)
        await self._writer.do(lambda: self._buffer.keep_told(READINGS_REFUSED, total))
        self._telling = None

    async def keep(self) -> None:
        """Write what is not yet counted in the buffer.

        Raises:
            WriteFailed: not now.
        """
        count = self._uncounted
        if count:
            await self._writer.do(lambda: self._buffer.count(READINGS_REFUSED, BufferFull.code, count))
            self._uncounted -= count
