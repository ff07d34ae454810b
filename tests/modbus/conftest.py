"""A simulated meter on a real socket, its record, and a machine's clock."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocols.transports.exchange import Clock
from simulators.modbus.meter import ModbusMeter
from simulators.record import Record


def utc_ms() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


def mono_ms() -> int:
    """Now, monotonic."""
    return time.monotonic_ns() // 1_000_000


@pytest.fixture
def clock() -> Clock:
    """The machine's own clocks."""
    return Clock(utc_ms, mono_ms)


@pytest.fixture
def record_path(tmp_path: Path) -> Path:
    """Where the simulated meter's record is."""
    return tmp_path / "record.jsonl"


@pytest.fixture
async def meter(record_path: Path) -> AsyncIterator[ModbusMeter]:
    """A simulated EM340 on a free port of the loopback address."""
    record = Record(record_path)
    found = ModbusMeter(record, utc_ms, seed=7)
    await found.start(0)
    yield found
    await found.stop()
    record.close()
