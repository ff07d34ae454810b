"""Which batches attribution has still to look at, and which pages of series it has to reckon anew.

A row of `fresh` is a batch whose readings were stored and that was not looked at yet. It is written in the transaction
that decodes the batch (numbers tell nothing: where several write, a lower one may be committed later) and taken away in
the one that marks what the batch touches. `progress` keeps small texts by name: what was held at the last look. A row
of `due` is a page of a channel (`channel` and `step_s` of `STANDS`: the stands of a month of the point), not to be
reckoned before `after_ms`. A page that is touched again has another `mark`: who has reckoned takes away only the mark
that it saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collector.store.sql import Connection

DUE = """
CREATE TABLE progress (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE due (
  point TEXT NOT NULL, channel TEXT NOT NULL, step_s INTEGER NOT NULL, day INTEGER NOT NULL, mark INTEGER NOT NULL,
  after_ms INTEGER NOT NULL, PRIMARY KEY (point, channel, step_s, day)
) STRICT, WITHOUT ROWID;
"""
FRESH = """
CREATE TABLE fresh (gateway TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (gateway, n)) STRICT, WITHOUT ROWID;
CREATE INDEX fresh_n ON fresh (n);
"""
# A store that has a cursor in place of the list: what is behind it, and what had waited to be decoded.
FRESH_FROM_CURSOR = """
INSERT INTO fresh (gateway, n) SELECT gateway, n FROM evidence WHERE state = 'decoded' AND (
  n > coalesce((SELECT CAST(value AS INTEGER) FROM progress WHERE name = 'batch'), 0)
  OR (SELECT value FROM progress WHERE name = 'undecoded') LIKE '%' || CAST(n AS TEXT) || '%'
);
DELETE FROM progress WHERE name IN ('batch', 'undecoded');
"""
STANDS = ("", 0)  # as channel and step of a page: the stands of a month


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """A page by its name: point, channel, step and first local day."""

    point: str
    channel: str
    step_s: int
    day: int


@dataclass(frozen=True, slots=True)
class Due:
    """A page that is due, under a mark."""

    leaf: Leaf
    mark: int
    after_ms: int


class DueTable:
    """The tables fresh, due and progress."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def turn(self) -> None:
        """In a transaction: no other process looks or stores what it reckoned before this one ends."""
        self._sql.execute(
            "INSERT INTO progress (name, value) VALUES ('turn', '')"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        )

    def fresh(self, limit: int) -> list[tuple[str, int]]:
        """Gateway and number of the first batches that were not looked at."""
        rows = self._sql.execute("SELECT gateway, n FROM fresh ORDER BY n, gateway LIMIT ?", (limit,))
        return [(row[0], row[1]) for row in rows]

    def is_fresh(self, gateway: str, n: int) -> bool:
        """Whether a batch was not looked at yet."""
        found = self._sql.execute("SELECT 1 FROM fresh WHERE gateway = ? AND n = ?", (gateway, n)).fetchone()
        return found is not None

    def looked(self, batches: Sequence[tuple[str, int]]) -> bool:
        """Take batches off the list; false where another process has taken some of them."""
        if not batches:
            return True
        gone = self._sql.executemany("DELETE FROM fresh WHERE gateway = ? AND n = ?", batches)
        return gone.rowcount == len(batches)

    def progress(self, name: str) -> str | None:
        """A text that was kept, or None."""
        row = self._sql.execute("SELECT value FROM progress WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def keep(self, name: str, value: str) -> None:
        """Keep a text, in the place of the one before."""
        self._sql.execute(
            "INSERT INTO progress (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def touch(self, leaves: Iterable[Leaf], after_ms: int) -> None:
        """These pages are due, from an instant on; one that is due already may be due earlier now."""
        self._sql.executemany(
            "INSERT INTO due (point, channel, step_s, day, mark, after_ms) VALUES (?, ?, ?, ?, 1, ?)"
            " ON CONFLICT (point, channel, step_s, day) DO UPDATE SET mark = due.mark + 1",
            [(each.point, each.channel, each.step_s, each.day, after_ms) for each in sorted(leaves)],
        )

    def of_next(self, after: str, now_ms: int, limit: int) -> list[Due]:
        """The pages that are due now of the first point behind `after` that has any."""
        row = self._sql.execute(
            "SELECT min(point) FROM due WHERE point > ? AND after_ms <= ?", (after, now_ms)
        ).fetchone()
        if row[0] is None:
            return []
        rows = self._sql.execute(
            "SELECT point, channel, step_s, day, mark, after_ms FROM due WHERE point = ? AND after_ms <= ?"
            " ORDER BY step_s DESC, day, channel LIMIT ?",
            (row[0], now_ms, limit),
        )
        return [Due(Leaf(*each[:4]), each[4], each[5]) for each in rows]

    def unchanged(self, due: Due) -> bool:
        """Whether a page is still due under this mark: nobody else has reckoned it, nothing has touched it."""
        leaf = due.leaf
        row = self._sql.execute(
            "SELECT mark FROM due WHERE point = ? AND channel = ? AND step_s = ? AND day = ?",
            (leaf.point, leaf.channel, leaf.step_s, leaf.day),
        ).fetchone()
        return row is not None and row[0] == due.mark

    def done(self, due: Due) -> None:
        """Take a mark away, unless the page was touched since."""
        leaf = due.leaf
        self._sql.execute(
            "DELETE FROM due WHERE point = ? AND channel = ? AND step_s = ? AND day = ? AND mark = ?",
            (leaf.point, leaf.channel, leaf.step_s, leaf.day, due.mark),
        )

    def put_off(self, due: Due, after_ms: int) -> None:
        """Not before an instant."""
        leaf = due.leaf
        self._sql.execute(
            "UPDATE due SET after_ms = ? WHERE point = ? AND channel = ? AND step_s = ? AND day = ?",
            (after_ms, leaf.point, leaf.channel, leaf.step_s, leaf.day),
        )

    def count(self) -> int:
        """How many pages are due, now or later."""
        found: int = self._sql.execute("SELECT count(*) FROM due").fetchone()[0]
        return found
