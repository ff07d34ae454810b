"""M-Bus sessions over memory: the line, and plates of meters for a search."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocols.mbus.session import Done, Failed, ReadSession, Send, Wait
from simulators.mbus.meters import Model, Plate, hot_water
from simulators.mbus.registers import Registers

Hear = Callable[[bytes], bytes]


class Line:
    """Gives the bytes a slave answers in pieces of `size`; counts what the master sent."""

    def __init__(self, hear: Hear, size: int = 1_000) -> None:
        self.hear, self.size = hear, size
        self.sent: list[bytes] = []

    def drive(self, session: ReadSession) -> Done | Failed:
        """Do what the session says until it is done."""
        held = b""
        for _ in range(10_000):
            match step := session.next():
                case Send():
                    self.sent.append(step.octets)
                    held = self.hear(step.octets)
                case Wait() if held:
                    session.received(held[: self.size])
                    held = held[self.size :]
                case Wait():
                    session.timed_out()
                case _:
                    return step
        pytest.fail("the session makes no progress")


def plate(number: str, letters: str = "KAM", version: int = 1, medium: int = 4, address: int = 0) -> Plate:
    """A meter with little to say."""
    return Plate(Model(letters, version, medium, 0, hot_water), number, address, Registers(volume=int(number[-4:], 16)))
