"""A registered gateway as the collector's counterpart, made from the contract's code alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import Bench

from collector.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store in a folder of its own."""
    opened = SqliteStore.open(tmp_path / "collector.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def bench(store: SqliteStore) -> Bench:
    """A collector over an empty store, with gateways house-1 and house-2 registered."""
    return Bench(store)
