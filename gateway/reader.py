"""What a poller needs of a protocol: the readings of one device, and a line that can be let go."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from gateway.doubtful import Doubtful
from gateway.schedule import Due
from protocols.reading import Reading


class Reader(Protocol):
    """Reads the devices of one bus and owns its line, which it opens when it is first needed.

    A visit ends in exactly one of readings or a failure: `LinkError` where the line is gone (it is let go then, and
    opened again by the next visit), `MeterError` where the meter is silent, refuses, or is another one.
    """

    async def read(self, due: Due) -> list[Reading]:
        """What the device shows now, for the slot, in parts."""

    async def rows(self, device: str) -> list[Reading]:
        """The next piece of the device's load profile that is not stored yet, oldest first; empty where none is due."""

    def doubtful(self, device: str) -> Doubtful | None:
        """What the visit that just failed did read, if it is only hard to believe and was not confirmed; once."""

    def let_go(self) -> None:
        """Close the line, if it is open."""


@runtime_checkable
class Tending(Protocol):
    """A reader that has more to do at its devices than to read them."""

    async def tend(self) -> bool:
        """Do what is due of that, and say whether something was."""
