"""The reader end to end on real sockets: what is read is what the meter's record says, or a named error."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from gateway_parts import GOOD

from gateway.buses import reader
from gateway.clock import Discipline, GatewayClock, Sources
from gateway.config import ModbusBus, ModbusDevice
from gateway.lines import MACHINE
from gateway.modbus import BadAddress, Meter, ModbusReader, NoSerial, opening, readings
from gateway.schedule import Due
from gateway.settled import Positions
from protocols.errors import AnotherMeter, LinkError, MeterError, PlombaError
from protocols.modbus import faults
from protocols.models.modbus import UnknownModel, label, load
from protocols.reading import Exchange, How, Identity, NativeKey, Protocol, Reading, Scaled, State, Value
from protocols.settings.model import checked
from protocols.transports.modbus import ModbusLine
from protocols.uplink.leaf import SealedReading
from simulators.modbus.frames import Fault
from simulators.modbus.meter import SERIAL, ModbusMeter
from simulators.record import Answered, read

EM340 = "carlo-gavazzi-em340"
SLOT_MS = 1_793_000_000_000
Shown = dict[str, dict[str, int | str]]


def device(**changed: object) -> ModbusDevice:
    """A configured EM340 at unit 1."""
    return checked(ModbusDevice, {"name": "main", "cadence_s": 900, "model": EM340, "serial": SERIAL} | changed)


def bus(port: int, *devices: ModbusDevice) -> ModbusBus:
    """A configured bus."""
    found = devices or (device(),)
    return ModbusBus(protocol="modbus", name="cabinet", url=f"tcp://127.0.0.1:{port}", device=found)


BEGAN_MS = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000


def wall_ms() -> int:
    """The machine's time, that nothing sets while the test runs: a reading over which it is set has no sure time."""
    return BEGAN_MS + time.monotonic_ns() // 1_000_000


def gateway_clock() -> GatewayClock:
    """The machine's clocks, said to be synchronised within 5 ms."""
    return GatewayClock(
        Sources(
            wall_ms,
            lambda: time.monotonic_ns() // 1_000_000,
            lambda: Discipline(synchronised=True, uncertainty_ms=5),
            bytes(16),
        )
    )


async def quick(port: int) -> ModbusLine:
    """A line that waits for a short time only."""
    return await ModbusLine.open("127.0.0.1", port, 0.2)


def due(configured: ModbusDevice | None = None) -> Due:
    """A slot of a device."""
    return Due(configured or device(), SLOT_MS, SLOT_MS + 900_000)


@pytest.fixture
async def main(meter: ModbusMeter) -> AsyncIterator[ModbusReader]:
    """The reader of a bus with the simulated meter."""
    found = ModbusReader(bus(meter.port), gateway_clock(), partial(quick, meter.port))
    yield found
    found.let_go()


def as_recorded(found: list[Reading]) -> Shown:
    """Values as a record of answers writes them."""
    shown: Shown = {}
    for value in (each for reading in found for each in reading.values):
        assert isinstance(value.number, Scaled)
        key = str(value.key).removeprefix("modbus:")
        shown[key] = {"m": value.number.mantissa, "e": value.number.exponent, "unit": value.unit}
    return shown


def told(lines: list[Answered]) -> Shown:
    """All values of some answers."""
    return {key: shown for each in lines for key, shown in each.values.items()}


async def test_the_values_are_those_of_the_meters_own_record(
    meter: ModbusMeter, main: ModbusReader, record_path: Path
) -> None:
    """Every register, exact; the telegram is its answers one after the other."""
    (found,) = await main.read(due())
    lines = list(read(record_path))
    assert as_recorded([found]) == told(lines)
    assert len(found.values) == 18
    assert found.exchange.telegram.hex() == "".join(each.telegram for each in lines)
    assert found.meter == Identity(Protocol.MODBUS, "Carlo Gavazzi EM340", version=341, fabrication=SERIAL)
    assert (found.device, found.how, found.slot_ms, found.part) == ("main", How.READ, SLOT_MS, 0)
    assert all(value.state is State.OK for value in found.values)
    sealed = SealedReading.of(found)
    assert SealedReading.from_wire(sealed.to_wire()).values == found.values


async def test_every_value_has_a_label_from_the_sealed_identity(main: ModbusReader) -> None:
    (found,) = await main.read(due())
    assert {label(found.meter, value.key) for value in found.values} >= {"active energy import", "frequency"}
    assert all(label(found.meter, value.key) for value in found.values)


async def test_the_exchange_is_from_the_first_question_to_the_last_answer(main: ModbusReader) -> None:
    before_ms = wall_ms()
    (found,) = await main.read(due())
    assert before_ms <= found.exchange.at_ms <= wall_ms()
    trip_ms = found.exchange.round_trip_ms
    assert found.exchange.quality.uncertainty_ms == 5 + (trip_ms + 1) // 2


