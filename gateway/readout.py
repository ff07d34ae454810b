"""What a meter shows when a technician reads it: the same for every protocol, for people and for programs."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.exchanges import Asked, spanning
from gateway.handed import Through
from gateway.lines import Lines, Place
from protocols.errors import MeterError
from protocols.mbus.explain import written
from protocols.reading import Raw, State, TimeQuality, Value

UNKNOWN = TimeQuality(synchronised=False, uncertainty_ms=None)
FIRST = 3  # values of a meter in a line


@dataclass(frozen=True, slots=True)
class Register:
    """A register in words: what it is, its value with its unit, and what is to be said of it (empty: nothing)."""

    place: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Readout:
    """What a meter shows: who it is, when it was read, its registers, and the same as an object for programs.

    `partial` says that the meter has more than is here.
    """

    who: str
    when: tuple[str, ...]
    registers: tuple[Register, ...]
    row: dict[str, Any]
    partial: bool = False

    @property
    def lines(self) -> list[str]:
        """For people."""
        width = max((len(each.place) for each in self.registers), default=0)
        rows = (f"  {each.place:{width}}  {each.value}".rstrip() + each.note for each in self.registers)
        return [self.who, *self.when, *rows]

    @property
    def first(self) -> str:
        """Its first values that have a unit, in a few words."""
        valued = [each for each in self.registers if " " in each.value and not each.note]
        return ", ".join(f"{each.place} {each.value}" for each in valued[:FIRST]) or "no values with a unit"


class Heard(Protocol):
    """What came of a meter, not judged yet."""

    @property
    def raw(self) -> tuple[bytes, ...]:
        """The answers as they came."""

    @property
    def told(self) -> str:
        """What happened on the way, where it was not all well."""

    def readout(self) -> Readout:
        """What it shows.

        Raises:
            MeterError: not decodable, or of another meter than the one that was meant.
        """


class Readable(Protocol):
    """A meter that can be read now."""

    @property
    def place(self) -> Place:
        """Where its line is."""

    @property
    def through(self) -> Through | None:
        """The daemon that reads it; None: we do."""

    async def heard(self, lines: Lines) -> Heard:
        """Ask it.

        Raises:
            LinkError, MeterError: no usable answer.
            PlombaError: the daemon that reads it says something else, or nothing.
        """

    def step(self, error: MeterError) -> str:
        """What to do about an error of it."""


def register(place: str, value: Value) -> Register:
    """A value in words."""
    number = value.number.octets.hex() if isinstance(value.number, Raw) else written(value.number)
    state = "" if value.state is State.OK else f"  ({value.state.name.lower().replace('_', '-')})"
    return Register(place, f"{number or '-'} {value.unit or ''}".rstrip(), state)


def taken(found: tuple[Asked, ...]) -> tuple[str, int]:
    """When an exchange was (its middle, UTC), and how long it took (ms)."""
    made = spanning(found[0], found[-1], b"", UNKNOWN, keep=False)
    return instant(made.at_ms), made.round_trip_ms


def instant(at_ms: int) -> str:
    """An instant of ours, UTC."""
    found = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")
