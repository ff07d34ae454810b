"""What pymodbus itself does: our meter answers it, and the faults of its client that the line guards against.

When one of the second kind fails after an update of pymodbus, a guard of `protocols.transports.modbus` may go.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from simulators.modbus.frames import Fault
from simulators.modbus.meter import SERIAL, ModbusMeter
from simulators.record import read


@pytest.fixture
async def client(meter: ModbusMeter) -> AsyncIterator[AsyncModbusTcpClient]:
    """A bare client, connected to the meter."""
    found = AsyncModbusTcpClient("127.0.0.1", port=meter.port, timeout=0.2, retries=0, reconnect_delay=0)
    assert await found.connect()
    yield found
    found.close()


async def test_the_meter_answers_an_independent_client(
    meter: ModbusMeter, client: AsyncModbusTcpClient, record_path: Path
) -> None:
    """The record says what pymodbus decodes."""
    found = await client.read_input_registers(0x28, count=42, device_id=1)
    (told,) = read(record_path)
    values = {int(key.split("/")[1]): shown["m"] for key, shown in told.values.items()}
    assert sorted(values) == [0x28, 0x33, 0x34, 0x36, 0x40, 0x42, 0x44, 0x4E, 0x50]
    for address, mantissa in values.items():
        words = list(found.registers[address - 0x28 :])
        kind, size = (client.DATATYPE.INT16, 1) if address == 0x33 else (client.DATATYPE.INT32, 2)
        assert client.convert_from_registers(words[:size], kind, word_order="little") == mantissa
    assert found.registers == list(struct.unpack(">42H", bytes.fromhex(told.telegram)[9:]))


async def test_identity_is_answered_and_not_in_the_record(client: AsyncModbusTcpClient, record_path: Path) -> None:
    """The identification code only in a question of its own."""
    code = await client.read_holding_registers(0x0B, count=1, device_id=1)
    serial = await client.read_holding_registers(0x5000, count=7, device_id=1)
    assert code.registers == [341]
    assert "".join(map(chr, serial.registers)) == SERIAL
    assert list(read(record_path)) == []


async def test_the_meter_refuses_what_it_does_not_have(client: AsyncModbusTcpClient) -> None:
    """Address, function, length, and the converter's word for another unit."""
    assert (await client.read_input_registers(0x9000, count=2, device_id=1)).exception_code == 2
    assert (await client.read_coils(0, count=2, device_id=1)).exception_code == 1
    assert (await client.read_input_registers(0, count=51, device_id=1)).exception_code == 3
    assert (await client.read_input_registers(0, count=2, device_id=2)).exception_code == 11


async def test_registers_only_rise(meter: ModbusMeter, client: AsyncModbusTcpClient) -> None:
    first = await client.read_input_registers(0x34, count=2, device_id=1)
    second = await client.read_input_registers(0x34, count=2, device_id=1)
    assert list(first.registers)[::-1] <= list(second.registers)[::-1]


async def test_pymodbus_does_not_take_another_transaction(meter: ModbusMeter, client: AsyncModbusTcpClient) -> None:
    """Right; the line has nothing to guard here."""
    meter.fault = Fault.TRANSACTION
    with pytest.raises(ModbusIOException):
        await client.read_input_registers(52, count=2, device_id=1)


@pytest.mark.parametrize("fault", [Fault.ZERO_TRANSACTION, Fault.FUNCTION, Fault.SHORT])
async def test_pymodbus_takes_what_is_no_answer(meter: ModbusMeter, client: AsyncModbusTcpClient, fault: Fault) -> None:
    """Transaction 0, another function, fewer registers than asked for: no error."""
    meter.fault = fault
    found = await client.read_input_registers(52, count=2, device_id=1)
    assert not found.isError()
    assert len(found.registers) == (1 if fault is Fault.SHORT else 2)


async def test_pymodbus_waits_out_its_time_for_a_peer_that_is_gone(
    meter: ModbusMeter, client: AsyncModbusTcpClient
) -> None:
    """And then says that nothing was received; the line says at once that the peer closed."""
    meter.fault = Fault.HALF
    with pytest.raises(ModbusIOException, match="No response received"):
        await client.read_input_registers(52, count=2, device_id=1)
