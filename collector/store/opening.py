"""Opens a store wherever it is; what speaks with PostgreSQL is loaded only where it is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import structlog

from collector.faults import DriverMissingError, NotFoundError, SeatError, StoreFullError
from collector.place import Place, Server
from collector.seat import Seat, Seats
from collector.store.interface import Store
from collector.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collector.store.postgresql import PostgresqlStore

log = structlog.get_logger()
T = TypeVar("T")

AGAIN_S = 1.0  # between looks whether a database is there


def open_store(place: Place, make: bool = True) -> Store:
    """The store, made where there is none unless `make` is false.

    Raises:
        DriverMissingError: PostgreSQL is wanted and psycopg is not installed.
        NotFoundError: there is none.
        StoreVersionError: another version's, or no store at all.
        StoreFullError: it cannot be opened or made.
    """
    if isinstance(place, Server):
        return _postgresql().open(place, make)
    if not make and not place.exists():
        raise NotFoundError("a store", "none yet: run or sign makes it", str(place))
    return SqliteStore.open(place)


def when_there(place: Place, work: Callable[[], T]) -> T:
    """What `work` gives; a database that is away is waited for, as it may be started after us.

    Raises:
        StoreFullError: a file cannot be opened or written.
    """
    said = False
    while True:
        try:
            return work()
        except StoreFullError as error:
            if not isinstance(place, Server):
                raise
            if not said:
                log.error("waiting for the database", fault=str(error))
            said = True
            time.sleep(AGAIN_S)


def open_to_read(place: Place) -> Store:
    """A view of the store as it is at this moment, that should be closed soon; errors as `open_store`."""
    return _postgresql().open_to_read(place) if isinstance(place, Server) else SqliteStore.open_to_read(place)


def open_server(server: Server) -> PostgresqlStore:
    """The store in a database, as PostgreSQL has it; errors as `open_store`."""
    return _postgresql().open(server, make=False)


def open_seats(place: Place, seat: Seat) -> Seats:
    """The seat of one of several workers.

    Raises:
        SeatError: the store is no database that several may write.
        DriverMissingError: psycopg is not installed.
    """
    if not isinstance(place, Server):
        raise SeatError("a store in PostgreSQL for several workers", "a file, which one process writes", str(place))
    _postgresql()
    from collector.store.seats import DatabaseSeats  # noqa: PLC0415 - loads libpq: an extra

    return DatabaseSeats(place, seat)


def _postgresql() -> type[PostgresqlStore]:
    try:
        from collector.store.postgresql import PostgresqlStore  # noqa: PLC0415 - loads libpq: an extra
    except ImportError as error:
        raise DriverMissingError("the package psycopg", str(error)) from None
    return PostgresqlStore
