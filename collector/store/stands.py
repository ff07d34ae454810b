"""Stands: validated values of registers with their dates; a correction is a new version, nothing is overwritten.

A stand is known by point, register, instant and character: at an exchange the meter that goes and the one that comes
both have one at the same instant. Its value is as it is shown, exactly; consumption since the stand before it is in the
base unit of the quantity, so that it holds across exchanges and changes of unit. The newest version has `past` 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from collector.faults import CurveAlteredError
from collector.master.dated import Act
from collector.quality import Quality, Run, runs_from_text, runs_to_text
from collector.store.curves import Origin
from collector.store.sql import Connection
from protocols.reading import Scaled

STANDS = """
CREATE TABLE stand (
  point TEXT NOT NULL, register TEXT NOT NULL, past INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  character TEXT NOT NULL, version INTEGER NOT NULL, day INTEGER NOT NULL, meter TEXT NOT NULL, value TEXT NOT NULL,
  unit TEXT NOT NULL, quantity TEXT NOT NULL, consumption TEXT, quality TEXT NOT NULL, approved TEXT,
  origin TEXT NOT NULL, known_ms INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, register, past, at_ms, character, version)
) STRICT, WITHOUT ROWID;
"""
_SELECT = (
    "SELECT point, register, past, at_ms, character, version, day, meter, value, unit, quantity, consumption, quality,"
    " approved, origin, known_ms, who, why FROM stand"
)
_STAND = "point = ? AND register = ? AND past = ? AND at_ms = ? AND character = ?"


class Character(Enum):
    """How a stand came about."""

    NORMAL = "normal"
    ESTIMATED = "estimated"
    CUSTOMER = "customer"
    OPERATOR = "operator"
    REMOVED = "exchange-removed"
    INSTALLED = "exchange-installed"
    CONTROL = "control"
    SET_DAY = "set-day"
    MOVE_IN = "move-in"
    MOVE_OUT = "move-out"
    DISCONNECTION = "disconnection"
    RECONNECTION = "reconnection"
    TARIFF = "tariff-change"


@dataclass(frozen=True, slots=True)
class Stand:
    """What a register stood at. `day` is the local day that it is the stand of (number as in `collector.grid`).

    `at_ms` is the instant (UTC), `meter` the serial, `value` in `unit` as shown, `consumption` since the last stand in
    base units (None: there is none before it, or it is not known), `approved` who approved it.
    """

    point: str
    register: str
    at_ms: int
    character: Character
    day: int
    meter: str
    value: Scaled
    unit: str
    quantity: str
    consumption: Scaled | None
    quality: Quality
    approved: str | None = None
    origin: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class StandVersion:
    """A stored version of a stand."""

    stand: Stand
    newest: bool
    version: int
    act: Act

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> StandVersion:
        """A row of the table.

        Raises:
            CurveAlteredError: it is not what was written.
        """
        point, register, past, at_ms, character, version, day, meter, *rest, known_ms, who, why = row
        value, unit, quantity, consumption, quality, approved, origin = rest
        try:
            stand = Stand(
                point,
                register,
                at_ms,
                Character(character),
                day,
                meter,
                scaled_from(value),
                unit,
                quantity,
                None if consumption is None else scaled_from(consumption),
                runs_from_text(quality)[0].quality,
                approved,
                tuple(Origin(*each) for each in json.loads(origin)),
            )
        except (ValueError, TypeError, IndexError) as error:
            where = f"{point}, register {register}, {at_ms}, version {version}"
            raise CurveAlteredError("a stand as it was written", str(error)[:200], where) from error
        return cls(stand, not past, version, Act(who, known_ms, why))


class StandTable:
    """The table stand."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def put(self, stand: Stand, act: Act) -> bool:
        """Store a stand as its newest version; False where the newest says the same already, and nothing was done.

        Inside a transaction; `act.at_ms` is when it became known.
        """
        key = (stand.point, stand.register, 0, stand.at_ms, stand.character.value)
        found = list(self._rows(f"WHERE {_STAND}", key))
        if found and found[0].stand == _as_stored(stand):
            return False
        version = found[0].version + 1 if found else 1
        self._sql.execute(f"UPDATE stand SET past = 1 WHERE {_STAND}", key)  # noqa: S608 - a constant
        fields = (
            stand.day,
            stand.meter,
            str(stand.value),
            stand.unit,
            stand.quantity,
            None if stand.consumption is None else str(stand.consumption),
            runs_to_text((Run(1, stand.quality),)),
            stand.approved,
            json.dumps([each.to_list() for each in stand.origin], separators=(",", ":"), ensure_ascii=False),
        )
        self._sql.execute(
            "INSERT INTO stand VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, version, *fields, act.at_ms, act.who, act.why),
        )
        return True

    def of(
        self, point: str, from_ms: int, to_ms: int, known_ms: int | None = None, register: str | None = None
    ) -> list[StandVersion]:
        """The stands of a point (of one register) in [from, to), by register and time, as known at an instant."""
        span = "WHERE point = ? AND past IN (0, 1) AND at_ms >= ? AND at_ms < ?"
        order = "ORDER BY register, at_ms, character, version"
        rows = self._rows(f"{span} {order}", (point, from_ms, to_ms))
        found = {
            (each.stand.register, each.stand.at_ms, each.stand.character): each
            for each in rows
            if (register is None or each.stand.register == register)
            and (each.newest if known_ms is None else each.act.at_ms <= known_ms)
        }
        return list(found.values())

    def before(self, point: str, register: str, at_ms: int, known_ms: int | None = None) -> StandVersion | None:
        """The last stand of a register before an instant, as known at an instant (None: now)."""
        span = "WHERE point = ? AND register = ? AND past = 0 AND at_ms < ? ORDER BY at_ms DESC LIMIT 1"
        while found := next(self._rows(span, (point, register, at_ms)), None):
            at_ms = found.stand.at_ms
            if mine := self.of(point, at_ms, at_ms + 1, known_ms, register):
                return mine[-1]
        return None

    def extent(self, point: str | None = None) -> tuple[int, int | None]:
        """How many stands (newest versions) there are (of a point), and the first one's instant."""
        where = "" if point is None else " AND point = ?"
        row = self._sql.execute(
            f"SELECT count(*), min(at_ms) FROM stand WHERE past = 0{where}",  # noqa: S608 - a constant
            () if point is None else (point,),
        ).fetchone()
        return row[0], row[1]

    def remove(self, stand: Stand) -> int:
        """Remove a stand with all its versions; how many there were."""
        return self._sql.execute(
            "DELETE FROM stand WHERE point = ? AND register = ? AND past IN (0, 1) AND at_ms = ? AND character = ?",
            (stand.point, stand.register, stand.at_ms, stand.character.value),
        ).rowcount

    def versions(self, stand: Stand) -> list[StandVersion]:
        """All versions of a stand, the oldest first."""
        span = "WHERE point = ? AND register = ? AND past IN (0, 1) AND at_ms = ? AND character = ? ORDER BY version"
        return list(self._rows(span, (stand.point, stand.register, stand.at_ms, stand.character.value)))

    def _rows(self, rest: str, parameters: Iterable[object]) -> Iterator[StandVersion]:
        return (StandVersion.from_row(row) for row in self._sql.execute(f"{_SELECT} {rest}", tuple(parameters)))


def scaled_from(text: str) -> Scaled:
    """The number in a decimal text, with as many decimals.

    Raises:
        ValueError: it is none.
    """
    whole, _, decimals = text.partition(".")
    return Scaled(int(whole + decimals), -len(decimals))


def _as_stored(stand: Stand) -> Stand:
    """With numbers as they come back: as many decimals, no zeros that a power of ten stands for."""
    used = stand.consumption
    again = None if used is None else scaled_from(str(used))
    return replace(stand, value=scaled_from(str(stand.value)), consumption=again)
