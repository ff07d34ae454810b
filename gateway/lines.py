"""How lines to meters are opened; the library behind one is imported when it is first needed.

An M-Bus line is a serial port here, or the TCP address of a converter that passes every byte on (`Place`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.config import MbusBus
from protocols.mbus.timing import TCP_SLACK_MS, USB_SLACK_MS
from protocols.transports.exchange import ClosableLine

OpenSerial = Callable[[str, int, str], ClosableLine]  # port, baud, mode
OpenTcp = Callable[[str, int, float], Awaitable[ClosableLine]]  # host, port, timeout (s)
CONNECT_S = 5.0  # until a converter that does not take the connection is given up
TRIP_MS = 1_000  # what a connection takes beyond it is a name's look-up or a modem that wakes up
PORTS = 65_535
_TCP = re.compile(r"tcp://(?P<host>[^/:\s]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Lines:
    """Each opens a line or raises LinkError."""

    serial: OpenSerial
    tcp: OpenTcp


@dataclass(frozen=True, slots=True)
class Place:
    """Where an M-Bus line is: `at` is a port's path or tcp://HOST:PORT; `mode` is data bits, parity and stop bits."""

    at: str
    baud: int = 2400
    mode: str = "8E1"

    def __post_init__(self) -> None:
        if "://" in self.at and self.tcp is None:
            raise ValueError(f"expected tcp://HOST:PORT with a port from 1 to {PORTS}, got {self.at!r}")

    @classmethod
    def of(cls, bus: MbusBus) -> Place:
        """Where a configured line is."""
        return cls(bus.url or bus.port or "", bus.baud, bus.mode)

    @property
    def tcp(self) -> tuple[str, int] | None:
        """Host and port of a converter; None for a serial port."""
        found = _TCP.fullmatch(self.at)
        return (found["host"], int(found["port"])) if found and 0 < int(found["port"]) <= PORTS else None


@dataclass(frozen=True, slots=True)
class Opened:
    """An open line, and by how much it delays bytes (ms)."""

    line: ClosableLine
    slack_ms: int = USB_SLACK_MS


async def opened(place: Place, lines: Lines) -> Opened:
    """Open an M-Bus line; a connection that takes its time shows how long bytes are on their way.

    Raises:
        LinkError: it cannot be opened.
    """
    if place.tcp is None:
        return Opened(lines.serial(place.at, place.baud, place.mode))
    now = asyncio.get_running_loop().time
    began_s = now()
    line = await lines.tcp(*place.tcp, CONNECT_S)
    return Opened(line, TCP_SLACK_MS + min(round((now() - began_s) * 1000), TRIP_MS))


def _serial(port: str, baud: int, mode: str) -> ClosableLine:
    from protocols.transports.serial import SerialLine  # noqa: PLC0415

    return SerialLine.open(port, baud, mode)


async def _tcp(host: str, port: int, timeout_s: float) -> ClosableLine:
    from protocols.transports.tcp import TcpLine  # noqa: PLC0415

    return await TcpLine.open(host, port, timeout_s)


MACHINE = Lines(_serial, _tcp)
