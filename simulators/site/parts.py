"""The processes of a site: started, killed, started again; their ids in the run folder, so that only ours are ended."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
STOP_S = 15.0  # a part that was asked to stop has this long before it is killed


@dataclass(frozen=True, slots=True)
class Down:
    """A time in which a part did not run: from the kill to the start after it (ms UTC)."""

    part: str
    from_ms: int
    to_ms: int


@dataclass
class Part:
    """One process and its log; `folder` holds `NAME.pid` and `NAME.log`."""

    name: str
    command: tuple[str, ...]
    folder: Path
    process: asyncio.subprocess.Process | None = None
    downs: list[Down] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)  # of all its starts

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    async def start(self) -> None:
        """Start it; its output goes to its log."""
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which stops its parts in order
                preexec_fn=_end_with_parent,
            )
        self.pids.append(self.process.pid)
        (self.folder / f"{self.name}.pid").write_text(f"{self.process.pid}\n")

    async def kill_and_restart(self, pause_s: float, number: signal.Signals = signal.SIGKILL) -> None:
        """End it by SIGKILL as a power cut would (or by another signal), wait, start it again.

        Raises:
            PartError: another signal did not end it in time.
        """
        running = self._running()
        killed_ms = now_ms()
        running.send_signal(number)
        try:
            await asyncio.wait_for(running.wait(), STOP_S)
        except TimeoutError:
            raise PartError(f"{self.name} did not end within {STOP_S:.0f} s of {number.name}") from None
        await asyncio.sleep(pause_s)
        await self.start()
        self.downs.append(Down(self.name, killed_ms, now_ms()))

    async def hold(self, seconds: float) -> None:
        """Let it stand still (SIGSTOP) for a while: it answers nothing and closes nothing."""
        self.tell(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.tell(signal.SIGCONT)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._running().send_signal(number)

    async def stop(self) -> None:
        """Ask it to stop, and kill it only where it does not."""
        if self.process is None:
            return
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), STOP_S)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        (self.folder / f"{self.name}.pid").unlink(missing_ok=True)

    def died(self) -> bool:
        """Whether it ended although nobody asked it to."""
        return self.process is not None and self.process.returncode is not None

    def _running(self) -> asyncio.subprocess.Process:
        if self.process is None or self.process.returncode is not None:
            raise PartError(f"{self.name} has ended by itself: see {self.folder / self.name}.log")
        return self.process


def _end_with_parent() -> None:
    """Linux, prctl(2): a demo that is killed takes its parts with it."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class PartError(Exception):
    """A part of the demo did not do what it should; the message says which and where to look."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: exit code, its data and what it said beside them."""

    code: int
    data: str
    talk: str


async def run(*command: str, folder: Path, accepted: tuple[int, ...] = (0,)) -> Done:
    """Run a command to its end.

    Raises:
        PartError: it ended with a code that is not accepted; with what it said.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
    )
    out, said = await process.communicate()
    code, talk = process.returncode or 0, said.decode(errors="replace").strip()
    if code not in accepted:
        raise PartError(f"{' '.join(command)}: exit {code}: {talk}")
    return Done(code, out.decode(), talk)


def program(name: str) -> str:
    """A command of ours, or nats-server, from the environment that runs this."""
    return str(Path(sys.executable).parent / name)


def now_ms() -> int:
    """Our clock, ms UTC: the same machine's that the simulators record."""
    return time.time_ns() // 1_000_000
