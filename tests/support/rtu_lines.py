"""Simulated RTU meters on each kind of line, for the tests that read them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.clock import Discipline, GatewayClock, Sources
from gateway.config import ModbusBus, ModbusDevice
from gateway.lines import MACHINE
from gateway.modbus import ModbusReader, opening
from gateway.schedule import Due
from protocols.settings.model import checked
from simulators.mbus.converter import Converter
from simulators.mbus.line import Hearing, Line, PtyLine, serve
from simulators.mbus.portcontrol import PortControl
from simulators.modbus.faults import RtuFaults
from simulators.modbus.rtu import RtuBus, units
from simulators.record import Record

WAYS = ("terminal", "tcp+rtu", "rfc2217")
EM340 = "carlo-gavazzi-em340"
ANSWER_MS = 3_000  # that long nothing takes, however busy the machine is
SHORT_MS = 500  # where a wait has to run out


def utc_ms() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


def simulated(folder: Path, count: int = 2, faults: str = "", seed: int = 1) -> RtuBus:
    """Meters at units 1 to `count`; their record is `record.jsonl` in the folder. No two answers are alike."""
    chosen = RtuFaults.parse(faults)
    quarters = itertools.count(utc_ms(), 900_000)
    meters = units(count, seed, next(quarters), chosen)
    return RtuBus(meters, Record(folder / "record.jsonl"), lambda: next(quarters), seed, chosen)


@asynccontextmanager
async def served(bus: Hearing, way: str, folder: Path) -> AsyncIterator[str]:
    """The bus on a line; where the line is, as a configuration says it."""
    stop = asyncio.Event()
    line: Line
    if way == "terminal":
        line, at = PtyLine(folder / "line"), str(folder / "line")
    else:
        line = PortControl() if way == "rfc2217" else Converter()
        await line.start()
        at = line.url.replace("tcp:", "tcp+rtu:")
    serving = asyncio.create_task(serve(bus, line, stop))
    try:
        yield at
    finally:
        stop.set()
        await serving
        if isinstance(line, Converter):
            await line.stop()
        elif isinstance(line, PtyLine):
            line.close()


def configured(at: str, *devices: ModbusDevice, answer_ms: int = ANSWER_MS) -> ModbusBus:
    """A bus with this line; without devices an EM340 at units 1 and 2."""
    found = devices or tuple(device(unit) for unit in (1, 2))
    where = {"url" if "://" in at else "port": at}
    fixed = {"protocol": "modbus", "name": "cabinet", "baud": 19_200, "answer_ms": answer_ms}
    return checked(ModbusBus, {**fixed, **where, "device": found})


def device(unit: int, model: str = EM340, **more: object) -> ModbusDevice:
    """A configured meter."""
    given = {"name": f"unit-{unit}", "cadence_s": 900, "unit": unit, "model": model}
    return checked(ModbusDevice, {**given, **more})


def reader(bus: ModbusBus) -> ModbusReader:
    """Its reader, on the machine's lines and clocks."""
    sources = Sources(
        utc_ms,
        lambda: time.monotonic_ns() // 1_000_000,
        lambda: Discipline(synchronised=True, uncertainty_ms=5),
        bytes(16),
    )
    return ModbusReader(bus, GatewayClock(sources), opening(bus, MACHINE))


def due(configured: ModbusDevice) -> Due:
    """A slot of a device."""
    return Due(configured, 0, 1 << 50)
