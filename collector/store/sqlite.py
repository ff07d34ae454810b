"""The embedded store: one SQLite file in WAL mode with synchronous=FULL, which lost nothing in 100 power cuts.

Limits: one machine, a local file system. The connection may be used from one thread at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from collector.faults import DurabilityError, StoreFullError, StoreGoneError, StoreVersionError
from collector.seat import Seated
from collector.store import schema
from collector.store.cases import Cases
from collector.store.curves import CurveTable
from collector.store.devices import DeviceTable
from collector.store.due import DueTable
from collector.store.erasures import ErasureTable
from collector.store.evidence import EvidenceTable
from collector.store.gateways import Gateways
from collector.store.master import Master
from collector.store.readings import Readings, read_as
from collector.store.ring import Ring
from collector.store.series import SeriesTable
from collector.store.stands import StandTable

BUSY_MS = 10_000  # how long a writer waits for another process (a command of the operator) to finish
READ_BUSY_MS = 2_000  # how long a reader waits; in WAL mode it hardly ever has to
MOST_SKIPPED = 7  # tries to settle the log that are left out after one that failed
SYNCHRONOUS_FULL = 2  # as PRAGMA synchronous shows it


class SqliteStore:
    """The store in one file."""

    def __init__(self, connection: sqlite3.Connection, place: str, one_instant: bool = False) -> None:
        self._connection = connection
        self._place, self._path = place, Path(place)
        self._version = -1
        self._settled, self._failed, self._skip = False, 0, 0  # of the log: tries that failed, tries to leave out now
        opened = self._path.stat()
        self._file = (opened.st_dev, opened.st_ino)
        self.gateways = Gateways(connection)
        self.evidence = EvidenceTable(connection)
        self.readings = Readings(connection, one_instant)
        self.series = SeriesTable(connection)
        self.devices = DeviceTable(connection)
        self.cases = Cases(connection)
        self.due = DueTable(connection)
        self.erasures = ErasureTable(connection)
        self.curves = CurveTable(connection)
        self.stands = StandTable(connection)
        self.ring = Ring(connection)
        self.master = Master(connection)

    @classmethod
    def open(cls, path: Path) -> SqliteStore:
        """The store in `path`, made where there is none.

        Raises:
            StoreVersionError: another version's, or no store at all.
            StoreFullError: the file cannot be opened or made.
        """
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            # What is deleted is overwritten: else an erased reading could still be read from the file's free pages.
            connection.execute("PRAGMA secure_delete=ON")
            found = cls(connection, str(path))
            found._prepare()
            with suppress(sqlite3.OperationalError):  # a disk that takes nothing now: the next transaction tells
                found._settle_log()
        except sqlite3.OperationalError as error:
            raise StoreFullError("a store that opens", str(error), str(path)) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter: a damaged page, quoted in a message
            raise StoreVersionError("a store of the collector", str(error), str(path)) from error
        return found

    @classmethod
    def open_to_read(cls, path: Path) -> SqliteStore:
        """A view of the store as it is at this moment; it cannot be written through, and should be closed soon.

        Raises:
            StoreVersionError: another version's, or no store at all.
            StoreFullError: the file cannot be opened or is busy.
        """
        try:
            address = f"{path.absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(
                address, uri=True, isolation_level=None, check_same_thread=False, timeout=READ_BUSY_MS / 1000
            )
            try:
                connection.execute("PRAGMA query_only=ON")
                connection.execute("BEGIN")
                found = cls(connection, str(path), one_instant=True)
                found._check_version()
            except BaseException:
                connection.close()
                raise
        except sqlite3.OperationalError as error:
            raise StoreFullError("a store that can be read", str(error), str(path)) from error
        except (sqlite3.DatabaseError, OSError) as error:
            raise StoreVersionError("a store of the collector", str(error), str(path)) from error
        return found

    def close(self) -> None:
        """Close the file; nothing is pending outside a transaction."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on the disk when left without an error.

        Raises:
            StoreFullError: the disk or the file did not take it; nothing of it is there.
        """
        self._still_there()
        try:
            self._settle_log()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            raise StoreFullError("a store that takes a transaction", str(error), self._place) from error

    def _still_there(self) -> None:
        """A file that was removed or replaced under us would take commits that nobody ever sees again.

        Raises:
            StoreGoneError: it was.
        """
        try:
            found = self._path.stat()
            here = (found.st_dev, found.st_ino)
        except OSError:
            here = None
        if here != self._file:
            got = "none" if here is None else "another file"
            raise StoreGoneError("the file that was opened", got, self._place)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of a transaction that is taken back alone when it fails."""
        self._connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO part")
                self._connection.execute("RELEASE part")
            raise
        self._connection.execute("RELEASE part")

    def durability(self) -> None:
        """Pass when a commit is on the disk before it returns.

        Raises:
            DurabilityError: which setting is not what it must be.
        """
        mode = self._connection.execute("PRAGMA journal_mode").fetchone()[0]
        synchronous = self._connection.execute("PRAGMA synchronous").fetchone()[0]
        if mode != "wal" or synchronous < SYNCHRONOUS_FULL:
            raise DurabilityError("journal_mode wal and synchronous 2 (FULL)", f"{mode} and {synchronous}", self._place)

    def forget(self) -> bool:
        """Let the log keep nothing of what was deleted; false where a reader needs it still: ask again later.

        Raises:
            StoreFullError: the disk does not take what is in the log.
        """
        try:
            return not self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise StoreFullError("a store that takes what is in its log", str(error), self._place) from error

    def changed(self) -> bool:
        """Whether another connection has written since this was last asked (at first: yes)."""
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        different, self._version = version != self._version, version
        return different

    def workers(self) -> list[Seated]:
        """None: one process writes a file."""
        return []

    def snapshot(self) -> str:
        """None has a name: a copy is made by SQLite itself."""
        return ""

    def leads(self, job: int) -> bool:
        """Whether this connection does a job that only one shall do: one process writes a file."""
        return True

    def _versions(self) -> tuple[int, int]:
        """The application and the version that the file names."""
        application: int = self._connection.execute("PRAGMA application_id").fetchone()[0]
        version: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        return application, version

    def _empty(self) -> bool:
        found: int = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return found == 0

    def _prepare(self) -> None:
        """Make the tables in an empty file, raise an older version's; all in one transaction."""
        application, version = self._versions()
        older = application == schema.APPLICATION_ID and version in schema.MIGRATIONS
        if older or (self._empty() and application == 0):
            with self.transaction():
                if self._empty():
                    self._make()
                elif older:
                    self._migrate()
        self._check_version()

    def _settle_log(self) -> None:
        """Make durable what is visible: a process before us may have ended after a sync that failed.

        It is written again, into the database, and synced; a commit then begins the log anew, lest what is left of the
        old one be played over it. Until that is done no transaction counts: behind a log that has a hole it would be
        lost in a power cut. It is not tried at every transaction: each try writes the whole log.
        """
        if self._settled:
            return
        if self._skip:
            self._skip -= 1
            raise sqlite3.OperationalError("what was written before is not on the disk yet")
        before, self._failed = self._failed, min(2 * self._failed + 1, MOST_SKIPPED)
        self._skip = self._failed
        if self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            self._failed, self._skip = before, 0  # the disk did not fail, and who waited has waited long enough
            raise sqlite3.OperationalError("the log is in use: another program reads for long")
        self._connection.execute(f"PRAGMA user_version={self._versions()[1]}")
        self._settled = True

    def _check_version(self) -> None:
        application, version = self._versions()
        if (application, version) != (schema.APPLICATION_ID, schema.VERSION):
            got = f"application {application:#x}, version {version}"
            raise StoreVersionError(f"version {schema.VERSION} of the collector's store", got, self._place)

    def _make(self) -> None:
        self._run(schema.TABLES)
        self._connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
        self._connection.execute(f"PRAGMA user_version={schema.VERSION}")

    def _migrate(self) -> None:
        """From the version that is there now (another process may have raised it meanwhile) to ours."""
        for version in range(self._versions()[1], schema.VERSION):
            self._run(schema.MIGRATIONS[version])
        self.series.rebuild()
        self.devices.rebuild(read_as)
        self._connection.execute(f"PRAGMA user_version={schema.VERSION}")

    def _run(self, statements: str) -> None:
        for statement in filter(str.strip, statements.split(";\n")):
            self._connection.execute(statement)
