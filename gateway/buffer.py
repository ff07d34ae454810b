"""The buffer: every sealed batch, durable before anything is sent, removed only as the uplink's rules allow.

Rules of removal. Only when space is needed: first batches marked safe, from their epoch's start on, oldest first; when
none is left, batches marked stored, oldest first, which the caller tells in an event; never one that is not stored,
never the newest. When that frees too little, the new batch is refused by name.

All methods run in the writer's thread. One transaction takes a batch, its place as the newest, and the slots that its
readings were made for: a slot is either sealed or polled again. `disk` knows the file; here is what it means.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway import schema
from gateway.chain import Chain, Entry, Head, Mark
from gateway.disk import Disk
from gateway.faults import BufferDamaged, BufferFull
from gateway.settled import Settled
from gateway.slots import Numbers, settle, slots_of
from protocols.errors import PlombaError
from protocols.reading import MeterTime
from protocols.uplink.batch import Batch
from protocols.uplink.envelope import Codec, Content
from protocols.uplink.faults import FieldError
from protocols.uplink.header import Header
from protocols.uplink.hello import Signed
from protocols.uplink.keys import Algorithm, PublicKey
from protocols.uplink.leaf import time_code, time_of
from protocols.uplink.pack import Fields, Wire, pack, unpack

META_BYTES = 64 * 1024  # the longest value kept beside the batches: the last acknowledgement

KEPT_ASIDE = 64  # rotten batches kept for inspection
OVERHEAD = 512  # bytes of index, header and signature of one batch beyond its body

Gap = tuple[bytes, int, int]  # epoch, first and last number that a damaged file took
GAPS = 1_000  # kept until they are declared; more of them in one damaged file are named by the collector alone


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
    rows: dict[str, MeterTime]
    gaps: tuple[Gap, ...]


class Buffer:
    """One open buffer; `max_bytes` bounds the database file, `reserve_bytes` is given up on a full disk."""

    def __init__(self, folder: Path, max_bytes: int, reserve_bytes: int, name: str = schema.BUFFER_FILE) -> None:
        """Open or make the buffer `name` in `folder`.

        Raises:
            NotDurable: it could lose commits in a power cut.
            sqlite3.DatabaseError: damaged: salvage it.
        """
        self.path = folder / name
        self._disk = Disk(self.path, max_bytes, reserve_bytes)
        self._numbers: Numbers = {}

    def close(self) -> None:
        """Close the file; the log is written back."""
        self._disk.close()

    def settle_log(self) -> None:
        """What a process before us wrote, and perhaps could not sync, is on the disk when this returns.

        Raises:
            WriteFailed: the disk does not take it now; nothing counts before it does.
        """
        self._disk.settle_log()

    def chain(self) -> Chain:
        """All that is held."""
        rows = self._disk.opened().execute(
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
        rows = self._disk.opened().execute("SELECT device, seconds, code FROM profile")
        head, order, last = self._meta("head"), self._meta("order"), self._meta("last_ack")
        return Known(
            None if head is None else Head(head.octets("epoch"), head.integer("seq"), head.octets("id")),
            (0, 0) if order is None else (order.integer("generation"), order.integer("number")),
            None if last is None else Signed(last.octets("header"), last.octets("signature")),
            self._number("window"),
            self._number("signed_ms") or 0,
            self._number("sealed_ms") or 0,
            slots_of(self._disk.opened()),
            {device: time_of(seconds, code) for device, seconds, code in rows},
            self._gaps(),
        )

    def append(
        self,
        batch: Batch,
        settled: Settled,
        readings: int,
        released: Sequence[int] = (),
        declared: Sequence[Gap] = (),
    ) -> Appended:
        """Commit a sealed batch and release the rows of the quarantine that it holds; again it changes nothing.

        What it has `declared` lost is no gap any more that a start would declare.

        Raises:
            BufferFull: nothing may be removed, nothing was written.
            WriteFailed: it may or may not have been written: append it again.
        """

        def work(database: sqlite3.Connection) -> tuple[Appended, Numbers]:
            done = self._append(database, batch, settled, readings)
            database.executemany("DELETE FROM quarantine WHERE n = ?", [(n,) for n in released])
            if declared and (gaps := self._legible_gaps()):
                _put(database, "gaps", [list(each) for each in _undeclared(gaps, declared)])
            return done

        done, newest = self._disk.write(work)
        self._numbers |= newest
        return done

    def quarantine(self, rows: Iterable[tuple[bytes, bytes | None]], settled: Settled) -> None:
        """Keep readings that no key could seal (leaf and telegram) and what they settle, in one commit.

        Raises:
            BufferFull: nothing may be removed for them, nothing was written.
            WriteFailed: nothing of it counts.
        """
        kept = list(rows)
        size = sum(len(leaf) + len(telegram or b"") + OVERHEAD for leaf, telegram in kept)

        def work(database: sqlite3.Connection) -> Numbers:
            self._make_room(database, size)
            database.executemany("INSERT INTO quarantine (leaf, telegram) VALUES (?, ?)", kept)
            return self._settle(database, settled)

        self._numbers |= self._disk.write_small(work)

    def quarantined(self, limit: int) -> list[Kept]:
        """The oldest readings in quarantine."""
        rows = self._disk.opened().execute("SELECT n, leaf, telegram FROM quarantine ORDER BY n LIMIT ?", (limit,))
        return [Kept(*row) for row in rows]

    def content(self, batch: bytes) -> Content | None:
        """A batch as it was sealed, or None where it is not held.

        Raises:
            BufferDamaged: its pages do not read, or hold what no batch holds.
            WriteFailed: the disk does not give it, or has not taken yet what a process before us wrote.
        """
        self._disk.settle_log()
        query = "SELECT header, signature, codec, body FROM content JOIN batch USING (n) WHERE id = ?"
        row = next(iter(self._disk.read(query, batch)), None)
        return None if row is None else content_of(row)

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

        self._disk.write_small(work)

    def counted(self, name: str) -> int:
        """What the counter stands at, over all codes."""
        row = (
            self._disk.opened()
            .execute("SELECT coalesce(sum(count), 0) FROM counter WHERE name = ?", (name,))
            .fetchone()
        )
        return int(row[0])

    def told(self, name: str) -> int:
        """Up to which count of a counter an event was sealed."""
        return self._number(f"told {name}") or 0

    def keep_told(self, name: str, count: int) -> None:
        """An event was sealed that tells a counter up to `count`."""
        self._disk.write_small(lambda database: _put(database, f"told {name}", [count]))

    def count(self, name: str, code: str, by: int = 1) -> None:
        """Raise a counter that `status` shows."""

        def work(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT INTO counter VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (name, code, by),
            )

        self._disk.write_small(work)

    def set_aside(self, batch: bytes, code: str) -> None:
        """A batch that does not verify leaves the chain; it is kept apart for inspection.

        Its place is a gap from then on, until a committed batch declares it lost: whatever ends the process meanwhile.
        """

        def work(database: sqlite3.Connection) -> None:
            place = database.execute("SELECT epoch, seq FROM batch WHERE id = ?", (batch,)).fetchone()
            if place is not None:
                _put(database, "gaps", [list(each) for each in _with_place(self._legible_gaps(), *place)])
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

        self._disk.write_small(work)

    def remember_key(self, key: PublicKey) -> None:
        """Keep a public key of ours: batches sealed with it are checked before they are sent.

        One that is kept is not written again: a gateway must start on a disk that takes nothing now.
        """
        if self.own_keys().get(key.id) == key:
            return
        self._disk.write_small(
            lambda database: database.execute(
                "INSERT OR IGNORE INTO own_key VALUES (?, ?, ?)", (key.id, int(key.algorithm), key.octets)
            )
        )

    def own_keys(self) -> dict[bytes, PublicKey]:
        """All public sealing keys that this gateway ever had, by key id; a row that is damaged holds none."""
        keys: list[PublicKey] = []
        for algorithm, octets in self._disk.read("SELECT algorithm, octets FROM own_key"):
            with suppress(ValueError, FieldError):
                if isinstance(octets, bytes):
                    keys.append(PublicKey(Algorithm(algorithm), octets))
        return {key.id: key for key in keys}

    def take_over(
        self, batches: Iterable[tuple[Batch, int]], meta: Mapping[str, Wire], slots: Iterable[tuple[str, int]]
    ) -> None:
        """Fill an empty buffer with salvaged batches (and their number of readings), in order, and settled slots."""

        def work(database: sqlite3.Connection) -> Numbers:
            for batch, readings in batches:
                _insert(database, batch, readings)
            for name, value in meta.items():
                _put(database, name, value)
            return settle(database, slots, self._numbers)

        self._numbers |= self._disk.write_small(work)

    def set_gaps(self, gaps: Sequence[Gap]) -> None:
        """Keep what a damaged file took until it is declared lost under a seal."""
        self._disk.write_small(lambda database: _put(database, "gaps", [list(each) for each in gaps[:GAPS]]))

    def _gaps(self) -> tuple[Gap, ...]:
        return gaps_of(self._disk.opened())

    def _legible_gaps(self) -> tuple[Gap, ...]:
        """The gaps; none where a damaged page holds them: the next start salvages the file."""
        try:
            return self._gaps()
        except PlombaError:
            return ()

    def _append(
        self, database: sqlite3.Connection, batch: Batch, settled: Settled, readings: int
    ) -> tuple[Appended, Numbers]:
        row = database.execute(
            "SELECT n, id, epoch, seq, prev, created_ms, size FROM batch WHERE id = ?", (batch.id,)
        ).fetchone()
        if row is not None:
            return Appended(Entry(*row)), {}
        removed, unsafe = self._make_room(database, len(batch.content.body) + OVERHEAD)
        entry = _insert(database, batch, readings)
        _put(database, "head", [entry.epoch, entry.seq, entry.id])
        sealed_ms = self._number("sealed_ms") or 0
        _put(database, "sealed_ms", [max(sealed_ms, entry.created_ms)])
        newest = self._settle(database, settled)
        free, allowed = self._disk.pages(database)
        return Appended(entry, tuple(removed), tuple(unsafe), 100 - 100 * free // allowed), newest

    def _settle(self, database: sqlite3.Connection, settled: Settled) -> Numbers:
        rows = [(device, time.seconds, time_code(time)) for device, time in settled.rows.items()]
        database.executemany("INSERT OR REPLACE INTO profile VALUES (?, ?, ?)", rows)
        return settle(database, settled.slots, self._numbers)

    def _make_room(self, database: sqlite3.Connection, size: int) -> tuple[list[bytes], list[bytes]]:
        needed = size // schema.PAGE + 2 + (0 if self._disk.full else schema.WORK_PAGES)
        removed: list[bytes] = []
        unsafe: list[bytes] = []
        while self._disk.pages(database)[0] < needed:
            found = database.execute(_NEXT_SAFE).fetchone()
            if found is None:
                found = database.execute(_NEXT_STORED).fetchone()
                if found is None:
                    if self._disk.full:
                        break  # the reserve file was given up: there may be room on the disk
                    raise BufferFull("a batch that may be removed", "none", str(self.path))
                unsafe.append(found[0])
            removed.append(found[0])
            _remove(database, [found[0]])
        return removed, unsafe

    def _meta(self, name: str) -> Fields | None:
        row = self._disk.opened().execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else Fields(unpack(row[0], META_BYTES, f"buffer.{name}"), f"buffer.{name}", 1)

    def _number(self, name: str) -> int | None:
        found = self._meta(name)
        return None if found is None else found.integer(name)


def gaps_of(database: sqlite3.Connection) -> tuple[Gap, ...]:
    """The places of batches that are gone and not yet declared lost.

    Raises:
        FormError, FieldError, LimitError: a damaged page holds them.
    """
    row = database.execute("SELECT value FROM meta WHERE name = 'gaps'").fetchone()
    wire = [] if row is None else unpack(row[0], META_BYTES, "buffer.gaps")
    found = [Fields(each, "buffer.gaps", 3) for each in wire] if isinstance(wire, list) else []
    return tuple((each.octets("epoch"), each.integer("first"), each.integer("last")) for each in found)


def _with_place(gaps: Sequence[Gap], epoch: bytes, seq: int) -> list[Gap]:
    """With one more place that is gone; neighbours are one gap, and there are at most `GAPS`."""
    found: list[Gap] = []
    for known, first, last in sorted([*gaps, (epoch, seq, seq)]):
        if found and found[-1][0] == known and first <= found[-1][2] + 1:
            found[-1] = (known, found[-1][1], max(last, found[-1][2]))
        else:
            found.append((known, first, last))
    return found[:GAPS]


def _undeclared(gaps: Sequence[Gap], declared: Sequence[Gap]) -> list[Gap]:
    """What of the gaps is in nothing that was declared."""
    left = list(gaps)
    for epoch, first, last in declared:
        spans = [(each, ((each[1], min(each[2], first - 1)), (max(each[1], last + 1), each[2]))) for each in left]
        left = [
            (gap[0], *span)
            for gap, parts in spans
            for span in (parts if gap[0] == epoch else (gap[1:],))
            if span[0] <= span[1]
        ]
    return left


_NEWEST = "(SELECT max(n) FROM batch)"
_NEXT_SAFE = f"""SELECT id FROM batch AS b WHERE mark = {Mark.SAFE:d} AND n < {_NEWEST}
    AND seq = (SELECT min(seq) FROM batch WHERE epoch = b.epoch) ORDER BY n LIMIT 1"""  # noqa: S608 - constants only
_NEXT_STORED = f"SELECT id FROM batch WHERE mark > 0 AND n < {_NEWEST} ORDER BY n LIMIT 1"  # noqa: S608


def content_of(row: Sequence[object]) -> Content:
    """A batch from its row: header, signature, codec, body.

    Raises:
        BufferDamaged: one of them is of another kind: a damaged page may hold anything.
    """
    header, signature, codec, body = row
    if (
        isinstance(header, bytes)
        and isinstance(signature, bytes)
        and isinstance(codec, int)
        and isinstance(body, bytes)
    ):
        with suppress(ValueError):
            return Content(header, signature, Codec(codec), body)
    raise BufferDamaged("header, signature, codec and body of a batch", "something else", schema.BUFFER_FILE)


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


def _remove(database: sqlite3.Connection, batches: Iterable[bytes]) -> None:
    for batch in batches:
        database.execute("DELETE FROM content WHERE n = (SELECT n FROM batch WHERE id = ?)", (batch,))
        database.execute("DELETE FROM batch WHERE id = ?", (batch,))


def _put(database: sqlite3.Connection, name: str, value: Wire) -> None:
    database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, pack(value)))
