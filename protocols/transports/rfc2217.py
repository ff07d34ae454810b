"""A serial port behind a converter that speaks RFC 2217 (Telnet with its port's speed and parity), by pyserial.

pyserial blocks: it opens with waits, reads in a thread of its own and closes with a join. So it is opened and closed
off the loop, and one thread here carries to the loop what it has read. What is not read yet is forgotten here, without
its purge, which would cost every question a round trip.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import serial
from serial import rfc2217

from protocols.errors import LinkError
from protocols.transports.serial import PARITIES
from protocols.transports.tcp import ConnectionGone, failure

POLL_S = 0.2  # between two looks of the thread whether the line is closed


class NoPortControl(LinkError):  # noqa: N818 - named after what happened
    """The converter does not speak RFC 2217, or does not take the line's speed or parity."""

    code = "PLB-L106"
    do = "set the converter's port to RFC 2217 (Telnet with COM port control), or write tcp:// where it passes bytes on"


class Rfc2217Line:
    """An open port of a converter; use `Rfc2217Line.open`."""

    def __init__(self, port: rfc2217.Serial, peer: str) -> None:
        self.peer = peer
        self._port, self._loop = port, asyncio.get_running_loop()
        self._held = bytearray()
        self._some = asyncio.Event()
        self._gone: str | None = None  # why, once the connection is gone
        threading.Thread(target=self._carry, name=f"rfc2217 {peer}", daemon=True).start()

    @classmethod
    async def open(cls, host: str, port: int, baud: int = 2400, mode: str = "8E1") -> Rfc2217Line:
        """Connect and set the port; `mode` is data bits, parity (N, E, O) and stop bits. It takes 11 s at most.

        Raises:
            ConnectionRefused: nothing listens there.
            NoRoute: there is no way there.
            ConnectTimeout: nothing answered in time.
            NameUnknown: the name has no address.
            NoPortControl: what listens there does not speak RFC 2217, or refuses the settings.
            ConnectionGone: it closed the connection at once, as a converter does that has a client.
        """
        peer = f"{host}:{port}"
        opening = asyncio.ensure_future(asyncio.to_thread(_opened, host, port, baud, mode))
        try:
            return cls(await asyncio.shield(opening), peer)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_late)
            raise
        except (OSError, ValueError) as error:  # a SerialException is an OSError; ValueError: a setting is refused
            raise _refused(error, peer) from error

    def flush_input(self) -> None:
        """Forget what has come and was not read."""
        self._held.clear()
        if self._gone is None:
            self._some.clear()

    async def write(self, octets: bytes) -> None:
        """Hand over `octets`, all of them.

        Raises:
            ConnectionGone: the connection is gone.
        """
        self._check()
        try:
            await asyncio.to_thread(self._port.write, octets)
        except OSError as error:  # a SerialException is one
            raise ConnectionGone("an open connection", str(error), self.peer) from error

    async def read_some(self, timeout_s: float) -> bytes:
        """What has come, or comes first within `timeout_s`; empty where nothing comes.

        Raises:
            ConnectionGone: the connection is gone, and everything that came is read.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._some.wait()
        except TimeoutError:
            return b""
        octets = bytes(self._held)
        self.flush_input()
        if not octets:
            self._check()
        return octets

    def close(self) -> None:
        """Close the connection; closing twice does no harm."""
        self._gone = self._gone or "a closed one"
        self._some.set()
        _close(self._port)

    def _check(self) -> None:
        if self._gone is not None:
            raise ConnectionGone("an open connection", self._gone, self.peer)

    def _carry(self) -> None:
        """The thread: what comes goes to the loop, until the line is closed or lost."""
        try:
            while self._port.is_open:
                octets = self._port.read(1)
                if octets:
                    self._tell(self._arrived, octets + self._port.read(self._port.in_waiting))
        except OSError as error:
            self._tell(self._lost, str(error))

    def _tell(self, what: Callable[..., None], said: bytes | str) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, said)

    def _arrived(self, octets: bytes) -> None:
        if self._gone is None:
            self._held += octets
            self._some.set()

    def _lost(self, reason: str) -> None:
        self._gone = self._gone or reason
        self._some.set()


def _opened(host: str, port: int, baud: int, mode: str) -> rfc2217.Serial:
    # Without an answer to control lines, which M-Bus does not use: not all converters give one.
    url = f"rfc2217://{host}:{port}?ign_set_control"
    return rfc2217.Serial(url, baud, int(mode[0]), PARITIES[mode[1]], int(mode[2]), timeout=POLL_S)


def _refused(error: OSError | ValueError, peer: str) -> LinkError:
    if isinstance(error.__context__, OSError):
        return failure(error.__context__, peer)
    if isinstance(error, ValueError | serial.SerialException):
        return NoPortControl("a port that takes speed and parity", str(error), peer)
    return ConnectionGone("an open connection", str(error), peer)


def _close(port: rfc2217.Serial) -> None:
    """Off the loop: it waits for its thread, and a moment more."""
    threading.Thread(target=port.close, name="rfc2217 close", daemon=True).start()


def _close_late(opening: asyncio.Future[rfc2217.Serial]) -> None:
    """A port that was opened after nobody waited for it any more."""
    if not opening.cancelled() and opening.exception() is None:
        _close(opening.result())
