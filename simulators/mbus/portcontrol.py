"""A bus behind a converter that speaks RFC 2217: pyserial's own server for the port's settings, the bytes behind it.

`settings` are those that the client asked for: baud, data bits, parity, stop bits.
"""

from __future__ import annotations

import serial
from serial import rfc2217

from simulators.mbus.converter import HOST, Converter


class PortControl(Converter):
    """A converter whose client sets the port."""

    def __init__(self) -> None:
        super().__init__()
        self._settings = serial.serial_for_url("loop://")  # keeps what it is told
        self._manager: rfc2217.PortManager | None = None

    @property
    def settings(self) -> tuple[int, int, str, float]:
        """What the client set last."""
        port = self._settings
        return port.baudrate, port.bytesize, port.parity, port.stopbits

    @property
    def url(self) -> str:
        """Its address, as a configuration has it."""
        return f"rfc2217://{HOST}:{self.port}"

    def write(self, octets: bytes) -> None:
        """To the client, with Telnet's escapes."""
        if self._manager is not None:
            self._say(b"".join(self._manager.escape(octets)))

    def _begin(self) -> None:
        self._manager = rfc2217.PortManager(self._settings, _Connection(self))

    def _heard(self, octets: bytes) -> bytes:
        return b"" if self._manager is None else b"".join(self._manager.filter(octets))


class _Connection:
    """Where the server's own Telnet words go."""

    def __init__(self, converter: PortControl) -> None:
        self.write = converter._say
