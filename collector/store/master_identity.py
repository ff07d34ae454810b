"""Whose readings these are: what meters say of themselves against what was entered, and the device map.

`collector.master.whose` says when two identities are of one meter, and what a mark is.
`seen` has the marks of every meter that was ever read, taken up from `series` when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from collector.master.dated import ALWAYS, Span
from collector.master.meters import Mapped, Meter
from collector.master.whose import Shown, likeness, marks, shown_by
from collector.shown import meter_name as in_words
from collector.store.master_dated import DatedTable
from collector.store.readings import KEY_BYTES
from collector.store.sql import Connection
from protocols.errors import PlombaError
from protocols.reading import Identity
from protocols.uplink.leaf import identity_from_wire
from protocols.uplink.pack import Fields, unpack

_NONE = "-"  # the mark of what says nothing that identifies: taken up, and found by the device map alone
PLACED = 4  # parts of the key of a meter without identity: identity, sub, gateway, device


@dataclass(frozen=True, slots=True)
class Key:
    """A packed meter key (`collector.store.readings.meter_key`), taken apart; `place`: gateway and device, or none."""

    octets: bytes
    identity: Identity
    sub: str | None
    place: tuple[str, str] | None

    @classmethod
    def from_bytes(cls, octets: bytes) -> Key:
        """Take a key apart.

        Raises:
            PlombaError: it is none.
        """
        wire = unpack(octets, KEY_BYTES, "meter")
        length = len(wire) if isinstance(wire, list) else 0
        fields = Fields(wire, "meter", PLACED if length == PLACED else 2)
        identity, sub = identity_from_wire(fields.array("identity", 32)), fields.maybe_text("sub")
        if length != PLACED:
            return cls(octets, identity, sub, None)
        return cls(octets, identity, sub, (fields.text("gateway"), fields.text("device")))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A meter that is read and was not entered: since when (`first`), until when, how many readings, and where.

    `first_ms` and `newest_ms` are as `collector.store.series` orders them; `name` is its name in addresses.
    """

    key: Key
    name: str
    words: str
    gateway: str
    devices: tuple[str, ...]
    first_ms: int
    newest_ms: int
    stored: int


