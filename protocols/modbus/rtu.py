"""Questions and answers of Modbus RTU: which of the bytes on a shared line are the answer to the question asked.

A frame is unit (1 byte), function (1), data and CRC (2). Nothing numbers questions and answers: what ties them are
unit, function and length, and that nothing else is under way. So an answer is taken only when all three are those of
the question and the CRC holds; the rest is stepped over: our own question as an echo, whole frames of others (another
master's, a late answer's of another unit), and noise byte by byte. An answer that comes too late, from the same unit
and of the same length as the next one, looks like the next one: `protocols.modbus.debts` keeps such a question from
being asked.

A frame of others inside noise is looked for at every byte: its CRC says whether it is one. What is not seen: 16 bits of
CRC hold by chance once in 65,536 times, for noise that also bears unit, function and length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from protocols.errors import MeterError
from protocols.modbus import crc, faults
from protocols.modbus.adu import EXCEPTION, Answer, Question
from protocols.modbus.registers import FUNCTIONS, MAX_COUNT, WORD

ASKING = struct.Struct(">BBHH")  # unit, function, address, count
UNITS = 247  # Modbus over Serial Line V1.02, 2.2: 1 to 247; the rest is reserved
HEAD = 3  # unit, function, byte count
EXCEPTION_SIZE = 5  # unit, function, exception, CRC
ASKING_SIZE = ASKING.size + crc.SIZE
MAX_RECEIVED = 2_048  # bytes behind one question: eight of the longest frames; more is a line that never rests
_READING = frozenset(FUNCTIONS.values())


@dataclass(frozen=True, slots=True)
class Heard:
    """What came since a question: the answer's frame, whole frames of others, and how many bytes are neither."""

    answer: bytes | None
    others: tuple[bytes, ...]
    noise: int


def to_bytes(question: Question) -> bytes:
    """The frame of a question."""
    asked = ASKING.pack(question.unit, FUNCTIONS[question.table], question.address, question.count)
    return asked + crc.crc(asked)


def answer_size(question: Question) -> int:
    """Bytes of the answer's frame."""
    return HEAD + question.count * WORD + crc.SIZE


def judge(question: Question, received: bytes) -> Answer | None:
    """The answer to `question` in all that was received since it was sent; None while it is not there.

    Raises:
        LineNeverRests: more came than any answer has.
        RefusedError: the device refused.
    """
    found = listen(question, received).answer
    if found is not None:
        if found[1] & EXCEPTION:
            raise faults.refused(found[2], question.where)
        return Answer(found, found[HEAD : -crc.SIZE])
    if len(received) > MAX_RECEIVED:
        got = f"{len(received)} bytes without it"
        raise faults.LineNeverRests(f"an answer within {MAX_RECEIVED} bytes", got, question.where)
    return None


def spoilt(question: Question, received: bytes) -> bool:
    """Whether what came may be the answer, damaged: then it is worth no wait once the line is quiet."""
    return listen(question, received).noise >= EXCEPTION_SIZE


def missing(question: Question, received: bytes) -> MeterError:
    """Why there is no answer, now that the wait for it is over."""
    heard, where = listen(question, received), question.where
    if not received or not (heard.others or heard.noise):
        return faults.NoAnswer("an answer", "silence", where)
    if heard.noise >= EXCEPTION_SIZE or not heard.others:
        shown = received[: answer_size(question)].hex()
        return faults.BadCheck("a frame with a CRC that holds", f"{len(received)} bytes, {shown}", where)
    unit, function, wanted = heard.others[0][0], heard.others[0][1], FUNCTIONS[question.table]
    if unit != question.unit:
        return faults.AnotherUnit(f"unit {question.unit}", f"unit {unit}", where)
    if function & ~EXCEPTION != wanted:
        return faults.AnotherFunction(f"function {wanted:02x}", f"{function:02x}", where)
    return faults.WrongLength(f"{answer_size(question)} bytes", f"{len(heard.others[0])}", where)


def listen(question: Question, received: bytes) -> Heard:
    """What is in the bytes that came since a question."""
    others: list[bytes] = []
    at, noise, asked = 0, 0, to_bytes(question)
    while at < len(received):
        if received.startswith(asked, at):  # the line gives back what was sent
            at += len(asked)
            continue
        frame = next((each for each in _frames(received, at) if crc.holds(each)), None)
        if frame is None:
            noise, at = noise + 1, at + 1
        elif _is_answer(question, frame):
            return Heard(frame, tuple(others), noise)
        else:
            others.append(frame)
            at += len(frame)
    return Heard(None, tuple(others), noise)


def _is_answer(question: Question, frame: bytes) -> bool:
    unit, function = frame[0], frame[1]
    wanted = FUNCTIONS[question.table]
    if unit != question.unit or function & ~EXCEPTION != wanted:
        return False
    if function & EXCEPTION:
        return len(frame) == EXCEPTION_SIZE
    size = question.count * WORD
    return frame[2] == size and len(frame) == HEAD + size + crc.SIZE


def _frames(received: bytes, at: int) -> Iterator[bytes]:
    """What may be a whole frame from here on, judged by its length alone: a refusal, an answer, a question."""
    if len(received) - at < EXCEPTION_SIZE or received[at] > UNITS:
        return
    function = received[at + 1]
    if function & EXCEPTION:
        yield received[at : at + EXCEPTION_SIZE]
        return
    if function not in _READING:
        return
    size = received[at + 2]
    end = at + HEAD + size + crc.SIZE
    if size % WORD == 0 and 0 < size <= MAX_COUNT * WORD and len(received) >= end:
        yield received[at:end]
    if len(received) - at >= ASKING_SIZE:
        yield received[at : at + ASKING_SIZE]
