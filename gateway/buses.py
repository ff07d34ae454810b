"""The pollers of a configuration, one for each bus; a protocol's stack is imported when a bus of it is there."""

from __future__ import annotations

from functools import partial

from gateway.clock import GatewayClock
from gateway.config import Bus, Configuration, DlmsBus, MbusBus, ModbusBus
from gateway.lines import MACHINE, Lines, Place, opened
from gateway.poll import BusPoller, Sink
from gateway.reader import Reader
from gateway.schedule import Schedule
from gateway.settled import Positions


def pollers(
    configuration: Configuration,
    slots: dict[str, tuple[int, ...]],
    positions: Positions,
    clock: GatewayClock,
    sink: Sink,
    lines: Lines = MACHINE,
) -> list[BusPoller]:
    """A poller for each bus; `slots` are settled already, by device name; readings go to `sink`."""
    keep = configuration.seal.keep_telegrams
    return [
        BusPoller(bus.name, reader(bus, positions, clock, keep, lines), Schedule(bus.device, slots), clock, sink)
        for bus in configuration.bus
    ]


def reader(bus: Bus, positions: Positions, clock: GatewayClock, keep: bool, lines: Lines = MACHINE) -> Reader:
    """The reader of a bus; nothing is opened yet."""
    match bus:
        case MbusBus():
            return _mbus(bus, clock, keep, lines)
        case DlmsBus():
            return _dlms(bus, positions, clock, lines)
        case ModbusBus():
            return _modbus(bus, clock)


def _mbus(bus: MbusBus, clock: GatewayClock, keep: bool, lines: Lines) -> Reader:
    from gateway.mbus import MbusReader  # noqa: PLC0415

    return MbusReader(bus, partial(opened, Place.of(bus), lines), clock, keep)


def _dlms(bus: DlmsBus, positions: Positions, clock: GatewayClock, lines: Lines) -> Reader:
    from gateway.dlms import DlmsReader  # noqa: PLC0415

    on_line = partial(opened, Place.of(bus), lines) if bus.on_line else None
    return DlmsReader(bus, positions, clock, lines.tcp, open_serial=on_line)


def _modbus(bus: ModbusBus, clock: GatewayClock) -> Reader:
    from gateway.modbus import ModbusReader  # noqa: PLC0415

    return ModbusReader(bus, clock)


def device_names(configuration: Configuration) -> frozenset[str]:
    """All devices that are read slot by slot."""
    return frozenset(device.name for bus in configuration.bus for device in bus.device)
