"""M-Bus sessions over memory: the line, and plates of meters for a search."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

import pytest

from protocols.errors import MeterError
from protocols.mbus.listen import Search
from protocols.mbus.session import Done, Failed, ReadSession, Send, Wait
from simulators.mbus import encoding
from simulators.mbus.meters import Model, Plate
from simulators.mbus.registers import Registers
from simulators.mbus.rows import NOW
from simulators.mbus.rows import Line as Row

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


def seek(search: Search, hear: Hear, size: int = 1_000, stop: int = 10**9) -> MeterError | None:
    """Do what a search says until it is done, or has sent `stop` questions; why it failed, where it did."""
    held, sent = b"", 0
    for _ in range(10**7):
        if search.between and sent >= stop:
            return None
        match step := search.next():
            case Send():
                sent += 1
                held = hear(step.octets)
            case Wait() if held:
                search.received(held[:size])
                held = held[size:]
            case Wait():
                search.timed_out()
            case Failed():
                return step.error
            case _:
                return None
    pytest.fail("the search makes no progress")


def plate(number: str, letters: str = "KAM", version: int = 1, medium: int = 4, address: int = 0) -> Plate:
    """A meter with little to say."""
    volume = int(number[-4:], 16)
    return Plate(Model(letters, version, medium, 0, _volume), number, address, Registers(volume=volume))


def _volume(registers: Registers, now: datetime.datetime, number: str) -> Iterator[Row]:
    yield Row("04", "13", NOW, encoding.integer(registers.volume, 4), {"m": registers.volume, "e": -3, "unit": "m3"})
