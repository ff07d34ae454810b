"""The store behind the page: raised from version 1 in place, looked at read-only, newest rows without a search."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from chain import CONFIG, NOW_MS, Bench, Chain, reading
from pages import fill, profile

from collector.expose.times import late_since_ms, silent, usual_ms
from collector.faults import StoreFullError, StoreVersionError
from collector.store import schema
from collector.store.sqlite import SqliteStore

VERSION_1 = Path(__file__).with_name("store_version_1.sql")


def version_1(bench: Bench, path: Path) -> dict[str, list[tuple[object, ...]]]:
    """A file as version 1 made it, with the rows of the bench's store; what is in its tables."""
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(VERSION_1.read_text())
    old.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
    old.execute("PRAGMA user_version=1")
    found = {}
    tables = [row[0] for row in old.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'meta'")]
    for table in filter(lambda each: not each.startswith("sqlite_"), tables):
        columns = ", ".join(row[1] for row in old.execute(f"PRAGMA table_info({table})"))
        rows = bench.store._connection.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608 - names of tables
        old.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * (columns.count(',') + 1))})", rows)  # noqa: S608
        found[table] = rows
    old.close()
    return found


def test_a_version_1_store_opens_and_keeps_its_rows(bench: Bench, tmp_path: Path) -> None:
    """Raised in place; every table's rows are the same, and the series are those of a store that was filled anew."""
    fill(bench)
    path = tmp_path / "old.sqlite3"
    before = version_1(bench, path)
    assert len(before["reading"]) == 42
    store = SqliteStore.open(path)
    sql = store._connection
    assert sql.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
    for table, rows in before.items():
        columns = ", ".join(
            row[1] for row in sql.execute(f"PRAGMA table_info({table})") if row[1] not in ("n", "hello_held")
        )
        fresh = bench.store._connection
        query = f"SELECT {columns} FROM {table}"  # noqa: S608 - names of tables
        assert sql.execute(query).fetchall() == fresh.execute(query).fetchall()
        assert len(rows) == sql.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
    for query in ("SELECT * FROM series ORDER BY meter, how, part", "SELECT * FROM record ORDER BY batch, leaf"):
        assert sql.execute(query).fetchall() == bench.store._connection.execute(query).fetchall()
    store.close()
    SqliteStore.open(path).close()


def test_a_raised_store_has_the_tables_of_a_new_one(bench: Bench, tmp_path: Path) -> None:
    """Column by column, index by index."""
    version_1(bench, tmp_path / "old.sqlite3")
    store = SqliteStore.open(tmp_path / "old.sqlite3")
    for query in (
        'SELECT m.name, c.cid, c.name, c.type, c."notnull", c.pk FROM sqlite_master m, pragma_table_info(m.name) c'
        " WHERE m.type = 'table' ORDER BY 1, 2",
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name",
    ):
        assert store._connection.execute(query).fetchall() == bench.store._connection.execute(query).fetchall()
    store.close()


def test_a_raise_that_fails_leaves_version_1(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All or nothing: the file is the same version 1 as before."""
    path = tmp_path / "old.sqlite3"
    before = version_1(bench, path)
    monkeypatch.setitem(schema.MIGRATIONS, 1, schema.MIGRATIONS[1] + "DROP TABLE nowhere;\n")
    with pytest.raises(StoreFullError):
        SqliteStore.open(path)
    sql = sqlite3.connect(path)
    assert sql.execute("PRAGMA user_version").fetchone()[0] == 1
    assert sql.execute("SELECT count(*) FROM sqlite_master WHERE name = 'series'").fetchone()[0] == 0
    assert sql.execute("SELECT count(*) FROM gateway").fetchone()[0] == len(before["gateway"])
    sql.close()


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    """It is not lowered."""
    path = tmp_path / "later.sqlite3"
    SqliteStore.open(path).close()
    sql = sqlite3.connect(path)
    sql.execute("PRAGMA user_version=99")
    sql.close()
    with pytest.raises(StoreVersionError):
        SqliteStore.open(path)
    with pytest.raises(StoreVersionError):
        SqliteStore.open_to_read(path)


def test_a_view_cannot_be_written_through(bench: Bench, tmp_path: Path) -> None:
    """Neither by SQL nor by a table's own methods; and it stays as it was when it was opened."""
    fill(bench, 2)
    view = SqliteStore.open_to_read(tmp_path / "collector.sqlite3")
    with pytest.raises(sqlite3.OperationalError):
        view.gateways.approve("house-1", bytes(32), 0)
    assert view.series.meters() == 6
    bench.take(bench.chain.seal([reading(1, 99)]))
    assert view.series.meters() == 6
    assert bench.store.series.meters() == 7
    view.close()


def test_what_comes_late_does_not_pass_for_the_newest(bench: Bench) -> None:
    """After an outage old slots arrive behind new ones; they are counted, the newest stays."""
    for slot in (5, 6, 1, 2):
        bench.take(bench.chain.seal([reading(slot)]))
    series = bench.store.series.page("", 10)[0]
    row = bench.store.readings.at(series.meter, series.how, series.moment, series.part)
    assert (series.stored, series.newest, series.first) == (4, NOW_MS + 6 * 900_000, NOW_MS + 900_000)
    assert row is not None
    assert row.place.seq == 2


def test_the_same_reading_again_is_counted_once(bench: Bench) -> None:
    """As in the table of readings."""
    bench.take(bench.chain.seal([reading(1), reading(2)]), bench.chain.seal([reading(2), reading(2, number=5)]))
    assert [each.stored for each in bench.store.series.page("", 10)] == [2]


def test_profile_rows_have_a_series_of_their_own(bench: Bench) -> None:
    """By the meter's own times."""
    bench.take(bench.chain.seal([profile(row) for row in range(10)]))
    series = bench.store.series.page("", 10)
    assert [(each.how, each.stored) for each in series] == [(1, 10)]
    assert len(series[0].recent) == 3


def test_a_batch_that_does_not_decode_leaves_no_series(bench: Bench) -> None:
    """The savepoint takes it back with everything else."""
    bench.take(bench.chain.seal_body(b"\x90"))
    assert bench.store.series.meters() == 0


def test_what_is_held_is_counted_without_looking_at_every_batch(bench: Bench) -> None:
    """The same number as the exact count, for single batches and whole epochs."""
    other = Chain("house-1", 9, bench.chain.key, bench.chain.box, bytes(32))
    bench.take(bench.chain.seal(), other.seal(), other.seal())
    bench.chain.config = CONFIG
    bench.take(bench.chain.seal())
    whole, single = bench.store.cases.holds("house-1")
    facts = bench.store.evidence.facts("house-1")
    counted = sum(last - first + 1 for each in facts if each.epoch in whole for first, last in each.stored)
    assert counted + sum(single.values()) == bench.store.cases.held("house-1") > 0


def test_neither_an_outage_nor_a_burst_makes_others_late() -> None:
    """Three quarters of the last few distances decide."""
    assert usual_ms([0, 10, 20, 30, 5_000, 5_010, 5_020, 5_030, 5_040]) == 10
    assert usual_ms([0, 1, 2, 3, 900, 1_800, 2_700, 3_600, 4_500]) == 900
    assert usual_ms([7]) is None
    assert late_since_ms(0, None, 10**9) is None
    assert late_since_ms(0, 900_000, 1_800_000) is None
    assert late_since_ms(0, 900_000, 1_800_001) == 1_800_000
    assert not silent(0, None, 7_200_000)
    assert silent(0, 10_000, 60_001)
