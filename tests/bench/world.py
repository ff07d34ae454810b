"""The world of a bench: one virtual clock, random streams by name, and a context in which no process lives.

Everything that outlives a process (the broker, the meters, the attacker, the schedule of faults) calls back through
`World.after`, so that the end of one process never takes it along.
"""

from __future__ import annotations

import contextvars
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from virtual import LIFE, Life, VirtualLoop

DAY_S = 86_400
USUAL_S, STUCK_S, STUCK = 0.02, 3.0, 0.02  # how long work on a disk takes, and a share of it
START_MS = 1_793_000_000_000 // (DAY_S * 1000) * DAY_S * 1000  # 2026-10-26 00:00 UTC: a day after clocks went back


class Busy(Exception):  # noqa: N818 - what it is
    """More turns of the loop than the work of so many days takes: something spins."""


class BenchLoop(VirtualLoop):
    """Virtual time, and signals that can be sent to one life; it turns `turns` times at most.

    What another thread did is known at once, or with `slow` dice after a drawn while: a disk takes its time.
    """

    def __init__(self, dice: random.Random, turns: int, slow: random.Random | None) -> None:
        super().__init__(dice)
        self._slow = slow
        self._left = turns
        self._handlers: dict[tuple[Life | None, int], tuple[contextvars.Context, Callable[[], object]]] = {}

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        """What the life that asks does when it is told."""
        self._handlers[LIFE.get(), sig] = (contextvars.copy_context(), lambda: callback(*args))

    def send_signal(self, life: Life, sig: int) -> None:
        """Tell a life; one that has not come so far that it listens hears nothing."""
        found = self._handlers.get((life, sig))
        if found is not None:
            self.call_soon(found[1], context=found[0])

    def _hand_out(self, give: Callable[[Any], None], what: object) -> None:
        if self._slow is None:
            give(what)
        else:
            usual = self._slow.random() > STUCK
            self.call_later(self._slow.expovariate(1 / (USUAL_S if usual else STUCK_S)), give, what)

    def _run_once(self) -> None:
        self._left -= 1
        if self._left < 0:
            self._left = 1_000  # for the end
            raise Busy(f"nothing spins by {self.time():.0f} s", "more turns than the work takes", self.waiting())
        super()._run_once()  # type: ignore[misc]


class World:
    """The clock and the dice of one run; `faults` are what nobody expected (a part that failed by a bug of ours)."""

    def __init__(self, loop: BenchLoop, seed: int, folder: Path) -> None:
        self.loop, self.seed, self.folder = loop, seed, folder
        self.unexpected: list[str] = []
        self.counts: dict[str, int] = {}
        self._context = contextvars.copy_context()

    def now_ms(self) -> int:
        """True UTC, ms: what a perfect clock shows."""
        return START_MS + round(self.loop.time() * 1000)

    def dice(self, name: str) -> random.Random:
        """A random stream of its own: drawing more from one changes no other."""
        return random.Random(f"{self.seed}/{name}")

    def after(self, seconds: float, callback: Callable[..., object], *arguments: Any) -> None:
        """Call back in so many virtual seconds, whatever process ends meanwhile."""
        self.loop.call_later(seconds, callback, *arguments, context=self._context)

    def count(self, what: str, by: int = 1) -> None:
        """Something that is told in the result happened."""
        self.counts[what] = self.counts.get(what, 0) + by
