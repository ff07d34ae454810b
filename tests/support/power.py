"""A disk whose power can be cut: ext4 or xfs on a loop device, shut down by an ioctl without flushing anything."""

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

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, which is XFS_IOC_GOINGDOWN: one number for both
NO_LOG_FLUSH = 2  # as a power cut: neither page cache nor journal reaches the disk any more
SIZE = 48 * 1024 * 1024  # bytes
# xfs wants 300 MB, most of it for a log that the image then really holds; this option is its own tests'.
MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f", "--unsupported")}
KINDS = tuple(MAKE)
SUPPORT = Path(__file__).parent


class PowerDisk:
    """An image file with a file system of `kind`, mounted at `folder` (which may be there and empty)."""

    def __init__(self, image: Path, folder: Path, kind: str = "ext4", size: int = SIZE, options: str = "") -> None:
        self.image, self.folder, self.kind = image, folder, kind
        self._options = f"loop,{options}" if options else "loop"
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run([*MAKE[kind], str(image)], check=True, capture_output=True)
        folder.mkdir(exist_ok=True)

    def mount(self) -> bool:
        """Whether it could be mounted (only root can)."""
        command = ["mount", "-t", self.kind, "-o", self._options, str(self.image), str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def unmount(self) -> None:
        """Take it off."""
        subprocess.run(["umount", self.folder], check=True)

    def remove(self) -> None:
        """Take it off at the end, even where a failed test still holds a file."""
        subprocess.run(["umount", "-l", self.folder], check=False, capture_output=True)

    def cut(self) -> None:
        """The power fails now."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)

    @property
    def device(self) -> str:
        """The loop device's name, as /sys/fs/ext4 knows it."""
        command = ["findmnt", "-n", "-o", "SOURCE", str(self.folder)]
        return Path(subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()).name


class Disks:
    """Makes disks whose images lie in `folder`, and takes all of them off in the end."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._made: list[PowerDisk] = []

    def make(self, folder: Path, kind: str = "ext4", size: int = SIZE, options: str = "") -> PowerDisk:
        """A disk, mounted at `folder`.

        Raises:
            PermissionError: only root can mount, and not everywhere.
        """
        made = PowerDisk(self._folder / f"image-{len(self._made)}", folder, kind, size, options)
        if not made.mount():
            made.image.unlink()
            raise PermissionError("mounting a loop device is not allowed here: run as root")
        self._made.append(made)
        return made

    def remove(self) -> None:
        """Take all off."""
        for disk in self._made:
            disk.remove()
            disk.image.unlink()


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
