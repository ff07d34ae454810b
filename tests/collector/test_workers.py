"""Several writers of one database: whatever the order of their commits, nothing is skipped, lost or done twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from chain import AnyStore, Bench, reading
from postgres import Postgresql

from collector.attribute.work import Attribution
from collector.place import Place, Server
from collector.store.opening import open_store
from collector.store.postgresql import PostgresqlStore
from collector.store.series import Row
from protocols.uplink import batch as batches
from protocols.uplink import body as bodies
from protocols.uplink import limits
from protocols.uplink.header import Header


class _EndedError(Exception):
    """Takes a transaction back."""


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


@pytest.fixture
def other(bench: Bench, server: Server) -> Iterator[Bench]:
    """A second worker of the same collector, over a connection of its own."""
    found = Bench.__new__(Bench)
    found.__dict__.update(bench.__dict__)
    found.store = PostgresqlStore.open(server)
    found.restart()
    yield found
    found.store.close()


@pytest.fixture
def third(server: Server, bench: Bench) -> Iterator[PostgresqlStore]:
    """A connection that can stand in the way."""
    store = PostgresqlStore.open(server)
    yield store
    store.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """For work that waits for other work."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@contextmanager
def standing(store: PostgresqlStore, sql: str, *parameters: object) -> Iterator[None]:
    """Hold what a statement locks; it is taken back at the end."""
    with suppress(_EndedError), store.transaction():
        store._connection.execute(sql, parameters)
        yield
        raise _EndedError


def blocked(store: AnyStore, writers: int) -> None:
    """Return when so many connections to this database wait for a lock."""
    found = -1
    for _ in range(2_000):
        (found,) = store._connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
        if found == writers:
            return
        time.sleep(0.005)
    pytest.fail(f"expected {writers} that wait, got {found}")


def test_a_batch_that_is_committed_after_a_higher_number_is_looked_at(
    bench: Bench, other: Bench, third: PostgresqlStore, threads: ThreadPoolExecutor
) -> None:
    """Two writers commit in the reverse order of their numbers, and attribution looks in between and afterwards."""
    low, high = bench.chains["house-1"].seal([reading(1)]), bench.chains["house-2"].seal([reading(2, 2)])
    attribution = Attribution(other.store)
    # The lower number is given out before its transaction comes to the row that is held here.
    with standing(third, "INSERT INTO tally VALUES ('house-1', 0)"):
        late = threads.submit(bench.take, low)
        blocked(other.store, 1)
        other.take(high)
        looked = [attribution.all(bench.now_ms).looked.readings]
    assert late.result().stored == 1
    looked += [attribution.all(bench.now_ms).looked.readings for _ in range(2)]
    numbers = [row.n for each in (low, high) if (row := bench.store.evidence.find(each.id))]
    assert numbers == sorted(numbers)
    assert looked == [1, 1, 0]


def test_two_that_look_at_once_look_at_nothing_twice(
    bench: Bench, other: Bench, third: PostgresqlStore, threads: ThreadPoolExecutor
) -> None:
    """Both see the same fresh batches; the slower one takes its look back."""
    for slot in range(5):
        bench.take(bench.chain.seal([reading(slot)]))
    with standing(third, "LOCK TABLE progress IN SHARE MODE"):
        both = [threads.submit(Attribution(each.store).all, bench.now_ms) for each in (bench, other)]
        blocked(third, 2)
    assert sum(each.result().looked.readings for each in both) == 5


def test_two_that_retry_at_once_count_nothing_twice(
    bench: Bench, other: Bench, third: PostgresqlStore, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers that start after an upgrade: one decodes what could not be decoded, the other finds it done."""
    expand = batches.expand

    def newer(header: Header, body: bytes) -> bodies.Expanded:
        known = Header.from_bytes(header.to_bytes())
        object.__setattr__(known, "version", limits.VERSION)
        return expand(known, body)

    body = bodies.encode([reading(77), reading(78)], [], bytes(range(32)))
    sealed = bench.chain.seal_body(body, version=2, leaves=2, root=bodies.expand(body).root())
    assert bench.take(sealed).undecoded == 1
    monkeypatch.setattr(batches, "expand", newer)
    with standing(third, "SELECT 1 FROM gateway WHERE name = 'house-1' FOR UPDATE"):
        both = [threads.submit(each.ingest.retry, bench.now_ms) for each in (bench, other)]
        blocked(third, 2)
    assert [each.result().undecoded for each in both] == [0, 0]
    assert bench.rows() == 2
    assert bench.store.ring.counters() == {}
    assert [each.stored for each in bench.store.series.page("", 10)] == [2]
    assert Attribution(bench.store).all(bench.now_ms).looked.readings == 2


def test_two_that_note_the_first_rows_of_a_meter_count_both(
    bench: Bench, other: Bench, third: PostgresqlStore, threads: ThreadPoolExecutor
) -> None:
    """Two gateways read one meter: the first row of its series is put by one worker, the other one adds to it."""
    rows = [Row(b"meter", 1, 0, f"slot {slot}", slot, None, slot, "house-1") for slot in range(3)]

    def note(store: AnyStore, row: Row) -> None:
        with store.transaction():
            store.series.note([row])

    for first, second in ((0, 1), (None, 2)):  # the first row of all, and a later one
        with bench.store.transaction():
            bench.store.series.note([rows[first]] if first is not None else [rows[0]._replace(moment="slot 9")])
            waiting = threads.submit(note, other.store, rows[second])
            blocked(third, 1)
        waiting.result()
    assert [each.stored for each in bench.store.series.page("", 10)] == [4]


def test_two_gateways_that_read_the_same_meters_in_opposite_order_are_both_stored(
    bench: Bench, other: Bench, threads: ThreadPoolExecutor
) -> None:
    """Two transactions that wait for each other: the database ends one, and that one is done again."""
    for slot in range(3):
        meters = range(1, 9)
        one = [bench.chains["house-1"].seal([reading(slot, meter)]) for meter in meters]
        two = [bench.chains["house-2"].seal([reading(slot, meter)]) for meter in reversed(meters)]
        both = [threads.submit(worker.take, *sealed) for worker, sealed in ((bench, one), (other, two))]
        assert [each.result().stored for each in both] == [8, 8]
    assert bench.rows() == 24
    assert bench.store.ring.counters().keys() <= {("house-1", "seen-again"), ("house-2", "seen-again")}
    assert sum(bench.store.ring.counters().values()) == 24


def test_a_store_of_version_4_keeps_what_attribution_had_still_to_do(store: AnyStore, place: Place) -> None:
    """What is behind its cursor, and what had waited to be decoded, is on the list of the raised store."""
    bench = Bench(store)
    sealed = [bench.chain.seal([reading(slot)]) for slot in range(4)]
    bench.take(*sealed)
    numbers = [row.n for each in sealed if (row := store.evidence.find(each.id))]
    with store.transaction():
        store.due.keep("batch", str(numbers[2]))
        store.due.keep("undecoded", f"[{numbers[1]}]")
        for table in ("fresh", "erasure", "erased_span", "erased_leaf", "closed", "retained"):
            store._connection.execute(f"DROP TABLE {table}")
        if isinstance(store, PostgresqlStore):
            store._connection.execute("UPDATE meta SET value = 4 WHERE name = 'version'")
        else:
            store._connection.execute("PRAGMA user_version = 4")
    raised = open_store(place)
    assert raised.due.fresh(10) == [("house-1", numbers[1]), ("house-1", numbers[3])]
    assert raised.due.progress("batch") is None
    assert Attribution(raised).all(bench.now_ms).looked.readings == 2
    raised.close()
