"""Who has a line already: the daemon that owns a state folder, or the process that holds a port."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gateway.local import SOCKET_FILE
from gateway.lock import LOCK_FILE

DAEMON = ", the daemon of "  # and its state folder


def holder(path: str) -> str:
    """Who has a port open, as "process 123 (name)", daemons first; empty where nobody is seen."""
    return " and ".join(sorted(holders(path), key=lambda each: DAEMON not in each))


def holders(path: str) -> Iterator[str]:
    """Every process that has a port open, but this one; those of other users are seen by root alone.

    Of a daemon it is said whose it is: by the lock of its state folder, which it has open, too.
    """
    wanted = os.path.realpath(path)
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            files = [each.readlink() for each in (process / "fd").iterdir()]
            if Path(wanted) in files:
                yield f"process {process.name} ({(process / 'comm').read_text().strip()}){_daemon(files)}"
        except OSError:  # of another user, or gone meanwhile
            continue


def _daemon(files: list[Path]) -> str:
    """Whose daemon has these files open; empty where none does."""
    folders = (each.parent for each in files if each.name == LOCK_FILE and (each.parent / SOCKET_FILE).exists())
    return next((f"{DAEMON}{each}" for each in folders), "")


def daemon_of(state_folder: Path) -> str:
    """The number of the daemon's process that owns the state folder; empty where none runs."""
    try:
        with (state_folder / LOCK_FILE).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(32).strip() or "unknown"
    except OSError:
        return ""
    return ""


def port_step(running: str, who: str) -> str:
    """What to do about a busy port: the daemon that owns the state folder is named before any other process."""
    if running:
        other = f"; if it stays busy: {who} holds the port" if who and f"process {running} " not in who else ""
        return f"stop the daemon first (systemctl stop plomba-gateway): process {running} reads this line{other}"
    if DAEMON in who:
        return f"stop the daemon first (systemctl stop plomba-gateway): {who} holds the port"
    return f"stop that program first: {who} holds the port" if who else "stop the program that holds the port first"
