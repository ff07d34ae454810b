"""What every way to Modbus meters gives: the registers of one question with their times, or a named error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protocols.modbus.registers import Table
from protocols.transports.exchange import Clock


@dataclass(frozen=True, slots=True)
class Block:
    """An answer: its frame as received, the registers' bytes in it, and the middle of question and answer."""

    octets: bytes
    words: bytes
    at_ms: int
    mono_ms: int
    round_trip_ms: int


class Asked(Protocol):
    """What is asked for the registers of a unit, one question at a time."""

    async def read(self, unit: int, table: Table, address: int, count: int, clock: Clock) -> Block:
        """The `count` registers of `table` from `address` on.

        Raises:
            MeterError: no usable answer came.
            LinkError: the line is gone.
        """


class RegisterLine(Asked, Protocol):
    """An open way to Modbus meters."""

    @property
    def closed(self) -> bool:
        """Whether it is of no more use."""

    def close(self) -> None:
        """Let the line go; closing twice does no harm."""
