"""A store to put series and stands into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store in a folder of its own."""
    opened = SqliteStore.open(tmp_path / "collector.sqlite3")
    yield opened
    opened.close()
