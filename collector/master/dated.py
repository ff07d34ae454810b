"""When something holds, and who said so.

Everything of the master data has two times: from when to when it holds (`Span`), and since when we know it (`Act`). A
correction is a new row that says who made it and why; the row before it stays, known until then. So every question can
be asked "as known at" an instant, and what a backdated change touches is the span of both rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From an instant (ms UTC, included) to another (not included; None: until further notice)."""

    from_ms: int
    to_ms: int | None = None

    def __post_init__(self) -> None:
        if self.to_ms is not None and self.to_ms <= self.from_ms:
            raise ValueError(f"expected an end after the start {self.from_ms}, got {self.to_ms}")

    def holds(self, at_ms: int) -> bool:
        """Whether the instant is in it."""
        return self.from_ms <= at_ms and (self.to_ms is None or at_ms < self.to_ms)

    def common(self, other: Span) -> Span | None:
        """What is in both."""
        ends = [each.to_ms for each in (self, other) if each.to_ms is not None]
        start, end = max(self.from_ms, other.from_ms), min(ends) if ends else None
        return None if end is not None and end <= start else Span(start, end)


def covered(spans: Iterable[Span], whole: Span) -> bool:
    """Whether all of a span is in some spans together, taken in the order of time."""
    reached = whole.from_ms
    for each in sorted(spans, key=lambda each: each.from_ms):
        if each.from_ms > reached:
            return False
        if each.to_ms is None or (whole.to_ms is not None and each.to_ms >= whole.to_ms):
            return True
        reached = max(reached, each.to_ms)
    return False


ALWAYS = Span(0)  # since 1970: before every meter that is read


@dataclass(frozen=True, slots=True)
class Act:
    """Who entered or changed something, when (ms UTC, our clock), and why."""

    who: str
    at_ms: int
    why: str = ""
