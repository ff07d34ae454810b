"""The simulated M-Bus line as a reader meets it: on a pseudo-terminal, or behind a converter of either kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from simulators.mbus.bus import Bus
from simulators.mbus.converter import Converter
from simulators.mbus.faults import Faults
from simulators.mbus.line import PtyLine, serve
from simulators.mbus.meters import Plate, cellar
from simulators.mbus.portcontrol import PortControl
from simulators.record import Record

KINDS = ("pty", "tcp", "rfc2217")


@dataclass(frozen=True, slots=True)
class Site:
    """A line's slaves, what they answered, where a reader finds them, and the meters' end of the line."""

    bus: Bus
    record: Path
    at: str
    line: PtyLine | Converter


@asynccontextmanager
async def site(
    folder: Path,
    kind: str = "pty",
    plates: tuple[Plate, ...] = cellar(),
    written: str = "",
    seed: int = 1,
    skew_bits: int = 0,
    slaves: type[Bus] = Bus,
) -> AsyncIterator[Site]:
    """The slaves of `plates`, served until the end; `kind` is one of KINDS."""
    record = Record(folder / "record.jsonl")
    bus = slaves(plates, record, lambda: time.time_ns() // 1_000_000, seed, Faults.parse(written), skew_bits=skew_bits)
    line: PtyLine | Converter
    if kind == "pty":
        line = PtyLine(folder / "line")
        at = str(folder / "line")
    else:
        line = Converter() if kind == "tcp" else PortControl()
        await line.start()
        at = line.url
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(bus, line, stop))
    try:
        yield Site(bus, record.path, at, line)
    finally:
        stop.set()
        await serving
        if isinstance(line, Converter):
            await line.stop()
        else:
            line.close()
        record.close()
