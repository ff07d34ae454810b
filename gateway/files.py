"""Writes whole files: the old content or the new one, never a part, durable before the call returns."""

from __future__ import annotations

import os
from pathlib import Path


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


def sync_folder(folder: Path) -> None:
    """Make names that were added to or taken from `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
