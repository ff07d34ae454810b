"""An M-Bus meter read now: its telegrams, and what they say.

For programs it is what `decode --json` prints of a telegram, with the records of all telegrams of the answer, and
beside it when the exchange was and each telegram in hex.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from gateway.handed import Through
from gateway.handed_mbus import Visited
from gateway.lines import Lines, Place
from gateway.readout import Readout, Register, instant, taken
from gateway.visit import Visit, decoded, step, visit
from protocols.errors import MeterError
from protocols.mbus import dif, explain
from protocols.mbus.explain import ShownRecord, ShownTelegram


@dataclass(frozen=True, slots=True)
class MbusMeter:
    """A meter that is meant."""

    asked: Visit

    @property
    def place(self) -> Place:
        """Where its line is."""
        return self.asked.place

    @property
    def through(self) -> Through | None:
        """The daemon that reads it."""
        return self.asked.through

    async def heard(self, lines: Lines) -> MbusHeard:
        """Its telegrams.

        Raises:
            PlombaError: none came.
        """
        return MbusHeard(self.asked, await visit(self.asked, lines))

    def step(self, error: MeterError) -> str:
        """What to do about an error of it."""
        return step(self.asked, error)


@dataclass(frozen=True, slots=True)
class MbusHeard:
    """Telegrams of a meter."""

    asked: Visit
    found: Visited

    @property
    def raw(self) -> tuple[bytes, ...]:
        """The telegrams."""
        return tuple(each.frame.octets for each in self.found.answers)

    @property
    def told(self) -> str:
        """What happened on the way."""
        counts = (
            ("questions repeated", self.found.repeated),
            ("damaged answers", self.found.damaged),
            ("answers of other meters, none of them taken", self.found.foreign),
        )
        return "; ".join(f"{words}: {count}" for words, count in counts if count)

    def readout(self) -> Readout:
        """What they say.

        Raises:
            MeterError: not decodable, or of another meter, or of several.
        """
        decoded(self.asked, self.found)
        parts = [explain.explain(each.frame) for each in self.found.answers]
        first, row = parts[0], _row(self.found, [explain.in_seconds(each) for each in parts])
        who = f"{first.manufacturer or '-'} {first.id or '-'}, version {first.version}, medium {first.medium}"
        status = ", ".join(row["status"]) or "nothing to report"
        when = [f"read {row['at']}, {row['round_trip_ms']} ms, {len(parts)} telegram(s); status: {status}"]
        partial = bool(row["partial"] or row["more"])
        if partial:
            when.append("the answer broke off: not all that the meter has is here")
        registers = tuple(_register(record) for each in parts for record in each.records)
        who = f"{who} ({first.medium_name or 'not said'}), address {first.address}"
        return Readout(who, tuple(when), registers, row, partial)


def _row(found: Visited, parts: list[ShownTelegram]) -> dict[str, Any]:
    """One object for the whole answer."""
    at, round_trip_ms = taken(found.answers)
    joined = {
        "status": list(dict.fromkeys(chain.from_iterable(each.status for each in parts))),
        "more": parts[-1].more,
        "partial": any(each.partial for each in parts),
        "manufacturer_data": "".join(each.manufacturer_data for each in parts),
        "records": [asdict(record) for each in parts for record in each.records],
    }
    telegrams = [
        {"raw": each.frame.octets.hex(), "at": instant(each.at_ms), "round_trip_ms": each.round_trip_ms}
        for each in found.answers
    ]
    return {**asdict(parts[0]), **joined, "at": at, "round_trip_ms": round_trip_ms, "telegrams": telegrams}


def _register(record: ShownRecord) -> Register:
    value = "-" if record.value is None else record.value
    notes = [note for note in (*record.qualifiers, record.state) if note not in (record.function, "ok")]
    return Register(_place(record), f"{value} {record.unit}".rstrip(), f"  ({', '.join(notes)})" if notes else "")


def _place(record: ShownRecord) -> str:
    """Which register it is: its quantity, and where it stands if that is not the present value."""
    numbers = (("storage", record.storage), ("tariff", record.tariff), ("subunit", record.subunit))
    parts = [f"{name} {number}" for name, number in numbers if number]
    function = [] if record.function == dif.FUNCTIONS[0] else [record.function]
    return ", ".join([record.quantity, *function, *parts])
