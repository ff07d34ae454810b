"""The store in a database of PostgreSQL 15 or later; with the extension Citus its tables may be spread over machines.

Two workers may use one database: a transaction of the uplink's rows locks its gateways first, in the order of their
names. Where the server is another one than before (a restored backup, a standby that took over: another system
identifier or timeline) the generation rises, so that the gateways offer all they hold again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from collector.faults import DurabilityError, NotFoundError, StoreVersionError
from collector.place import Server
from collector.seat import Seated
from collector.store import dialect, schema
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
from collector.store.seats import leads, seated
from collector.store.series import SeriesTable
from collector.store.session import Session
from collector.store.stands import StandTable

SERVER_VERSION = 150_000  # as server_version_num shows it
FIRST = 3  # the oldest version that was ever made in PostgreSQL
_LOCK = schema.APPLICATION_ID  # of the advisory lock under which tables are made or changed
# What must be on for a commit to be on the disk, and what counts as on.
_DURABLE = {"fsync": {"on"}, "full_page_writes": {"on"}, "synchronous_commit": {"on", "remote_apply"}}


class PostgresqlStore:
    """The store in one database, in the schema that the search path of its role names first."""

    def __init__(self, server: Server, one_instant: bool = False) -> None:
        self._server = server
        self._version = -1
        self._ready = False
        sql = self._connection = Session(server, self._greet)
        self.gateways = Gateways(sql)
        self.evidence = EvidenceTable(sql)
        self.readings = Readings(sql, one_instant)
        self.series = SeriesTable(sql)
        self.devices = DeviceTable(sql)
        self.cases = Cases(sql)
        self.due = DueTable(sql)
        self.erasures = ErasureTable(sql)
        self.curves = CurveTable(sql)
        self.stands = StandTable(sql)
        self.ring = Ring(sql)
        self.master = Master(sql)

    @classmethod
    def open(cls, server: Server, make: bool = True) -> PostgresqlStore:
        """The store in a database, made where there is none.

        Raises:
            NotFoundError: there is none, and it shall not be made.
            StoreVersionError: another version's, or of another encoding.
            StoreFullError: the server is away or gives no right.
        """
        found = cls(server)
        try:
            if not make and not found._there():
                raise NotFoundError("a store", "none yet: run or sign makes it", str(server))
            with found.transaction():
                found._connection.execute("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
                found._prepare()
                found._check_version()
                found._see_history()
            found._ready = True
        except BaseException:
            found.close()
            raise
        return found

    @classmethod
    def open_to_read(cls, server: Server) -> PostgresqlStore:
        """A view of the store as it is at this moment; errors as `open`."""
        found = cls(server, one_instant=True)
        try:
            found._connection.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY")
            found._check_version()
        except BaseException:
            found.close()
            raise
        return found

    def close(self) -> None:
        """Close the connection; nothing is pending outside a transaction."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on the disk when left without an error.

        Raises:
            StoreFullError: the server did not take it, or did not say so in time; nothing of it counts.
        """
        self._connection.begin()
        try:
            yield
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of a transaction that is taken back alone when it fails."""
        self._connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self._connection.take_back("part")
            raise
        self._connection.execute("RELEASE part")

    def durability(self) -> None:
        """Pass when a commit is on the disk before it returns.

        Raises:
            DurabilityError: which setting is not what it must be.
        """
        got = {name: self._shown(name) for name in _DURABLE}
        if any(got[name] not in good for name, good in _DURABLE.items()):
            wanted = ", ".join(f"{name}=on" for name in _DURABLE)
            raise DurabilityError(wanted, ", ".join(f"{name}={value}" for name, value in got.items()), str(self))

    def forget(self) -> bool:
        """Nothing: old rows go with VACUUM, and with the server's own log and backups (docs/retention.md)."""
        return True

    def changed(self) -> bool:
        """Whether the register of gateways was written since this was last asked (at first: yes)."""
        version = self.gateways.register_version()
        different, self._version = version != self._version, version
        return different

    def workers(self) -> list[Seated]:
        """The workers that have a seat now."""
        return seated(self._connection)

    def snapshot(self) -> str:
        """The name of what this view sees, for another connection while this one is open."""
        return str(self._connection.execute("SELECT pg_export_snapshot()").fetchone()[0])

    def leads(self, job: int) -> bool:
        """Whether this connection, of all of this database, does a job that only one shall do."""
        return leads(self._connection, job)

    def has_citus(self) -> bool:
        """Whether the extension Citus is in this database."""
        return self._connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'").fetchone() is not None

    def distribute(self) -> None:
        """Spread the tables over the cluster, once; errors as `transaction`."""
        with self.transaction():
            for each in dialect.distribution():
                self._connection.execute(each)

    def __str__(self) -> str:
        return str(self._server)

    def _greet(self, _: Session) -> None:
        """A connection that is made again may be to another server: what was promised is asserted anew."""
        encoding, version = self._shown("server_encoding"), int(self._shown("server_version_num"))
        if encoding != "UTF8" or version < SERVER_VERSION:
            raise StoreVersionError("PostgreSQL 15 or later with encoding UTF8", f"{version}, {encoding}", str(self))
        if self._ready:
            self.durability()
            self._check_version()
            self._see_history()

    def _shown(self, setting: str) -> str:
        return str(self._connection.execute(f"SHOW {setting}").fetchone()[0])

    def _there(self) -> bool:
        found = self._connection.execute("SELECT to_regclass('evidence') IS NOT NULL").fetchone()
        return bool(found[0])

    def _meta(self, name: str) -> int | None:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def _set_meta(self, name: str, value: int) -> None:
        self._connection.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
        )

    def _prepare(self) -> None:
        """Make the tables where there are none, raise an older version's; under the lock, in one transaction."""
        if not self._there():
            for each in dialect.tables(schema.TABLES):
                self._connection.execute(each)
            self._set_meta("version", schema.VERSION)
        elif FIRST <= (version := self._meta("version") or 0) < schema.VERSION:
            for number in range(version, schema.VERSION):
                for each in dialect.tables(schema.MIGRATIONS[number]):
                    self._connection.execute(each)
            self.series.rebuild()
            self.devices.rebuild(read_as)
            self._set_meta("version", schema.VERSION)

    def _check_version(self) -> None:
        if not self._there():
            raise StoreVersionError(f"version {schema.VERSION} of the collector's store", "no store", str(self))
        version = self._meta("version")
        if version != schema.VERSION:
            got = f"version {version}"
            raise StoreVersionError(f"version {schema.VERSION} of the collector's store", got, str(self))

    def _see_history(self) -> None:
        """Another history of the server than the one that was written into: gateways shall offer all again."""
        # PG documentation, 9.28.3: a timeline's number is the first eight letters of a segment's name, in hex.
        row = self._connection.execute(
            "SELECT system_identifier, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM pg_control_system()"
        ).fetchone()
        now = {"system": int(row[0]), "timeline": int(row[1], 16)}
        known = {name: self._meta(name) for name in now}
        if known == now:
            return
        for name, value in now.items():
            self._set_meta(name, value)
        if known["system"] is not None:
            self.gateways.set_generation(self.gateways.generation() + 1)
