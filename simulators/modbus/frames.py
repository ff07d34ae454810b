"""Modbus TCP frames as the simulated meter hears and makes them, and what a fault makes of one. Bytes only."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

HEADER = struct.Struct(">HHHB")  # transaction, protocol, length, unit
DEVICE_FAILURE = 4
HALF = 11  # bytes of an answer: its header and a little more


class Fault(Enum):
    """What happens to an answer with measurements on its way."""

    SILENCE = "silence"
    TRANSACTION = "transaction"  # it bears another transaction
    ZERO_TRANSACTION = "zero"  # it bears transaction 0
    UNIT = "unit"  # it names another unit
    FUNCTION = "function"  # it bears the other function
    SHORT = "short"  # it is one register short, and says so
    EXCEPTION = "exception"  # exception 04 comes instead
    HALF = "half"  # half of it comes, then the line is closed
    LATE = "late"  # it comes after the next question
    DUPLICATE = "duplicate"  # it comes twice


@dataclass(frozen=True, slots=True)
class Question:
    """A frame that the meter heard; `data` is what follows the function."""

    transaction: int
    unit: int
    function: int
    data: bytes

    def frame(self, pdu: bytes, *, unit: int | None = None, transaction: int | None = None) -> bytes:
        """A frame that answers it, or seems to."""
        number = self.transaction if transaction is None else transaction
        return HEADER.pack(number, 0, len(pdu) + 1, self.unit if unit is None else unit) + pdu

    def registers(self, octets: bytes) -> bytes:
        """The frame with these registers."""
        return self.frame(pdu(self.function, octets))

    def refusal(self, exception: int) -> bytes:
        """The frame of an exception."""
        return self.frame(bytes([self.function | 0x80, exception]))


def pdu(function: int, octets: bytes) -> bytes:
    """Function, byte count and registers."""
    return bytes([function, len(octets)]) + octets


# What is on the wire at once, instead of the frame with these registers.
SPOILT: dict[Fault, Callable[[Question, bytes], bytes]] = {
    Fault.SILENCE: lambda question, octets: b"",
    Fault.LATE: lambda question, octets: b"",
    Fault.TRANSACTION: lambda question, octets: question.frame(
        pdu(question.function, octets), transaction=question.transaction ^ 0x0F00
    ),
    Fault.ZERO_TRANSACTION: lambda question, octets: question.frame(pdu(question.function, octets), transaction=0),
    Fault.UNIT: lambda question, octets: question.frame(pdu(question.function, octets), unit=question.unit + 1),
    Fault.FUNCTION: lambda question, octets: question.frame(pdu(question.function ^ 7, octets)),
    Fault.SHORT: lambda question, octets: question.registers(octets[:-2]),
    Fault.EXCEPTION: lambda question, octets: question.refusal(DEVICE_FAILURE),
    Fault.HALF: lambda question, octets: question.registers(octets)[:HALF],
    Fault.DUPLICATE: lambda question, octets: question.registers(octets) * 2,
}


def on_wire(fault: Fault | None, question: Question, octets: bytes) -> bytes:
    """What is sent at once."""
    return question.registers(octets) if fault is None else SPOILT[fault](question, octets)
