"""The line over real sockets: every fault of a meter ends in a named error, none in a wrong value, none is retried."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from protocols.errors import LinkError, PlombaError
from protocols.modbus import faults
from protocols.transports.exchange import Clock
from protocols.transports.modbus import CannotConnect, ConnectionLost, ModbusLine
from simulators.modbus.frames import Fault
from simulators.modbus.meter import ModbusMeter
from simulators.record import Answered, read

HOST = "127.0.0.1"
TIMEOUT_S = 0.2
Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def opened(port: int, timeout_s: float = TIMEOUT_S) -> AsyncIterator[ModbusLine]:
    """An open line, closed at the end."""
    line = await ModbusLine.open(HOST, port, timeout_s)
    try:
        yield line
    finally:
        line.close()


@asynccontextmanager
async def peer(play: Play) -> AsyncIterator[int]:
    """The port of a server that does what `play` says with each connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await play(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def answered(path: Path) -> list[Answered]:
    """The lines of a record."""
    return list(read(path))


async def test_a_block_is_the_answer_as_it_was_sent(meter: ModbusMeter, clock: Clock, record_path: Path) -> None:
    """Byte for byte, as the meter's own record has it, with the middle of question and answer."""
    before = clock.utc_ms()
    async with opened(meter.port) as line:
        block = await line.read(1, "input", 0, 24, clock)
    (told,) = answered(record_path)
    assert block.octets.hex() == told.telegram
    assert block.words == block.octets[9:]
    assert before <= block.at_ms <= clock.utc_ms()
    assert 0 <= block.round_trip_ms < 1_000


FAULTS = {
    Fault.SILENCE: faults.NoAnswer,
    Fault.TRANSACTION: faults.AnotherTransaction,
    Fault.ZERO_TRANSACTION: faults.AnotherTransaction,
    Fault.UNIT: faults.AnotherUnit,
    Fault.FUNCTION: faults.AnotherFunction,
    Fault.SHORT: faults.WrongLength,
    Fault.EXCEPTION: faults.DeviceFailure,
    Fault.HALF: ConnectionLost,
    Fault.LATE: faults.NoAnswer,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_of_the_meter_has_its_name(meter: ModbusMeter, clock: Clock, fault: Fault) -> None:
    """And closes the line, but for a refusal: the stream is in step then."""
    meter.fault = fault
    async with opened(meter.port) as line:
        with pytest.raises(FAULTS[fault]):
            await line.read(1, "input", 52, 2, clock)
        assert line.closed == (fault is not Fault.EXCEPTION)
    assert meter.questions == 1  # nothing was asked again behind our back


async def test_an_answer_that_comes_twice_is_taken_once(meter: ModbusMeter, clock: Clock) -> None:
    meter.fault = Fault.DUPLICATE
    async with opened(meter.port) as line:
        for address in (0, 12, 18, 52):
            block = await line.read(1, "input", address, 2, clock)
            assert len(block.words) == 4
            meter.fault = None if address == 18 else Fault.DUPLICATE


async def test_a_late_answer_is_not_taken_for_the_next_question(
    meter: ModbusMeter, clock: Clock, record_path: Path
) -> None:
    """Of the same shape, and coming over a connection that was opened after it was asked for."""
    meter.fault = Fault.LATE
    async with opened(meter.port) as line:
        with pytest.raises(faults.NoAnswer):
            await line.read(1, "input", 0, 2, clock)
    meter.fault = None
    async with opened(meter.port) as line:
        block = await line.read(1, "input", 52, 2, clock)
    late, mine = answered(record_path)
    assert (late.damaged, mine.damaged) == ("late", None)
    assert block.octets.hex() == mine.telegram


async def test_a_late_answer_within_a_connection_is_stepped_over(clock: Clock) -> None:
    """The peer sends the answer to a question of before, in pieces, then the right one."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readexactly(12)
        good = question[:5] + b"\x07\x01\x04\x04\x00\x01\x00\x02"
        stale = (int.from_bytes(question[:2], "big") - 1).to_bytes(2, "big") + good[2:9] + b"\xff" * 4
        for octets in (stale[:5], stale[5:] + good[:3], good[3:]):
            writer.write(octets)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with peer(play) as port, opened(port, 2.0) as line:
        assert (await line.read(1, "input", 0, 2, clock)).words == b"\x00\x01\x00\x02"


async def test_the_longest_answer_behind_the_longest_late_one_is_taken(clock: Clock) -> None:
    """Together more than pymodbus itself holds."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readexactly(12)
        body = b"\x00\x00\x00\xfd\x01\x04\xfa" + bytes(range(250))
        stale = (int.from_bytes(question[:2], "big") - 1).to_bytes(2, "big") + body
        writer.write(stale + question[:2] + body)
        await writer.drain()
        await reader.read()

    async with peer(play) as port, opened(port, 2.0) as line:
        assert (await line.read(1, "input", 0, 125, clock)).words == bytes(range(250))


async def test_nobody_who_listens_is_a_named_error_with_its_reason() -> None:
    with pytest.raises(CannotConnect, match=r"PLB-L220.*Connect call failed"):
        await ModbusLine.open(HOST, 1, TIMEOUT_S)


async def test_a_closed_line_is_not_opened_again_by_itself(meter: ModbusMeter, clock: Clock) -> None:
    async with opened(meter.port) as line:
        await meter.stop()
        with pytest.raises(LinkError):
            await line.read(1, "input", 0, 2, clock)
        with pytest.raises(ConnectionLost):
            await line.read(1, "input", 0, 2, clock)


async def test_a_frozen_meter_answers_nothing(meter: ModbusMeter, clock: Clock, record_path: Path) -> None:
    meter.frozen = True
    with pytest.raises(LinkError):
        async with opened(meter.port) as line:
            await line.read(1, "input", 0, 2, clock)
    assert answered(record_path) == []


async def test_a_read_that_is_cancelled_closes_the_line(meter: ModbusMeter, clock: Clock) -> None:
    """Its answer may still come: it belongs to nobody."""
    meter.fault = Fault.SILENCE
    async with opened(meter.port, 30.0) as line:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await line.read(1, "input", 0, 2, clock)
        assert line.closed


async def test_a_lost_connection_is_noticed_at_once(meter: ModbusMeter, clock: Clock) -> None:
    """Not after the timeout."""
    meter.fault = Fault.HALF
    async with opened(meter.port, 30.0) as line:
        started = time.monotonic()
        with pytest.raises(ConnectionLost):
            await line.read(1, "input", 0, 2, clock)
        assert time.monotonic() - started < 5


async def test_nothing_is_logged_by_the_library(
    meter: ModbusMeter, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Errors travel; the gateway logs them once, where they are handled."""
    before = list(logging.getLogger().handlers)
    with caplog.at_level(logging.WARNING):
        for fault in FAULTS:
            meter.fault = fault
            async with opened(meter.port, 0.05) as line:
                with pytest.raises(PlombaError):
                    await line.read(1, "input", 52, 2, clock)
        with pytest.raises(CannotConnect):
            await ModbusLine.open(HOST, 1, TIMEOUT_S)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert logging.getLogger().handlers == before


async def test_random_answers_are_named_errors_and_never_values(clock: Clock) -> None:
    """Through pymodbus and the socket: noise, noise behind the right header, whole frames with noise inside."""
    dice = random.Random(5)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readexactly(12)
        noise = dice.randbytes(dice.randint(1, 40))
        kinds = [noise, question[:4] + noise, question[:4] + len(noise).to_bytes(2, "big") + noise, question + noise]
        writer.write(dice.choice(kinds))
        await writer.drain()

    async with peer(play) as port:
        for _ in range(200):
            async with opened(port, 2.0) as line:
                with pytest.raises(PlombaError):
                    await line.read(1, "input", 0, 100, clock)


async def test_the_server_of_pymodbus_is_read_too(clock: Clock) -> None:
    """A counterpart that was not written by us; unit 0, as devices without a bus have it, included."""
    data = [SimData(100, values=[0x4366, 0x3334, 7], datatype=DataType.REGISTERS)]
    server = ModbusTcpServer([SimDevice(1, simdata=data), SimDevice(0, simdata=data)], address=(HOST, 0))
    await server.serve_forever(background=True)
    try:
        port = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        async with opened(port, 2.0) as line:
            assert (await line.read(1, "holding", 100, 3, clock)).words == bytes.fromhex("436633340007")
            assert (await line.read(0, "input", 100, 2, clock)).words == bytes.fromhex("43663334")
            with pytest.raises(faults.IllegalAddress):
                await line.read(1, "input", 500, 2, clock)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]
