"""When something is late or silent: pure functions over milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

SHORTEST_MS = 30_000  # a batch is sealed up to 10 s after its reading and has a way to go: sooner says nothing
UNKNOWN_MS = 3_600_000  # until a meter that was read once is late: how often it is read cannot be known yet
HELLO_MS = 3_600_000  # a gateway says hello hourly at the least
SILENT_MS = 60_000  # ... and one that reads often is not called silent sooner than this


def usual_ms(times: Sequence[int]) -> int | None:
    """The distance that three quarters of the last few kept to; None for fewer than two times.

    So neither an outage nor a burst of old rows that are read at once makes the others late.
    """
    distances = sorted(after - before for before, after in pairwise(times))
    return distances[3 * (len(distances) - 1) // 4] if distances else None


def late_since_ms(at_ms: int, usual: int | None, now_ms: int) -> int | None:
    """Since when the next reading is late: twice the usual distance after the last one; None when it is not."""
    if usual is None:
        return None
    due = at_ms + max(2 * usual, SHORTEST_MS)
    return due if now_ms > due else None


def once_late_since_ms(at_ms: int, slot_ms: int, now_ms: int) -> int | None:
    """The same for a meter that was read once: its slots are longer than what had passed of this one, no more is known.

    It is late after twice that, and after an hour at the least.
    """
    return late_since_ms(at_ms, max((at_ms - slot_ms), UNKNOWN_MS // 2), now_ms)


def silent(contact_ms: int, usual: int | None, now_ms: int) -> bool:
    """Whether a gateway whose quickest meter is read every `usual` ms should have been heard."""
    wait = 2 * HELLO_MS if usual is None else min(2 * HELLO_MS, max(2 * usual, SILENT_MS))
    return now_ms - contact_ms > wait
