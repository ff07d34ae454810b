"""When the broker is tried again: soon after a connection that held, and never more than twice in any minute.

A link that comes and goes every few seconds must not become a storm of handshakes, at the broker of a thousand gateways
least of all (fault L02). So each try is at least half a minute behind the one before, and the rest is drawn.
"""

from __future__ import annotations

from collections.abc import Callable

SOON_S = 1.0  # upper end of the wait where the last try is long ago
APART_S = (30.0, 60.0)  # between two tries, drawn: at most two in any minute


class Tries:
    """The pause before each next try, with full jitter; instants are seconds of any clock that never goes back.

    Args:
        uniform: the random source, as `random.Random.uniform`: a number between its two arguments.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform, self._due_s = uniform, 0.0

    def begun(self, now_s: float) -> None:
        """A try begins now."""
        self._due_s = now_s + self._uniform(*APART_S)

    def pause_s(self, now_s: float) -> float:
        """Seconds until the next one."""
        return max(self._uniform(0.0, SOON_S), self._due_s - now_s)
