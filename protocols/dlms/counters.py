"""Our invocation counters: each is used once with its key, whatever happens to the process or the machine.

The codec looks at no disk: whoever keeps the counters promises a block of them, durably, before any of it is handed to
a session. What is left of a block when a process ends is never used.
"""

from __future__ import annotations

from typing import Protocol

from protocols.dlms.breaches import CountersSpent
from protocols.dlms.ciphering import MAX_COUNTER


class Counters(Protocol):
    """Where a session takes its invocation counters from."""

    def take(self) -> int:
        """One that was never taken before with this key, and is higher than all that were.

        Raises:
            CountersSpent: none is left.
        """


class Block:
    """Counters from `first` on, `count` of them, which somebody has promised never to hand out again."""

    def __init__(self, first: int = 0, count: int = 0) -> None:
        self._next, self._end = first, first + count

    @property
    def left(self) -> int:
        """How many can still be taken."""
        return max(0, min(self._end, MAX_COUNTER + 1) - self._next)

    def promised(self, first: int, count: int) -> None:
        """A further block; what is left of the one before is taken first where this one goes on from it."""
        if first != self._end:
            self._next = first
        self._end = first + count

    def take(self) -> int:
        """The next one.

        Raises:
            CountersSpent: none is left.
        """
        if not self.left:
            raise CountersSpent("an invocation counter that was never used", f"none below {self._end}", "ciphering")
        self._next += 1
        return self._next - 1
