"""How full the buffer is, what may leave it, and what was refused because nothing may."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gateway import schema
from gateway.buffer import gaps_of
from gateway.chain import Mark
from gateway.refused import READINGS_REFUSED
from gateway.seal import HIGH_PERCENT
from gateway.status import reading


class Level(StrEnum):
    """Whether new batches find room."""

    ROOM = "room"
    HIGH = "nearly full"  # of what is not stored at the collector
    FULL = "full"  # new readings are refused, and counted


@dataclass(frozen=True, slots=True)
class Held:
    """Batches of one kind with their readings, and from when the oldest and the newest are (ms UTC)."""

    batches: int = 0
    readings: int = 0
    oldest_ms: int | None = None
    newest_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """The buffer's filling: bytes in use of those allowed; batches by what the collector said of them.

    `safe` may leave the buffer when room is needed, `stored` only when nothing is safe, `not_stored` never.
    `readings_refused` is since the buffer began; `places_lost` are how many batches are gone and not yet declared lost.
    """

    level: Level
    bytes_used: int
    max_bytes: int
    percent: int
    not_stored: Held
    stored: Held
    safe: Held
    readings_refused: int
    set_aside: int
    readings_in_quarantine: int
    places_lost: int


def read_fill(folder: Path, max_bytes: int) -> Fill:
    """How full the buffer in a state folder is.

    Raises:
        BufferMissing: no daemon ever ran here.
        BufferDamaged: it does not read.
    """
    with reading(folder) as database:
        question = "SELECT mark, count(*), sum(readings), min(created_ms), max(created_ms) FROM batch GROUP BY mark"
        kinds = {mark: Held(*rest) for mark, *rest in database.execute(question)}
        pages = _one(database, "PRAGMA page_count") - _one(database, "PRAGMA freelist_count")
        refused = _one(database, "SELECT coalesce(sum(count), 0) FROM counter WHERE name = ?", READINGS_REFUSED)
        newest = _one(database, "SELECT coalesce((SELECT size FROM batch ORDER BY n DESC LIMIT 1), 0)")
        none, stored, safe = (kinds.get(mark, Held()) for mark in Mark)
        allowed = max(max_bytes // schema.PAGE, 1)
        return Fill(
            _level(pages, allowed, none.batches, stored.batches + safe.batches, newest),
            pages * schema.PAGE,
            max_bytes,
            100 * pages // allowed,
            none,
            stored,
            safe,
            refused,
            _one(database, "SELECT count(*) FROM aside"),
            _one(database, "SELECT count(*) FROM quarantine"),
            sum(last - first + 1 for _, first, last in gaps_of(database)),
        )


def _level(pages: int, allowed: int, kept: int, removable: int, newest: int) -> Level:
    """Full is where another batch as large as the newest finds no room, and nothing may leave.

    What is stored gives way by itself; only what is not stored fills the buffer for good.
    """
    if not removable and kept and allowed - pages < newest // schema.PAGE + 2 + schema.WORK_PAGES:
        return Level.FULL
    return Level.HIGH if 100 * pages >= HIGH_PERCENT * allowed and kept >= removable else Level.ROOM


def _one(database: sqlite3.Connection, question: str, *given: object) -> int:
    found: int = database.execute(question, given).fetchone()[0]
    return found
