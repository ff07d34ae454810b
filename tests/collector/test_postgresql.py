"""What only the store in PostgreSQL promises, tried at a real server that is stopped, killed and replaced."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from chain import Bench, Chain, reading
from click.testing import CliRunner
from postgres import Postgresql

from collector.cli_store import distribute
from collector.config import Config
from collector.faults import (
    ConfigFileError,
    DurabilityError,
    NotDistributableError,
    NotFoundError,
    StoreFullError,
    StoreVersionError,
)
from collector.place import Server
from collector.store import dialect, schema, session
from collector.store.postgresql import PostgresqlStore
from protocols.uplink.batch import Batch
from protocols.uplink.keys import BoxKey, SigningKey


@pytest.fixture
def server(postgresql: Postgresql) -> Server:
    """An empty database."""
    return Server(postgresql.database())


@pytest.fixture
def bench(server: Server) -> Iterator[Bench]:
    """A collector over a store in PostgreSQL."""
    store = PostgresqlStore.open(server)
    yield Bench(store)
    store.close()


def _columns(text: str) -> set[str]:
    return set(re.sub(r"[()]", "", text[text.index("(") :]).split(", "))


def test_every_key_holds_the_column_by_which_its_table_is_spread(bench: Bench) -> None:
    """Citus refuses a primary or unique key without it; copies on every node may have any."""
    rows = bench.store._connection.execute(
        "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' WHERE i.indisunique"
    ).fetchall()
    keyed = {table for table, _ in rows}
    assert keyed == set(dialect.SPREAD)
    for table, text in rows:
        column = dialect.SPREAD[table]
        assert column is None or column in _columns(text), text


def test_no_table_has_a_trigger_or_a_foreign_key(bench: Bench) -> None:
    """Neither works across the nodes of a cluster."""
    assert bench.store._connection.execute("SELECT count(*) FROM pg_trigger").fetchone() == (0,)


def test_both_stores_have_the_same_tables_and_columns(bench: Bench) -> None:
    """The tables are written once; nothing is lost when they are said in PostgreSQL's words."""
    rows = bench.store._connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    ).fetchall()
    import sqlite3  # noqa: PLC0415

    lite = sqlite3.connect(":memory:")
    lite.executescript(schema.TABLES)
    wanted = lite.execute(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type IN ('table', 'view')"
        " AND m.name NOT LIKE 'sqlite_%'"
    ).fetchall()
    assert sorted(rows) == sorted(wanted)


def test_what_would_be_spread_is_printed_and_without_citus_it_says_so(
    bench: Bench, server: Server, tmp_path: Path
) -> None:
    """A dry run needs no cluster; the true one changes nothing where the extension is not."""
    config = _config(tmp_path, server.address)
    printed = CliRunner().invoke(distribute, ["--config", str(config), "--print"]).stdout
    assert "create_reference_table('journal');" in printed
    assert "create_distributed_table('evidence', 'gateway', colocate_with => 'gateway');" in printed
    assert "create_distributed_table('series', 'meter', colocate_with => 'reading');" in printed
    assert len(printed.splitlines()) == len(dialect.SPREAD)
    done = CliRunner().invoke(distribute, ["--config", str(config)])
    assert isinstance(done.exception, NotDistributableError)
    bench.take(bench.chain.seal())
    lite = CliRunner().invoke(distribute, ["--config", str(_config(tmp_path, "collector.sqlite3"))])
    assert isinstance(lite.exception, NotDistributableError)


@pytest.mark.parametrize("address", ["postgresql://a:secret@h/d", "postgresql://h/d?password=secret"])
def test_a_password_in_the_configuration_is_refused_and_not_shown(tmp_path: Path, address: str) -> None:
    """It would stand in messages and backups; a file beside it is named instead."""
    with pytest.raises(ConfigFileError) as told:
        Config.from_toml(_config(tmp_path, address))
    assert "secret" not in told.value.report()
    assert "password_file" in told.value.report()


