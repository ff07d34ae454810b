"""Questions and answers of Modbus TCP: which of the bytes that came are the answer to the question that was asked.

A frame is transaction (2 bytes), protocol (2, zero), length of what follows (2), unit (1), function (1) and data. An
answer is taken only when transaction, unit, function and byte count are those of the question, all of them, to the
byte; zero is no wildcard. Frames of other transactions are answers that came too late, or twice: they are stepped over.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from protocols.modbus import faults
from protocols.modbus.registers import FUNCTIONS, WORD, Table

HEADER = struct.Struct(">HHHB")  # transaction, protocol, length, unit
LENGTH_AT = 6  # bytes before what the length field counts
MIN_LENGTH, MAX_LENGTH = 3, 254  # unit, function and one byte; unit and the longest PDU (253)
MAX_FRAME = LENGTH_AT + MAX_LENGTH
MAX_FOREIGN = 8  # frames of other transactions behind one question, before the line is called unusable
EXCEPTION = 0x80  # set in the function code of a refusal


@dataclass(frozen=True, slots=True)
class Question:
    """A question to read `count` registers."""

    unit: int
    table: Table
    address: int
    count: int

    @property
    def where(self) -> str:
        """The place that errors name."""
        return f"unit {self.unit}, {self.table} registers {self.address} to {self.address + self.count - 1}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer: its frame as it came, and in it the registers' bytes."""

    octets: bytes
    words: bytes


def judge(question: Question, transaction: int, received: bytes) -> Answer | None:
    """The answer to `question` in all that was received since it was sent; None while it is not whole yet.

    Raises:
        NotModbus, AnotherUnit, AnotherFunction, WrongLength: it never will be, and the stream is of no more use.
        AnotherTransaction: too many frames of others.
        RefusedError: the device refused; the stream is intact.
    """
    start = 0
    for _ in range(MAX_FOREIGN + 1):
        end = _frame_end(received, start, question)
        if end is None:
            return None
        frame = received[start:end]
        if int.from_bytes(frame[:2], "big") == transaction:
            return _answer(question, frame)
        start = end
    raise faults.AnotherTransaction(f"transaction {transaction}", f"{MAX_FOREIGN + 1} of others", question.where)


def foreign(received: bytes) -> bool:
    """Whether at least one whole frame is there: of another question, if `judge` found no answer."""
    return len(received) >= HEADER.size and len(received) >= LENGTH_AT + int.from_bytes(received[4:6], "big")


def _frame_end(received: bytes, start: int, question: Question) -> int | None:
    """Where the frame at `start` ends, None while it is not whole."""
    if len(received) - start < HEADER.size:
        return None
    _, protocol, length, _ = HEADER.unpack_from(received, start)
    if protocol != 0 or not MIN_LENGTH <= length <= MAX_LENGTH:
        shown = received[start : start + HEADER.size].hex()
        raise faults.NotModbus("protocol 0000 and a length of 3 to 254", shown, question.where)
    end = start + LENGTH_AT + int(length)
    return end if len(received) >= end else None


def _answer(question: Question, frame: bytes) -> Answer:
    unit, function, data = frame[6], frame[7], frame[8:]
    wanted, where = FUNCTIONS[question.table], question.where
    if unit != question.unit:
        raise faults.AnotherUnit(f"unit {question.unit}", f"unit {unit}", where)
    if function == wanted | EXCEPTION:
        if len(data) != 1:
            raise faults.WrongLength("an exception of 1 byte", f"{len(data)} bytes", where)
        raise faults.refused(data[0], where)
    if function != wanted:
        raise faults.AnotherFunction(f"function {wanted:02x}", f"{function:02x}", where)
    size = question.count * WORD
    if data[0] != size or len(data) != size + 1:
        raise faults.WrongLength(f"{size} bytes of registers", f"{data[0]} announced, {len(data) - 1} there", where)
    return Answer(frame, data[1:])
