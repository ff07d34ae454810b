"""A connection to PostgreSQL as the tables want one: it is made when it is needed, and never waits for ever.

A server that is away, stopped or full is told as `StoreFullError`; outside a transaction the next statement connects
again, inside one nothing does: what was begun there is gone. psycopg is loaded here alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import BytesBinaryDumper

from collector.faults import StoreBusyError, StoreFullError
from collector.place import Server
from collector.store import dialect
from collector.store.sql import Cursor, RowError

CONNECT_S = 5  # for a connection; a server that is stopped takes it and says nothing
ANSWER_S = 20.0  # for one statement: a slow disk has an answer by then, a stopped server has none
LOCK_MS = 10_000  # how long a writer waits for another one, as in SQLite
STREAM_ROWS = 1_000  # fetched at a time of an answer that may be of any size
# A network that swallows packets: the kernel gives up as early as we do.
_KEEP_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
_SETTINGS = (
    f"SET statement_timeout = {int(ANSWER_S * 1000)}",
    f"SET lock_timeout = {LOCK_MS}",
    f"SET idle_in_transaction_session_timeout = {int(ANSWER_S * 3000)}",
)
_OWN_BUG, _FORBIDDEN, _NO_TABLE = "42", "42501", "42P01"  # SQLSTATE: faulty statements; no right; no table
_DEADLOCK = "40P01"
_OIDS = {bytes: "bytea", int: "int8", str: "text"}  # the columns' types: `dialect`
T = TypeVar("T")


class _Impatient(psycopg.Connection[tuple[Any, ...]]):
    """Waits for an answer no longer than `ANSWER_S`."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return super().wait(gen, interval, ANSWER_S if timeout is None else timeout)


class Session:
    """One connection after the other to one server; `greet` is called with each new one before it is used."""

    def __init__(self, server: Server, greet: Callable[[Session], None]) -> None:
        self._server = server
        self._greet = greet
        self._within = False
        self._inner: _Impatient | None = None

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run a statement of the common subset.

        Raises:
            RowError: a row does not fit.
            StoreFullError: the server is away or takes nothing.
        """
        text, named = dialect.statement(sql)
        values = _named(parameters) if named else parameters
        return self._told(lambda inner: inner.execute(text, values))

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Cursor:
        """Run it for every row of parameters; errors as `execute`."""
        text, named = dialect.statement(sql)
        rows = [_named(each) if named else each for each in parameters]

        def run(inner: _Impatient) -> psycopg.Cursor[tuple[Any, ...]]:
            cursor = inner.cursor()
            cursor.executemany(text, rows)
            return cursor

        return self._told(run)

    def stream(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Any]:
        """The rows of an answer of any size, fetched as they are wanted; errors as `execute`."""
        text, named = dialect.statement(sql)
        values = _named(parameters) if named else parameters
        cursor = self._told(lambda inner: inner.cursor("stream", withhold=True).execute(text, values))
        try:
            while rows := self._told(lambda _: cursor.fetchmany(STREAM_ROWS)):
                yield from rows
        finally:
            cursor.close()

    def copy(self, table: str, columns: Mapping[str, type], rows: Iterable[Sequence[Any]], /) -> None:
        """Insert rows by COPY in its binary form, all or none of them; errors as `execute`."""
        sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"

        def run(inner: _Impatient) -> None:
            with inner.cursor() as cursor, cursor.copy(sql) as copying:
                copying.set_types([_OIDS[each] for each in columns.values()])
                for row in rows:
                    copying.write_row(row)

        self._told(run)

    def begin(self, how: str = "") -> None:
        """Begin a transaction; errors as `execute`."""
        self.execute(f"BEGIN {how}")
        self._within = True

    def commit(self) -> None:
        """End it; when this returns it is where the server's settings say.

        Raises:
            StoreFullError: nothing of it is known to be there.
        """
        cursor = self._told(lambda inner: inner.execute("COMMIT"))
        self._within = False
        if cursor.statusmessage != "COMMIT":  # one that a statement spoiled ends so, and without an error
            raise StoreFullError("a transaction that is committed", str(cursor.statusmessage), str(self._server))

    def rollback(self) -> None:
        """Take back what is open; a connection that cannot do that is closed, which does it."""
        self._within = False
        inner = self._inner
        if inner is None or inner.closed:
            return
        try:
            if inner.info.transaction_status is not TransactionStatus.IDLE:
                inner.execute("ROLLBACK")
        except psycopg.Error:
            self.close()

    def take_back(self, name: str) -> None:
        """Take back a savepoint, where the connection still lives; errors as `execute`."""
        if self._inner is not None and not self._inner.closed:
            self.execute(f"ROLLBACK TO {name}")
            self.execute(f"RELEASE {name}")

    def close(self) -> None:
        """Close the connection; the next statement makes another."""
        if self._inner is not None:
            self._inner.close()
        self._inner = None

    def _told(self, work: Callable[[_Impatient], T]) -> T:
        try:
            return work(self._alive())
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            raise RowError(_line(error)) from error
        except psycopg.Error as error:
            state = error.sqlstate or ""
            if state.startswith(_OWN_BUG) and state not in {_FORBIDDEN, _NO_TABLE}:
                raise
            if state == _DEADLOCK:
                raise StoreBusyError("a store that takes a statement", _line(error), str(self._server)) from error
            if not state:  # no answer: nothing that comes on this connection may be taken for another's
                self.close()
            raise StoreFullError("a store that takes a statement", _line(error), str(self._server)) from error

    def _alive(self) -> _Impatient:
        if self._inner is not None and not self._inner.closed:
            return self._inner
        if self._within:
            raise psycopg.OperationalError("the connection ended within a transaction")
        self._inner = _connected(self._server)
        try:
            self._greet(self)
        except BaseException:
            self.close()
            raise
        return self._inner


def _connected(server: Server) -> _Impatient:
    """A new connection that knows our limits."""
    secret = {} if server.password_file is None else {"password": server.password()}
    address = make_conninfo(
        server.address,
        connect_timeout=CONNECT_S,
        client_encoding="utf8",
        application_name="plomba-collector",
        **secret,
        **_KEEP_ALIVE,
    )
    inner = _Impatient.connect(address, autocommit=True)
    inner.adapters.register_dumper(int, Int8Dumper)  # as the columns are: one plan for each statement
    inner.adapters.register_dumper(bytes, BytesBinaryDumper)  # before psycopg's for DB-API's Binary, which is slower
    for each in _SETTINGS:
        inner.execute(each)
    return inner


def _named(parameters: Sequence[Any]) -> Mapping[str, Any]:
    return {f"p{number}": each for number, each in enumerate(parameters, 1)}


def _line(error: psycopg.Error) -> str:
    """The first line of a message; what follows names statements and values."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
