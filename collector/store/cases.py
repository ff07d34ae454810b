"""Incidents that an operator must look at, what they hold from billing, and the journal that says who decided what.

The journal is a chain: each line's hash covers the line before, so that a line taken out or changed shows. Its newest
hash goes out with every acknowledgement as `audit_head`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from collector.store.sql import Connection
from protocols.uplink.pack import pack

EVERYTHING = b""  # as `batch` of a hold: the whole epoch
NOBODY = ""  # as `gateway` of an incident: the collector itself


@dataclass(frozen=True, slots=True)
class Case:
    """An incident; open as long as `closed_ms` is None."""

    n: int
    gateway: str
    kind: str
    subject: bytes
    facts: str
    opened_ms: int
    closed_ms: int | None
    who: str | None
    why: str | None


_COLUMNS = "n, gateway, kind, subject, facts, opened_ms, closed_ms, who, why"


class Cases:
    """The tables incident, hold and journal."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def latest(self, gateway: str, kind: str, subject: bytes) -> Case | None:
        """The newest incident of this kind about this subject."""
        row = self._sql.execute(
            f"SELECT {_COLUMNS} FROM incident WHERE gateway = ? AND kind = ? AND subject = ? ORDER BY n DESC LIMIT 1",  # noqa: S608 - a constant
            (gateway, kind, subject),
        ).fetchone()
        return None if row is None else Case(*row)

    def report(self, gateway: str, kind: str, subject: bytes, facts: str, now_ms: int) -> tuple[Case | None, bool]:
        """The open case for an incident, and whether it was opened now; None when an operator closed it as it is.

        A closed case stays closed until the facts change; an open one takes up the new facts in silence.
        """
        known = self.latest(gateway, kind, subject)
        if known is not None and known.closed_ms is None:
            if known.facts != facts:
                self._sql.execute("UPDATE incident SET facts = ? WHERE n = ?", (facts, known.n))
            return known, False
        if known is not None and known.facts == facts:
            return None, False
        self._sql.execute(
            "INSERT INTO incident (gateway, kind, subject, facts, opened_ms) VALUES (?, ?, ?, ?, ?)",
            (gateway, kind, subject, facts, now_ms),
        )
        self.write(f"case opened: {kind} {gateway} {subject.hex()} {facts}", now_ms)
        return self.latest(gateway, kind, subject), True

    def hold(self, case: Case, epoch: bytes, batch: bytes = EVERYTHING) -> None:
        """Hold a batch, or a whole epoch, as long as the case is open."""
        self._sql.execute(
            "INSERT INTO hold VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (case.gateway, epoch, batch, case.n)
        )

    def close(self, n: int, who: str, why: str, now_ms: int) -> Case | None:
        """Close a case: what it held is released. None when there is no such open case."""
        row = self._sql.execute(
            "UPDATE incident SET closed_ms = ?, who = ?, why = ? WHERE n = ? AND closed_ms IS NULL"  # noqa: S608
            " RETURNING " + _COLUMNS,  # a constant
            (now_ms, who, why, n),
        ).fetchone()
        if row is None:
            return None
        case = Case(*row)
        self.write(f"case {n} closed: {case.kind} {case.gateway} by {who}: {why}", now_ms)
        return case

    def all(self) -> list[Case]:
        """All incidents, oldest first."""
        return [Case(*row) for row in self._sql.execute(f"SELECT {_COLUMNS} FROM incident ORDER BY n")]  # noqa: S608 - a constant

    def any_open(self, kind: str) -> bool:
        """Whether an incident of this kind is open."""
        row = self._sql.execute("SELECT 1 FROM incident WHERE kind = ? AND closed_ms IS NULL", (kind,)).fetchone()
        return row is not None

    def open(self, limit: int) -> list[Case]:
        """The open incidents, newest first."""
        rows = self._sql.execute(
            f"SELECT {_COLUMNS} FROM incident WHERE closed_ms IS NULL ORDER BY n DESC LIMIT ?",  # noqa: S608 - a constant
            (limit,),
        )
        return [Case(*row) for row in rows]

    def open_by_kind(self) -> dict[str, int]:
        """How many incidents are open."""
        return dict(self._sql.execute("SELECT kind, count(*) FROM incident WHERE closed_ms IS NULL GROUP BY kind"))

    def holds(self, gateway: str) -> tuple[set[bytes], dict[bytes, int]]:
        """What is held without looking at every batch: whole epochs, and how many single batches of others."""
        pending = self._sql.execute("SELECT epoch FROM pending WHERE gateway = ?", (gateway,))
        whole = {row[0] for row in pending}
        single: dict[bytes, int] = {}
        rows = self._sql.execute(
            "SELECT h.epoch, h.batch, count(*) OVER (PARTITION BY h.epoch) FROM (SELECT DISTINCT h.epoch, h.batch"
            " FROM hold h JOIN incident i ON i.gateway = h.gateway AND i.n = h.incident AND i.closed_ms IS NULL"
            " WHERE h.gateway = ?) h",
            (gateway,),
        )
        for epoch, batch, count in rows:
            if batch == EVERYTHING:
                whole.add(epoch)
            else:
                single[epoch] = count
        return whole, {epoch: count for epoch, count in single.items() if epoch not in whole}

    def holding(self) -> list[tuple[str, bytes, bytes]]:
        """All that is held now: gateway, epoch, batch (`EVERYTHING`: the whole epoch)."""
        rows = self._sql.execute(
            "SELECT h.gateway, h.epoch, h.batch FROM hold h"
            " JOIN incident i ON i.gateway = h.gateway AND i.n = h.incident AND i.closed_ms IS NULL"
            " UNION SELECT gateway, epoch, ? FROM pending ORDER BY 1, 2, 3",
            (EVERYTHING,),
        )
        return [(gateway, epoch, batch) for gateway, epoch, batch in rows]

    def held(self, gateway: str) -> int:
        """How many stored batches of a gateway are held from billing."""
        row = self._sql.execute(
            "SELECT count(*) FROM evidence e WHERE e.gateway = ?1 AND EXISTS (SELECT 1 FROM hold h"
            " JOIN incident i ON i.gateway = h.gateway AND i.n = h.incident AND i.closed_ms IS NULL"
            " WHERE h.gateway = e.gateway AND h.epoch = e.epoch AND h.batch IN (?2, e.id)"
            " UNION ALL SELECT 1 FROM pending p WHERE p.gateway = e.gateway AND p.epoch = e.epoch)",
            (gateway, EVERYTHING),
        ).fetchone()
        found: int = row[0]
        return found

    def write(self, what: str, now_ms: int) -> None:
        """Add a line to the journal."""
        # One line after the other, whoever writes: its hash is over the one before.
        self._sql.execute("SELECT value FROM meta WHERE name = 'generation' /* FOR UPDATE */").fetchone()
        row = self._sql.execute("SELECT n, hash FROM journal ORDER BY n DESC LIMIT 1").fetchone()
        n, before = (1, b"") if row is None else (row[0] + 1, row[1])
        self._sql.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (n, now_ms, what, _link(before, n, now_ms, what)))

    def head(self) -> bytes | None:
        """The newest hash of the journal."""
        row = self._sql.execute("SELECT hash FROM journal ORDER BY n DESC LIMIT 1").fetchone()
        return None if row is None else bytes(row[0])

    def has_head(self, head: bytes) -> bool:
        """Whether the journal ever had this head."""
        return self._sql.execute("SELECT 1 FROM journal WHERE hash = ?", (head,)).fetchone() is not None

    def first_bad_line(self) -> int | None:
        """The number of the first line of the journal that does not continue the chain."""
        before = b""
        rows = self._sql.execute("SELECT n, at_ms, what, hash FROM journal ORDER BY n")
        for expected, (n, at_ms, what, digest) in enumerate(rows, 1):
            if n != expected or digest != _link(before, n, at_ms, what):
                return expected
            before = digest
        return None


def _link(before: bytes, n: int, at_ms: int, what: str) -> bytes:
    return hashlib.sha256(before + pack([n, at_ms, what])).digest()
