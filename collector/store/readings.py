"""Readings and records, each as the leaf that was sealed, under the identity that makes equal ones meet.

A reading's identity is (meter, how, slot or meter time, part). What is equal again (all but the exchange it came by:
its times, clock quality and telegram's hash) is only evidence; what differs is kept beside the first and both are
marked as in conflict.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count, repeat
from operator import itemgetter
from typing import Any, NamedTuple, get_args, get_type_hints

from collector.moments import moment, moment_of
from collector.store.cases import EVERYTHING
from collector.store.sql import Connection, pour, stream
from protocols.errors import PlombaError
from protocols.reading import Identity, Status
from protocols.uplink.body import Expanded
from protocols.uplink.leaf import SealedReading, identity_from_wire, identity_to_wire, leaf_from_bytes
from protocols.uplink.pack import Fields, pack, unpack
from protocols.uplink.source import Source

PENDING = "pending"  # the reason that lifts by itself, when sequence 1 of the epoch has come
PARTIAL = "partial"  # the reason that stays: the visit is not whole, or nothing confirmed what is hard to believe
HELD = 1_024  # batches of which it is remembered why they are held
METERS = 4_096  # meters whose packed identity is remembered: the rows of a batch are of few
KEY_BYTES = 8_192  # of a packed identity
VARIANTS = 16  # different contents kept for one identity; evidence has the rest
_NAMELESS = ("manufacturer", "id", "fabrication", "plate", "logical_name", "system_title")


Key = tuple[bytes, int, str, int]  # what makes equal readings meet: meter, how, moment, part


class Met(Enum):
    """What a reading met in the store."""

    NEW = "new"
    AGAIN = "seen-again"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a leaf stands."""

    gateway: str
    epoch: bytes
    seq: int
    batch: bytes
    leaf: int


