"""One daemon per state folder: a second start is refused at once, and a crash leaves nothing to clean up."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.faults import AlreadyRunning

LOCK_FILE = "lock"


class FolderLock:
    """Held until closed or until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock of `folder`.

        Raises:
            AlreadyRunning: another process holds it.
        """
        path = folder / LOCK_FILE
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise AlreadyRunning("a state folder of its own", f"one that process {holder} holds", str(path)) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)
