"""Readings that nobody took: counted in memory, and in the buffer as soon as it takes the count."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from gateway.buffer import Buffer
from gateway.faults import BufferFull
from gateway.schema import FAULTS
from gateway.writer import Writer
from protocols.errors import PlombaError
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
        self._total = self._told = 0
        with suppress(*FAULTS, PlombaError):  # on a damaged page, which the next start salvages: nobody knows then
            self._total, self._told = buffer.counted(READINGS_REFUSED), buffer.told(READINGS_REFUSED)
        self._telling: int | None = None  # the total that an event tells which is in the next batch
        self._sealing: int | None = None  # ... or in the one that is sealed now

    def add(self, readings: Iterable[Reading | SealedReading]) -> None:
        """These were refused."""
        count = sum(each.how is How.READ for each in readings)
        self._total += count
        self._uncounted += count

    @property
    def so_far(self) -> int:
        """How many were refused since it was told last."""
        return self._total - self._told

    def told(self) -> int:
        """How many were refused since this was asked last: an event tells of them."""
        count, self._told = self._total - self._told, self._total
        self._telling = self._total
        return count

    async def sealed(self) -> None:
        """A batch was committed: what the batch before it made known is sealed in it.

        Raises:
            WriteFailed: not now.
        """
        if (total := self._sealing) is not None:
            await self._writer.do(lambda: self._buffer.keep_told(READINGS_REFUSED, total))
        self._sealing, self._telling = self._telling, None

    async def keep(self) -> None:
        """Write what is not yet counted in the buffer.

        Raises:
            WriteFailed: not now.
        """
        count = self._uncounted
        if count:
            await self._writer.do(lambda: self._buffer.count(READINGS_REFUSED, BufferFull.code, count))
            self._uncounted -= count