class Arrival(NamedTuple):
    """A reading as its row in the table; `content` is what an equal one that came in another exchange has too."""

    meter: bytes
    how: int
    moment: str
    part: int
    variant: int
    gateway: str
    epoch: bytes
    seq: int
    batch: bytes
    leaf: int
    at_ms: int
    slot_ms: int | None
    meter_s: int | None
    meter_code: int | None
    synchronised: int
    uncertainty_ms: int | None
    status: int
    content: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """A stored reading: its leaf's bytes and what the collector says of it; `held`: the reasons not to bill it."""

    place: Place
    sealed: bytes
    conflict: bool
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A stored record beside the readings."""

    place: Place
    kind: int
    sealed: bytes


_FIELDS = "gateway, epoch, seq, batch, leaf, sealed, conflict, status FROM reading r"
# Why a batch is held (PENDING is one of the reasons): asked for by gateway alone, apart from the
# batch's readings, which are spread by meter.
_HELD = (
    "SELECT i.kind FROM hold h JOIN incident i ON i.gateway = h.gateway AND i.n = h.incident AND i.closed_ms IS NULL"
    " WHERE h.gateway = ?1 AND h.epoch = ?2 AND h.batch IN (?3, ?4)"
    " UNION SELECT 'pending' FROM pending p WHERE p.gateway = ?1 AND p.epoch = ?2"
)
_INSERT = (
    f"INSERT INTO reading ({', '.join(Arrival._fields)}) VALUES ({', '.join('?' * len(Arrival._fields))})"  # noqa: S608 - constants
    " ON CONFLICT (meter, how, moment, part, variant) DO NOTHING"
)
_KEY = itemgetter(0, 1, 2, 3, 4)
# The columns' types: of `int | None` the first.
_KINDS: dict[str, type] = {name: (get_args(kind) or (kind,))[0] for name, kind in get_type_hints(Arrival).items()}
_SELECT = f"SELECT {_FIELDS}"
_SELECT_KEY = f"SELECT moment, part, variant, {_FIELDS}"


class Readings:
    """The tables reading and record; over a connection that sees one instant, a batch is asked for once."""

    def __init__(self, connection: Connection, one_instant: bool = False) -> None:
        self._sql = connection
        self._seen = functools.lru_cache(HELD)(self._held) if one_instant else None

    def put_batch(self, came: Sequence[Arrival]) -> list[Met]:
        """Store the readings of a batch that was never stored before: what each met.

        All at once; only those in whose place another stands afterwards are looked at one by one.
        """
        # In the order of their keys: where two workers store the same meters, one waits for the other, never both.
        if self._sql.executemany(_INSERT, sorted(came, key=_KEY)).rowcount == len(came):
            return [Met.NEW] * len(came)
        return [Met.NEW if self._is_there(each) else self.put(each) for each in came]

    def pour(self, came: Sequence[Arrival]) -> None:
        """Store readings of which none is there, neither an equal one nor another.

        Raises:
            ROW_FAULTS: one is; take back the savepoint.
        """
        pour(self._sql, "reading", _KINDS, sorted(came, key=_KEY))

    def put(self, came: Arrival) -> Met:
        """Store a reading, unless an equal one is there."""
        if self._sql.execute(_INSERT, came).rowcount:
            return Met.NEW
        identity = came[:4]
        rows = self._sql.execute(
            "SELECT content FROM reading WHERE meter = ? AND how = ? AND moment = ? AND part = ?", identity
        ).fetchall()
        if (came.content,) in rows:
            return Met.AGAIN
        for variant in range(len(rows), VARIANTS):  # the next may just have been taken by another writer
            if self._sql.execute(_INSERT, came._replace(variant=variant)).rowcount:
                break
        self._sql.execute(
            "UPDATE reading SET conflict = 1 WHERE meter = ? AND how = ? AND moment = ? AND part = ?", identity
        )
        return Met.CONFLICT

    def put_record(self, place: Place, kind: int, sealed: bytes) -> None:
        """Store a record, under the number of its batch's evidence."""
        found = self._sql.execute(
            "SELECT n FROM evidence WHERE gateway = ? AND id = ?", (place.gateway, place.batch)
        ).fetchone()
        n = found[0] if found else 0
        self._sql.execute(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway, batch, leaf) DO NOTHING",
            (place.gateway, place.batch, place.leaf, place.epoch, place.seq, kind, sealed, n),
        )

    def remove(self, gateway: str, batch: bytes, rows: Iterable[tuple[int, Key]]) -> Counter[tuple[bytes, int, int]]:
        """Remove what came by leaves of a batch, each with its reading's identity; how many by (meter, how, part).

        Readings of the same identity that came otherwise stay.
        """
        gone: Counter[tuple[bytes, int, int]] = Counter()
        for leaf, identity_of in rows:
            meter, how, _, part = identity_of
            found = self._sql.execute(
                "DELETE FROM reading WHERE meter = ? AND how = ? AND moment = ? AND part = ?"
                " AND gateway = ? AND batch = ? AND leaf = ?",
                (*identity_of, gateway, batch, leaf),
            )
            gone[meter, how, part] += found.rowcount
        return gone

    def remove_all(self, identity: Key) -> int:
        """Remove all readings of one identity, however they came; how many there were."""
        return self._sql.execute(
            "DELETE FROM reading WHERE meter = ? AND how = ? AND moment = ? AND part = ?", identity
        ).rowcount

    def remove_records(self, gateway: str, batch: bytes, leaves: Iterable[int]) -> int:
        """Remove the records that came by leaves of a batch; how many there were."""
        sql = "DELETE FROM record WHERE gateway = ? AND batch = ? AND leaf = ?"
        return sum(self._sql.execute(sql, (gateway, batch, leaf)).rowcount for leaf in leaves)

    def doubtful(self, meter: bytes) -> list[str]:
        """The times of a meter's readings that are in conflict, or whose batch is held by an open case."""
        rows = self._sql.execute("SELECT DISTINCT moment FROM reading WHERE meter = ? AND conflict = 1", (meter,))
        found = {row[0] for row in rows}
        places = self._sql.execute(
            "SELECT DISTINCT gateway, epoch, batch FROM reading WHERE meter = ? ORDER BY gateway, epoch, batch",
            (meter,),
        ).fetchall()
        held = self._holds()
        for place in places:
            if held(*place):
                rows = self._sql.execute(
                    "SELECT moment FROM reading WHERE meter = ? AND gateway = ? AND epoch = ? AND batch = ?",
                    (meter, *place),
                )
                found |= {row[0] for row in rows}
        return sorted(found)

    def all(self, gateway: str | None = None) -> Iterator[ReadingRow]:
        """All readings (of one gateway), by gateway and time."""
        rows = stream(
            self._sql,
            f"{_SELECT} WHERE CAST(?1 AS TEXT) IS NULL OR gateway = ?1 ORDER BY gateway, at_ms, batch, leaf",
            (gateway,),
        )
        held = self._holds()
        return (_reading_row(row, held(row[0], row[1], row[3])) for row in rows)

    def at(self, meter: bytes, how: int, moment: str, part: int) -> ReadingRow | None:
        """The first reading stored under an identity."""
        row = self._sql.execute(
            f"{_SELECT} WHERE meter = ? AND how = ? AND moment = ? AND part = ? ORDER BY variant LIMIT 1",
            (meter, how, moment, part),
        ).fetchone()
        return None if row is None else _reading_row(row, self._holds()(row[0], row[1], row[3]))

    def newest_first(
        self, meter: bytes, how: int, before: tuple[str, int, int], limit: int
    ) -> list[tuple[tuple[str, int, int], ReadingRow]]:
        """Readings of a meter with their keys (moment, part, variant), downwards from below `before`."""
        rows = self._sql.execute(
            f"{_SELECT_KEY} WHERE meter = ? AND how = ? AND (moment, part, variant) < (?, ?, ?)"
            " ORDER BY moment DESC, part DESC, variant DESC LIMIT ?",
            (meter, how, *before, limit),
        )
        held = self._holds()
        return [((row[0], row[1], row[2]), _reading_row(row[3:], held(row[3], row[4], row[6]))) for row in rows]

    def between(self, meter: bytes, how: int, low: str, high: str) -> list[tuple[tuple[str, int, int], ReadingRow]]:
        """Readings of a meter with their keys (moment, part, variant), of the moments in [low, high), in order."""
        rows = self._sql.execute(
            f"{_SELECT_KEY} WHERE meter = ? AND how = ? AND moment >= ? AND moment < ? ORDER BY moment, part, variant",
            (meter, how, low, high),
        )
        held = self._holds()
        return [((row[0], row[1], row[2]), _reading_row(row[3:], held(row[3], row[4], row[6]))) for row in rows]

    def newest_records(self, before: tuple[int, int], limit: int, without: int = 0) -> list[tuple[int, int, RecordRow]]:
        """(number of the batch's evidence, when it came, record), the newest first, below number and leaf `before`.

        Records of the kind `without` are left out.
        """
        rows = self._sql.execute(
            "SELECT r.n, coalesce(e.received_ms, 0), r.gateway, r.epoch, r.seq, r.batch, r.leaf, r.kind, r.sealed"
            " FROM record r LEFT JOIN evidence e ON e.gateway = r.gateway AND e.n = r.n"
            " WHERE (r.n, r.leaf) < (?, ?) AND r.kind <> ?"
            " ORDER BY r.n DESC, r.leaf DESC LIMIT ?",
            (*before, without, limit),
        )
        return [(row[0], row[1], RecordRow(Place(*row[2:7]), row[7], row[8])) for row in rows]

    def records(self, gateway: str | None = None) -> Iterator[RecordRow]:
        """All records (of one gateway), in the order of their batches' places."""
        rows = stream(
            self._sql,
            "SELECT gateway, epoch, seq, batch, leaf, kind, sealed FROM record"
            " WHERE CAST(?1 AS TEXT) IS NULL OR gateway = ?1 ORDER BY gateway, epoch, seq, batch, leaf",
            (gateway,),
        )
        return (RecordRow(Place(*row[:5]), row[5], row[6]) for row in rows)

    def counts(self, gateway: str) -> tuple[int, int]:
        """How many readings of a gateway are stored, and how many of them are in conflict."""
        row = self._sql.execute(
            "SELECT count(*), count(CASE WHEN conflict = 1 THEN 1 END) FROM reading WHERE gateway = ?", (gateway,)
        ).fetchone()
        return row[0], row[1]

    def in_conflict(self) -> int:
        """How many readings came more than once and differ."""
        found: int = self._sql.execute("SELECT count(*) FROM reading WHERE conflict = 1 AND variant = 0").fetchone()[0]
        return found

    def conflicting(self) -> list[bytes]:
        """The meters of such readings."""
        rows = self._sql.execute("SELECT DISTINCT meter FROM reading WHERE conflict = 1 AND variant = 0")
        return [row[0] for row in rows]

    def _holds(self) -> Callable[[str, bytes, bytes], list[str]]:
        """Why batches are held, as it is now and remembered as long as one question takes."""
        return self._seen or functools.lru_cache(HELD)(self._held)

    def _held(self, gateway: str, epoch: bytes, batch: bytes) -> list[str]:
        rows = self._sql.execute(_HELD, (gateway, epoch, EVERYTHING, batch))
        return [row[0] for row in rows]

    def _is_there(self, came: Arrival) -> bool:
        """Whether the first that stands under this identity is this leaf of this batch."""
        row = self._sql.execute(
            "SELECT gateway, batch, leaf FROM reading"
            " WHERE meter = ? AND how = ? AND moment = ? AND part = ? AND variant = ?",
            came[:5],
        ).fetchone()
        return bool(row == (came.gateway, came.batch, came.leaf))