async def test_a_meter_exchanged_behind_a_converter_is_noticed_at_the_next_visit(
    meter: ModbusMeter, main: ModbusReader
) -> None:
    """The connection stays, another meter answers at the same unit: two questions for identity at every visit."""
    await main.read(due())
    assert meter.questions == 4
    meter.code = 103  # an EM330's
    with pytest.raises(AnotherMeter):
        await main.read(due())


async def test_a_line_that_the_peer_closed_meanwhile_is_opened_anew(meter: ModbusMeter, main: ModbusReader) -> None:
    """Many devices close what is idle: that is no failure."""
    await main.read(due())
    port = meter.port
    await meter.stop()
    await asyncio.sleep(0.05)
    await meter.start(port)
    assert len(await main.read(due())) == 1
    assert meter.questions == 8


async def test_another_serial_number_is_another_meter(meter: ModbusMeter, record_path: Path) -> None:
    """And nothing of it is read."""
    other = device(serial="9999999")
    found = ModbusReader(bus(meter.port, other), gateway_clock(), partial(quick, meter.port))
    for _ in range(2):
        with pytest.raises(AnotherMeter, match=f"9999999.*{SERIAL}"):
            await found.read(due(other))
    found.let_go()
    assert list(read(record_path)) == []


async def test_another_model_is_another_meter(meter: ModbusMeter, main: ModbusReader) -> None:
    meter.code = 1744
    with pytest.raises(AnotherMeter, match="1744"):
        await main.read(due())


@pytest.mark.parametrize("fault", [each for each in Fault if each is not Fault.DUPLICATE])
async def test_after_any_fault_the_next_visit_reads_again(
    meter: ModbusMeter, main: ModbusReader, record_path: Path, fault: Fault
) -> None:
    """The fault is named, no reading comes of it, and the poller need not know that the line was opened anew."""
    meter.fault = fault
    with pytest.raises((MeterError, LinkError)):
        await main.read(due())
    meter.fault = None
    before = len(list(read(record_path)))
    found = await main.read(due())
    assert as_recorded(found) == told(list(read(record_path))[before:])


async def test_a_silent_unit_does_not_disturb_the_others(meter: ModbusMeter, record_path: Path) -> None:
    """The converter says that its meter does not answer; the line stays open."""
    here, away = device(), device(name="away", unit=2, serial=None)
    found = ModbusReader(bus(meter.port, here, away), gateway_clock(), partial(quick, meter.port))
    with pytest.raises(faults.GatewayTarget):
        await found.read(due(away))
    (reading,) = await found.read(due(here))
    assert as_recorded([reading]) == told(list(read(record_path)))
    assert not reading.exchange.keep
    found.let_go()


async def test_faults_at_random_never_give_a_wrong_value(
    meter: ModbusMeter, main: ModbusReader, record_path: Path
) -> None:
    """A hundred visits with a seed: each reading is exactly what undamaged answers of its visit said."""
    dice = random.Random(3)
    kinds = [each for each in Fault if each not in (Fault.SILENCE, Fault.TRANSACTION, Fault.ZERO_TRANSACTION)]
    good = 0
    for _ in range(100):
        before = len(list(read(record_path)))
        meter.fault = dice.choice([*kinds, None, None, None])
        try:
            found = await main.read(due())
        except PlombaError:
            continue
        lines = list(read(record_path))[before:]
        assert all(each.damaged is None for each in lines)
        assert as_recorded(found) == told(lines)
        good += 1
    assert good > 20


async def test_a_bus_of_the_configuration_gets_this_reader(meter: ModbusMeter) -> None:
    assert isinstance(reader(bus(meter.port), Positions({}), gateway_clock(), keep=True), ModbusReader)


def test_what_is_configured_wrongly_is_said_at_the_start() -> None:
    """An unknown model; a serial number that the model cannot show; no port."""
    clock = gateway_clock()
    with pytest.raises(UnknownModel, match="PLB-C240"):
        reader(bus(502, device(model="em-340")), Positions({}), clock, keep=True)
    with pytest.raises(BadAddress, match="PLB-C242"):
        opening(bus(99_999), MACHINE)


def test_a_serial_number_needs_a_model_that_shows_one() -> None:
    """Otherwise it would never be checked."""
    bare = replace(load(EM340), serial=None)
    assert Meter(device(serial=None), bare).expected.fabrication is None
    with pytest.raises(NoSerial, match="PLB-C243"):
        Meter(device(), bare)


def test_more_than_64_values_come_in_parts() -> None:
    made = Exchange(SLOT_MS, 1, 2, GOOD, b"")
    shown = [Value(NativeKey.modbus(1, at, "input.int16.ab"), "W", Scaled(at), State.OK) for at in range(130)]
    found = readings(Identity(Protocol.MODBUS), "main", SLOT_MS, made, shown)
    assert [(each.part, len(each.values)) for each in found] == [(0, 64), (1, 64), (2, 2)]
    assert [value for each in found for value in each.values] == shown
