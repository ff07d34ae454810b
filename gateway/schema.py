"""The buffer's tables, its settings and what is asserted of them."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.faults import NotDurable

BUFFER_FILE = "buffer.sqlite3"
RESERVE_FILE = "reserve"  # given up when the disk is full: without it even DELETE and checkpoint fail there
SIDE_FILES = ("-wal", "-shm")
PAGE = 4096  # bytes, SQLite's default; asserted nowhere, read back where it matters
WORK_PAGES = 64  # kept free inside the file (256 KiB): marks, counters and the removal itself need room
# On a full disk the reserve file's 256 KiB must hold what is in the log and not yet in the database: checkpoint after
# half of that, and cut the log back to it.
WAL_PAGES = 32
WAL_BYTES = 128 * 1024
BUSY_MS = 5_000  # a technician's command may read for a moment
FULL = 2  # PRAGMA synchronous
# What SQLite's faults come as: where a damaged page stands in its message, Python cannot even read that.
FAULTS = (sqlite3.Error, UnicodeDecodeError)
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
Shape = tuple[frozenset[tuple[Any, ...]], frozenset[tuple[Any, ...]]]  # of a table: columns, indexes

# The index of a batch and its content lie apart: a mark must not rewrite a blob.
TABLES = """
CREATE TABLE IF NOT EXISTS batch (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, epoch BLOB NOT NULL, seq INTEGER NOT NULL, prev BLOB,
    created_ms INTEGER NOT NULL, size INTEGER NOT NULL, readings INTEGER NOT NULL,
    mark INTEGER NOT NULL DEFAULT 0, refused TEXT, UNIQUE (epoch, seq));
CREATE TABLE IF NOT EXISTS content (
    n INTEGER PRIMARY KEY, header BLOB NOT NULL, signature BLOB NOT NULL, codec INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS aside (
    id BLOB PRIMARY KEY, header BLOB NOT NULL, signature BLOB NOT NULL, codec INTEGER NOT NULL, body BLOB NOT NULL,
    code TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine (n INTEGER PRIMARY KEY AUTOINCREMENT, leaf BLOB NOT NULL, telegram BLOB);
CREATE TABLE IF NOT EXISTS slot (
    device TEXT NOT NULL, slot_ms INTEGER NOT NULL, n INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (device, slot_ms))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS profile (device TEXT PRIMARY KEY, seconds INTEGER NOT NULL, code INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS own_key (id BLOB PRIMARY KEY, algorithm INTEGER NOT NULL, octets BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT NOT NULL, code TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (name, code)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""


def connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    """Open (or make) the database for writing, durable against power cuts.

    Raises:
        NotDurable: write-ahead log or full synchronisation cannot be had.
        sqlite3.Error: not a database, damaged, or not writable.
    """
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        mode = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        database.execute("PRAGMA synchronous = FULL")
        level = database.execute("PRAGMA synchronous").fetchone()[0]
        if (mode, level) != ("wal", FULL):
            raise NotDurable("journal_mode wal and synchronous FULL", f"{mode} and {level}", str(path))
        database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        database.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        size = database.execute("PRAGMA page_size").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {max_bytes // size}")
        database.executescript(TABLES)
        _raise(database)
    except (*FAULTS, NotDurable):
        database.close()
        raise
    return database


def settle(database: sqlite3.Connection) -> None:
    """Write the whole log back into the database, synced, and begin it anew by a commit.

    Raises:
        sqlite3.Error: the disk does not take it, or somebody reads and does not end.
    """
    if database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise sqlite3.OperationalError("the log is in use: somebody reads for long")
    database.execute("PRAGMA user_version = 0")


def _raise(database: sqlite3.Connection) -> None:
    """Give a buffer of an older release what it lacks: the order in which slots were read."""
    if "n" not in {row[1] for row in database.execute("PRAGMA table_info(slot)")}:
        database.execute("ALTER TABLE slot ADD COLUMN n INTEGER NOT NULL DEFAULT 0")


def is_sound(database: sqlite3.Connection) -> bool:
    """Whether every page of the database is as it should be, every index agrees with its table, and these are ours."""
    try:
        return bool(database.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok") and is_ours(database)
    except DAMAGE:
        return False


def is_ours(database: sqlite3.Connection) -> bool:
    """Whether all tables are those that we make: a name in which a bit turned over is a name to SQLite.

    A buffer of an older release may lack some.
    """
    wanted, found = _expected(), _shapes(database)
    older = {name: shape for name, shape in wanted.items() if name in found} | _without_order(wanted, found)
    return found == older and found.keys() >= {"batch", "content"}


def _without_order(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> dict[str, Shape]:
    columns, indexes = wanted["slot"]
    before = (columns - {each for each in columns if each[0] == "n"}, indexes)
    return {"slot": before} if found.get("slot") == before else {}


@functools.cache
def _expected() -> Mapping[str, Shape]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES)
        return _shapes(database)


def _shapes(database: sqlite3.Connection) -> dict[str, Shape]:
    """By table: columns with type, whether they may be empty, default and place in the key; columns of its indexes."""
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: _shape(database, name) for name in names if not name.startswith("sqlite_")}


def _shape(database: sqlite3.Connection, table: str) -> Shape:
    columns = database.execute('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (table,))
    indexes = database.execute('SELECT name, "unique" FROM pragma_index_list(?)', (table,)).fetchall()
    named = "SELECT name FROM pragma_index_info(?) ORDER BY seqno"
    keys = {(unique, *(row[0] for row in database.execute(named, (name,)))) for name, unique in indexes}
    return frozenset(columns.fetchall()), frozenset(keys)
