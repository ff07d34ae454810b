"""A Modbus TCP meter on loopback, in raw bytes: a Carlo Gavazzi EM340 at unit 1 behind a converter.

What it answers to a question for measurements is in the record before its bytes leave. Questions for another unit get
the converter's exception 0B (the target did not respond), as converters do.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

from simulators.modbus.frames import HEADER, Fault, Question, on_wire
from simulators.modbus.registers import (
    CODE,
    CODE_AT,
    END,
    LONGEST,
    SERIAL_AT,
    SERIAL_WORDS,
    Registers,
    Shown,
    image,
    serial_octets,
)
from simulators.record import Answered, Record

UNIT = 1
SERIAL = "3401234"
TABLES = {3: "holding", 4: "input"}
SPAN = struct.Struct(">HH")  # address and count
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, TARGET_SILENT = 1, 2, 3, 11


class ModbusMeter:
    """One meter; `fault`, while it is set, befalls every answer with measurements.

    Args:
        record: takes what was answered.
        utc_ms: the simulators' clock.
        seed: of the curves.
        serial: its serial number, at most 7 letters.
    """

    def __init__(self, record: Record, utc_ms: Callable[[], int], seed: int = 0, serial: str = SERIAL) -> None:
        self.serial = serial
        self.frozen = False
        self.fault: Fault | None = None
        self.code = CODE
        self.questions = 0
        self._registers = Registers(serial, seed)
        self._record, self._utc_ms = record, utc_ms
        self._late = b""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int) -> None:
        """Listen on loopback; port 0: a free one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("expected a started meter, got one that is not")
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close all connections and listen no more."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.close()
        if self._server is not None:
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while not self.frozen and (question := await _heard(reader)) is not None:
                if self.frozen:
                    break
                self.questions += 1
                answer, close = self._answer(question)
                writer.write(answer)
                await writer.drain()
                if close:
                    break
        except OSError:
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, question: Question) -> tuple[bytes, bool]:
        """What goes on the wire, and whether the line is closed behind it."""
        late, self._late = self._late, b""
        refusal = _refusal(question)
        if refusal is not None:
            return late + question.refusal(refusal), False
        address, count = SPAN.unpack(question.data)
        identity = self._identity(address, count)
        if identity is not None:
            return late + question.registers(identity), False
        if address + count > END:
            return late + question.refusal(ILLEGAL_ADDRESS), False
        return late + self._measured(question, address, count), self.fault is Fault.HALF

    def _identity(self, address: int, count: int) -> bytes | None:
        """The identity registers of a question, None where it is for others."""
        if (address, count) == (CODE_AT, 1):
            return struct.pack(">H", self.code)
        if address >= SERIAL_AT and address + count <= SERIAL_AT + SERIAL_WORDS:
            start = (address - SERIAL_AT) * 2
            return serial_octets(self.serial)[start : start + count * 2]
        return None

    def _measured(self, question: Question, address: int, count: int) -> bytes:
        now_ms, fault = self._utc_ms(), self.fault
        shown = self._registers.at(now_ms)
        octets = image(shown)[address * 2 : (address + count) * 2]
        frame = question.registers(octets)
        whole = [each for each in shown if address <= each.address and _end(each) <= address + count]
        values = {_key(question, each): _number(each) for each in whole}
        damaged = None if fault is None or fault is Fault.DUPLICATE else fault.value
        self._record.append(Answered(now_ms, self.serial, UNIT, frame.hex(), damaged, False, values))
        self._late = frame if fault is Fault.LATE else b""
        return on_wire(fault, question, octets)


async def _heard(reader: asyncio.StreamReader) -> Question | None:
    """The next question; None at the end of the line, or where it is no Modbus TCP."""
    try:
        header = await reader.readexactly(HEADER.size)
        transaction, protocol, length, unit = HEADER.unpack(header)
        if protocol != 0 or not 2 <= length <= 254:
            return None
        pdu = await reader.readexactly(length - 1)
    except asyncio.IncompleteReadError:
        return None
    return Question(transaction, unit, pdu[0], pdu[1:])


def _refusal(question: Question) -> int | None:
    """The exception for a question that cannot be answered, whatever the registers."""
    if question.unit != UNIT:
        return TARGET_SILENT
    if question.function not in TABLES:
        return ILLEGAL_FUNCTION
    wellformed = len(question.data) == SPAN.size and 1 <= SPAN.unpack(question.data)[1] <= LONGEST
    return None if wellformed else ILLEGAL_VALUE


def _end(shown: Shown) -> int:
    return shown.address + len(shown.octets) // 2


def _key(question: Question, shown: Shown) -> str:
    return f"{UNIT}/{shown.address}/{TABLES[question.function]}.{shown.kind}"


def _number(shown: Shown) -> dict[str, int | str]:
    return {"m": shown.mantissa, "e": shown.exponent, "unit": shown.unit}
