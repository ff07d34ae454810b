"""Slots that are settled, in the order in which they were read: those that were read longest ago are forgotten.

The newest number of each device is kept in memory by the caller, for as long as its transactions are committed: to ask
the table for it reads all slots of the device, three times for each reading.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from gateway.schedule import KEPT_SLOTS
from gateway.settled import Slot

Numbers = dict[str, int]  # by device: of the slot that was read last


def settle(database: sqlite3.Connection, slots: Iterable[Slot], known: Mapping[str, int]) -> Numbers:
    """Write slots within a transaction; `known` are numbers of before, the result holds once it is committed.

    A slot that was settled before keeps its place, and its new number is no slot's.
    """
    newest: Numbers = {}
    rows = []
    for device, slot_ms in slots:
        before = newest.get(device, known.get(device))
        if before is None:
            before = _newest(database, device)
        newest[device] = before + 1
        rows.append((device, slot_ms, before + 1))
    database.executemany("INSERT OR IGNORE INTO slot (device, slot_ms, n) VALUES (?, ?, ?)", rows)
    forgotten = [(device, n - KEPT_SLOTS) for device, n in newest.items()]
    database.executemany("DELETE FROM slot WHERE device = ? AND n <= ?", forgotten)
    return newest


def slots_of(database: sqlite3.Connection) -> dict[str, tuple[int, ...]]:
    """By device, in the order in which they were read."""
    found: dict[str, list[int]] = {}
    for device, slot_ms in database.execute("SELECT device, slot_ms FROM slot ORDER BY n, slot_ms"):
        found.setdefault(device, []).append(slot_ms)
    return {device: tuple(each) for device, each in found.items()}


def _newest(database: sqlite3.Connection, device: str) -> int:
    found: int = database.execute("SELECT coalesce(max(n), 0) FROM slot WHERE device = ?", (device,)).fetchone()[0]
    return found
