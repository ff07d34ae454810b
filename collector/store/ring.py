"""What was refused: a bounded ring of the newest, and counters that go on counting."""

from __future__ import annotations

from dataclasses import dataclass

from collector.store.sql import Connection

HEAD = 256  # bytes of a refused packet that are kept for inspection
MESSAGE = 400  # characters of a reason


@dataclass(frozen=True, slots=True)
class Kept:
    """A refused message: the gateway whose topic it used, why, and the first bytes of the packet."""

    at_ms: int
    gateway: str
    kind: str
    code: str
    message: str
    digest: bytes
    size: int
    head: bytes


class Ring:
    """The tables ring and counter."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def keep(self, refused: Kept, limit: int) -> None:
        """Put in the newest; the oldest beyond `limit` go."""
        (last,) = self._sql.execute(
            "INSERT INTO ring (at_ms, gateway, kind, code, message, digest, size, head)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING n",
            (
                refused.at_ms,
                refused.gateway,
                refused.kind,
                refused.code,
                refused.message[:MESSAGE],
                refused.digest,
                refused.size,
                refused.head[:HEAD],
            ),
        ).fetchone()
        self._sql.execute("DELETE FROM ring WHERE n <= ?", (last - limit,))

    def kept(self) -> list[tuple[int, Kept]]:
        """All that is in the ring, oldest first, with its number."""
        rows = self._sql.execute(
            "SELECT n, at_ms, gateway, kind, code, message, digest, size, head FROM ring ORDER BY n"
        )
        return [(row[0], Kept(*row[1:])) for row in rows]

    def newest(self, before: int, limit: int) -> list[tuple[int, Kept]]:
        """The newest below number `before`, newest first."""
        rows = self._sql.execute(
            "SELECT n, at_ms, gateway, kind, code, message, digest, size, head FROM ring WHERE n < ?"
            " ORDER BY n DESC LIMIT ?",
            (before, limit),
        )
        return [(row[0], Kept(*row[1:])) for row in rows]

    def count(self, gateway: str, name: str, by: int = 1) -> None:
        """Raise a counter; `gateway` is "" for what nobody registered sent."""
        self._sql.execute(
            "INSERT INTO counter VALUES (?, ?, ?) ON CONFLICT (gateway, name)"
            " DO UPDATE SET value = counter.value + excluded.value",
            (gateway, name, by),
        )

    def counters(self) -> dict[tuple[str, str], int]:
        """All counters by (gateway, name)."""
        rows = self._sql.execute("SELECT gateway, name, value FROM counter ORDER BY gateway, name")
        return {(gateway, name): value for gateway, name, value in rows}
