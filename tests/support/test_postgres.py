"""The PostgreSQL of the tests is as durable as the one that the collector asks for."""

from __future__ import annotations

import pytest
from postgres import Postgresql


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_the_cluster_is_durable(postgresql: Postgresql, setting: str) -> None:
    """What the collector asserts at its start is on."""
    assert postgresql.sql(f"SHOW {setting}") == "on"


def test_a_committed_row_survives_an_immediate_stop(postgresql: Postgresql) -> None:
    """Commit, crash, start: the row is there."""
    postgresql.sql("CREATE TABLE survivor (number int)")
    postgresql.sql("INSERT INTO survivor VALUES (42)")
    postgresql.crash()
    postgresql.process.start()
    assert postgresql.sql("SELECT number FROM survivor") == "42"
