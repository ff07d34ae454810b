"""A bus on a pseudo-terminal with a stable path, as a converter has one under /dev/serial/by-id."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
import tty
from pathlib import Path
from typing import Protocol

READ_SIZE = 4096
GAP_S = 0.25  # the master pauses at least this long between a broken request and the next
CHARACTER_BITS = 11
SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400)}


class Line(Protocol):
    """The meters' end of a line."""

    async def read(self, timeout_s: float) -> bytes:
        """What the master of the bus sends; empty after `timeout_s`."""

    def write(self, octets: bytes) -> None:
        """Put bytes on the wire; where nobody reads they are lost."""


class Hearing(Protocol):
    """What is on a line: meters that hear what the master says, and answer."""

    baud: int | None

    def hear(self, octets: bytes) -> bytes:
        """What is on the wire when the master has sent `octets`."""

    def silence(self) -> None:
        """The master paused."""


class PtyLine:
    """The simulators' end of a pseudo-terminal; the other end is at `link`.

    This end keeps the other one open too, so that a reader may come and go.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self.master, self._other = pty.openpty()
        tty.setraw(self._other)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self._other)
        try:
            self._place_link()
        except OSError:
            self.close()
            raise

    async def read(self, timeout_s: float) -> bytes:
        """What the master of the bus sends; empty after `timeout_s`."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self.master, ready.set)
        try:
            async with asyncio.timeout(timeout_s):
                await ready.wait()
        except TimeoutError:
            return b""
        finally:
            loop.remove_reader(self.master)
        return os.read(self.master, READ_SIZE)

    def write(self, octets: bytes) -> None:
        """Put bytes on the wire; where nobody reads, what does not fit is lost, as on a real one."""
        try:
            os.write(self.master, octets)
        except BlockingIOError:
            return

    def speed(self) -> int:
        """The speed (baud) that the master has set at its end."""
        return SPEEDS.get(termios.tcgetattr(self._other)[5], 0)

    def close(self) -> None:
        """Take the line away, and its link if it is still ours."""
        if self.link.is_symlink() and str(self.link.readlink()) == self.path:
            self.link.unlink()
        os.close(self.master)
        os.close(self._other)

    def _place_link(self) -> None:
        """Put the link in place in one step; a stale one of a killed simulator is replaced."""
        if self.link.exists() and not self.link.is_symlink():
            raise FileExistsError(f"expected a free path or a symbolic link, got a file in {self.link}")
        self.link.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.path)
        fresh.replace(self.link)


async def serve(bus: Hearing, line: Line, stop: asyncio.Event, baud: int | None = None) -> None:
    """Let the meters answer until `stop`; with `baud` at the pace of such a line, else at once."""
    while not stop.is_set():
        octets = await line.read(GAP_S)
        if not octets:
            bus.silence()
            continue
        bus.baud = line.speed() if isinstance(line, PtyLine) else None
        answer = bus.hear(octets)
        if baud is None:
            if answer:
                line.write(answer)
            continue
        await _pace(line, answer, len(octets), CHARACTER_BITS / baud)


async def _pace(line: Line, answer: bytes, heard: int, character_s: float) -> None:
    """The request's `heard` characters, one of pause, then the answer's, each at its own moment: no drift."""
    now = asyncio.get_running_loop().time
    start = now() + (heard + 1) * character_s
    for count, octet in enumerate(answer, 1):
        await asyncio.sleep(max(0.0, start + count * character_s - now()))
        line.write(bytes([octet]))
