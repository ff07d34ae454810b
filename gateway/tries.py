"""When the broker is tried again: soon after a lone cut, and on the average less than twice a minute.

A link that comes and goes every few seconds must not become a storm of handshakes, at the broker of a thousand gateways
least of all (fault L02). So the pauses grow, drawn between zero and their bound, until the collector has answered; and
each try costs one of a few that are saved up, however well the tries before it went. The bound stays near the time that
the link is away already: tries that came soon one after another by chance must not make a short outage a long one.
"""

from __future__ import annotations

from collections.abc import Callable

from protocols.transports.pipe import Backoff

BASE_S, CAP_S = 1.0, 60.0  # of the wait before the next try, full jitter
SAVED = 8  # tries that may follow one another closely: a broker that is started anew, a cable that is plugged in
EARNED_S = 40.0  # in which one is earned: ninety an hour


class Tries:
    """The pause before each next try; instants are seconds of any clock that never goes back.

    Args:
        uniform: the random source, as `random.Random.uniform`: a number between its two arguments.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._backoff = Backoff(uniform, BASE_S, CAP_S)
        self._saved, self._at_s = float(SAVED), 0.0
        self._lost_s: float | None = None  # when the first try failed since the collector answered

    def begun(self, now_s: float) -> None:
        """A try begins now."""
        self._saved, self._at_s = self._left(now_s) - 1, now_s

    def answered(self) -> None:
        """The collector answered: the pauses begin anew."""
        self._backoff.reset()
        self._lost_s = None

    def pause_s(self, now_s: float) -> float:
        """Seconds until the next one."""
        if self._lost_s is None:
            self._lost_s = now_s
        short_s = max(0.0, 1 - self._left(now_s)) * EARNED_S
        pause_s = self._backoff.next_s(BASE_S + 2 * (now_s - self._lost_s))
        return max(short_s + self._uniform(0.0, BASE_S) if short_s else 0.0, pause_s)

    def _left(self, now_s: float) -> float:
        return min(float(SAVED), self._saved + max(0.0, now_s - self._at_s) / EARNED_S)
