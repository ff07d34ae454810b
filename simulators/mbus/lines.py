"""Any number of meters on several lines of one house, with one record: the cellar's three models, numbered through."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from simulators.mbus.bus import Bus
from simulators.mbus.line import PtyLine, serve
from simulators.mbus.meters import Plate, cellar
from simulators.record import Record

PER_LINE = 8  # meters; several lines are polled side by side


def plates(house: int, meters: int) -> list[list[Plate]]:
    """The meters of a house, line by line; `house` (0 to 99) stands in front of their numbers."""
    models = cellar()
    numbered = [replace(models[n % len(models)], number=f"{house:02d}{n:06d}") for n in range(meters)]
    lines = [numbered[at : at + PER_LINE] for at in range(0, meters, PER_LINE)]
    return [[replace(plate, address=n) for n, plate in enumerate(line, 1)] for line in lines]


class Lines:
    """The meters of a house, on pseudo-terminals `bus0`, `bus1`, ... in a folder."""

    def __init__(self, folder: Path, record: Path, house: int, meters: int, seed: int) -> None:
        """Open the lines, and the record.

        Raises:
            OSError: a line cannot be made.
        """
        self._record = Record(record)
        found = plates(house, meters)
        self._buses = [Bus(line, self._record, _utc_ms, seed) for line in found]
        self._lines = [PtyLine(folder / f"bus{n}") for n in range(len(found))]

    async def serve(self, stop: asyncio.Event) -> None:
        """Answer until `stop`."""
        async with asyncio.TaskGroup() as all_lines:
            for bus, line in zip(self._buses, self._lines, strict=True):
                all_lines.create_task(serve(bus, line, stop))

    def freeze(self) -> None:
        """No meter answers any more."""
        for bus in self._buses:
            bus.frozen = True

    def close(self) -> None:
        """Take the lines away and close the record."""
        for line in self._lines:
            line.close()
        self._record.close()


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
