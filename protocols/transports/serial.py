"""A serial line for one asyncio process: pyserial opens and sets the port, the loop watches its file descriptor.

No thread. A port that vanishes (a converter is pulled out, a pseudo-terminal closes) raises `LineLost`; close and open
the same stable path again (`/dev/serial/by-id/...`): the device node behind it may be another one then.
"""

from __future__ import annotations

import asyncio
import os
import re
import termios
from types import TracebackType

import serial

from protocols.errors import LinkError

PARITIES = {"N": serial.PARITY_NONE, "E": serial.PARITY_EVEN, "O": serial.PARITY_ODD}
_NUMBER = re.compile(r"[\[(](?:Errno )?(\d+)[\],]")  # "[Errno 2] ...", "(25, '...')"
READ_SIZE = 4096  # the kernel's own buffer of a terminal


class PortMissing(LinkError):  # noqa: N818 - named after what happened on the line
    """The port cannot be opened."""

    code = "PLB-L101"
    do = "check that the converter is plugged in, the path is right (ls -l /dev/serial/by-id) and the user may open it"


class PortBusy(LinkError):  # noqa: N818
    """Another program holds the port."""

    code = "PLB-L102"
    do = "stop the other program that reads this bus (fuser shows which)"


class LineLost(LinkError):  # noqa: N818
    """The port was there and is gone."""

    code = "PLB-L103"
    do = "check the converter's plug and supply; the port is opened again by itself"


class LineStuck(LinkError):  # noqa: N818
    """The port does not take the bytes to send."""

    code = "PLB-L104"
    do = "unplug the converter and plug it in again"


def _opened(path: str, baud: int, mode: str) -> serial.Serial:
    size, parity, stop = int(mode[0]), PARITIES[mode[1]], int(mode[2])
    return serial.Serial(path, baud, size, parity, stop, timeout=0, write_timeout=0, exclusive=True, xonxoff=False)


class SerialLine:
    """An open serial port; use `SerialLine.open`.

    `parity_set` is False where the port refuses the parity that was asked (a pseudo-terminal has none).
    """

    def __init__(self, port: serial.Serial, path: str, parity_set: bool) -> None:
        self._port = port
        self.path = path
        self.parity_set = parity_set

    @classmethod
    def open(cls, path: str, baud: int = 2400, mode: str = "8E1") -> SerialLine:
        """Open `path` for this process alone; `mode` is data bits, parity (N, E, O) and stop bits.

        Raises:
            PortMissing: it is not there, is no terminal, or may not be opened.
            PortBusy: another program holds it.
        """
        try:
            try:
                port = _opened(path, baud, mode)
            except termios.error:
                # A pseudo-terminal drops parity; the C library reports that as EINVAL when nothing else was to change,
                # that is, when it is opened a second time.
                port = _opened(path, baud, mode[0] + "N" + mode[2])
        except (serial.SerialException, OSError, termios.error) as error:
            if "lock" in str(error).lower():
                raise PortBusy("a free port", "one that another program holds", path) from error
            raise PortMissing("a serial port", _reason(error), path) from error
        return cls(port, path, _parity_holds(port, mode[1]))

    def flush_input(self) -> None:
        """Forget what has come and was not read.

        Raises:
            LineLost: the port is gone.
        """
        try:
            self._port.reset_input_buffer()
        except (serial.SerialException, OSError, termios.error) as error:
            raise self._lost(error) from error

    async def set_speed(self, baud: int) -> None:
        """Another speed, with the same bits and parity, from now on.

        Raises:
            LineLost: the port is gone.
        """
        try:
            self._port.baudrate = baud
        except termios.error:  # a pseudo-terminal: the speed is set, and it has no parity
            pass
        except (serial.SerialException, OSError, ValueError) as error:
            raise self._lost(error) from error

    async def write(self, octets: bytes) -> None:
        """Hand `octets` to the port, all of them.

        Raises:
            LineLost: the port is gone.
            LineStuck: it takes no more bytes.
        """
        try:
            count = self._port.write(octets)
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error
        if count != len(octets):
            raise LineStuck(f"{len(octets)} bytes taken", str(count), self.path)

    async def read_some(self, timeout_s: float) -> bytes:
        """What has come, or comes first within `timeout_s`; empty where nothing comes.

        Raises:
            LineLost: the port is gone.
        """
        if not self._port.is_open:
            raise LineLost("an open port", "a closed one", self.path)
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        handle = self._port.fileno()
        loop.add_reader(handle, ready.set)
        try:
            async with asyncio.timeout(timeout_s):
                await ready.wait()
        except TimeoutError:
            return b""
        finally:
            loop.remove_reader(handle)
        return self._read()

    def close(self) -> None:
        """Let the port go; closing twice does no harm."""
        self._port.close()

    def __enter__(self) -> SerialLine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self) -> bytes:
        """Bytes of a readable port; a readable port without bytes has been hung up."""
        try:
            octets = os.read(self._port.fileno(), READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not octets:
            raise LineLost("bytes", "end of the line (hung up)", self.path)
        return octets

    def _lost(self, error: Exception) -> LineLost:
        return LineLost("an open port", _reason(error), self.path)


def _reason(error: Exception) -> str:
    """What the system says, once: pyserial puts it into words of its own, with number and path."""
    number = error.errno if isinstance(error, OSError) else error.args[0] if error.args else None
    if number is None and (found := _NUMBER.search(str(error))):
        number = int(found[1])
    return os.strerror(number).lower() if isinstance(number, int) else str(error)


def _parity_holds(port: serial.Serial, parity: str) -> bool:
    """Whether the terminal really has the parity that was asked: some drivers drop it without a word."""
    flags = termios.tcgetattr(port.fileno())[2]
    enabled, odd = bool(flags & termios.PARENB), bool(flags & termios.PARODD)
    return (enabled, odd and enabled) == (parity != "N", parity == "O")
