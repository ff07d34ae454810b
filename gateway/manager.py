"""What the service manager is told (sd_notify(3), systemd 252): that the daemon is ready, lives, and stops.

Datagrams to the socket that the environment names; without one nothing is told. "Lives" is said by the event loop
itself: one that hangs says nothing, and the manager ends and starts the process (`WatchdogSec=` of its unit).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

READY, LIVES, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"
SHARE = 3  # so many times within the manager's patience


@dataclass(frozen=True, slots=True)
class Manager:
    """Whom to tell: the socket's address, and after how many seconds without a word it ends us; None: never."""

    address: str | None = None
    patience_s: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Manager:
        """What the environment of the process `pid` says."""
        address = environment.get("NOTIFY_SOCKET")
        patience, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
        is_ours = patience.isdecimal() and int(patience) > 0 and whose == str(pid)
        return cls(address or None, int(patience) / 1_000_000 if is_ours else None)

    def tell(self, word: str) -> None:
        """Say it; a manager that does not hear is no reason to fail."""
        if self.address is None:
            return
        # A name that begins with @ stands in the kernel alone (unix(7): its first octet is zero).
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(word.encode(), address)

    async def live(self) -> None:
        """Say again and again that the event loop runs."""
        while self.patience_s is not None:
            self.tell(LIVES)
            await asyncio.sleep(self.patience_s / SHARE)


NOBODY = Manager()