def arrivals(first: Place, expanded: Expanded) -> list[Arrival]:
    """The readings of a batch, in leaf order; `first` is the place of leaf 0."""
    same = [repeat(each) for each in (0, first.gateway, first.epoch, first.seq, first.batch)]  # from `variant` on
    found: list[Arrival] = []
    for rows in expanded.blocks:
        mine = slice(len(found), len(found) + len(rows.how))
        meter, leaves = repeat(meter_key(first.gateway, rows.source)), count(first.leaf + mine.start)
        at = [each.at_ms for each in rows.exchanges]
        told = map(moment, rows.how, rows.slots, rows.times, at)
        seconds, codes = zip(*(each or (None, None) for each in rows.times), strict=True)
        qualities = [each.quality for each in rows.exchanges]
        clocks = [int(each.synchronised) for each in qualities], [each.uncertainty_ms for each in qualities]
        ours, its = (meter, rows.how, told, rows.part, *same, leaves, at), (rows.slots, seconds, codes)
        found += map(Arrival, *ours, *its, *clocks, rows.statuses, expanded.contents[mine], expanded.leaves[mine])
    return found


def read_of(gateway: str, expanded: Expanded) -> list[tuple[bytes, str, int]]:
    """Of each block of a batch: meter, device name and the gateway's newest time."""
    return [
        (meter_key(gateway, rows.source), rows.source.device, max(each.at_ms for each in rows.exchanges))
        for rows in expanded.blocks
    ]


