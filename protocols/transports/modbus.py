"""Modbus TCP by pymodbus: the only file that imports it, when a Modbus bus exists.

pymodbus connects, builds the questions and waits; what it makes of an answer is not used. It takes an answer whose
transaction is 0, or of another function, or with fewer registers than asked for; it says nothing when the peer closes,
and it loses step in the stream after a late half of an answer (3.16, seen in its source and by test). So its trace hook
hands every byte to `protocols.modbus.adu` first, and shows pymodbus only the answer that was taken there.

A line that did not bring the answer to its question is closed: what still comes belongs to nobody. It is opened anew.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable
from typing import ClassVar

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from protocols.errors import LinkError, MeterError
from protocols.modbus import adu
from protocols.modbus.adu import Answer, Question
from protocols.modbus.faults import AnotherTransaction, NoAnswer, RefusedError
from protocols.modbus.registers import Table
from protocols.transports.block import Block
from protocols.transports.exchange import Clock

TIMEOUT_S = 3.0  # of one answer: a converter waits about a second for its meter
BUFFER = (adu.MAX_FOREIGN + 1) * adu.MAX_FRAME  # bytes behind one question; pymodbus drops all of them at its 264
TRANSACTIONS = 65_000  # pymodbus begins again at 1 behind it
SILENT = logging.CRITICAL + 1

# Errors travel as exceptions; without this, pymodbus writes each of them to stderr beside our own log.
logging.getLogger("pymodbus").setLevel(SILENT)


class CannotConnect(LinkError):  # noqa: N818 - named after what happened on the line
    """The device or converter does not take the connection."""

    code = "PLB-L220"
    do = "check host and port, the network, and that nobody else holds the device's only connection"


class ConnectionLost(LinkError):  # noqa: N818
    """The connection was there and is gone."""

    code = "PLB-L221"
    do = "check the network and the converter's supply; it is opened again by itself"


class ModbusLine:
    """An open connection, for one question at a time; use `ModbusLine.open`."""

    # Transactions go on where the last connection stopped: an answer that comes over from it is never one of ours.
    _last: ClassVar[int] = secrets.randbelow(TRANSACTIONS)

    def __init__(self, where: str) -> None:
        self.where = where
        self._let_go = False
        self._client: AsyncModbusTcpClient | None = None
        self._refusal = ""  # why the connection was not made
        self._question: Question | None = None
        self._transaction = 0
        self._received = b""
        self._done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, host: str, port: int, timeout_s: float = TIMEOUT_S) -> ModbusLine:
        """Connect; `timeout_s` is for the connection and for each answer.

        Raises:
            CannotConnect: with the reason.
        """
        line = cls(f"{host}:{port}")
        try:
            await line._connect(host, port, timeout_s)
        except BaseException:
            line.close()
            raise
        return line

    async def read(self, unit: int, table: Table, address: int, count: int, clock: Clock) -> Block:
        """The `count` registers of `table` from `address` on.

        Raises:
            MeterError: no usable answer came; but for a refusal (RefusedError), the line is closed.
            ConnectionLost: the peer closed the line, or it is closed already.
        """
        if self._client is None or self.closed:
            raise ConnectionLost("an open connection", "a closed one", self.where)
        question = Question(unit, table, address, count)
        utc_ms, mono_ms = clock.utc_ms(), clock.mono_ms()
        answer = await self._ask(self._client, question)
        round_trip_ms = clock.mono_ms() - mono_ms
        middle = round_trip_ms // 2
        return Block(answer.octets, answer.words, utc_ms + middle, mono_ms + middle, round_trip_ms)

    @property
    def closed(self) -> bool:
        """Whether it is of no more use: let go, or closed by the peer (many devices do so when nothing is asked)."""
        return self._let_go or self._client is None or not self._client.connected

    def close(self) -> None:
        """Let the connection go; closing twice does no harm."""
        self._let_go = True
        if self._client is not None:
            self._client.close()

    async def _connect(self, host: str, port: int, timeout_s: float) -> None:
        client = AsyncModbusTcpClient(
            host,
            port=port,
            timeout=timeout_s,
            retries=0,  # a question is repeated by the schedule, or not at all
            reconnect_delay=0,  # no reconnecting behind our back
            trace_packet=self._trace,
            trace_connect=self._connected,
        )
        client.ctx.max_buffer_size = BUFFER
        create = client.ctx.call_create

        async def recorded() -> object:
            try:
                return await create()
            except OSError as error:
                self._refusal = str(error)
                raise

        client.ctx.call_create = recorded
        self._client = client
        if not await client.connect():
            raise CannotConnect("a connection", self._refusal or f"nothing within {timeout_s:g} s", self.where)
        client.ctx.next_tid = ModbusLine._last

    async def _ask(self, client: AsyncModbusTcpClient, question: Question) -> Answer:
        """One question; the line is left open only in step with the peer."""
        self._question, self._received = question, b""
        self._done = asyncio.get_running_loop().create_future()
        asked = asyncio.ensure_future(_reply(_sent(client, question)))
        in_step = False
        try:
            await asyncio.wait((asked, self._done), return_when=asyncio.FIRST_COMPLETED)
            if not self._done.done():
                await asked  # raises what is our own fault, for instance a count that cannot be asked for
                raise self._silence(question)
            answer = self._done.result()
            in_step = True
            return answer
        except RefusedError:
            in_step = True
            raise
        finally:
            self._question = None
            if not self._done.cancel():
                self._done.exception()  # looked at, also where the read was cancelled meanwhile
            asked.cancel()
            if not in_step:
                self.close()
            await asyncio.wait({asked})

    def _silence(self, question: Question) -> MeterError:
        if adu.foreign(self._received):
            number = f"transaction {self._transaction}"
            return AnotherTransaction(number, f"{len(self._received)} bytes of others", question.where)
        came = f"only {self._received.hex()}" if self._received else "silence"
        return NoAnswer("an answer", came, question.where)

    def _trace(self, sending: bool, octets: bytes) -> bytes:
        """The hook of pymodbus: all bytes that came since the question was sent, each time some come."""
        if sending:
            self._transaction = ModbusLine._last = int.from_bytes(octets[:2], "big")
            return octets
        if self._question is None or self._done.done():
            return b""
        self._received = octets
        try:
            answer = adu.judge(self._question, self._transaction, octets)
        except MeterError as error:
            self._done.set_exception(error)
            return b""
        if answer is None:
            return b""
        self._done.set_result(answer)
        return answer.octets

    def _connected(self, connected: bool) -> None:
        """The hook of pymodbus: the connection came (True) or went (False)."""
        if not connected and self._question is not None and not self._done.done():
            got = f"its end after {self._received.hex()}" if self._received else "its end"
            self._done.set_exception(ConnectionLost("an answer", got, self.where))


def _sent(client: AsyncModbusTcpClient, question: Question) -> Awaitable[ModbusPDU]:
    ask = client.read_input_registers if question.table == "input" else client.read_holding_registers
    return ask(question.address, count=question.count, device_id=question.unit)


async def _reply(answer: Awaitable[ModbusPDU]) -> None:
    """What pymodbus makes of it, or that it ran out of time, changes nothing here."""
    try:
        await answer
    except ModbusException:
        return
