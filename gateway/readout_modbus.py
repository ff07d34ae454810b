"""A configured Modbus meter read now: who it is and the registers of its model, as a visit of the daemon reads them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from gateway.config import ModbusBus, ModbusDevice
from gateway.handed import Through
from gateway.handed_modbus import ThroughLine
from gateway.lines import Lines, Place
from gateway.modbus import Meter, Visited, opening, visited
from gateway.online import described
from gateway.readout import Readout, register, taken
from protocols.errors import MeterError
from protocols.mbus.explain import written
from protocols.modbus import values
from protocols.modbus.registers import Register, Table
from protocols.models import modbus as models
from protocols.reading import Identity, Value
from protocols.transports.block import Asked, Block
from protocols.transports.exchange import Clock


@dataclass(frozen=True, slots=True)
class ModbusMeter:
    """A meter that is meant."""

    bus: ModbusBus
    device: ModbusDevice
    through: Through | None

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place.of(self.bus)

    async def heard(self, lines: Lines) -> ModbusHeard:
        """Its registers, and those of its identity.

        Raises:
            PlombaError: no usable answer came, or the model does not have what is configured.
        """
        meter = Meter(self.device, models.load(self.device.model))
        if self.through is not None:
            return await _heard(ThroughLine(self.through), meter)
        line = await opening(self.bus, lines)()
        try:
            return await _heard(line, meter)
        finally:
            line.close()

    def step(self, error: MeterError) -> str:
        """What to do about an error of it."""
        return error.do


async def _heard(line: Asked, meter: Meter) -> ModbusHeard:
    clock = Clock(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000)
    noted = _Noted(line)
    found = await visited(noted, meter, clock)
    return ModbusHeard(meter, found, tuple(noted.found))


class _Noted:
    """A line, and what came on it."""

    def __init__(self, line: Asked) -> None:
        self._line = line
        self.found: list[Block] = []

    async def read(self, unit: int, table: Table, address: int, count: int, clock: Clock) -> Block:
        """As it comes."""
        self.found.append(await self._line.read(unit, table, address, count, clock))
        return self.found[-1]


@dataclass(frozen=True, slots=True)
class ModbusHeard:
    """Answers of a meter."""

    meter: Meter
    found: Visited
    blocks: tuple[Block, ...]

    @property
    def raw(self) -> tuple[bytes, ...]:
        """The frames of the answers."""
        return tuple(each.octets for each in self.blocks)

    @property
    def told(self) -> str:
        """Nothing: a question is asked once."""
        return ""

    def readout(self) -> Readout:
        """What they say.

        Raises:
            AnotherMeter: it is another one.
        """
        meter, identity = self.meter, self.found.identity
        values.check_identity(identity, meter.expected, meter.name)
        at, round_trip_ms = taken(self.blocks)
        registers = [each for span in meter.spans for each in span.registers]
        pairs = list(zip(registers, self.found.values, strict=True))
        row = {
            "meter": _identity(identity),
            "model": meter.model.name,
            "unit": meter.unit,
            "at": at,
            "round_trip_ms": round_trip_ms,
            "registers": [_row(*each) for each in pairs],
            "answers": [each.hex() for each in self.raw],
        }
        shown = tuple(register(each.label, value) for each, value in pairs)
        when = (f"read {at}, {round_trip_ms} ms, {len(self.blocks)} answer(s)",)
        return Readout(f"{described(identity)}, {meter.model.name}, unit {meter.unit}", when, shown, row)


def _identity(meter: Identity) -> dict[str, Any]:
    return {"manufacturer": meter.manufacturer, "serial": meter.fabrication, "version": meter.version}


def _row(register: Register, value: Value) -> dict[str, Any]:
    return {
        "address": register.address,
        "table": register.table,
        "label": register.label,
        "value": written(value.number),
        "unit": value.unit,
        "state": value.state.name.lower().replace("_", "-"),
    }
