"""Disks that fail under a running daemon: full, with bad blocks, or with system calls that fail or take their time."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

NEEDED = ("nbdkit", "nbdfuse", "fusermount3")
CHUNK = 4096  # bytes that a hog writes at a time
UP_S = 10.0  # for a server to come up


def fill(folder: Path, name: str = "hog") -> Path:
    """Take all room that is left on a file system."""
    hog = folder / name
    with hog.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(CHUNK))
        except OSError:
            return hog


class BadBlocks:
    """An image behind nbdkit's error filter, as a file `path` that a loop device can take."""

    def __init__(self, image: Path, folder: Path) -> None:
        """Serve `image`; `folder` is made, for the socket and the mount.

        Raises:
            FileNotFoundError: a program is not installed.
        """
        for program in NEEDED:
            if shutil.which(program) is None:
                raise FileNotFoundError(f"{program} is not installed: run make services")
        self._folder = folder
        (folder / "mount").mkdir(parents=True)
        self.path = folder / "mount" / "disk"
        socket = folder / "socket"
        faults = [
            f"error-{each}{end}"
            for each in ("pread", "pwrite")
            for end in ("=EIO", "-rate=1", f"-file={folder}/{each}")
        ]
        self._server = _quiet("nbdkit", "-f", "-U", str(socket), "--filter=error", "file", str(image), *faults)
        _until(socket.exists)
        self._fuse = _quiet("nbdfuse", str(self.path), "--unix", str(socket))
        _until(lambda: self.path.exists() and self.path.stat().st_size > 0)

    @contextmanager
    def failing(self, call: str) -> Iterator[None]:
        """Every "pread" or "pwrite" of the device fails with EIO meanwhile."""
        trigger = self._folder / call
        trigger.touch()
        yield
        trigger.unlink()

    def close(self) -> None:
        """End both servers."""
        subprocess.run(["fusermount3", "-u", "-z", self.path.parent], check=False, capture_output=True)
        for process in (self._fuse, self._server):
            process.terminate()
            process.wait(UP_S)


@asynccontextmanager
async def injected(
    process: asyncio.subprocess.Process | None, call: str, fault: str, trace: Path
) -> AsyncIterator[None]:
    """Meanwhile a running process's system call `call` meets `fault`, in strace's words; `trace` lists the calls."""
    if process is None or shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed: run make services")
    command = (
        "strace",
        "-f",
        "-y",
        "-p",
        str(process.pid),
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:{fault}",
        "-o",
        str(trace),
    )
    tracer = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert tracer.stderr is not None
    said = await tracer.stderr.readline()
    if b"attached" not in said:
        raise PermissionError(f"strace cannot attach here: {said.decode()}")
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        await tracer.communicate()


def _quiet(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _until(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + UP_S
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(f"a server did not come up within {UP_S:.0f} s")
        time.sleep(0.02)
