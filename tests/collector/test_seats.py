"""Workers share the shards by locks of the database: one each; a dead one's is taken over and given back later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chain import AnyStore
from click.testing import CliRunner
from postgres import Postgresql

from collector.cli_run import run
from collector.faults import SeatError, StoreFullError
from collector.place import Place, Server
from collector.seat import FILTERS, MOST, Seat, filters, share_of
from collector.store.opening import open_seats, open_store
from collector.store.postgresql import PostgresqlStore
from collector.store.seats import _SEAT, PATIENCE, DatabaseSeats
from protocols.uplink import topics

Sit = Callable[[int, int], DatabaseSeats]


@pytest.fixture
def server(postgresql: Postgresql) -> Server:
    """A database with an empty store."""
    found = Server(postgresql.database())
    PostgresqlStore.open(found).close()
    return found


@pytest.fixture
def sit(server: Server) -> Iterator[Sit]:
    """Makes workers' seats."""
    made: list[DatabaseSeats] = []

    def one(number: int, of: int) -> DatabaseSeats:
        made.append(DatabaseSeats(server, Seat(number, of)))
        return made[-1]

    yield one
    for each in made:
        each.close()


def end(seats: DatabaseSeats, server: Server) -> None:
    """Close a worker's connection, and wait until the server has seen it."""
    (pid,) = seats._sql.execute("SELECT pg_backend_pid()").fetchone()
    seats.close()
    _wait_for_end(server, pid)


def _wait_for_end(server: Server, pid: int) -> None:
    store = PostgresqlStore.open(server)
    while store._connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ?", (pid,)).fetchone():
        time.sleep(0.005)
    store.close()


def looked(seats: DatabaseSeats, times: int = PATIENCE + 2) -> list[int]:
    """What is a worker's after some looks."""
    return [sorted(seats.look()) for _ in range(times)][-1]


@pytest.mark.parametrize("of", [2, 3, 5, MOST])
def test_every_shard_is_in_exactly_one_share(of: int) -> None:
    """All shares together are every topic, asked for in one, and a gateway's topic is in its own share's."""
    parts = [filters([number], of) for number in range(1, of + 1)]
    assert all(parts)
    assert filters(range(1, of + 1), of) == filters([1], 1) == list(FILTERS)
    assert len(filters(range(1, of), of)) < topics.SHARDS  # NATS refuses as many
    assert len([each for part in parts for each in part]) == topics.SHARDS
    assert len({each for part in parts for each in part}) == topics.SHARDS
    for gateway in ("house-1", "house-2", "a-long-name-of-a-gateway"):
        prefix = topics.up(gateway, "batch").rpartition(f"/{gateway}/")[0]
        assert f"{prefix}/+/up/+" in parts[share_of(gateway, of) - 1]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/65", "1", "1/2/3", "01/2", "-1/2", "a/b", ""])
def test_what_is_no_seat_is_refused_with_what_is_one(text: str, tmp_path: Path) -> None:
    """N from 1 to M, and each worker has a shard."""
    (tmp_path / "collector.toml").touch()
    done = CliRunner().invoke(run, ["--config", str(tmp_path / "collector.toml"), "--worker", text])
    assert done.exit_code == 2
    assert "expected N/M" in done.output


def test_each_worker_takes_its_share_and_a_dead_ones_is_taken_over_and_given_back(sit: Sit, server: Server) -> None:
    """Never two at one share: what is given back is free only when nothing more of it is received."""
    one, two = sit(1, 2), sit(2, 2)
    assert [sorted(one.look()), sorted(two.look())] == [[1], [2]]
    assert (looked(one), looked(two)) == ([1], [2])
    end(two, server)
    assert [sorted(one.look()) for _ in range(PATIENCE + 1)][-2:] == [[1], [1, 2]]
    again = sit(2, 2)
    assert again.look() == set()  # there, and its share is still the other's
    assert one.look() == {1}  # receives no more of it
    assert again.look() == set()
    assert one.look() == {1}  # and has let it go
    assert again.look() == {2}


