"""What was erased by right, and what attribution leaves as it is since readings are gone; added by version 5.

A row of `erasure` is an act: who, when and why, what (JSON, `subject`), up to which number of evidence it is done, and
how much it was. `erased_span` and `erased_leaf` stand: what they name is not stored again, whoever sends it and in
whichever batch. `closed` are spans of a point (both ends included) by kind: of `KEPT` the readings are gone and the
values stay; of `FINE` (intervals below a day) and `COARSE` (days, months and stands) the values are gone too.
`retained` are batches that retention looked at and something still holds: until when, and what.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from collector.store.sql import Connection

ERASURES = """
CREATE TABLE erasure (
  number INTEGER NOT NULL, at_ms INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, subject TEXT NOT NULL,
  reached INTEGER NOT NULL, done_ms INTEGER, counts TEXT NOT NULL, PRIMARY KEY (number)
) STRICT, WITHOUT ROWID;
CREATE TABLE erased_span (
  meter BLOB NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, clock TEXT NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY (meter, from_ms, to_ms, clock)
) STRICT, WITHOUT ROWID;
CREATE TABLE erased_leaf (
  gateway TEXT NOT NULL, batch BLOB NOT NULL, leaf INTEGER NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY (gateway, batch, leaf)
) STRICT, WITHOUT ROWID;
CREATE TABLE closed (
  point TEXT NOT NULL, kind TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
  PRIMARY KEY (point, kind, from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE retained (
  gateway TEXT NOT NULL, n INTEGER NOT NULL, until_ms INTEGER NOT NULL, why TEXT NOT NULL, PRIMARY KEY (gateway, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX retained_until ON retained (until_ms);
"""
_SELECT = "SELECT number, at_ms, who, why, subject, reached, done_ms, counts FROM erasure"
KEPT, FINE, COARSE = "kept", "fine", "coarse"


@dataclass(frozen=True, slots=True)
class Erasure:
    """An act: `subject` is what, as JSON has it, `reached` the last number of evidence that was looked at."""

    number: int
    at_ms: int
    who: str
    why: str
    subject: dict[str, Any]
    reached: int
    done_ms: int | None
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Closed:
    """A span of a point, both ends included, of `KEPT`, `FINE` or `COARSE`."""

    point: str
    kind: str
    from_ms: int
    to_ms: int


class ErasureTable:
    """The tables above."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def put(self, at_ms: int, who: str, why: str, subject: dict[str, Any]) -> int:
        """Record an act; its number. One that is there already with the same time, person and subject stays."""
        text = json.dumps(subject, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        # One after the other, whoever writes: their numbers follow each other.
        self._sql.execute("SELECT value FROM meta WHERE name = 'generation' /* FOR UPDATE */").fetchone()
        known = self._sql.execute(
            "SELECT number FROM erasure WHERE at_ms = ? AND who = ? AND subject = ?", (at_ms, who, text)
        ).fetchone()
        if known is not None:
            return int(known[0])
        number = int(self._sql.execute("SELECT coalesce(max(number), 0) + 1 FROM erasure").fetchone()[0])
        self._sql.execute("INSERT INTO erasure VALUES (?, ?, ?, ?, ?, 0, NULL, '{}')", (number, at_ms, who, why, text))
        return number

    def all(self) -> list[Erasure]:
        """All acts, the oldest first."""
        return [_erasure(*row) for row in self._sql.execute(f"{_SELECT} ORDER BY number")]

    def unfinished(self) -> list[Erasure]:
        """The acts that were begun and are not done."""
        rows = self._sql.execute(f"{_SELECT} WHERE done_ms IS NULL ORDER BY number")
        return [_erasure(*row) for row in rows]

    def reach(self, number: int, reached: int, counts: dict[str, int], done_ms: int | None = None) -> None:
        """Say how far an act is."""
        self._sql.execute(
            "UPDATE erasure SET reached = ?, counts = ?, done_ms = ? WHERE number = ?",
            (reached, json.dumps(counts, sort_keys=True), done_ms, number),
        )

    def forbid_spans(self, number: int, spans: Iterable[tuple[bytes, int, int, str]]) -> None:
        """What meters showed in spans (both ends included), by their clock, is not stored again."""
        self._sql.executemany(
            "INSERT INTO erased_span (meter, from_ms, to_ms, clock, number) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (meter, from_ms, to_ms, clock) DO NOTHING",
            [(*each, number) for each in spans],
        )

    def forbid_leaves(self, number: int, leaves: Iterable[tuple[str, bytes, int]]) -> None:
        """The content of leaves (gateway, batch, leaf) is not stored again."""
        self._sql.executemany(
            "INSERT INTO erased_leaf (gateway, batch, leaf, number) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (gateway, batch, leaf) DO NOTHING",
            [(*each, number) for each in leaves],
        )

    def any(self) -> bool:
        """Whether anything was ever erased by right."""
        return self._sql.execute("SELECT 1 FROM erasure LIMIT 1").fetchone() is not None

    def spans_of(self, meter: bytes) -> list[tuple[bytes, int, int, str]]:
        """The spans in which a meter's readings are not stored again."""
        rows = self._sql.execute("SELECT meter, from_ms, to_ms, clock FROM erased_span WHERE meter = ?", (meter,))
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def leaves_of(self, gateway: str, batch: bytes) -> set[int]:
        """The leaves of a batch that are not stored again."""
        rows = self._sql.execute("SELECT leaf FROM erased_leaf WHERE gateway = ? AND batch = ?", (gateway, batch))
        return {row[0] for row in rows}

    def retain(self, gateway: str, n: int, until_ms: int, why: str) -> None:
        """Something holds a batch, by the number of its evidence: look again then."""
        self._sql.execute(
            "INSERT INTO retained (gateway, n, until_ms, why) VALUES (?, ?, ?, ?) ON CONFLICT (gateway, n)"
            " DO UPDATE SET until_ms = excluded.until_ms, why = excluded.why",
            (gateway, n, until_ms, why),
        )

    def release(self, gateway: str, n: int) -> None:
        """Nothing holds a batch any more."""
        self._sql.execute("DELETE FROM retained WHERE gateway = ? AND n = ?", (gateway, n))

    def retained_until(self, now_ms: int, limit: int) -> list[int]:
        """The numbers of batches to look at again now, those that wait longest first."""
        rows = self._sql.execute(
            "SELECT n FROM retained WHERE until_ms <= ? ORDER BY until_ms, n LIMIT ?", (now_ms, limit)
        )
        return [row[0] for row in rows]

    def retained(self) -> dict[str, int]:
        """How many batches are held though diagnosis is over, by what holds them."""
        return dict(self._sql.execute("SELECT why, count(*) FROM retained GROUP BY why ORDER BY why"))

    def close(self, found: Closed) -> None:
        """Let attribution leave a span as it is; one that begins as another does makes that one longer."""
        self._sql.execute(
            "INSERT INTO closed (point, kind, from_ms, to_ms) VALUES (?, ?, ?, ?) ON CONFLICT (point, kind, from_ms)"
            " DO UPDATE SET to_ms = CASE WHEN excluded.to_ms > closed.to_ms THEN excluded.to_ms ELSE closed.to_ms END",
            (found.point, found.kind, found.from_ms, found.to_ms),
        )

    def closed(self, point: str) -> list[Closed]:
        """The spans of a point."""
        rows = self._sql.execute(
            "SELECT point, kind, from_ms, to_ms FROM closed WHERE point = ? ORDER BY kind, from_ms", (point,)
        )
        return [Closed(*row) for row in rows]


def _erasure(
    number: int, at_ms: int, who: str, why: str, subject: str, reached: int, done_ms: int | None, counts: str
) -> Erasure:
    return Erasure(number, at_ms, who, why, json.loads(subject), reached, done_ms, json.loads(counts))
