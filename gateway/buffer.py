"""The buffer: every sealed batch, durable before anything is sent, removed only as the uplink's rules allow.

Rules of removal. Only when space is needed: first batches marked safe, from their epoch's start on, oldest first; when
none is left, batches marked stored, oldest first, which the caller tells in an event; never one that is not stored,
never the newest. When that frees too little, the new batch is refused by name.

All methods run in the writer's thread. One transaction takes a batch, its place as the newest, and the slots that its
readings were made for: a slot is either sealed or polled again. A connection that failed is closed and opened again,
and what was in hand is written again: after a failed fsync nothing of it counts.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gateway import schema
from gateway.chain import Chain, Entry, Head, Mark
from gateway.faults import BufferDamaged, BufferFull, WriteFailed
from gateway.schedule import KEPT_SLOTS
from protocols.uplink.batch import Batch
from protocols.uplink.envelope import Codec, Content
from protocols.uplink.header import Header
from protocols.uplink.hello import Signed
from protocols.uplink.keys import Algorithm, PublicKey
from protocols.uplink.pack import Fields, Wire, pack, unpack

META_BYTES = 64 * 1024  # the longest value kept beside the batches: the last acknowledgement

KEPT_ASIDE = 64  # rotten batches kept for inspection
OVERHEAD = 512  # bytes of index, header and signature of one batch beyond its body

T = TypeVar("T")
Slot = tuple[str, int, int]  # device, slot (ms UTC), cadence (ms)


@dataclass(frozen=True, slots=True)
class Appended:
    """What one append did: the new entry, and which batches were removed to make room (`unsafe`: only stored).

    `percent` is how much of the allowed size is in use then.
    """

    entry: Entry
    removed: tuple[bytes, ...] = ()
    unsafe: tuple[bytes, ...] = ()
    percent: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """One reading in quarantine: its leaf's bytes, and its telegram where it is kept."""

    n: int
    leaf: bytes
    telegram: bytes | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the buffer knows at a start, beside the chain."""

    head: Head | None
    order: tuple[int, int]
    last_ack: Signed | None
    window: int | None
    signed_ms: int
    sealed_ms: int
    slots: dict[str, tuple[int, ...]]


class Buffer:
    """One open buffer; `max_bytes` bounds the database file, `reserve_bytes` is given up on a full disk."""

    def __init__(self, folder: Path, max_bytes: int, reserve_bytes: int, name: str = schema.BUFFER_FILE) -> None:
        """Open or make the buffer `name` in `folder`.

        Raises:
            NotDurable: it could lose commits in a power cut.
            sqlite3.DatabaseError: damaged: salvage it.
        """
        self.path = folder / name
        self._reserve = folder / schema.RESERVE_FILE
        self._max_bytes, self._reserve_bytes = max_bytes, reserve_bytes
        self._disk_full = False
        self._database: sqlite3.Connection | None = schema.connect(self.path, max_bytes)
        # Opened while the disk is well: it still reads when the file system has turned read-only (G04).
        self._reader = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self._keep_reserve()

    def close(self) -> None:
        """Close the file; the log is written back."""
        self._reader.close()
        if self._database is not None:
            self._database.close()
            self._database = None

    def chain(self) -> Chain:
        """All that is held."""
        rows = self._open().execute(
            "SELECT n, id, epoch, seq, prev, created_ms, size, mark, refused FROM batch ORDER BY n"
        )
        found = [(Entry(*row[:7]), Mark(row[7]), row[8]) for row in rows]
        return Chain(
            [entry for entry, _, _ in found],
            {entry.id: mark for entry, mark, _ in found if mark},
            {entry.id: code for entry, _, code in found if code is not None},
        )

    def known(self) -> Known:
        """What a start needs to know."""
        slots: dict[str, list[int]] = {}
        for device, slot_ms in self._open().execute("SELECT device, slot_ms FROM slot ORDER BY slot_ms"):
            slots.setdefault(device, []).append(slot_ms)
        head, order, last = self._meta("head"), self._meta("order"), self._meta("last_ack")
        return Known(
            None if head is None else Head(head.octets("epoch"), head.integer("seq"), head.octets("id")),
            (0, 0) if order is None else (order.integer("generation"), order.integer("number")),
            None if last is None else Signed(last.octets("header"), last.octets("signature")),
            self._number("window"),
            self._number("signed_ms") or 0,
            self._number("sealed_ms") or 0,
            {device: tuple(each) for device, each in slots.items()},
        )

    def append(self, batch: Batch, slots: Iterable[Slot], readings: int, released: Sequence[int] = ()) -> Appended:
        """Commit a sealed batch and release the rows of the quarantine that it holds; again it changes nothing.

        Raises:
            BufferFull: nothing may be removed, nothing was written.
            WriteFailed: it may or may not have been written: append it again.
        """
        marked = list(slots)

        def work(database: sqlite3.Connection) -> Appended:
            done = self._append(database, batch, marked, readings)
            database.executemany("DELETE FROM quarantine WHERE n = ?", [(n,) for n in released])
            return done

        try:
            return self._write(work)
        except _DiskFull:
            self._give_reserve_up()
        try:
            return self._write(work)
        except _DiskFull as error:
            raise WriteFailed("room on the disk", str(error), str(self.path)) from None

    def quarantine(self, rows: Iterable[tuple[bytes, bytes | None]], slots: Iterable[Slot]) -> None:
        """Keep readings that no key could seal (leaf and telegram) and settle their slots, in one commit.

        Raises:
            BufferFull: nothing may be removed for them, nothing was written.
            WriteFailed: nothing of it counts.
        """
        kept, marked = list(rows), list(slots)
        size = sum(len(leaf) + len(telegram or b"") + OVERHEAD for leaf, telegram in kept)

        def work(database: sqlite3.Connection) -> None:
            self._make_room(database, size)
            database.executemany("INSERT INTO quarantine (leaf, telegram) VALUES (?, ?)", kept)
            _settle(database, marked)

        self._write_small(work)

    def quarantined(self, limit: int) -> list[Kept]:
        """The oldest readings in quarantine."""
        rows = self._open().execute("SELECT n, leaf, telegram FROM quarantine ORDER BY n LIMIT ?", (limit,))
        return [Kept(*row) for row in rows]

    def content(self, batch: bytes) -> Content | None:
        """A batch as it was sealed, or None where it is not held.

        Raises:
            BufferDamaged: its pages do not read.
            WriteFailed: the disk does not give it.
        """
        query = "SELECT header, signature, codec, body FROM content JOIN batch USING (n) WHERE id = ?"
        row = next(iter(self._read(query, batch)), None)
        return None if row is None else Content(row[0], row[1], Codec(row[2]), row[3])

    def mark(
        self,
        marks: Mapping[bytes, Mark],
        refused: Mapping[bytes, str | None],
        meta: Mapping[str, Wire],
    ) -> None:
        """Take over what an accepted acknowledgement says, and `meta` (its order, bytes, ...), in one commit.

        Raises:
            WriteFailed: nothing of it counts.
        """

        def work(database: sqlite3.Connection) -> None:
            database.executemany(
                "UPDATE batch SET mark = ? WHERE id = ?", [(int(m), each) for each, m in marks.items()]
            )
            database.executemany(
                "UPDATE batch SET refused = ? WHERE id = ?", [(c, each) for each, c in refused.items()]
            )
            for name, value in meta.items():
                _put(database, name, value)

        self._write_small(work)

    def count(self, name: str, code: str, by: int = 1) -> None:
        """Raise a counter that `status` shows."""

        def work(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT INTO counter VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (name, code, by),
            )

        self._write_small(work)

    def set_aside(self, batch: bytes, code: str) -> None:
        """A batch that does not verify leaves the chain; it is kept apart for inspection."""

        def work(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT OR IGNORE INTO aside SELECT id, header, signature, codec, body, ? "
                "FROM content JOIN batch USING (n) WHERE id = ?",
                (code, batch),
            )
            _remove(database, [batch])
            database.execute(
                "DELETE FROM aside WHERE rowid NOT IN (SELECT rowid FROM aside ORDER BY rowid DESC LIMIT ?)",
                (KEPT_ASIDE,),
            )

        self._write_small(work)

    def remember_key(self, key: PublicKey) -> None:
        """Keep a public key of ours: batches sealed with it are checked before they are sent."""
        self._write_small(
            lambda database: database.execute(
                "INSERT OR IGNORE INTO own_key VALUES (?, ?, ?)", (key.id, int(key.algorithm), key.octets)
            )
        )

    def own_keys(self) -> dict[bytes, PublicKey]:
        """All public sealing keys that this gateway ever had, by key id."""
        rows = self._read("SELECT algorithm, octets FROM own_key")
        keys = [PublicKey(Algorithm(algorithm), octets) for algorithm, octets in rows]
        return {key.id: key for key in keys}

    def take_over(
        self, batches: Iterable[tuple[Batch, int]], meta: Mapping[str, Wire], slots: Iterable[tuple[str, int]]
    ) -> None:
        """Fill an empty buffer with salvaged batches (and their number of readings), in order, and settled slots."""

        def work(database: sqlite3.Connection) -> None:
            for batch, readings in batches:
                _insert(database, batch, readings)
            for name, value in meta.items():
                _put(database, name, value)
            database.executemany("INSERT OR IGNORE INTO slot VALUES (?, ?)", slots)

        self._write_small(work)

    def _append(self, database: sqlite3.Connection, batch: Batch, slots: list[Slot], readings: int) -> Appended:
        row = database.execute(
            "SELECT n, id, epoch, seq, prev, created_ms, size FROM batch WHERE id = ?", (batch.id,)
        ).fetchone()
        if row is not None:
            return Appended(Entry(*row))
        removed, unsafe = self._make_room(database, len(batch.content.body) + OVERHEAD)
        entry = _insert(database, batch, readings)
        _put(database, "head", [entry.epoch, entry.seq, entry.id])
        sealed_ms = self._number("sealed_ms") or 0
        _put(database, "sealed_ms", [max(sealed_ms, entry.created_ms)])
        _settle(database, slots)
        free, allowed = self._pages(database)
        return Appended(entry, tuple(removed), tuple(unsafe), 100 - 100 * free // allowed)

    def _make_room(self, database: sqlite3.Connection, size: int) -> tuple[list[bytes], list[bytes]]:
        needed = size // schema.PAGE + 2 + (0 if self._disk_full else schema.WORK_PAGES)
        removed: list[bytes] = []
        unsafe: list[bytes] = []
        while self._pages(database)[0] < needed:
            found = database.execute(_NEXT_SAFE).fetchone()
            if found is None:
                found = database.execute(_NEXT_STORED).fetchone()
                if found is None:
                    if self._disk_full:
                        break  # the reserve file was given up: there may be room on the disk
                    raise BufferFull("a batch that may be removed", "none", str(self.path))
                unsafe.append(found[0])
            removed.append(found[0])
            _remove(database, [found[0]])
        return removed, unsafe

    def _pages(self, database: sqlite3.Connection) -> tuple[int, int]:
        """(free, allowed): on a full disk the file cannot grow, so only its own free pages count."""
        allowed = database.execute("PRAGMA max_page_count").fetchone()[0]
        used = database.execute("PRAGMA page_count").fetchone()[0]
        free = database.execute("PRAGMA freelist_count").fetchone()[0]
        return (free if self._disk_full else allowed - used + free), allowed

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = schema.connect(self.path, self._max_bytes)
        return self._database

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction, durable when this returns."""
        with self._faults():
            database = self._open()
            database.execute("BEGIN IMMEDIATE")
            try:
                result = work(database)
            except (BufferFull, sqlite3.Error):
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
        if self._disk_full:
            self._shrink_log()
            self._keep_reserve()
        return result

    def _write_small(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """As `_write`, for what the work space inside the file is there for."""
        try:
            self._write(work)
        except _DiskFull as error:
            raise WriteFailed("room on the disk", str(error), str(self.path)) from None

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Name SQLite's faults; after one the connection is not trusted any more."""
        try:
            yield
        except sqlite3.Error as error:
            if self._database is not None:
                with suppress(sqlite3.Error):
                    self._database.close()
                self._database = None
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise _DiskFull(str(error)) from error
            raise WriteFailed("a disk that takes what is written", str(error), str(self.path)) from error

    def _read(self, query: str, *values: bytes) -> list[tuple[Any, ...]]:
        try:
            return self._reader.execute(query, values).fetchall()
        except sqlite3.Error as error:
            damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            fault = BufferDamaged if damaged else WriteFailed
            raise fault("a disk that gives what it took", str(error), str(self.path)) from error

    def _meta(self, name: str) -> Fields | None:
        row = self._open().execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else Fields(unpack(row[0], META_BYTES, f"buffer.{name}"), f"buffer.{name}", 1)

    def _number(self, name: str) -> int | None:
        found = self._meta(name)
        return None if found is None else found.integer(name)

    def _keep_reserve(self) -> None:
        """Make the reserve file where there is room for it, and leave the state of a full disk."""
        if not self._reserve.exists() and self._reserve_bytes:
            if shutil.disk_usage(self._reserve.parent).free < 4 * self._reserve_bytes:
                return
            with suppress(OSError), self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._reserve_bytes)
        self._disk_full = False

    def _give_reserve_up(self) -> None:
        self._disk_full = True
        with suppress(OSError):  # a disk that is read-only as well: the next try says so
            self._reserve.unlink(missing_ok=True)
        self._shrink_log()

    def _shrink_log(self) -> None:
        """Write the log back and cut it, so that its room can be used; where that fails, the next write tells."""
        with suppress(sqlite3.Error):
            self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _DiskFull(Exception):  # noqa: N818 - never leaves this file
    """SQLITE_FULL: the disk has no room (the file's own limit is guarded by `_make_room`)."""


