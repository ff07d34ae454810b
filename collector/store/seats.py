"""Who works on one database: advisory locks, which end with the connection of a worker that ends, hangs or is cut off.

A worker holds the lock of its seat and those of the shares that it takes. It takes its own share as soon as that is
free, and one of a worker that is not there after a few looks. A share of a worker that is there again is given up in
two steps: at one look it is no longer told as ours (nothing more of it is received), at the next its lock is released.
"""

from __future__ import annotations

from collections import Counter

from collector.place import Server
from collector.seat import Seat, Seated
from collector.store.session import Session

CLASS = 0x504C4F4D  # "PLOM": tells our locks from others
PATIENCE = 3  # looks until the share of an absent worker is taken: one that is only started again finds it
GONE_MS = 30_000  # a worker that does not look for so long has lost its seat: it hangs, or has no way to the broker
_SEAT, _SHARE, _LEAD = 1 << 16, 2 << 16, 3 << 16  # kinds of locks; below them how many workers, and which
_SETTINGS = (
    f"SET idle_session_timeout = {GONE_MS}",
    # A machine that went without a word: the server notices it as early as we would.
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)
_HELD = (
    "SELECT CAST(l.objid AS BIGINT), l.pid, l.pid = pg_backend_pid(),"
    " CAST(extract(epoch FROM a.backend_start) * 1000 AS BIGINT)"
    " FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = CAST(? AS OID)"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY l.objid"
)
_TRY = "SELECT pg_try_advisory_lock(CAST(? AS INTEGER), CAST(? AS INTEGER))"
_RELEASE = "SELECT pg_advisory_unlock(CAST(? AS INTEGER), CAST(? AS INTEGER))"


class DatabaseSeats:
    """A worker's seat, on a connection of its own that is asked about once a second."""

    def __init__(self, server: Server, seat: Seat) -> None:
        self.seat = seat
        self._sql = Session(server, _greet)
        self._leaving: set[int] = set()
        self._absent: Counter[int] = Counter()

    def look(self) -> frozenset[int]:
        """The shares that are this worker's from now on.

        Raises:
            StoreFullError: the server does not say.
        """
        of, own = self.seat.of, self.seat.number
        held = {row[0]: bool(row[2]) for row in self._sql.execute(_HELD, (CLASS,))}
        others = {_of(lock) for lock in held if lock & ~0xFFFF == _SEAT} - {of}
        if others:  # workers of another division: theirs first
            if held.get(_lock(_SEAT, self.seat)) and of < max(others):
                self.close()  # both sat down at once: the larger division stays
            return frozenset()
        if not held.get(_lock(_SEAT, self.seat)) and not self._take(_SEAT, own):
            return frozenset()  # another worker sits there: when it ends, we are there
        there = {number for number in range(1, of + 1) if _lock(_SEAT, Seat(number, of)) in held} | {own}
        mine = {number for number in range(1, of + 1) if held.get(_lock(_SHARE, Seat(number, of)))}
        for share in self._leaving & mine:
            self._sql.execute(_RELEASE, (CLASS, _lock(_SHARE, Seat(share, of))))
            mine.discard(share)
        taken = {number for number in range(1, of + 1) if _lock(_SHARE, Seat(number, of)) in held}
        mine |= {share for share in self._wanted(there, taken) if self._take(_SHARE, share)}
        self._leaving = {share for share in mine if share != own and share in there}
        return frozenset(mine - self._leaving)

    def close(self) -> None:
        """Leave the seat and all shares."""
        self._sql.close()

    def _wanted(self, there: set[int], taken: set[int]) -> list[int]:
        """Our own share, and one whose worker is away for long."""
        free = [share for share in range(1, self.seat.of + 1) if share not in taken]
        self._absent = Counter({share: self._absent[share] + 1 for share in free if share not in there})
        orphans = [share for share, looks in self._absent.items() if looks > PATIENCE]
        return [share for share in free if share == self.seat.number] + orphans[:1]

    def _take(self, kind: int, number: int) -> bool:
        row = self._sql.execute(_TRY, (CLASS, _lock(kind, Seat(number, self.seat.of)))).fetchone()
        return bool(row[0])


def seated(sql: Session) -> list[Seated]:
    """The workers that have a seat, by number."""
    seats: dict[int, tuple[Seat, int | None]] = {}
    shares: dict[int, list[int]] = {}
    for lock, pid, _, since_ms in sql.execute(_HELD, (CLASS,)):
        if lock & ~0xFFFF == _SEAT:
            seats[pid] = Seat(lock & 0xFF, _of(lock)), since_ms
        elif lock & ~0xFFFF == _SHARE:
            shares.setdefault(pid, []).append(lock & 0xFF)
    found = [Seated(seat, tuple(shares.get(pid, ())), since_ms) for pid, (seat, since_ms) in seats.items()]
    return sorted(found, key=lambda each: each.seat)


def leads(sql: Session, job: int) -> bool:
    """Whether this connection, and no other one, does a job that only one shall do; so while it lives and asks."""
    lock = _lock(_LEAD, Seat(job, 0))
    if any(row[0] == lock and row[2] for row in sql.execute(_HELD, (CLASS,))):
        return True
    if not sql.execute(_TRY, (CLASS, lock)).fetchone()[0]:
        return False
    _greet(sql)
    return True


def _greet(sql: Session) -> None:
    for each in _SETTINGS:
        sql.execute(each)


def _lock(kind: int, seat: Seat) -> int:
    return kind | seat.of << 8 | seat.number


def _of(lock: int) -> int:
    return lock >> 8 & 0xFF
