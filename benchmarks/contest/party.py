"""One of the two who compete: its gateway behind the fault proxy, its broker, its receiving end, and its meters."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import time
from abc import ABC, abstractmethod
from pathlib import Path

from feed import Feed
from figures import resident_mb

from simulators.proxy.link import FaultProxy
from simulators.site.parts import Part

START_S = 20.0
POLL_S = 0.1
TICKS = os.sysconf("SC_CLK_TCK")


class ContestError(Exception):
    """A part did not do what it must for anything to be measured; the message says which and where to look."""


class Party(ABC):
    """What both have; all their files are in `folder`.

    `gateway` is the process that is measured and killed, `proxy` its only way to its broker, `feed` its meters.
    """

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker_port = free_port()
        self.proxy = FaultProxy(self.broker_port, random.Random(4))
        self.feed = Feed((time.time_ns() // 1_000_000_000 - 86_400) * 1_000)
        self.gateway: Part
        self.others: list[Part] = []
        self.peak_mb = 0.0

    async def set_up(self) -> None:
        """Everything but the gateway runs afterwards."""
        self.folder.mkdir(parents=True)
        await self.feed.start()
        await self.proxy.start()
        await self.prepare()

    @abstractmethod
    async def prepare(self) -> None:
        """Make configurations, start broker and receiving end, set `gateway`."""

    @property
    @abstractmethod
    def state_folder(self) -> Path:
        """Where the gateway keeps what it has not delivered."""

    @abstractmethod
    def arrived_count(self) -> int:
        """How many readings are at the receiving end."""

    @abstractmethod
    def arrived(self) -> set[int]:
        """Which ones are there, with the values that the meters showed."""

    @abstractmethod
    def newest_arrived(self) -> int:
        """The highest number that has arrived, or of its round; -1 before the first."""

    @abstractmethod
    def told(self) -> str:
        """What the gateway said to its receiving end of faults, in a few words."""

    async def start(self) -> None:
        """Start the gateway."""
        await self.gateway.start()

    async def kill(self) -> None:
        """End the gateway by SIGKILL."""
        process = self.gateway.process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def stop(self) -> None:
        """End everything."""
        if hasattr(self, "gateway"):
            await self.kill()
            await self.gateway.stop()
        for part in reversed(self.others):
            await part.stop()
        self.feed.stop()
        await self.proxy.stop()

    async def run_other(self, name: str, *command: str, port: int = 0) -> None:
        """Start another process, and wait until it listens."""
        part = Part(name, command, self.folder)
        self.others.append(part)
        await part.start()
        until = time.monotonic() + START_S
        while port and not _listens(port):
            if part.died() or time.monotonic() > until:
                raise ContestError(f"{name} did not start: see {self.folder}/{name}.log")
            await asyncio.sleep(0.05)

    async def drained(self, quiet_s: float, longest_s: float) -> float:
        """Wait until all that was released has been asked for and has arrived, or nothing came for `quiet_s`.

        Returns:
            When the last one came (monotonic).
        """
        await self.feed.all_answered(longest_s)
        began = last = time.monotonic()
        before = self.arrived_count()
        while before < self.feed.answered and time.monotonic() - last < quiet_s:
            if time.monotonic() - began > longest_s:
                break
            await asyncio.sleep(POLL_S)
            now = self.arrived_count()
            if now != before:
                before, last = now, time.monotonic()
        return last

    def cpu_s(self) -> float:
        """What the gateway's process has used of the processor, in user and kernel."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mb(self) -> float:
        """What the gateway's process occupies."""
        return resident_mb(self.pid)

    @property
    def pid(self) -> int:
        """The gateway's process.

        Raises:
            ContestError: it ended by itself.
        """
        process = self.gateway.process
        if process is None or process.returncode is not None:
            raise ContestError(f"the gateway of {self.name} ended: see {self.folder}/gateway.log")
        return process.pid


def free_port() -> int:
    """A TCP port on loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """A program of the system; /usr/sbin is not on every user's path.

    Raises:
        ContestError: it is not installed.
    """
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise ContestError(f"expected {name} to be installed (make services), found none")
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
