"""What `status` shows of pushes; nothing of DLMS is imported for it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

FILE = "push.sqlite3"
BUSY_MS = 5_000  # the daemon, or a technician's command, has it for a moment


@dataclass(frozen=True, slots=True)
class PushShown:
    """For `status`: by device when its last push came (ms UTC), and what was counted."""

    last: dict[str, int]
    counters: dict[str, dict[str, int]]


def shown(folder: Path) -> PushShown:
    """What came unasked so far, read-only; nothing where nobody ever listened, or the file does not read."""
    path = folder / FILE
    if not path.exists():
        return PushShown({}, {})
    counters: dict[str, dict[str, int]] = {}
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            last = {str(device): int(at_ms) for device, at_ms in database.execute("SELECT device, at_ms FROM last")}
            for name, code, count in database.execute("SELECT name, code, count FROM count ORDER BY name, code"):
                counters.setdefault(name, {})[code] = count
        finally:
            database.close()
    except sqlite3.Error:
        return PushShown({}, {})
    return PushShown(last, counters)
