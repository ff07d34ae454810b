"""Small files that people carry between machines: written whole or not at all, read with a named error."""

from __future__ import annotations

import os
from pathlib import Path

from collector.faults import FileThereError

READ_LIMIT = 4 * 1024 * 1024  # bytes; twice the largest file that leaves the collector


def read(path: Path) -> bytes:
    """All of a file.

    Raises:
        FileThereError: it cannot be read, or is too long to be one of ours.
    """
    try:
        if path.exists() and not path.is_file():
            raise FileThereError("a file", "a folder, pipe or device", str(path))
        with path.open("rb") as file:
            octets = file.read(READ_LIMIT + 1)
    except OSError as error:
        raise FileThereError("a readable file", str(error.strerror), str(path)) from None
    if len(octets) > READ_LIMIT:
        raise FileThereError(f"a file of at most {READ_LIMIT} bytes", "a longer one", str(path))
    return octets


def write(path: Path, octets: bytes, *, replace: bool = False) -> None:
    """Put a file in place, on the disk when this returns.

    Raises:
        FileThereError: there is one already and `replace` is not set, or it cannot be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not replace:
            raise FileThereError("no file yet", "one that exists", str(path))
        with new.open("wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise FileThereError("a place to write to", str(error.strerror), str(path)) from None
