"""A PostgreSQL of the run's own: killed with all its processes, stopped at once, held, put back as it was before."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from simulators.site.parts import Part, PartError, run
from simulators.site.setup import READY_S, free_ports

# The account that Debian makes for PostgreSQL: initdb and postgres refuse to run as root.
ACCOUNT = "postgres"
LOOK_S = 0.1  # between questions whether it is ready
_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
shared_buffers = '64MB'
max_connections = 50
"""


class Database(Part):
    """One cluster in a folder of its own, which that account may enter; without a password, on the loopback address."""

    def __init__(self, folder: Path) -> None:
        programs = _programs()
        self._programs = programs
        self.place = Path(tempfile.mkdtemp(prefix="plomba-torture-postgresql-"))
        (self.port,) = free_ports(1)
        self._cluster, self._copy = self.place / "cluster", self.place / "copy"
        self._as = () if os.geteuid() else ("setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups")
        parented = (*self._as, "--pdeathsig=TERM") if self._as else ()
        super().__init__("database", (*parented, str(programs / "postgres"), "-D", str(self._cluster)), folder)
        self._turn = asyncio.Lock()  # one blow at a time

    @property
    def address(self) -> str:
        """Where the collector finds it."""
        return f"postgresql://{ACCOUNT}@127.0.0.1:{self.port}/postgres"

    async def make(self) -> None:
        """The empty cluster.

        Raises:
            PartError: a command failed.
        """
        if self._as:
            shutil.chown(self.place, ACCOUNT)
        options = ("--no-sync", "--auth=trust", f"--username={ACCOUNT}", "--encoding=UTF8")
        await run(*self._as, str(self._programs / "initdb"), *options, "-D", str(self._cluster), folder=self.place)
        with (self._cluster / "postgresql.conf").open("a") as configuration:
            configuration.write(_SETTINGS.format(port=self.port, folder=self.place))

    async def ready(self) -> None:
        """Wait until it answers.

        Raises:
            PartError: it does not.
        """
        until = time.monotonic() + READY_S
        while (await run(*self._ask(), folder=self.place, accepted=(0, 1, 2))).code:
            if time.monotonic() > until:
                raise PartError(f"the database was not ready within {READY_S:.0f} s: see {self.folder}/database.log")
            await asyncio.sleep(LOOK_S)

    async def rows(self, statement: str) -> list[list[str]]:
        """What a statement gives, as text."""
        command = (str(self._programs / "psql"), "-XAtq", "-F", "\t", "-c", statement, self.address)
        done = await run(*command, folder=self.place)
        return [line.split("\t") for line in done.data.splitlines()]

    async def kill_and_restart(self, pause_s: float, number: signal.Signals = signal.SIGKILL) -> None:
        """End all its processes by SIGKILL, or by an immediate stop; both leave its log to be played at the start."""
        async with self._turn:
            children = self._children()
            if number is signal.SIGKILL:
                self.tell(signal.SIGSTOP)  # it starts none anew meanwhile
                for pid in children:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            await super().kill_and_restart(pause_s, signal.SIGKILL if number is signal.SIGKILL else signal.SIGQUIT)
            await self.ready()

    async def hold(self, seconds: float) -> None:
        """Let all its processes stand still for a while."""
        async with self._turn:
            processes = [self.pid, *self._children()]
            _tell(processes, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                _tell(processes, signal.SIGCONT)

    async def back_up(self) -> None:
        """Stop it, copy its files, start it again."""
        async with self._turn:
            await self.stop()
            await asyncio.to_thread(shutil.copytree, self._cluster, self._copy)
            await self._start()

    async def restore(self) -> None:
        """Stop it at once and put the copy in its place: what was committed since is gone."""
        async with self._turn:
            self.tell(signal.SIGQUIT)
            await self.stop()
            await asyncio.to_thread(shutil.rmtree, self._cluster)
            self._copy.rename(self._cluster)
            await self._start()

    async def stop(self) -> None:
        """Stop it without waiting for those who are connected."""
        if self.process is not None and self.process.returncode is None:
            self.tell(signal.SIGINT)
        await super().stop()

    def remove(self) -> None:
        """Remove its files."""
        shutil.rmtree(self.place, ignore_errors=True)

    async def _start(self) -> None:
        if self._as:
            for path in (self._cluster, *self._cluster.rglob("*")):
                shutil.chown(path, ACCOUNT, ACCOUNT)
        await self.start()
        await self.ready()

    def _ask(self) -> tuple[str, ...]:
        return (str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port))

    def _children(self) -> list[int]:
        return [int(each) for each in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


def _tell(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _programs() -> Path:
    """The folder of the newest programs of PostgreSQL.

    Raises:
        PartError: there are none.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    program = str(found[-1]) if found else shutil.which("initdb")
    if program is None:
        raise PartError("PostgreSQL is not installed: run make services")
    return Path(program).parent
