"""How lines to meters are opened; the library behind one is imported when it is first needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protocols.transports.exchange import ClosableLine

OpenSerial = Callable[[str, int, str], ClosableLine]  # port, baud, mode
OpenTcp = Callable[[str, int, float], Awaitable[ClosableLine]]  # host, port, timeout (s)


@dataclass(frozen=True, slots=True)
class Lines:
    """Each opens a line or raises LinkError."""

    serial: OpenSerial
    tcp: OpenTcp


def _serial(port: str, baud: int, mode: str) -> ClosableLine:
    from protocols.transports.serial import SerialLine  # noqa: PLC0415

    return SerialLine.open(port, baud, mode)


async def _tcp(host: str, port: int, timeout_s: float) -> ClosableLine:
    from protocols.transports.tcp import TcpLine  # noqa: PLC0415

    return await TcpLine.open(host, port, timeout_s)


MACHINE = Lines(_serial, _tcp)
