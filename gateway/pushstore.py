"""What is kept of pushes, in a file of its own in the state folder: what is known of the meters, and what came.

Of each meter: who it said it is when it was read, its push list, scalers and units, so that a push becomes a reading of
the same meter. Of what came: which invocation counters (a window below the highest: pushes overtake each other on
their way), the digests of the last pushes, when the last one came, and counts. A file that was lost costs no reading:
what is learnt is learnt at the next visit, and a push that is sealed twice is the same one for the collector.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.faults import WriteFailed
from gateway.pushshown import BUSY_MS, FILE
from gateway.writer import Writer
from protocols.dlms.objects import Attribute, ScalerUnit
from protocols.dlms.pushed import Kept, from_text
from protocols.reading import Identity
from protocols.uplink.leaf import identity_from_wire, identity_to_wire
from protocols.uplink.pack import pack, unpack

WINDOW = 64  # counters up to the highest that may still come: datagrams overtake each other
DIGESTS = 64  # of each meter: a meter gives up long before so many pushes
IDENTITY_BYTES = 4_096
TABLES = """
CREATE TABLE IF NOT EXISTS meter (device TEXT PRIMARY KEY, identity BLOB NOT NULL, listed TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scale (device TEXT NOT NULL, attribute TEXT NOT NULL, exponent INTEGER NOT NULL, unit TEXT,
    PRIMARY KEY (device, attribute)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (id BLOB PRIMARY KEY, highest INTEGER NOT NULL, came BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS recent (n INTEGER PRIMARY KEY, device TEXT NOT NULL, digest BLOB NOT NULL,
    at_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS last (device TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS count (name TEXT NOT NULL, code TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (name, code)) WITHOUT ROWID;
"""
Count = tuple[str, str]  # what is counted, and of which device or with which code


@dataclass(frozen=True, slots=True)
class Seen:
    """The highest invocation counter that came under a key, and which of the newest came: bit n is the one n below."""

    highest: int = -1
    came: int = 0

    def takes(self, counter: int) -> bool:
        """Whether this counter may still come."""
        apart = self.highest - counter
        return apart < 0 or (apart < WINDOW and not self.came >> apart & 1)

    def took(self, counter: int) -> Seen:
        """With this counter among what came."""
        apart = self.highest - counter
        if apart >= 0:
            return Seen(self.highest, self.came | 1 << apart)
        shifted = self.came << -apart if -apart < WINDOW else 0
        return Seen(counter, shifted & (1 << WINDOW) - 1 | 1)

    def without(self, counter: int) -> Seen:
        """As if it had not come: it may come again."""
        apart = self.highest - counter
        return Seen(self.highest, self.came & ~(1 << apart)) if 0 <= apart < WINDOW else self


@dataclass(frozen=True, slots=True)
class Met:
    """One meter as it was read: who it is, and what is known of its registers."""

    identity: Identity
    kept: Kept


@dataclass(frozen=True, slots=True)
class Sent:
    """One push that is sealed: the key it came under (empty: plain), that key's counters, and its digest."""

    device: str
    key: bytes
    seen: Seen
    digest: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a start needs."""

    meters: dict[str, Met] = field(default_factory=dict)
    seen: dict[bytes, Seen] = field(default_factory=dict)
    recent: dict[str, dict[bytes, int]] = field(default_factory=dict)
    misfit: set[str] = field(default_factory=set)  # meters whose pushes do not fit the push list that is known
    wanted: dict[str, set[bytes]] = field(default_factory=dict)  # names in pushes whose class or scaler is not known


class PushStore:
    """The file; every method is one transaction, durable when it returns."""

    def __init__(self, folder: Path, writer: Writer) -> None:
        self._path, self._writer = folder / FILE, writer

    async def remembered(self) -> Remembered:
        """All of it.

        Raises:
            WriteFailed: the file cannot be read or made.
        """
        return await self._writer.do(self._remembered)

    async def learn(self, device: str, met: Met) -> None:
        """What a visit showed of a meter.

        Raises:
            WriteFailed: the disk does not take it.
        """
        await self._writer.do(lambda: self._learn(device, met))

    async def keep(self, sent: Sequence[Sent], counts: Mapping[Count, int]) -> None:
        """Pushes that are sealed, and what is to be counted.

        Raises:
            WriteFailed: the disk does not take it.
        """
        await self._writer.do(lambda: self._keep(sent, counts))

    def _remembered(self) -> Remembered:
        found = Remembered()
        with self._opened() as database:
            scales: dict[str, dict[Attribute, ScalerUnit]] = {}
            for device, attribute, exponent, unit in database.execute("SELECT * FROM scale"):
                scales.setdefault(device, {})[from_text(attribute)] = ScalerUnit(exponent, unit)
            for device, identity, listed in database.execute("SELECT device, identity, listed FROM meter"):
                who = identity_from_wire(unpack(identity, IDENTITY_BYTES, FILE))
                kept = Kept(tuple(from_text(each) for each in listed.split()), scales.get(device, {}))
                found.meters[device] = Met(who, kept)
            for key, highest, came in database.execute("SELECT id, highest, came FROM seen"):
                found.seen[key] = Seen(highest, int.from_bytes(came, "big"))
            for device, digest, at_ms in database.execute("SELECT device, digest, at_ms FROM recent ORDER BY n"):
                found.recent.setdefault(device, {})[digest] = at_ms
        return found

    def _learn(self, device: str, met: Met) -> None:
        listed = " ".join(map(str, met.kept.listed))
        rows = [(device, str(each), scale.exponent, scale.unit) for each, scale in met.kept.scales.items()]
        with self._opened() as database:
            identity = pack(identity_to_wire(met.identity))
            database.execute("INSERT OR REPLACE INTO meter VALUES (?, ?, ?)", (device, identity, listed))
            database.executemany("INSERT OR REPLACE INTO scale VALUES (?, ?, ?, ?)", rows)

    def _keep(self, sent: Sequence[Sent], counts: Mapping[Count, int]) -> None:
        with self._opened() as database:
            for each in sent:
                if each.key:
                    row = (each.key, each.seen.highest, each.seen.came.to_bytes(WINDOW // 8, "big"))
                    database.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", row)
                recent = (each.device, each.digest, each.at_ms)
                database.execute("INSERT INTO recent (device, digest, at_ms) VALUES (?, ?, ?)", recent)
                database.execute(_FORGET, {"device": each.device, "kept": DIGESTS})
                database.execute("INSERT OR REPLACE INTO last VALUES (?, ?)", (each.device, each.at_ms))
            rows = [(name, code, count) for (name, code), count in counts.items()]
            database.executemany(_COUNT, rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """One transaction, durable when this ends.

        Raises:
            WriteFailed: nothing of it counts.
        """
        try:
            if not self._path.exists():
                self._path.touch(0o600)
            database = sqlite3.connect(self._path, isolation_level=None)
            try:
                database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
                database.execute("PRAGMA journal_mode = DELETE")
                database.execute("PRAGMA synchronous = EXTRA")
                database.executescript(TABLES)
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
            finally:
                database.close()
        except (sqlite3.Error, OSError, ValueError) as error:
            raise WriteFailed("a file that keeps what came unasked", str(error), str(self._path)) from None


_FORGET = """DELETE FROM recent WHERE device = :device
    AND n <= (SELECT n FROM recent WHERE device = :device ORDER BY n DESC LIMIT 1 OFFSET :kept)"""
_COUNT = "INSERT INTO count VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
