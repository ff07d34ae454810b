"""A buffer after a week without a link: 100 meters on two buses, read every quarter of an hour, six values."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from sixes import Six, reading

from gateway.buffer import Buffer
from gateway.clock import Discipline, GatewayClock, Sources
from gateway.core import core_of_this_program
from gateway.enrol import read_keys
from gateway.seal import Seal, Sealer
from gateway.settled import Positions
from gateway.writer import InlineWriter

METERS, BUSES = 100, 2
QUARTERS, QUARTER_MS = 7 * 96, 900_000
MAX_BYTES, RESERVE_BYTES = 256 * 1024 * 1024, 256 * 1024


def fill(state: Path, keys: Path) -> int:
    """Make the buffer in a state folder; the week ends now. How many batches it holds."""
    buffer = Buffer(state, MAX_BYTES, RESERVE_BYTES)
    key = read_keys(keys).sealing
    buffer.remember_key(key.public)
    start_ms = time.time_ns() // 1_000_000 - QUARTERS * QUARTER_MS
    passed_ms = 0
    sources = Sources(lambda: start_ms + passed_ms, lambda: passed_ms, lambda: Discipline(True, 5), bytes(16))
    sealer = Sealer(
        Seal("bench-gateway", key, core_of_this_program(), b""),
        GatewayClock(sources, 0, 0),
        buffer,
        InlineWriter(),
        buffer.chain(),
        None,
        {f"meter-{meter}": None for meter in range(METERS)},
        Positions({}),
        os.urandom,
    )

    async def work() -> None:
        nonlocal passed_ms
        for quarter in range(QUARTERS):
            passed_ms = quarter * QUARTER_MS
            for bus in range(BUSES):
                sealer.take([reading(Six(meter, quarter), start_ms) for meter in range(bus, METERS, BUSES)])
                await sealer.flush()

    asyncio.run(work())
    held = len(buffer.chain())
    buffer.close()
    return held
