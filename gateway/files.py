"""Writes whole files: the old content or the new one, never a part, durable before the call returns."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.faults import WriteFailed


def write_whole(path: Path, octets: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `octets`.

    Raises:
        OSError: it could not be written; the old file is still there.
    """
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def keep_whole(path: Path, octets: bytes) -> None:
    """Replace `path` by `octets`, as part of what the daemon keeps.

    Raises:
        WriteFailed: the disk does not take it; the old file is still there.
    """
    try:
        write_whole(path, octets)
    except OSError as error:
        raise WriteFailed("a disk that takes it", error.strerror or str(error), str(path)) from None


def read_at_most(path: Path, size: int) -> bytes:
    """What a file holds, one byte more than `size` at most: more is too much.

    Raises:
        OSError: it does not read.
    """
    with path.open("rb") as file:
        return file.read(size + 1)


def sync_folder(folder: Path) -> None:
    """Make names that were added to or taken from `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
