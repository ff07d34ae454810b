"""Invocation counters that are never used twice with one key: promised in blocks, each durable before it is used.

A file of its own in the state folder, apart from the buffer: what is salvaged there must not bring counters back.
Rules. A block begins at the higher of two numbers: the one behind the last that was promised, and the seconds since
2020. A gateway needs fewer than one counter a second, so a file that was lost, or an image of the disk that was put
back, does not lead back to counters that were used (docs/adr/0014). What is left of a block at the end of a process is
not used. Beside them stands the highest counter that came from each meter: one that goes down is told.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.faults import CountersUnusable
from gateway.writer import InlineWriter, Writer
from protocols.dlms.ciphering import MAX_COUNTER, Keys
from protocols.dlms.counters import Block

FILE = "counters.sqlite3"
TABLE = "CREATE TABLE IF NOT EXISTS counter (id BLOB PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID"
BLOCK = 4_096  # counters that are promised at once: the sync costs more than the numbers
# Left of a block where a visit begins, or another is promised: a profile of 90 days in blocks of 1 KB takes 600.
ENOUGH = 2_048
BEGIN_S = 1_577_836_800  # 2020-01-01 UTC
LATEST = 0x7FFF_FFFF  # seconds: a clock beyond 2088 is wrong and must not use the numbers up
BUSY_MS = 5_000  # a technician's command may promise itself some


class CounterStore:
    """The counters of one gateway; nothing is opened before the first one is asked for."""

    def __init__(self, folder: Path, utc_ms: Callable[[], int], writer: Writer | None = None) -> None:
        self._path, self._utc_ms = folder / FILE, utc_ms
        self._writer: Writer = writer or InlineWriter()
        self._blocks: dict[bytes, Block] = {}

    async def block(self, title: bytes, keys: Keys) -> Block:
        """What our title may use with a key: enough for a visit, and on the disk as used.

        Raises:
            CountersUnusable: the disk does not take it.
        """
        name = _name(b"ours", title, keys)
        block = self._blocks.setdefault(name, Block())
        if block.left < ENOUGH:
            block.promised(*await self._writer.do(lambda: self._promise(name)))
        return block

    async def raise_to(self, title: bytes, keys: Keys, counter: int) -> None:
        """The meter heard this one already, of whomever: the next block begins above.

        Raises:
            CountersUnusable: the disk does not take it.
        """
        name = _name(b"ours", title, keys)
        self._blocks.pop(name, None)
        await self._writer.do(lambda: self._set(name, counter + 1, lower=False))

    async def seen(self, device: str, keys: Keys) -> int | None:
        """The highest counter that ever came from a meter; None where none did.

        Raises:
            CountersUnusable: the file cannot be read.
        """
        name = _name(b"theirs", device.encode(), keys)
        return await self._writer.do(lambda: self._value(name))

    async def saw(self, device: str, keys: Keys, counter: int) -> None:
        """The highest that came is this one now.

        Raises:
            CountersUnusable: the disk does not take it.
        """
        name = _name(b"theirs", device.encode(), keys)
        await self._writer.do(lambda: self._set(name, counter, lower=True))

    def _promise(self, name: bytes) -> tuple[int, int]:
        """First and count of a block that is durable as used when this returns."""
        with self._opened() as database:
            row = database.execute("SELECT value FROM counter WHERE id = ?", (name,)).fetchone()
            by_clock = self._utc_ms() // 1000 - BEGIN_S
            first = max(1, 0 if row is None else int(row[0]), by_clock if by_clock <= LATEST else 0)
            behind = min(first + BLOCK, MAX_COUNTER + 1)
            database.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (name, behind))
        return first, behind - first

    def _set(self, name: bytes, value: int, *, lower: bool) -> None:
        with self._opened() as database:
            row = database.execute("SELECT value FROM counter WHERE id = ?", (name,)).fetchone()
            if row is None or lower or row[0] < value:
                database.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (name, value))

    def _value(self, name: bytes) -> int | None:
        with self._opened() as database:
            row = database.execute("SELECT value FROM counter WHERE id = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """One transaction, durable when this ends.

        Raises:
            CountersUnusable: nothing of it counts.
        """
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)  # a command may come before the daemon
            new = not self._path.exists()
            database = sqlite3.connect(self._path, isolation_level=None)
            try:
                database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
                # EXTRA: the folder is synced behind the journal, else a power cut may take the transaction back.
                database.execute("PRAGMA journal_mode = DELETE")
                database.execute("PRAGMA synchronous = EXTRA")
                database.execute("BEGIN IMMEDIATE")
                database.execute(TABLE)
                yield database
                database.execute("COMMIT")
            finally:
                database.close()
            if new:
                self._keep_apart()
        except (sqlite3.Error, OSError) as error:
            raise CountersUnusable("a file that keeps the counters", str(error), str(self._path)) from None

    def _keep_apart(self) -> None:
        """A file that root made belongs to who owns the folder: the daemon must be able to write it."""
        self._path.chmod(0o600)
        folder = self._path.parent.stat()
        if os.geteuid() == 0 and folder.st_uid:
            os.chown(self._path, folder.st_uid, folder.st_gid)


def _name(kind: bytes, whose: bytes, keys: Keys) -> bytes:
    """One key's name in the file: two meters with one key share its counters, and nobody reads a key out of it."""
    parts = (kind, whose, keys.encryption)
    digest = hashlib.sha256(b"".join(len(each).to_bytes(2, "big") + each for each in parts))
    return digest.digest()[:16]
