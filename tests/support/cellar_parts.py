"""A simulated M-Bus line without a terminal, and a sink that keeps what a poller hands on."""

from __future__ import annotations

from gateway_parts import Time

from gateway.config import MbusDevice as Device
from protocols.reading import Reading
from protocols.transports.serial import LineLost
from protocols.uplink.records import Event
from simulators.mbus.bus import Bus


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.events: list[Event] = []
        self.rounds = 0
        self.has_room = True

    def take(self, found: list[Reading]) -> None:
        """Keep readings."""
        self.readings += found

    def note(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)

    async def round_over(self) -> None:
        """Count rounds."""
        self.rounds += 1


class BusLine:
    """A line to the simulated slaves, without a terminal: silence takes the time that was waited for."""

    def __init__(self, bus: Bus, time: Time) -> None:
        self.bus, self.time = bus, time
        self.held = b""
        self.gone = self.closed = False

    def flush_input(self) -> None:
        """Forget what is held."""
        self.held = b""

    async def write(self, octets: bytes) -> None:
        """The slaves hear it."""
        if self.gone:
            raise LineLost("an open port", "a closed one", "line")
        self.held = self.bus.hear(octets)

    async def read_some(self, timeout_s: float) -> bytes:
        """What the slaves said; silence takes its time."""
        self.time.pass_ms(1 if self.held else int(timeout_s * 1000) + 1)
        octets, self.held = self.held, b""
        return octets

    def close(self) -> None:
        """Let go."""
        self.closed = True


def device(name: str, address: int, **identity: str) -> Device:
    """A meter at a primary address."""
    return Device(name=name, address=address, cadence_s=900, **identity)  # type: ignore[arg-type]
