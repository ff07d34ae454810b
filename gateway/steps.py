"""A step of our clock, and what it does to the slots that it cut (rule 5 of docs/clock.md): pure.

A step above `STEP_MS` is told. One above `ADJUSTED_MS` cuts two slots of every cadence: the one that it broke off, and
the one in the middle of which it came down. What is sealed already stays as it is; the event of the step has both
instants, so that who reads it can tell these slots, and what is read for one of them afterwards says itself that it is
not good. The slots between them are not marked: of a step ahead nobody was in them, and of one back they have the
reading of the first time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from protocols.reading import Reading, TimeQuality
from protocols.uplink.records import Parameter

STEP_MS = 1_000  # a wall clock that moved further than this against the monotonic one was set
ADJUSTED_MS = 9_000  # a step above this cuts slots: 1 % of a quarter of an hour
INVALID_MS = 600_000  # ... and one above this leaves nothing known of their time


class Mark(StrEnum):
    """What a step makes of the slots that it cut: known within its size, or not at all."""

    ADJUSTED = "adjusted"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Step:
    """The clock changed by `by_ms` at `mono_ms`; `from_mono_ms` is since when it had been as it was before.

    `before_ms` is what it showed when it was last looked at before, `after_ms` what it showed then (UTC). `corrects`
    says that instants since `from_mono_ms` were wrong by that much and a correction record is due.
    """

    by_ms: int
    from_mono_ms: int
    mono_ms: int
    corrects: bool
    before_ms: int
    after_ms: int

    @property
    def mark(self) -> Mark | None:
        """What it makes of the slots that it cut; None where it cut none."""
        if abs(self.by_ms) <= ADJUSTED_MS:
            return None
        return Mark.ADJUSTED if abs(self.by_ms) <= INVALID_MS else Mark.INVALID

    @property
    def told(self) -> tuple[Parameter, ...]:
        """What its event says of the slots that it cut: the mark and both instants; empty where it cut none."""
        return () if self.mark is None else (self.mark.value, self.before_ms, self.after_ms)

    def cuts(self, begin_ms: int, end_ms: int) -> bool:
        """Whether it cut the slot from `begin_ms` up to, not including, `end_ms`."""
        return self.mark is not None and any(begin_ms <= each < end_ms for each in (self.before_ms, self.after_ms))

    def lowered(self, quality: TimeQuality) -> TimeQuality:
        """How good a time in a slot is that it cut."""
        known = quality.uncertainty_ms is not None and self.mark is not Mark.INVALID
        return TimeQuality(False, (quality.uncertainty_ms or 0) + abs(self.by_ms) if known else None)


def marked(reading: Reading, end_ms: int, steps: Iterable[Step]) -> Reading:
    """A reading for a slot that ends at `end_ms`: as it is, or not good where one of the `steps` cut its slot."""
    if reading.slot_ms is None:
        return reading
    made = reading.exchange
    for step in steps:
        if step.cuts(reading.slot_ms, end_ms):
            made = replace(made, quality=step.lowered(made.quality))
    return reading if made is reading.exchange else replace(reading, exchange=made)
