"""A PostgreSQL of a benchmark's own: temporary, on a free port, otherwise with the settings that Debian installs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from postgres import Postgresql, find_bin


@contextmanager
def postgresql() -> Iterator[Postgresql]:
    """A running server, removed in the end; SystemExit where PostgreSQL is not installed (`make services`)."""
    programs = find_bin()
    if programs is None:
        raise SystemExit("expected PostgreSQL, which is not installed: run make services")
    running = Postgresql(programs)
    running.process.start()
    try:
        yield running
    finally:
        running.remove()
