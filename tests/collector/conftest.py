"""A registered gateway as the collector's counterpart, from the contract's code alone; with a store of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import AnyStore, Bench
from postgres import Postgresql, find_bin

from collector.place import Place, Server
from collector.store.postgresql import PostgresqlStore
from collector.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a store of the test's own may be made: a file, a database of PostgreSQL."""
    if request.param == "sqlite":
        return tmp_path / "collector.sqlite3"
    cluster: Postgresql = request.getfixturevalue("postgresql")
    return Server(cluster.database())


@pytest.fixture
def store(place: Place) -> Iterator[AnyStore]:
    """An empty store in a place of its own."""
    opened = SqliteStore.open(place) if isinstance(place, Path) else PostgresqlStore.open(place)
    yield opened
    opened.close()


@pytest.fixture
def cluster() -> Iterator[Postgresql]:
    """A PostgreSQL of the test's own, which it may kill and stop."""
    programs = find_bin()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: run make services")
    running = Postgresql(programs)
    running.process.start()
    yield running
    running.remove()


@pytest.fixture
def bench(store: AnyStore) -> Bench:
    """A collector over an empty store, with gateways house-1 and house-2 registered."""
    return Bench(store)
