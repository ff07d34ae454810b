"""A disk whose power can be cut: ext4 on a loop device, shut down by its own ioctl without flushing anything."""

from __future__ import annotations

import fcntl
import os
import random
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2  # as a power cut: neither page cache nor journal reaches the disk any more
SIZE = 48 * 1024 * 1024  # bytes
SUPPORT = Path(__file__).parent


class PowerDisk:
    """An image file, mounted at `folder`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        with image.open("wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        folder.mkdir()

    def mount(self) -> bool:
        """Whether it could be mounted (only root can)."""
        done = subprocess.run(["mount", "-o", "loop", self.image, self.folder], capture_output=True, check=False)
        return done.returncode == 0

    def unmount(self) -> None:
        """Take it off."""
        subprocess.run(["umount", self.folder], check=True)

    def remove(self) -> None:
        """Take it off at the end, even where a failed test still holds a file."""
        subprocess.run(["umount", "-l", self.folder], check=False)

    def cut(self) -> None:
        """The power fails now."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)


def promised_until_cut(disk: PowerDisk, script: str, dice: random.Random) -> list[str]:
    """Run `script` (it prints a line for each thing that it promises) and cut the power under it; what it promised.

    Only what was heard before the cut counts: the script lives on for a moment after it, on a file system that is shut
    down, and what such a system says of a write is no promise that a machine without power could have made.
    """
    path = os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])
    command = [sys.executable, "-c", script, str(disk.folder)]
    heard: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stdout is not None
        heard.append(process.stdout.readline())
        reader = threading.Thread(target=heard.extend, args=(process.stdout,))
        reader.start()
        time.sleep(dice.uniform(0.0, 0.2))
        count = len(heard)
        disk.cut()
        process.kill()
        reader.join()
    promised = [line.strip() for line in heard[:count]]
    assert promised[0], "the script promised nothing"
    disk.unmount()
    assert disk.mount()
    return promised
