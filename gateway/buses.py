"""The pollers of a configuration, one for each bus."""

from __future__ import annotations

from functools import partial

from gateway.clock import GatewayClock
from gateway.config import Configuration
from gateway.poll import BusPoller, Sink
from gateway.schedule import Schedule


def pollers(
    configuration: Configuration, slots: dict[str, tuple[int, ...]], clock: GatewayClock, sink: Sink
) -> list[BusPoller]:
    """A poller for each bus; `slots` are settled already, by device name; readings go to `sink`."""
    # pyserial is imported when a bus is opened, not when a technician asks for the status.
    from protocols.transports.serial import SerialLine  # noqa: PLC0415

    return [
        BusPoller(
            bus,
            Schedule(bus.device, slots),
            clock,
            partial(SerialLine.open, bus.port, bus.baud, bus.mode),
            sink,
            configuration.seal.keep_telegrams,
        )
        for bus in configuration.bus
    ]


def cadences(configuration: Configuration) -> dict[str, int]:
    """Cadence (ms) by device name."""
    return {device.name: device.cadence_ms for bus in configuration.bus for device in bus.device}