_NEWEST = "(SELECT max(n) FROM batch)"
_NEXT_SAFE = f"""SELECT id FROM batch AS b WHERE mark = {Mark.SAFE:d} AND n < {_NEWEST}
    AND seq = (SELECT min(seq) FROM batch WHERE epoch = b.epoch) ORDER BY n LIMIT 1"""  # noqa: S608 - constants only
_NEXT_STORED = f"SELECT id FROM batch WHERE mark > 0 AND n < {_NEWEST} ORDER BY n LIMIT 1"  # noqa: S608


def _insert(database: sqlite3.Connection, batch: Batch, readings: int) -> Entry:
    header: Header = batch.header
    content, size = batch.content, len(batch.content.body) + len(batch.content.header)
    row = (batch.id, header.epoch, header.seq, header.prev, header.created_ms, size, readings)
    cursor = database.execute(
        "INSERT INTO batch (id, epoch, seq, prev, created_ms, size, readings) VALUES (?, ?, ?, ?, ?, ?, ?)", row
    )
    n = cursor.lastrowid or 0
    database.execute(
        "INSERT INTO content VALUES (?, ?, ?, ?, ?)",
        (n, content.header, content.signature, int(content.codec), content.body),
    )
    return Entry(n, batch.id, header.epoch, header.seq, header.prev, header.created_ms, size)


def _settle(database: sqlite3.Connection, slots: Iterable[Slot]) -> None:
    for device, slot_ms, cadence_ms in slots:
        database.execute("INSERT OR IGNORE INTO slot VALUES (?, ?)", (device, slot_ms))
        oldest = slot_ms - KEPT_SLOTS * cadence_ms
        database.execute("DELETE FROM slot WHERE device = ? AND slot_ms <= ?", (device, oldest))


def _remove(database: sqlite3.Connection, batches: Iterable[bytes]) -> None:
    for batch in batches:
        database.execute("DELETE FROM content WHERE n = (SELECT n FROM batch WHERE id = ?)", (batch,))
        database.execute("DELETE FROM batch WHERE id = ?", (batch,))


def _put(database: sqlite3.Connection, name: str, value: Wire) -> None:
    database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, pack(value)))
