"""A PostgreSQL cluster of the tests' own: temporary, on a free port of the loopback address, without a password."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from servers import Process, ServerError, free_port

# The account that Debian makes for PostgreSQL: initdb and postgres refuse to run as root.
ACCOUNT = "postgres"
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
timezone = 'UTC'
shared_buffers = '64MB'
max_connections = 50
"""


def find_bin() -> Path | None:
    """The folder of the newest PostgreSQL programs, or None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).parent if program else None


class Postgresql:
    """A cluster that can be started, stopped at once (as a crash would) and asked by psql."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = ACCOUNT if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="plomba-postgresql-"))
        self.port = free_port()
        self._databases = 0
        cluster = self.folder / "cluster"
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "--no-sync", "--auth=trust", f"--username={ACCOUNT}", "--encoding=UTF8", "-D", str(cluster))
        with (cluster / "postgresql.conf").open("a") as configuration:
            configuration.write(SETTINGS.format(port=self.port, folder=self.folder))
        arguments = [str(programs / "postgres"), "-D", str(cluster)]
        self.process = Process(arguments, self.folder / "log", self._ready, self._user)

    @property
    def dsn(self) -> str:
        """Where asyncpg and libpq find its database `postgres`."""
        return f"postgresql://{ACCOUNT}@127.0.0.1:{self.port}/postgres"

    def sql(self, statement: str) -> str:
        """What psql prints for one statement, without headers."""
        return self._run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, self.dsn).strip()

    def database(self, template: str = "template1") -> str:
        """The dsn of a new database, empty or a copy of one that nobody is connected to."""
        self._databases += 1
        name = f"d{self._databases}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template.rpartition('/')[2]}")
        return f"postgresql://{ACCOUNT}@127.0.0.1:{self.port}/{name}"

    def processes(self) -> list[int]:
        """The server's process and all its children."""
        pid = int((self.folder / "cluster" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def crash(self) -> None:
        """An immediate stop: no checkpoint; the next start recovers from the log."""
        self.process.stop(signal.SIGQUIT)

    def remove(self) -> None:
        """Stop it and remove all it wrote."""
        self.process.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _ready(self) -> bool:
        program = str(self._programs / "pg_isready")
        check = subprocess.run([program, "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False)
        return check.returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, user=self._user, group=self._user, cwd=self.folder
        )
        if done.returncode != 0:
            raise ServerError(f"{program} failed:\n{done.stderr[-3000:]}")
        return done.stdout
