"""How a simulated meter's clock goes: too fast or too slow, with steps, until somebody sets or shifts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MAX_PPM = 100_000  # a clock that goes wrong by more is no clock


@dataclass(frozen=True, slots=True)
class Going:
    """`ppm`: how much too fast (negative: too slow); `steps`: (seconds after the start, by how many ms it jumps)."""

    ppm: int = 0
    steps: tuple[tuple[int, int], ...] = ()


RIGHT = Going()


class GoingClock:
    """The clock of one meter, in ms UTC as it takes them; it is right at its start."""

    def __init__(self, utc_ms: Callable[[], int], going: Going) -> None:
        self._utc_ms, self._going = utc_ms, going
        self._began_ms = utc_ms()
        self._moved_ms = 0  # by those who set it

    def ms(self) -> int:
        """What it shows."""
        now_ms = self._utc_ms()
        return now_ms + self.ahead_ms(now_ms)

    def ahead_ms(self, now_ms: int) -> int:
        """By how much it is ahead of the true time `now_ms`."""
        gone_ms = now_ms - self._began_ms
        steps = sum(by_ms for after_s, by_ms in self._going.steps if gone_ms >= after_s * 1000)
        return gone_ms * self._going.ppm // 1_000_000 + steps + self._moved_ms

    def shift(self, by_ms: int) -> None:
        """Somebody moved it."""
        self._moved_ms += by_ms
