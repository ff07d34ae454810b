"""One meter read now, for a technician: nothing is sealed, stored or settled."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.handed import Through
from gateway.handed_mbus import Visited, visited
from gateway.lines import Lines, Place, opened
from gateway.mbus import telegrams
from protocols.errors import AnotherMeter, MeterError
from protocols.mbus import faults
from protocols.mbus.pymeterbus import BROADCAST_REPLY
from protocols.mbus.session import ReadSession, Route, SlaveState
from protocols.mbus.telegram import Telegram
from protocols.mbus.timing import Timing
from protocols.reading import Identity, Protocol
from protocols.transports import exchange

ANYONE = Identity(Protocol.MBUS)
# What a frame looks like when several meters talk at once; a disturbed line damages frames in the same way.
DAMAGED = (
    faults.BadStart,
    faults.LengthsDiffer,
    faults.BadSecondStart,
    faults.BadStop,
    faults.BadChecksum,
    faults.CutShort,
    faults.BadLength,
)


@dataclass(frozen=True, slots=True)
class Visit:
    """Where the line is, the way to the meter, and who it must be.

    `selected`: the way is a selection by its number; `wide`: it is open to several meters; `through`: the daemon that
    reads it.
    """

    place: Place
    way: Route
    expected: Identity = ANYONE
    selected: bool = False
    wide: bool = False
    through: Through | None = None


async def visit(asked: Visit, lines: Lines) -> Visited:
    """Ask the meter for its telegrams.

    Raises:
        LinkError: the line cannot be opened, or is gone.
        MeterError: no usable answer came.
        PlombaError: the daemon that reads it says something else, or nothing.
    """
    if asked.through is not None:
        return visited(asked.through)
    clock = exchange.Clock(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000)
    found = await opened(asked.place, lines)
    try:
        session = ReadSession(asked.way, SlaveState(), Timing(asked.place.baud, found.slack_ms))
        answers = await exchange.run(session, found.line, clock)
    finally:
        found.line.close()
    return Visited(answers, session.retries, session.damaged, session.foreign)


def decoded(asked: Visit, found: Visited) -> list[Telegram]:
    """The telegrams of the meter that was meant.

    Raises:
        MeterError: not decodable, of another meter, or of several meters.
    """
    return telegrams(found.answers, asked.expected)


def step(asked: Visit, error: MeterError) -> str:
    """What to do about an error of a meter, by how it was asked."""
    scan = (
        f"plomba-gateway scan {'--url' if asked.place.remote else '--port'} {asked.place.at} --baud {asked.place.baud}"
    )
    by_address = f"{scan} --primary"
    if isinstance(error, faults.NoAnswer):
        what, seek = ("number against the plate", scan) if asked.selected else ("address", by_address)
        return (
            f"check its supply and cable, the baud rate ({asked.place.baud}) and its {what}; '{seek}' shows who answers"
        )
    if isinstance(error, DAMAGED) or (asked.wide and isinstance(error, faults.OnlyNoise)):
        return _damaged(asked, error, scan)
    if isinstance(error, faults.WrongAddress):
        return f"another meter answered, too late or for this one; try again, and see with '{scan}' who is there"
    if isinstance(error, AnotherMeter):
        return f"another meter answers here: correct the file, or see with '{scan}' where the one you mean is"
    return error.do


def _damaged(asked: Visit, error: MeterError, scan: str) -> str:
    """What to do where one read cannot tell several meters from noise: where several are asked a search can."""
    if asked.way.address == BROADCAST_REPLY:
        return (
            f"several meters answer at once, for 254 asks all of a line, or noise is on it; '{scan}' tells which, and "
            "who is there: read one of them with --address N or --secondary NUMBER"
        )
    if asked.wide:
        return (
            "several meters answer at once (a collision: give more of its number, manufacturer, version and medium), "
            f"or noise is on the line; '{scan}' tells which, and who is there"
        )
    more = "give manufacturer, version and medium, too" if asked.selected else f"'{scan} --primary' shows it"
    return f"several meters answer at once (a collision: {more}), or noise is on the line: {error.do}"