def read_as(sealed: bytes, gateway: str) -> tuple[bytes, str, int] | None:
    """Of a stored leaf: meter, device name and the gateway's time; None when it is none any more."""
    try:
        reading = SealedReading.from_wire(leaf_from_bytes(sealed))
    except PlombaError:
        return None
    return meter_key(gateway, reading), reading.device, reading.at_ms


def identity(gateway: str, reading: SealedReading) -> tuple[bytes, int, str, int]:
    """(meter, how, moment, part) of a reading; a device without identity is known by gateway, device and sub-meter."""
    return meter_key(gateway, reading), int(reading.how), moment_of(reading), reading.part


def _reading_row(row: Sequence[Any], held: Sequence[str]) -> ReadingRow:
    *place, sealed, conflict, status = row
    reasons = [*held, *((PARTIAL,) if status & Status.PARTIAL else ())]
    return ReadingRow(Place(*place), sealed, bool(conflict), tuple(sorted(reasons)))


def meter_key(gateway: str, read: SealedReading | Source) -> bytes:
    """The packed identity of a meter; behind a sub-meter, and for a nameless device, where it is read."""
    nameless = all(getattr(read.meter, name) is None for name in _NAMELESS)
    return _packed_meter(read.meter, read.sub, (gateway, read.device) if nameless else ())


def meter_of(key: bytes) -> Identity:
    """The identity in a packed one.

    Raises:
        PlombaError: it is none.
    """
    return identity_from_wire(Fields(unpack(key, KEY_BYTES, "meter"), "meter", 2).array("identity", 32))


@functools.lru_cache(METERS)
def _packed_meter(meter: Identity, sub: str | None, place: tuple[str, ...]) -> bytes:
    return pack([identity_to_wire(meter), sub, *place])
