"""The buffer's file: one connection for writing, one for reading, transactions, and room when there is none.

A connection that failed is closed and opened again: after a failed fsync nothing that was in hand counts. On a full
disk a reserve file is given up, without which even removing and the log's checkpoint would fail.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from gateway import schema
from gateway.faults import BufferDamaged, BufferFull, WriteFailed

T = TypeVar("T")
GIVES = "a disk that gives what it took"
MOST_SKIPPED = 7  # tries to settle the log that are left out after one that failed
CHUNK = 1 << 20  # bytes read at a time


class DiskFull(Exception):  # noqa: N818 - handled by the buffer, never told to anybody
    """SQLITE_FULL: the disk has no room (the file's own limit is guarded by the buffer)."""


class Disk:
    """One open file; `full` from the moment the reserve was given up until there is room for it again."""

    def __init__(self, path: Path, max_bytes: int, reserve_bytes: int) -> None:
        """Open or make the file.

        Raises:
            NotDurable: it could lose commits in a power cut.
            sqlite3.DatabaseError: damaged.
        """
        self.path, self.full = path, False
        self._settled, self._failed, self._skip = False, 0, 0  # of the log: tries that failed, tries to leave out now
        self._max_bytes, self._reserve_bytes = max_bytes, reserve_bytes
        self._reserve = path.with_name(schema.RESERVE_FILE)
        self._database: sqlite3.Connection | None = schema.connect(path, max_bytes)
        # Opened while the disk is well: it still reads when the file system has turned read-only (G04).
        self._reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._keep_reserve()

    def close(self) -> None:
        """Close the file; the log is written back."""
        self._reader.close()
        if self._database is not None:
            self._database.close()
            self._database = None

    def opened(self) -> sqlite3.Connection:
        """The connection for writing, opened again after a fault."""
        if self._database is None:
            self._database = schema.connect(self.path, self._max_bytes)
        return self._database

    def pages(self, database: sqlite3.Connection) -> tuple[int, int]:
        """(free, allowed): on a full disk the file cannot grow, so only its own free pages count."""
        allowed = database.execute("PRAGMA max_page_count").fetchone()[0]
        used = database.execute("PRAGMA page_count").fetchone()[0]
        free = database.execute("PRAGMA freelist_count").fetchone()[0]
        return (free if self.full else allowed - used + free), allowed

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction, durable when this returns; on a full disk once more without the reserve.

        Raises:
            WriteFailed: nothing of it counts, or nobody knows: do it again.
        """
        try:
            return self._write(work)
        except DiskFull:
            self._give_reserve_up()
        return self.write_small(work)

    def write_small(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `write`, for what the work space inside the file is there for: it never costs the reserve."""
        try:
            return self._write(work)
        except DiskFull as error:
            raise WriteFailed("room on the disk", str(error), str(self.path)) from None

    def read(self, query: str, *values: bytes) -> list[tuple[Any, ...]]:
        """All rows of a query, even where the disk takes no more writes.

        Raises:
            BufferDamaged: the page is not what was written.
            WriteFailed: the disk does not give it.
        """
        try:
            return self._reader.execute(query, values).fetchall()
        except schema.FAULTS as error:
            if not _names_damage(error):
                raise WriteFailed(GIVES, str(error), str(self.path)) from error
        try:
            self._read_through()
            return self._reader.execute(query, values).fetchall()
        except OSError as error:
            raise WriteFailed(GIVES, str(error), str(self.path)) from error
        except schema.FAULTS as error:
            raise (BufferDamaged if _names_damage(error) else WriteFailed)(GIVES, str(error), str(self.path)) from error

    def _read_through(self) -> None:
        """Read the whole file: SQLite calls a page damaged also where the disk only does not give it (EIO).

        Raises:
            OSError: the disk does not give it.
        """
        for end in ("", "-wal"):
            with self.path.with_name(self.path.name + end).open("rb", buffering=0) as file:
                while file.read(CHUNK):
                    pass

    def settle_log(self) -> None:
        """Make durable what is visible; until that is done no write counts, and nothing of it may leave.

        Raises:
            WriteFailed: the disk does not take it now.
        """
        if not self._settled:
            self.write(lambda database: None)

    def _settle(self, database: sqlite3.Connection) -> None:
        """What is visible may not be on the disk: a process before us may have ended after a sync that failed.

        It is written again, into the database, and synced; a commit then begins the log anew, lest what is left of the
        old one be played over it. What is committed behind a log that has a hole would be lost in a power cut. It is
        not tried at every write: each try writes the whole log.
        """
        if self._settled:
            return
        if self._skip:
            self._skip -= 1
            raise sqlite3.OperationalError("what was written before is not on the disk yet")
        self._failed = self._skip = min(2 * self._failed + 1, MOST_SKIPPED)
        schema.settle(database)
        self._settled = True

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._faults():
            database = self.opened()
            self._settle(database)
            database.execute("BEGIN IMMEDIATE")
            try:
                result = work(database)
            except (BufferFull, *schema.FAULTS):
                with suppress(*schema.FAULTS):
                    database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
        if self.full:
            self._shrink_log()
            self._keep_reserve()
        return result

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Name SQLite's faults; after one the connection is not trusted any more."""
        try:
            yield
        except schema.FAULTS as error:
            if self._database is not None:
                with suppress(*schema.FAULTS):
                    self._database.close()
                self._database = None
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise DiskFull(str(error)) from error
            raise WriteFailed("a disk that takes what is written", str(error), str(self.path)) from error

    def _keep_reserve(self) -> None:
        """Make the reserve file where there is room for it, and leave the state of a full disk."""
        if not self._reserve.exists() and self._reserve_bytes:
            if shutil.disk_usage(self._reserve.parent).free < 4 * self._reserve_bytes:
                return
            with suppress(OSError), self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._reserve_bytes)
        self.full = False

    def _give_reserve_up(self) -> None:
        self.full, self._skip = True, 0
        with suppress(OSError):  # a disk that is read-only as well: the next try says so
            self._reserve.unlink(missing_ok=True)
        self._shrink_log()

    def _shrink_log(self) -> None:
        """Write the log back and cut it, so that its room can be used; where that fails, the next write tells."""
        with suppress(*schema.FAULTS):
            self.opened().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _names_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, UnicodeDecodeError) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
