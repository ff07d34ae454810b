"""What the tables ask of a database: statements in the common subset of SQLite 3.40 and PostgreSQL 15, and parameters.

The rules of the subset: `?` and `?1` for parameters (one kind in a statement); `INSERT ... ON CONFLICT` with the key
named and the table's name before its columns; a key's number by `RETURNING`, never the last one given; scalar maximum
by CASE; a parameter that is only compared with NULL is cast; whole numbers counted, not summed (a sum is no integer in
PostgreSQL); joins of distributed tables name their distribution column. What must differ: `dialect`.
`sqlite3.Connection` is such a connection as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol


class RowError(Exception):
    """PostgreSQL refused a row for what is in it: a key that is there, a value that does not fit."""


# What says that a row does not fit. Never what says that the database takes nothing now.
ROW_FAULTS = (sqlite3.IntegrityError, sqlite3.DataError, RowError)


class Cursor(Protocol):
    """The rows of a statement, and how many it changed."""

    @property
    def rowcount(self) -> int: ...  # noqa: D102
    def fetchone(self) -> Any: ...  # noqa: D102 - a tuple, or None
    def fetchall(self) -> list[Any]: ...  # noqa: D102
    def __iter__(self) -> Iterator[Any]: ...
    def close(self) -> None: ...  # noqa: D102 - what was not fetched is not wanted


class Connection(Protocol):
    """Runs statements; nothing more is asked of a driver."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...  # noqa: D102
    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Cursor: ...  # noqa: D102


def stream(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
    """The rows of an answer of any size, in little memory; a driver that would fetch them all has a way of its own."""
    own = getattr(connection, "stream", None)
    return iter(connection.execute(sql, parameters) if own is None else own(sql, parameters))


def pour(connection: Connection, table: str, columns: Mapping[str, type], rows: Sequence[Sequence[Any]]) -> None:
    """Insert many rows, each with all columns, quicker than one by one where a driver has a way of its own.

    Raises:
        ROW_FAULTS: one of them does not fit; which of the others are in is not told: take back the savepoint.
    """
    own = getattr(connection, "copy", None)
    if own is not None:
        own(table, columns, rows)
        return
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608 - constants
