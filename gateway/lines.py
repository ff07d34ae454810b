"""How lines to meters are opened; the library behind one is imported when it is first needed.

An M-Bus, DLMS or Modbus RTU line is a serial port here, or the address of a converter (`Place`): tcp:// where it passes
every byte on with settings of its own, rfc2217:// where it takes the line's speed and parity from us.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.config import DlmsBus, MbusBus, ModbusBus
from protocols.mbus.timing import TCP_SLACK_MS, USB_SLACK_MS
from protocols.transports.exchange import ClosableLine

OpenSerial = Callable[[str, int, str], ClosableLine]  # port, baud, mode
OpenTcp = Callable[[str, int, float], Awaitable[ClosableLine]]  # host, port, timeout (s)
OpenRfc2217 = Callable[[str, int, int, str], Awaitable[ClosableLine]]  # host, port, baud, mode
CONNECT_S = 5.0  # until a converter that does not take the connection is given up
ASSUMED_TRIP_MS = 250  # where opening takes waits of its own
TRIP_MS = 1_000  # what a connection takes beyond it is a name's look-up or a modem that wakes up
PORTS = 65_535
_URL = re.compile(r"(?P<scheme>tcp|rfc2217)://(?P<host>[^/:\s]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line is: `at` is a port's path or a converter's url; `mode` is data bits, parity and stop bits."""

    at: str
    baud: int = 2400
    mode: str = "8E1"

    def __post_init__(self) -> None:
        if "://" in self.at and not self.remote:
            words = f"tcp://HOST:PORT or rfc2217://HOST:PORT with a port from 1 to {PORTS}"
            raise ValueError(f"expected {words}, got {self.at!r}")

    @classmethod
    def of(cls, bus: MbusBus | DlmsBus | ModbusBus) -> Place:
        """Where a configured line is; RTU over TCP is bytes that are passed on."""
        return cls((bus.url or bus.port or "").replace("tcp+rtu:", "tcp:"), bus.baud, bus.mode)

    @property
    def remote(self) -> tuple[str, str, int] | None:
        """Scheme, host and port of a converter; None for a serial port."""
        found = _URL.fullmatch(self.at)
        usable = found is not None and 0 < int(found["port"]) <= PORTS
        return (found["scheme"], found["host"], int(found["port"])) if found and usable else None

    @property
    def fixed(self) -> bool:
        """Whether the speed of the line is a converter's own setting."""
        return self.remote is not None and self.remote[0] == "tcp"


@dataclass(frozen=True, slots=True)
class Opened:
    """An open line, and by how much it delays bytes (ms)."""

    line: ClosableLine
    slack_ms: int = USB_SLACK_MS


async def opened(place: Place, lines: Lines) -> Opened:
    """Open a line; a connection that takes its time shows how long bytes are on their way.

    Raises:
        LinkError: it cannot be opened.
    """
    if place.remote is None:
        return Opened(lines.serial(place.at, place.baud, place.mode))
    scheme, host, port = place.remote
    if scheme == "rfc2217":
        return Opened(await lines.rfc2217(host, port, place.baud, place.mode), TCP_SLACK_MS + ASSUMED_TRIP_MS)
    now = asyncio.get_running_loop().time
    began_s = now()
    line = await lines.tcp(host, port, CONNECT_S)
    return Opened(line, TCP_SLACK_MS + min(round((now() - began_s) * 1000), TRIP_MS))


def _serial(port: str, baud: int, mode: str) -> ClosableLine:
    from protocols.transports.serial import SerialLine  # noqa: PLC0415

    return SerialLine.open(port, baud, mode)


async def _tcp(host: str, port: int, timeout_s: float) -> ClosableLine:
    from protocols.transports.tcp import TcpLine  # noqa: PLC0415

    return await TcpLine.open(host, port, timeout_s)


async def _rfc2217(host: str, port: int, baud: int, mode: str) -> ClosableLine:
    from protocols.transports.rfc2217 import Rfc2217Line  # noqa: PLC0415

    return await Rfc2217Line.open(host, port, baud, mode)


@dataclass(frozen=True, slots=True)
class Lines:
    """Each opens a line or raises LinkError."""

    serial: OpenSerial
    tcp: OpenTcp
    rfc2217: OpenRfc2217 = _rfc2217


MACHINE = Lines(_serial, _tcp)
