"""For each meter, way of reading and part: where its newest row is, how many there are, and when the last few were.

Derived from the table of readings and kept beside it, in the same transaction, once for each batch. What is newest is
told by the time that owns the row (its slot, else the meter's own time, else the gateway's), so that what comes late
after an outage does not pass for the newest. The newest's seal is verified against its evidence by whoever shows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from collector.store.sql import Connection
from protocols.reading import How

RECENT = 9  # slots of the newest visits that are kept: eight distances
NAME = 8  # bytes of the hash that names a meter in an address
_METER_EPOCH_S = 946_684_800  # protocols.reading.METER_EPOCH, were it UTC: only to put a meter's own times in order
_ROWS = "SELECT meter, how, part, moment, slot_ms, meter_s, at_ms, gateway FROM reading WHERE variant = 0"
ASKED = 64  # meters in one question
_COLUMNS = "meter, how, part, name, gateway, stored, first, newest, moment, at_ms, recent"
_NEWER = "CASE WHEN excluded.newest > series.newest THEN excluded.{0} ELSE series.{0} END"
# What is there is added to where it stands: several writers may have read the same meter.
_PUT = (
    f"INSERT INTO series ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
    " ON CONFLICT (meter, how, part) DO UPDATE SET stored = series.stored + excluded.stored,"
    " first = CASE WHEN excluded.first < series.first THEN excluded.first ELSE series.first END,"
    f" {', '.join(f'{each} = {_NEWER.format(each)}' for each in ('gateway', 'newest', 'moment', 'at_ms'))},"
    " recent = excluded.recent"
)


class Stored(Protocol):
    """What of a stored reading its series needs to know."""

    @property
    def meter(self) -> bytes: ...  # noqa: D102
    @property
    def how(self) -> int: ...  # noqa: D102
    @property
    def part(self) -> int: ...  # noqa: D102
    @property
    def moment(self) -> str: ...  # noqa: D102
    @property
    def slot_ms(self) -> int | None: ...  # noqa: D102
    @property
    def meter_s(self) -> int | None: ...  # noqa: D102 - as its clock shows it
    @property
    def at_ms(self) -> int: ...  # noqa: D102
    @property
    def gateway(self) -> str: ...  # noqa: D102


class Row(NamedTuple):
    """Only that of it."""

    meter: bytes
    how: int
    part: int
    moment: str
    slot_ms: int | None
    meter_s: int | None
    at_ms: int
    gateway: str


@dataclass(frozen=True, slots=True)
class Series:
    """The rows of one meter, way of reading and part: `newest` and `first` are times in ms by the clock that owns them.

    `at_ms` is the gateway's time of the newest, `recent` are the slots of the last few visits (their times where they
    have no slot): the distance between visits is that of the slots, also when the first one came late in its slot.
    """

    meter: bytes
    how: int
    part: int
    name: str
    gateway: str
    stored: int
    first: int
    newest: int
    moment: str
    at_ms: int
    recent: tuple[int, ...]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Series:
        """A row of the table."""
        fields: list[Any] = [*row[:-1], tuple(json.loads(row[-1]))]
        return cls(*fields)


@dataclass(frozen=True, slots=True)
class Times:
    """The gateway's time of a series' newest row, and the slots (or times) of the last few visits."""

    name: str
    gateway: str
    how: int
    at_ms: int
    recent: tuple[int, ...]


class SeriesTable:
    """The table series."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def note(self, rows: Iterable[Stored]) -> None:
        """Take up rows that were stored."""
        groups: dict[tuple[bytes, int, int], list[Stored]] = {}
        for key, some in groupby(rows, _series_of):
            groups.setdefault(key, []).extend(some)
        known = self._known(sorted({meter for meter, _, _ in groups}))
        self._sql.executemany(_PUT, [_row(key, known.get(key, ()), groups[key]) for key in sorted(groups)])

    def rebuild(self) -> None:
        """Make the whole table anew from the readings."""
        self._sql.execute("DELETE FROM series")
        self._take(f"{_ROWS} ORDER BY meter, how, moment", ())

    def removed(self, meter: bytes, how: int, part: int, count: int) -> None:
        """So many readings of a meter are gone; where the newest is among them another one takes its place."""
        key = (meter, how, part)
        self._sql.execute(
            "UPDATE series SET stored = stored - ? WHERE meter = ? AND how = ? AND part = ?", (count, *key)
        )
        known = self._one(*key)
        if known is None:
            return
        there = self._sql.execute(
            "SELECT 1 FROM reading WHERE meter = ? AND how = ? AND moment = ? AND part = ?",
            (meter, how, known.moment, part),
        )
        if there.fetchone() is None:
            self.refresh(meter)

    def refresh(self, meter: bytes) -> None:
        """Make the rows of one meter anew from its readings: some of them are gone."""
        self._sql.execute("DELETE FROM series WHERE meter = ?", (meter,))
        self._take(f"{_ROWS} AND meter = ? ORDER BY meter, how, moment", (meter,))

    def of(self, meter: str) -> list[Series]:
        """The series of the meter with this name in addresses."""
        rows = self._sql.execute(f"SELECT {_COLUMNS} FROM series WHERE name = ? ORDER BY how, part", (meter,))  # noqa: S608 - a constant
        return [Series.from_row(row) for row in rows]

    def newest_ms(self, meter: bytes) -> int | None:
        """The time of a meter's newest row, of any way of reading; None: it was never read."""
        row = self._sql.execute("SELECT max(newest) FROM series WHERE meter = ?", (meter,)).fetchone()
        found: int | None = row[0]
        return found

    def page(self, after: str, limit: int) -> list[Series]:
        """All series of the next `limit` meters, by name."""
        rows = self._sql.execute(
            f"SELECT {_COLUMNS} FROM series WHERE name IN (SELECT DISTINCT name FROM series WHERE name > ?"  # noqa: S608 - a constant
            " ORDER BY name LIMIT ?) ORDER BY name, how, part",
            (after, limit),
        )
        return [Series.from_row(row) for row in rows]

    def times(self) -> list[Times]:
        """When every series' newest row was read: what lateness is judged by."""
        rows = self._sql.execute("SELECT name, gateway, how, at_ms, recent FROM series WHERE part = 0 ORDER BY name")
        return [
            Times(name, gateway, how, at_ms, tuple(json.loads(recent))) for name, gateway, how, at_ms, recent in rows
        ]

    def meters(self) -> int:
        """How many meters there are."""
        found: int = self._sql.execute("SELECT count(DISTINCT name) FROM series").fetchone()[0]
        return found

    def _take(self, sql: str, parameters: Sequence[object]) -> None:
        rows = self._sql.execute(sql, parameters)
        for _, mine in groupby(rows, lambda row: (row[0], row[1])):
            self.note([Row(*row) for row in mine])

    def _one(self, meter: bytes, how: int, part: int) -> Series | None:
        row = self._sql.execute(
            f"SELECT {_COLUMNS} FROM series WHERE meter = ? AND how = ? AND part = ?",  # noqa: S608 - a constant
            (meter, how, part),
        ).fetchone()
        return None if row is None else Series.from_row(row)

    def _known(self, meters: Sequence[bytes]) -> dict[tuple[bytes, int, int], list[int]]:
        """The newest visits of these meters that are kept, by meter, way and part."""
        found: dict[tuple[bytes, int, int], list[int]] = {}
        for at in range(0, len(meters), ASKED):
            some = meters[at : at + ASKED]
            rows = self._sql.execute(
                f"SELECT meter, how, part, recent FROM series WHERE meter IN ({', '.join('?' * len(some))})",  # noqa: S608 - constants
                some,
            )
            found |= {(meter, how, part): json.loads(recent) for meter, how, part, recent in rows}
        return found


