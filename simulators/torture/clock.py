"""A clock that can be set for one process, by libfaketime: the wall clock moves, the monotonic one does not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

SHARED = Path("/dev/shm")  # noqa: S108 - where the library keeps what it shares
LIBRARIES = tuple(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class FakeClock:
    """The wall clock of what runs with `prefix` in front of its command; `step` sets it at once."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @staticmethod
    def why_not() -> str | None:
        """Why there is none here; None: there is."""
        return None if LIBRARIES else "libfaketime is not installed"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What goes in front of a command."""
        return (
            "env",
            f"LD_PRELOAD={LIBRARIES[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        )

    def step(self, seconds: int) -> None:
        """From now on the clock is so far from ours."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)  # read at every look at the clock: never half of it

    @staticmethod
    def clean(pids: Iterable[int]) -> None:
        """Remove what the library left of processes that were killed."""
        for pid in pids:
            for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
                (SHARED / name).unlink(missing_ok=True)
