"""A simulated pair of meters with an injected clock, and where the captures are."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from protocols.transports.exchange import Clock
from simulators.dlms.meters import DlmsMeters
from simulators.record import Record

REPOSITORY = Path(__file__).resolve().parents[2]
PASSWORD = b"pw-7519-meter"
NOW_MS = 1_795_310_000_000  # 2026-11-22, not at a quarter of an hour


@dataclass
class Now:
    """A clock that the test sets."""

    ms: int = NOW_MS

    def utc_ms(self) -> int:
        """What it shows."""
        return self.ms


@pytest.fixture
def now() -> Now:
    """The clock of meters and client."""
    return Now()


@pytest.fixture
def clock(now: Now) -> Clock:
    """The client's clock: UTC by the test, monotonic by the machine."""
    return Clock(now.utc_ms, lambda: time.monotonic_ns() // 1_000_000)


@pytest_asyncio.fixture
async def meters(tmp_path: Path, now: Now) -> AsyncIterator[DlmsMeters]:
    """The pair of meters, listening."""
    record = Record(tmp_path / "record.jsonl")
    pair = DlmsMeters(record, now.utc_ms, seed=7, password=PASSWORD)
    await pair.start()
    yield pair
    await pair.stop()
    record.close()


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of DLMS captures; tests that need it are skipped where it is absent."""
    named = os.environ.get("PLOMBA_SHARED")
    roots = [Path(named)] if named else [parent / "shared" for parent in REPOSITORY.parents]
    for root in roots:
        if (root / "data" / "dlms").is_dir():
            return root / "data" / "dlms"
    pytest.skip("the shared captures are not here (set PLOMBA_SHARED)")