def test_a_password_comes_from_its_file(postgresql: Postgresql, tmp_path: Path) -> None:
    """The file's text is handed to libpq, and no message repeats the password."""
    (tmp_path / "secret").write_text("opensesame\n")
    config = Config.from_toml(_config(tmp_path, postgresql.database(), 'password_file = "secret"\n'))
    assert isinstance(config.store, Server)
    assert config.store.password() == "opensesame"
    PostgresqlStore.open(config.store).close()
    assert "opensesame" not in str(config.store)


@pytest.mark.parametrize("setting", ["synchronous_commit", "fsync", "full_page_writes"])
def test_a_server_that_promises_less_is_refused(cluster: Postgresql, setting: str) -> None:
    """A commit that is not on the disk may not be acknowledged."""
    cluster.sql(f"ALTER SYSTEM SET {setting} = off")
    cluster.sql("SELECT pg_reload_conf()")
    store = PostgresqlStore.open(Server(cluster.dsn))
    with pytest.raises(DurabilityError, match=f"{setting}=off"):
        store.durability()
    store.close()


def test_two_that_open_an_empty_database_at_once_make_one_store(server: Server) -> None:
    """The second waits under the lock and finds the tables there."""
    faults: list[Exception] = []

    def start() -> None:
        try:
            PostgresqlStore.open(server).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            faults.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert faults == []
    PostgresqlStore.open(server, make=False).close()


def test_another_versions_store_is_left_alone(bench: Bench, server: Server) -> None:
    """A newer one may not be written by us, and none is made where only one is shcluster."""
    with pytest.raises(NotFoundError):
        PostgresqlStore.open(Server(server.address.rpartition("/")[0] + "/postgres"), make=False)
    bench.store._connection.execute("UPDATE meta SET value = 99 WHERE name = 'version'")
    for opened in (PostgresqlStore.open, PostgresqlStore.open_to_read):
        with pytest.raises(StoreVersionError, match="99"):
            opened(server)


def test_a_view_stays_as_it_was_and_cannot_be_written(bench: Bench, server: Server) -> None:
    """One instant, whatever is committed meanwhile."""
    bench.take(bench.chain.seal())
    view = PostgresqlStore.open_to_read(server)
    assert view.series.meters() == 1
    bench.take(bench.chain.seal([reading(1, 2)]))
    assert view.series.meters() == 1
    with pytest.raises(StoreFullError):
        view.ring.count("house-1", "x")
    view.close()


def test_another_history_of_the_server_raises_the_generation(bench: Bench, server: Server) -> None:
    """A dump played into another cluster, or a standby that took over: gateways shall offer all they hold again."""
    assert bench.store.gateways.generation() == 1
    bench.store._connection.execute("UPDATE meta SET value = value - 1 WHERE name = 'timeline'")
    PostgresqlStore.open(server).close()
    assert bench.store.gateways.generation() == 2
    PostgresqlStore.open(server).close()
    assert bench.store.gateways.generation() == 2


