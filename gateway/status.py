"""What a technician sees of the buffer, read-only beside a running daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from gateway import pushshown, schema
from gateway.buffer import content_of
from gateway.chain import Mark
from gateway.faults import BufferDamaged, BufferMissing, NoSuchBatch
from gateway.newcomers import Offer, Sought
from gateway.successors import Successor, named
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink.acknowledgement import Acknowledgement
from protocols.uplink.envelope import Content
from protocols.uplink.keys import Algorithm, PublicKey
from protocols.uplink.pack import unpack
from protocols.uplink.proof import export_batch

META_BYTES = 64 * 1024
NONE: Mapping[str, Sought] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Refused:
    """A batch that the collector refuses, with its code."""

    epoch: str
    seq: int
    id: str
    code: str


@dataclass(frozen=True, slots=True)
class LastAcknowledgement:
    """The last one accepted; `heard_ms` by our clock (UTC)."""

    generation: int
    number: int
    time_ms: int
    heard_ms: int | None
    window: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """A device at which another meter answers than the configured one, since when (ms UTC)."""

    device: str
    old: str
    new: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Found:
    """A meter that nobody configured on a bus with silent ones, when it was found (ms UTC), and what is proposed.

    `devices` are those in whose place it may be; `exchange` is the one for which it is proposed.
    """

    bus: str
    meter: str
    number: str
    medium: int
    found_ms: int
    devices: tuple[str, ...]
    exchange: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Searched:
    """The search for newcomers on a bus: for which silent devices, its selections today, and whether it is done.

    `rests` is why it does not go on today, or empty.
    """

    bus: str
    devices: tuple[str, ...]
    selections: int
    done: bool
    rests: str

    def __str__(self) -> str:
        state = "done" if self.done else "goes on"
        return f"{', '.join(self.devices)} silent; {self.selections} selections today, {self.rests or state}"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of one gateway's buffer."""

    epoch: str | None
    seq: int | None
    batches: int
    readings: int
    stored: int
    safe: int
    not_stored: int
    readings_not_stored: int
    oldest_ms: int | None
    bytes: int
    max_bytes: int
    last_acknowledgement: LastAcknowledgement | None
    refused: tuple[Refused, ...]
    set_aside: int
    quarantined: int
    counters: dict[str, dict[str, int]]
    last_push: dict[str, int]  # by device, ms UTC
    successors: tuple[Replaced, ...] = ()
    newcomers: tuple[Found, ...] = ()
    searches: tuple[Searched, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """One batch in the buffer."""

    epoch: str
    seq: int
    id: str
    created_ms: int
    bytes: int
    readings: int
    mark: str
    refused: str | None


def read_status(
    folder: Path,
    max_bytes: int,
    successors: Sequence[Successor] = (),
    newcomers: Sequence[Offer] = (),
    searches: Mapping[str, Sought] = NONE,
) -> Status:
    """The buffer's state, who answers in place of configured meters, and who was found by which searches.

    Raises:
        BufferMissing: no daemon ever ran here.
        BufferDamaged: it does not read.
    """
    with reading(folder) as database:
        head = head_of(database)
        rows = {
            mark: (count, readings)
            for mark, count, readings in database.execute(
                "SELECT mark, count(*), sum(readings) FROM batch GROUP BY mark"
            )
        }
        none, stored, safe = (rows.get(mark, (0, 0)) for mark in Mark)
        oldest = database.execute("SELECT min(created_ms) FROM batch WHERE mark = 0").fetchone()[0]
        refused = database.execute("SELECT epoch, seq, id, refused FROM batch WHERE refused NOT NULL ORDER BY n")
        counters: dict[str, dict[str, int]] = {}
        for name, code, count in database.execute("SELECT name, code, count FROM counter"):
            counters.setdefault(name, {})[code] = count
        pushes = pushshown.shown(folder)
        pages = database.execute("PRAGMA page_count").fetchone()[0] * database.execute("PRAGMA page_size").fetchone()[0]
        return Status(
            None if head is None else head[0].hex(),
            None if head is None else head[1],
            none[0] + stored[0] + safe[0],
            none[1] + stored[1] + safe[1],
            stored[0] + safe[0],
            safe[0],
            none[0],
            none[1],
            oldest,
            pages,
            max_bytes,
            last_of(database),
            tuple(Refused(row[0].hex(), row[1], row[2].hex(), row[3]) for row in refused),
            database.execute("SELECT count(*) FROM aside").fetchone()[0],
            database.execute("SELECT count(*) FROM quarantine").fetchone()[0],
            counters | pushes.counters,
            pushes.last,
            tuple(Replaced(each.device, named(each.old), named(each.found), each.since_ms) for each in successors),
            tuple(map(_found, newcomers)),
            tuple(
                Searched(bus, tuple(one.device for one in each.silent), each.selections, each.done, each.why)
                for bus, each in searches.items()
            ),
        )


def _found(offer: Offer) -> Found:
    new = offer.newcomer
    proposed = offer.devices[0] if offer.sure else None
    who = named(new.identity)
    return Found(offer.bus, who, new.number, new.medium, new.found_ms, offer.devices, proposed, offer.text)


def list_batches(folder: Path) -> list[Listed]:
    """Every batch in the buffer, oldest first.

    Raises:
        BufferMissing, BufferDamaged: as for `read_status`.
    """
    with reading(folder) as database:
        rows = database.execute(
            "SELECT epoch, seq, id, created_ms, size, readings, mark, refused FROM batch ORDER BY n"
        )
        return [
            Listed(epoch.hex(), seq, batch.hex(), created_ms, size, readings, Mark(mark).name.lower(), refused)
            for epoch, seq, batch, created_ms, size, readings, mark, refused in rows
        ]


def export(folder: Path, seq: int, epoch: bytes | None) -> bytes:
    """A batch as a file that a person can carry; its seal was checked. Without an epoch: the newest.

    Raises:
        NoSuchBatch: it is not held.
        SecurityError: its seal does not hold.
        BufferMissing, BufferDamaged: as for `read_status`.
    """
    with reading(folder) as database:
        wanted = epoch
        if wanted is None:
            newest = head_of(database)
            wanted = b"" if newest is None else newest[0]
        row = database.execute(
            "SELECT header, signature, codec, body FROM content JOIN batch USING (n) WHERE epoch = ? AND seq = ?",
            (wanted, seq),
        ).fetchone()
        if row is None:
            raise NoSuchBatch(f"batch {seq} of epoch {wanted.hex()}", "none", str(folder))
        batch = batches.parse(content_of(row))
        key = database.execute("SELECT algorithm, octets FROM own_key WHERE id = ?", (batch.header.key,)).fetchone()
        if key is None:
            raise NoSuchBatch("a batch sealed with a key of ours", batch.header.key.hex(), str(folder))
        return export_batch(batch, batches.verify(batch, PublicKey(Algorithm(key[0]), key[1])))


def own_keys(folder: Path) -> dict[bytes, PublicKey]:
    """Every key with which this gateway ever sealed, by id.

    Raises:
        BufferMissing, BufferDamaged: as for `read_status`.
    """
    with reading(folder) as database:
        rows = database.execute("SELECT id, algorithm, octets FROM own_key").fetchall()
        return {name: PublicKey(Algorithm(algorithm), octets) for name, algorithm, octets in rows}


def content(folder: Path, batch: bytes) -> Content | None:
    """A batch as it was sealed, unchecked; None where it is not held.

    Raises:
        BufferMissing, BufferDamaged: as for `read_status`.
    """
    with reading(folder) as database:
        query = "SELECT header, signature, codec, body FROM content JOIN batch USING (n) WHERE id = ?"
        row = database.execute(query, (batch,)).fetchone()
        return None if row is None else content_of(row)


def bodies(folder: Path, most: int) -> Iterator[bytes]:
    """The bodies of the batches in the buffer whose seals hold, newest first, of at most so many batches.

    Raises:
        BufferMissing, BufferDamaged: as for `read_status`.
    """
    with reading(folder) as database:
        rows = database.execute("SELECT id, algorithm, octets FROM own_key")
        keys = {name: PublicKey(Algorithm(algorithm), octets) for name, algorithm, octets in rows}
        query = "SELECT header, signature, codec, body FROM content ORDER BY n DESC LIMIT ?"
        for row in database.execute(query, (most,)):
            try:
                batch = batches.parse(content_of(row))
                octets = batches.verify(batch, keys[batch.header.key])
            except (PlombaError, KeyError):  # `buffer verify` names it
                continue
            yield octets


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """The buffer's database, to read in one transaction beside a running daemon.

    Raises:
        BufferMissing: no daemon ever ran here.
        BufferDamaged: it does not read.
    """
    path = folder / schema.BUFFER_FILE
    if not path.exists():
        raise BufferMissing("a buffer", "none", str(path))
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            database.execute(f"PRAGMA busy_timeout = {schema.BUSY_MS}")
            database.execute("BEGIN")
            yield database
        finally:
            database.close()
    except schema.FAULTS as error:
        raise BufferDamaged("a sound buffer", str(error), str(path)) from None
    except (AttributeError, TypeError, ValueError) as error:  # a damaged page may hold anything in any column
        raise BufferDamaged("rows of a sound buffer", str(error), str(path)) from None


def head_of(database: sqlite3.Connection) -> tuple[bytes, int] | None:
    """Epoch and number of the newest batch; None before the first one."""
    row = database.execute("SELECT value FROM meta WHERE name = 'head'").fetchone()
    found = unpack(row[0], META_BYTES, "buffer.head") if row else None
    if isinstance(found, list) and isinstance(found[0], bytes) and isinstance(found[1], int):
        return found[0], found[1]
    return None


def last_of(database: sqlite3.Connection) -> LastAcknowledgement | None:
    """The last acknowledgement that was accepted, or None."""
    values = dict(database.execute("SELECT name, value FROM meta WHERE name IN ('last_ack', 'last_ack_ms')"))
    if "last_ack" not in values:
        return None
    signed, heard = unpack(values["last_ack"], META_BYTES, "buffer.last_ack"), None
    if "last_ack_ms" in values:
        found = unpack(values["last_ack_ms"], META_BYTES, "buffer.last_ack_ms")
        heard = found[0] if isinstance(found, list) and isinstance(found[0], int) else None
    if not isinstance(signed, list) or not isinstance(signed[0], bytes):
        return None
    ack = Acknowledgement.from_bytes(signed[0])
    return LastAcknowledgement(ack.generation, ack.number, ack.time_ms, heard, ack.window)
