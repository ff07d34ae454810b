"""RTU with an independent program at either end: its client asks our meters, our reader asks its server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from rtu_lines import configured, device, due, reader, served, simulated

from protocols.modbus import faults
from protocols.reading import Float32, Scaled
from simulators.mbus.line import PtyLine
from simulators.record import read

Client = AsyncModbusSerialClient | AsyncModbusTcpClient
SDM120, B23 = "eastron-sdm120-modbus", "abb-b23"


def client_of(at: str) -> Client:
    """Their client, at a terminal or with RTU frames over TCP."""
    if "://" not in at:
        return AsyncModbusSerialClient(at, baudrate=19_200, parity="N", timeout=3, retries=0)
    port = int(at.rpartition(":")[2])
    return AsyncModbusTcpClient("127.0.0.1", port=port, framer=FramerType.RTU, timeout=3, retries=0)


@pytest.mark.parametrize("way", ["terminal", "tcp+rtu"])
async def test_our_meters_answer_an_independent_client(way: str, tmp_path: Path) -> None:
    """Its registers are those of the record; a refusal is one."""
    async with served(simulated(tmp_path), way, tmp_path) as at:
        client = client_of(at)
        assert await client.connect()
        found = await client.read_input_registers(0x28, count=42, device_id=2)
        serial = await client.read_holding_registers(0x5000, count=7, device_id=2)
        refused = await client.read_input_registers(0x9000, count=2, device_id=2)
        client.close()
    (told,) = read(tmp_path / "record.jsonl")
    octets = b"".join(each.to_bytes(2, "big") for each in found.registers)
    assert bytes.fromhex(told.telegram)[3:-2] == octets
    assert "".join(map(chr, serial.registers)) == told.meter
    assert refused.exception_code == 2


def devices() -> list[SimDevice]:
    """Their server's: an SDM120's energies and serial number at unit 1, some of a B23's at unit 3."""
    wh = [7.5, 0.25, 1.0, 2.0]
    sdm120 = (
        [SimData(0, values=False, count=1, datatype=DataType.BITS)],
        [SimData(0, values=False, count=1, datatype=DataType.BITS)],
        [SimData(0xFC00, values=[0x0102, 0x0304], datatype=DataType.REGISTERS)],
        [
            SimData(0, values=[230.25] * 7, datatype=DataType.FLOAT32),
            SimData(0x46, values=[50.0, *wh], datatype=DataType.FLOAT32),
        ],
    )
    b23 = [
        SimData(0x5000, values=[1_234_567, 7], datatype=DataType.UINT64),
        SimData(0x5B00, values=[2301] * 23, datatype=DataType.UINT32),
        SimData(0x8900, values=[0, 4711], datatype=DataType.REGISTERS),
    ]
    return [SimDevice(1, simdata=sdm120), SimDevice(3, simdata=b23)]


@asynccontextmanager
async def their_server(way: str, folder: Path) -> AsyncIterator[str]:
    """Their server on a line; where our end of it is."""
    if way == "tcp+rtu":
        tcp = ModbusTcpServer(devices(), framer=FramerType.RTU, address=("127.0.0.1", 0))
        await tcp.listen()
        assert tcp.transport is not None
        port = tcp.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        yield f"tcp+rtu://127.0.0.1:{port}"
        await tcp.shutdown()  # type: ignore[no-untyped-call]
        return
    ours, theirs = PtyLine(folder / "ours"), PtyLine(folder / "theirs")
    wires = [asyncio.create_task(wire(*each)) for each in ((ours, theirs), (theirs, ours))]
    server = ModbusSerialServer(devices(), port=str(folder / "theirs"), baudrate=19_200)
    await server.listen()
    yield str(folder / "ours")
    await server.shutdown()  # type: ignore[no-untyped-call]
    for each in wires:
        each.cancel()
    await asyncio.gather(*wires, return_exceptions=True)
    ours.close()
    theirs.close()


async def wire(one: PtyLine, other: PtyLine) -> None:
    """What one end hears the other says."""
    while True:
        other.write(await one.read(1.0))


@pytest.mark.parametrize("way", ["terminal", "tcp+rtu"])
async def test_our_reader_reads_an_independent_server(way: str, tmp_path: Path) -> None:
    """Floats to the bit, 64 bits exactly, identity, and a unit that is not there."""
    async with their_server(way, tmp_path) as at:
        meters = device(1, SDM120), device(3, B23), device(9, SDM120)
        found = reader(configured(at, *meters, answer_ms=1_000))
        (sdm,) = await found.read(due(meters[0]))
        (b23,) = await found.read(due(meters[1]))
        with pytest.raises((faults.NoAnswer, faults.RefusedError)):
            await found.read(due(meters[2]))
        found.let_go()
    assert sdm.meter.fabrication == str(0x01020304)
    assert [each.number for each in sdm.values][-4:] == [
        Float32(bits, 3) for bits in (0x40F00000, 0x3E800000, 0x3F800000, 0x40000000)
    ]
    assert [each.number for each in b23.values][:2] == [Scaled(1_234_567, 1), Scaled(7, 1)]
    assert b23.meter.fabrication == "4711"
