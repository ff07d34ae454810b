"""A line of simulated DLMS meters on a pseudo-terminal, served for as long as a test needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulators.dlms.line import DlmsLine
from simulators.dlms.line_faults import LATE_S, LineFaults
from simulators.dlms.plates import Plate
from simulators.record import Record


@asynccontextmanager
async def served(
    folder: Path,
    found: Sequence[Plate],
    utc_ms: Callable[[], int],
    faults: str = "",
    *,
    late_s: float = LATE_S,
    **more: Any,
) -> AsyncIterator[DlmsLine]:
    """The line at `folder/line`, its record at `folder/line.jsonl`."""
    record = Record(folder / "line.jsonl")
    suffered = replace(LineFaults.parse(faults), late_s=late_s)
    line = DlmsLine(folder / "line", found, record, utc_ms, faults=suffered, **more)
    stop = asyncio.Event()
    serving = asyncio.create_task(line.serve(stop))
    try:
        yield line
    finally:
        stop.set()
        await serving
        line.close()
        record.close()
