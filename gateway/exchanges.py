"""One exchange over several questions and answers: what a reading that took them is stamped with."""

from __future__ import annotations

from typing import Protocol

from gateway.clock import SYNCHRONISED_MS
from protocols.reading import Exchange, TimeQuality


class Asked(Protocol):
    """A question and its answer: the middle of both by our clocks, and how long it took (ms)."""

    @property
    def at_ms(self) -> int: ...  # noqa: D102
    @property
    def mono_ms(self) -> int: ...  # noqa: D102
    @property
    def round_trip_ms(self) -> int: ...  # noqa: D102


def spanning(first: Asked, last: Asked, telegram: bytes, quality: TimeQuality, keep: bool) -> Exchange:
    """From the first question to the last answer; half of that is uncertainty of its middle.

    `telegram` are all answers' bytes one after the other. What took so long that the middle is not known within
    `SYNCHRONISED_MS` is not synchronised (rule 2 of docs/clock.md).
    """
    between_ms = last.mono_ms - first.mono_ms
    trip_ms = between_ms + (first.round_trip_ms + last.round_trip_ms) // 2
    uncertainty = None if quality.uncertainty_ms is None else quality.uncertainty_ms + (trip_ms + 1) // 2
    middle = between_ms // 2
    good = quality.synchronised and uncertainty is not None and uncertainty <= SYNCHRONISED_MS
    stamped = TimeQuality(good, uncertainty)
    return Exchange(first.at_ms + middle, first.mono_ms + middle, trip_ms, stamped, telegram, keep)
