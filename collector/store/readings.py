"""Readings and records, each as the leaf that was sealed, under the identity that makes equal ones meet.

A reading's identity is (meter, how, slot or meter time, part). What is equal again (all but the exchange it came by:
its times, clock quality and telegram's hash) is only evidence; what differs is kept beside the first and both are
marked as in conflict.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from protocols.reading import Identity
from protocols.uplink.leaf import SealedReading, identity_to_wire, time_code
from protocols.uplink.pack import pack

VARIANTS = 16  # different contents kept for one identity; evidence has the rest
_NAMELESS = ("manufacturer", "id", "fabrication", "plate", "logical_name", "system_title")


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


class Readings:
    """The tables reading and record."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection

    def put(self, place: Place, reading: SealedReading, sealed: bytes) -> Met:
        """Store a reading, unless an equal one is there."""
        meter, how, moment, part = identity(place.gateway, reading)
        content = _content(reading)
        if self._insert((meter, how, moment, part, 0), place, reading, content, sealed):
            return Met.NEW
        rows = self._sql.execute(
            "SELECT content FROM reading WHERE meter = ? AND how = ? AND moment = ? AND part = ?",
            (meter, how, moment, part),
        ).fetchall()
        if (content,) in rows:
            return Met.AGAIN
        if len(rows) < VARIANTS:
            self._insert((meter, how, moment, part, len(rows)), place, reading, content, sealed)
        self._sql.execute(
            "UPDATE reading SET conflict = 1 WHERE meter = ? AND how = ? AND moment = ? AND part = ?",
            (meter, how, moment, part),
        )
        return Met.CONFLICT

    def put_record(self, place: Place, kind: int, sealed: bytes) -> None:
        """Store a record."""
        self._sql.execute(
            "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?)",
            (place.gateway, place.batch, place.leaf, place.epoch, place.seq, kind, sealed),
        )

    def all(self, gateway: str | None = None) -> Iterator[ReadingRow]:
        """All readings (of one gateway), by gateway and time."""
        rows = self._sql.execute(
            "SELECT gateway, epoch, seq, batch, leaf, sealed, conflict, (SELECT group_concat(DISTINCT i.kind)"
            " FROM hold h JOIN incident i ON i.n = h.incident AND i.closed_ms IS NULL"
            " WHERE h.gateway = r.gateway AND h.epoch = r.epoch AND h.batch IN (x'', r.batch))"
            " FROM reading r WHERE ?1 IS NULL OR gateway = ?1 ORDER BY gateway, at_ms, batch, leaf",
            (gateway,),
        )
        for *place, sealed, conflict, held in rows:
            reasons = tuple(sorted(held.split(","))) if held else ()
            yield ReadingRow(Place(*place), sealed, bool(conflict), reasons)

    def records(self, gateway: str | None = None) -> Iterator[RecordRow]:
        """All records (of one gateway), in the order of their batches' places."""
        rows = self._sql.execute(
            "SELECT gateway, epoch, seq, batch, leaf, kind, sealed FROM record"
            " WHERE ?1 IS NULL OR gateway = ?1 ORDER BY gateway, epoch, seq, batch, leaf",
            (gateway,),
        )
        return (RecordRow(Place(*row[:5]), row[5], row[6]) for row in rows)

    def counts(self, gateway: str) -> tuple[int, int]:
        """How many readings of a gateway are stored, and how many of them are in conflict."""
        row = self._sql.execute(
            "SELECT count(*), coalesce(sum(conflict), 0) FROM reading WHERE gateway = ?", (gateway,)
        ).fetchone()
        return row[0], row[1]

    def _insert(
        self, key: tuple[bytes, int, str, int, int], place: Place, reading: SealedReading, content: bytes, sealed: bytes
    ) -> bool:
        time = reading.meter_time
        cursor = self._sql.execute(
            "INSERT OR IGNORE INTO reading VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                *key,
                place.gateway,
                place.epoch,
                place.seq,
                place.batch,
                place.leaf,
                reading.at_ms,
                reading.slot_ms,
                time.seconds if time else None,
                time_code(time) if time else None,
                int(reading.quality.synchronised),
                reading.quality.uncertainty_ms,
                int(reading.status),
                content,
                sealed,
            ),
        )
        return bool(cursor.rowcount)


def identity(gateway: str, reading: SealedReading) -> tuple[bytes, int, str, int]:
    """(meter, how, moment, part) of a reading; a device without identity is known by gateway, device and sub-meter."""
    return meter_key(gateway, reading), int(reading.how), _moment(reading), reading.part


def meter_key(gateway: str, reading: SealedReading) -> bytes:
    """The packed identity of a meter; behind a sub-meter, and for a nameless device, where it is read."""
    meter: Identity = reading.meter
    nameless = all(getattr(meter, name) is None for name in _NAMELESS)
    place = [gateway, reading.device] if nameless else []
    return pack([identity_to_wire(meter), reading.sub, *place])


def _moment(reading: SealedReading) -> str:
    if reading.slot_ms is not None:
        return f"slot {reading.slot_ms}"
    if reading.meter_time is not None:
        return f"meter {reading.meter_time.seconds} {time_code(reading.meter_time)}"
    return f"at {reading.at_ms}"


def _content(reading: SealedReading) -> bytes:
    """SHA-256 over all of a leaf but the exchange that it came by."""
    wire = reading.to_wire()
    return hashlib.sha256(pack([*wire[:7], *wire[13:]])).digest()