def test_two_workers_side_by_side_store_nothing_twice(bench: Bench, server: Server) -> None:
    """Both get every batch of both gateways, in opposite orders: neither blocks the other, each batch counts once."""
    sealed = [
        chain.seal([reading(slot, meter)]) for slot in range(20) for meter, chain in enumerate(bench.chains.values())
    ]
    store = PostgresqlStore.open(server)
    other = Bench.__new__(Bench)
    other.__dict__.update(bench.__dict__)
    other.store = store
    other.restart()
    stored: list[int] = []

    def work(which: Bench, batches: list[Batch]) -> None:
        stored.append(sum(which.take(*batches[first : first + 4]).stored for first in range(0, len(batches), 4)))

    threads = [
        threading.Thread(target=work, args=(bench, list(sealed))),
        threading.Thread(target=work, args=(other, list(reversed(sealed)))),
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    store.close()
    assert sum(stored) == len(sealed)
    assert bench.rows() == len(sealed)
    assert bench.store.cases.first_bad_line() is None
    for name in bench.chains:
        (facts,) = bench.store.evidence.facts(name)
        assert facts.stored == ((1, 20),)


def test_a_registration_by_another_process_is_seen(bench: Bench, server: Server) -> None:
    """The worker reads its register anew when, and only when, somebody wrote into it."""
    assert bench.store.changed()
    assert not bench.store.changed()
    other = PostgresqlStore.open(server)
    with other.transaction():
        other.gateways.add("house-3", BoxKey.generate().public, SigningKey.generate().public, 0)
    other.close()
    assert bench.store.changed()
    bench.take(bench.chain.seal())
    assert not bench.store.changed()


def test_c01_a_server_that_is_stopped_takes_nothing_and_then_all(
    cluster: Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C01: a stopped server costs the answer's time, nothing is stored or named, and it goes on by itself."""
    monkeypatch.setattr(session, "ANSWER_S", 1.0)
    monkeypatch.setattr(session, "CONNECT_S", 2)
    store = PostgresqlStore.open(Server(cluster.dsn))
    bench = Bench(store)
    bench.take(bench.chain.seal())
    second = bench.chain.seal()
    stopped = cluster.processes()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(2):  # the first loses its connection, the second gets none
            with pytest.raises(StoreFullError):
                bench.take(second)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    word = bench.word(bench.take(second))
    assert [(each.first, each.last) for each in word.stored] == [(1, 2)]
    assert bench.rows() == 2
    store.close()


def test_c02_a_server_that_is_killed_within_a_group_loses_and_doubles_nothing(cluster: Postgresql) -> None:
    """C02: what was begun is gone with its connection; the next group connects again."""
    store = PostgresqlStore.open(Server(cluster.dsn))
    bench = Bench(store)
    first, second = bench.chain.seal(), bench.chain.seal()

    def group() -> None:
        with store.transaction():
            store.gateways.heard("house-1", 1)
            cluster.process.stop(signal.SIGKILL)
            cluster.process.start()
            store.gateways.heard("house-1", 2)  # never on a new connection, in a transaction of its own

    with pytest.raises(StoreFullError):
        group()
    assert store.gateways.contacts()[0].contact_ms is None
    assert bench.take(first, second).stored == 2
    cluster.crash()
    with pytest.raises(StoreFullError):
        bench.take(first)
    cluster.process.start()
    assert bench.take(first, second).replayed == 2
    assert bench.rows() == 2
    store.close()


def test_c06_a_server_that_takes_nothing_more_is_never_the_bodys_fault(bench: Bench) -> None:
    """C06: nothing of the group counts; the batch is not called undecoded for it."""
    sealed = bench.chain.seal([reading(slot) for slot in range(50)])
    sql = bench.store._connection
    sql.execute("ALTER TABLE reading RENAME TO away")
    with pytest.raises(StoreFullError):
        bench.take(sealed)
    sql.execute("ALTER TABLE away RENAME TO reading")
    assert bench.store.evidence.undecoded() == []
    outcome = bench.take(sealed)
    assert (outcome.stored, outcome.undecoded) == (1, 0)
    assert bench.rows() == 50


def test_a_spoiled_transaction_is_no_commit(bench: Bench) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK then, and with no error."""

    def spoiled() -> None:
        with bench.store.transaction():
            bench.store.gateways.heard("house-1", 5)
            with suppress(StoreFullError):
                bench.store._connection.execute("SELECT * FROM nowhere")

    with pytest.raises(StoreFullError, match="ROLLBACK"):
        spoiled()
    assert bench.store.gateways.contacts()[0].contact_ms is None


def test_names_are_ordered_byte_by_byte_as_in_sqlite(bench: Bench) -> None:
    """Whatever the database's collation: pages and locks follow this order."""
    for name in ("house-b", "house-1a", "house"):
        chain = Chain(name, 9)
        bench.store.gateways.add(name, chain.box.public, chain.key.public, 0)
    names = [each.name for each in bench.store.gateways.contacts()]
    assert names == sorted(names)


def _config(folder: Path, store: str, more: str = "") -> Path:
    path = folder / "collector.toml"
    path.write_text(f'collector = "utility"\nstore = "{store}"\n{more}[broker]\nhost = "localhost"\n')
    return path
