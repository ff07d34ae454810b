"""A page over a store, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import Bench
from pages import Served, fill
from picture import ARGUMENTS, CHROMIUM
from playwright.sync_api import Browser, sync_playwright

from collector.store.sqlite import SqliteStore


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A collector over an empty store, with gateways house-1 and house-2 registered."""
    opened = SqliteStore.open(tmp_path / "collector.sqlite3")
    yield Bench(opened)
    opened.close()


@pytest.fixture
def served(bench: Bench, tmp_path: Path) -> Iterator[Served]:
    """The page over a store with six meters of three protocols."""
    fill(bench)
    with Served(bench, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless, with a profile of its own."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed: run make services")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield started
        started.close()