def test_of_several_dead_workers_one_share_at_a_time_is_taken(sit: Sit) -> None:
    """So that those who are left take about as many each."""
    left = [sit(1, 4), sit(2, 4)]
    found = [[len(each.look()) for each in left] for _ in range(PATIENCE + 3)]
    assert found[-1] == [2, 2]


def test_two_on_one_seat_are_one_worker_and_its_stand_in(sit: Sit, server: Server) -> None:
    """The second takes nothing, whoever is absent; when the first ends it is there."""
    first, second = sit(1, 2), sit(1, 2)
    assert looked(first) == [1, 2]
    assert looked(second) == []
    end(first, server)
    assert looked(second, 1) == [1]


def test_workers_of_another_division_wait(sit: Sit, server: Server) -> None:
    """From two workers to three: while one of two is there, none of three takes anything."""
    old, new = sit(1, 2), sit(3, 3)
    assert looked(old) == [1, 2]
    assert looked(new) == []
    end(old, server)
    assert looked(new, PATIENCE + 1) == [1, 3]


def test_of_two_divisions_that_sat_down_at_once_one_stays(sit: Sit) -> None:
    """Neither saw the other when it looked: one gives up its seat, they do not wait for each other for ever."""
    alone, two = sit(1, 1), sit(1, 2)
    for each in (alone, two):
        assert each._take(_SEAT, 1)
    found = [(sorted(alone.look()), sorted(two.look())) for _ in range(PATIENCE + 2)]
    assert found[-1] == ([], [1, 2])


def test_a_worker_whose_connection_ends_has_no_share_until_it_sits_again(sit: Sit, postgresql: Postgresql) -> None:
    """It is told so; meanwhile another may have taken its share."""
    one, two = sit(1, 2), sit(2, 2)
    assert (looked(one, 1), looked(two, 1)) == ([1], [2])
    (pid,) = one._sql.execute("SELECT pg_backend_pid()").fetchone()
    postgresql.sql(f"SELECT pg_terminate_backend({pid}, 10000)")
    with pytest.raises(StoreFullError):
        one.look()
    assert looked(two) == [1, 2]
    assert one.look() == set()
    assert looked(two, 2) == [2]
    assert one.look() == {1}


def test_a_worker_that_does_not_look_loses_its_seat(sit: Sit, server: Server) -> None:
    """The server ends a connection that is not used: of a worker that hangs, or has no way to the broker."""
    one = sit(1, 1)
    one.look()
    shown = one._sql.execute("SHOW idle_session_timeout").fetchone()
    assert shown == ("30s",)


def test_status_shows_who_sits_where(sit: Sit, server: Server) -> None:
    """By seat, with the shares that each takes now."""
    store = PostgresqlStore.open(server)
    assert store.workers() == []
    one, two = sit(1, 3), sit(2, 3)
    for _ in range(PATIENCE + 1):
        one.look(), two.look()
    assert [(str(each.seat), each.shares) for each in store.workers()] == [("1/3", (1, 3)), ("2/3", (2,))]
    assert all(each.since_ms is not None for each in store.workers())
    store.close()


def test_one_connection_leads_and_the_next_one_follows_it(store: AnyStore, place: Place) -> None:
    """Series are reckoned by one process at a time; with a file that is the only one there is."""
    other = open_store(place)
    assert [store.leads(0), store.leads(0)] == [True, True]
    assert other.leads(0) is isinstance(place, Path)
    assert other.leads(1)  # another job
    if isinstance(store, PostgresqlStore) and isinstance(place, Server):
        (pid,) = store._connection.execute("SELECT pg_backend_pid()").fetchone()
        store.close()
        _wait_for_end(place, pid)
    assert other.leads(0)
    other.close()


def test_a_file_has_no_seats(tmp_path: Path) -> None:
    """One process writes it: a second one is refused in words."""
    with pytest.raises(SeatError, match="a file"):
        open_seats(tmp_path / "collector.sqlite3", Seat(1, 2))
