"""An M-Bus meter's answer, as the daemon hands it on to a command: its telegrams, when each came, and what happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.handed import Through
from protocols.errors import PlombaError
from protocols.mbus import link
from protocols.transports.exchange import Answer
from protocols.uplink.pack import Fields, Wire

TELEGRAMS = 64  # of one answer: more than a session takes
FRAME = 261  # bytes: the longest frame of EN 13757-2


@dataclass(frozen=True, slots=True)
class Visited:
    """What the meter answered, and what happened on the way."""

    answers: tuple[Answer, ...]
    repeated: int
    damaged: int
    foreign: int


class MbusHost:
    """A meter of the daemon's; the question has no words."""

    def __init__(self, visited: Callable[[], Awaitable[Visited]]) -> None:
        self._visited = visited

    async def answer(self, question: list[Wire]) -> Wire:
        """Its telegrams.

        Raises:
            LinkError, MeterError: no usable answer came.
        """
        found = await self._visited()
        telegrams: list[Wire] = [
            [each.frame.octets, each.at_ms, each.mono_ms, each.round_trip_ms] for each in found.answers
        ]
        return [telegrams, found.repeated, found.damaged, found.foreign]

    def survives(self, error: PlombaError) -> bool:
        """Each question is an exchange of its own."""
        return True


def visited(through: Through) -> Visited:
    """The telegrams of a meter, read by the daemon.

    Raises:
        PlombaError: what the daemon met, or that it does not answer.
    """
    fields = Fields(through.ask(), "telegrams", 4)
    answers = tuple(_answer(each) for each in fields.array("telegrams", TELEGRAMS, 1))
    return Visited(answers, *(fields.integer(name, 0) for name in ("repeated", "damaged", "foreign")))


def _answer(wire: Wire) -> Answer:
    fields = Fields(wire, "telegram", 4)
    frame = link.parse(fields.octets("octets", limit=FRAME))
    return Answer(frame, *(fields.integer(name) for name in ("at", "mono", "round trip")))
