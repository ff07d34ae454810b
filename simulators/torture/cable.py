"""A cable between two network namespaces, which can be pulled: the far end hears nothing, not even an end.

A process of its own holds the namespace, so that it is gone with it, whatever happens to us; the cable goes with the
namespace. Needs root and ip(8); where it cannot be made, `plugged` says why.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from pathlib import Path

from simulators.site.parts import Part, PartError, run

HOLD_S = 5.0  # for the holder to have its namespace


class Cable:
    """One cable; `end` is our interface, `here` its address, and a command behind `prefix` runs at the other end."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.here = ""
        self.prefix: tuple[str, ...] = ()
        self._folder = folder
        self._holder = Part(f"{name}-namespace", ("unshare", "--net", "sleep", "infinity"), folder)
        self.end = ""

    async def plug(self) -> None:
        """Make the namespace and the cable.

        Raises:
            PartError: it cannot be made here.
        """
        if os.geteuid() != 0 or not all(shutil.which(each) for each in ("ip", "unshare", "nsenter")):
            raise PartError("network namespaces need root and ip, unshare, nsenter")
        await self._holder.start()
        pid = self._holder.pid
        await _own_namespace(pid)
        self.prefix = ("nsenter", f"--net=/proc/{pid}/ns/net")
        net, host = f"10.{128 + secrets.randbelow(128)}.{secrets.randbelow(256)}", 4 * secrets.randbelow(64)
        self.here, there = f"{net}.{host + 1}", f"{net}.{host + 2}"
        self.end, other = f"plb{pid}a", f"plb{pid}b"
        await self._ip("link", "add", self.end, "type", "veth", "peer", "name", other, "netns", str(pid))
        await self._ip("addr", "add", f"{self.here}/30", "dev", self.end)
        await self._ip("link", "set", self.end, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{there}/30", "dev", other),
            ("link", "set", other, "up"),
        ):
            await run(*self.prefix, "ip", *command, folder=self._folder)

    async def pull(self) -> None:
        """Nothing passes any more, and neither side is told."""
        await self._ip("link", "set", self.end, "down")

    async def push(self) -> None:
        """Everything passes again."""
        await self._ip("link", "set", self.end, "up")

    async def unplug(self) -> None:
        """End the namespace; the cable goes with it when what ran at the other end has ended too."""
        await self._holder.stop()

    async def _ip(self, *arguments: str) -> None:
        await run("ip", *arguments, folder=self._folder)


async def _own_namespace(pid: int) -> None:
    """Wait until a process has left our namespace."""
    async with asyncio.timeout(HOLD_S):
        while _namespace(str(pid)) == _namespace("self"):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


def _namespace(process: str) -> Path:
    return Path(f"/proc/{process}/ns/net").readlink()