class Identities:
    """The tables master_identity and seen, beside those of meters and of the device map."""

    def __init__(self, connection: Connection, meters: DatedTable[Meter], mapped: DatedTable[Mapped]) -> None:
        self._sql = connection
        self._meters, self._mapped = meters, mapped

    def note(self, meter: Meter) -> None:
        """Register what a meter says of itself."""
        self._sql.executemany(
            "INSERT INTO master_identity (mark, meter) VALUES (?, ?) ON CONFLICT (mark, meter) DO NOTHING",
            [(mark, meter.serial) for mark in marks(meter.identity)],
        )

    def like(self, identity: Identity, span: Span, known_ms: int | None = None) -> list[Meter]:
        """The meters of the span that this could be, the most alike first."""
        rows = self._marked("master_identity", marks(identity))
        found = [meter for row in rows for meter in self._meters.during(span, known_ms, meter=row[0])]
        alike = [(likeness(identity, meter.identity), meter) for meter in found]
        return [meter for count, meter in sorted(alike, key=lambda each: -each[0]) if count]

    def meter_of(self, identity: Identity, at_ms: int, known_ms: int | None = None) -> Meter | None:
        """The meter that says this of itself; None: nobody's, or it could be two meters' alike."""
        found = self.like(identity, Span(at_ms, at_ms + 1), known_ms)
        if len(found) > 1 and likeness(identity, found[0].identity) == likeness(identity, found[1].identity):
            return None
        return found[0] if found else None

    def shown(
        self, identity: Identity, sub: str | None, gateway: str, device: str, at_ms: int, known_ms: int | None = None
    ) -> Shown:
        """Whose the values of a reading of this device are, at an instant."""
        rows = self._mapped.at(at_ms, known_ms, gateway=gateway, device=device)

        def by_identity() -> str | None:
            meter = self.meter_of(identity, at_ms, known_ms)
            return None if meter is None else meter.serial

        return shown_by(rows, sub, by_identity)

    def look(self) -> None:
        """Take up the marks of the meters that were read and not looked at yet."""
        new = self._sql.execute(
            "SELECT DISTINCT s.meter FROM series s WHERE NOT EXISTS (SELECT 1 FROM seen x WHERE x.meter = s.meter)"
        ).fetchall()
        for (octets,) in new:
            self._sql.executemany(
                "INSERT INTO seen (meter, mark) VALUES (?, ?) ON CONFLICT (meter, mark) DO NOTHING",
                [(octets, mark) for mark in _marks_of(octets)],
            )

    def read_as(self, meter: Meter) -> list[bytes]:
        """The keys under which readings of this meter by its identity stand; `look` comes before."""
        rows = self._marked("seen", marks(meter.identity))
        return [row[0] for row in rows if likeness(meter.identity, Key.from_bytes(row[0]).identity)]

    def read_at(self, gateway: str, device: str) -> list[bytes]:
        """The keys of what was ever read under a device's name."""
        names = self._sql.execute(
            "SELECT name FROM name WHERE gateway = ? AND device = ?", (gateway, device)
        ).fetchall()
        found = [
            row[0]
            for (name,) in names
            for row in self._sql.execute("SELECT DISTINCT meter FROM series WHERE name = ?", (name,)).fetchall()
        ]
        return sorted(found)

    def met_at(self, gateway: str, device: str) -> set[str]:
        """The meters that were read under a device's name, by what they say of themselves."""
        keys = [Key.from_bytes(octets) for octets in self.read_at(gateway, device)]
        return {meter.serial for key in keys for meter in self.like(key.identity, ALWAYS)}

    def first_ms(self, key: bytes) -> int | None:
        """The time of a key's first reading, as its series has it."""
        row = self._sql.execute("SELECT min(first) FROM series WHERE meter = ?", (key,)).fetchone()
        found: int | None = row[0]
        return found

    def waiting(self) -> Iterator[Waiting]:
        """The meters that are read and are nobody's, those that wait longest first."""
        rows = self._sql.execute(
            "SELECT meter, max(name), max(gateway), min(first), max(newest), CAST(sum(stored) AS BIGINT) FROM series"
            " GROUP BY meter ORDER BY 4, 2"
        ).fetchall()
        for octets, name, gateway, first, newest, stored in rows:
            try:
                key = Key.from_bytes(octets)
            except PlombaError:
                continue  # the store was altered: its readings say so where they are shown
            devices = self._devices(name)
            if not self._known(key, devices):
                names = tuple(device for _, device in devices)
                yield Waiting(key, name, in_words(key.identity), gateway, names, first, newest, stored)

    def _known(self, key: Key, devices: list[tuple[str, str]]) -> bool:
        if self.like(key.identity, Span(0)):
            return True
        places = [key.place] if key.place else devices
        return any(self._mapped.all(gateway=gateway, device=device) for gateway, device in places)

    def _marked(self, table: str, wanted: list[str]) -> list[tuple[Any]]:
        if not wanted:
            return []
        rows: list[tuple[Any]] = self._sql.execute(
            f"SELECT DISTINCT meter FROM {table} WHERE mark IN ({', '.join('?' * len(wanted))}) ORDER BY meter",  # noqa: S608 - marks
            wanted,
        ).fetchall()
        return rows

    def _devices(self, name: str) -> list[tuple[str, str]]:
        rows = self._sql.execute("SELECT gateway, device FROM name WHERE name = ? ORDER BY gateway, device", (name,))
        return [(row[0], row[1]) for row in rows]


def _marks_of(octets: bytes) -> list[str]:
    try:
        return marks(Key.from_bytes(octets).identity) or [_NONE]
    except PlombaError:
        return [_NONE]