def _row(key: tuple[bytes, int, int], recent: Iterable[int], mine: Sequence[Stored]) -> tuple[Any, ...]:
    """The readings `mine` of one series as a row, with the visits that are known in it too."""
    meter, how, _ = key
    times = [_order(row) for row in mine]
    newest = max(times)
    last = mine[times.index(newest)]
    # What was read by hand beside the slots says nothing of how often the meter is read.
    visits = {*recent, *(_visit(row) for row in mine if how != How.READ or row.slot_ms is not None)}
    kept = sorted(visits or {min(map(_visit, mine))})[-RECENT:]
    counted = (len(mine), min(times), newest, last.moment, last.at_ms, json.dumps(kept))
    return (*key, meter_name(meter), last.gateway, *counted)


def meter_name(meter: bytes) -> str:
    """How a meter is named in addresses: the beginning of the hash of its identity."""
    return hashlib.sha256(meter).digest()[:NAME].hex()


def _order(row: Stored) -> int:
    """The time that owns a row, in ms: its slot, else that of the meter (as if it were UTC), else ours."""
    if row.slot_ms is not None:
        return row.slot_ms
    seconds = row.meter_s
    return row.at_ms if seconds is None or row.how == How.READ else (seconds + _METER_EPOCH_S) * 1000


def _visit(row: Stored) -> int:
    return row.at_ms if row.slot_ms is None else row.slot_ms


_series_of = attrgetter("meter", "how", "part")
