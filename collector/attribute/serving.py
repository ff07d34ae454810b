"""The installations of a point with what their meters showed, from wherever readings and master data come.

A window of readings is looked up by the times in their keys. A meter's own times are looked up by what its clock showed
at both ends, and two hours beside: a clock may be set to summer time or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from collector.attribute.clock import Clock
from collector.attribute.intervals import Near
from collector.attribute.samples import NEAR_MS, served
from collector.attribute.words import Sample, Seen, Served
from collector.grid import STEP_S
from collector.master.channels import Channel
from collector.master.dated import Span
from collector.master.meters import Installation, Register
from collector.master.whose import Shown
from collector.moments import METER, ranges
from protocols.reading import How
from protocols.uplink.leaf import SealedReading

BESIDE_S = 2 * 3_600  # a clock may show summer time when its zone does not, and the other way round
DAY_S = 86_400  # a storage has the day alone, and it may mean either end of it
OWN = (How.PROFILE, How.STORAGE, How.PUSH)


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when readings are wanted (ms UTC), both included."""

    from_ms: int
    to_ms: int


class Ground(Protocol):
    """Where readings and master data come from: a store, or what was checked offline."""

    def installed(self, point: str, span: Span) -> Sequence[Installation]:
        """The installations of a point that meet a span."""
        ...

    def registers(self, meter: str, name: str) -> Sequence[Register]:
        """The rows of a register of a meter, by time."""
        ...

    def seen(self, installation: Installation, window: Window) -> Sequence[Seen]:
        """The readings of an installed meter in a window, and a little around it."""
        ...


def serving(ground: Ground, channel: Channel, bounds: tuple[int, int], near: Near) -> list[Served]:
    """The installations that meet [start, end) of a channel and its surroundings, by time.

    Raises:
        ZoneError: an installation names a zone that is none.
    """
    margin = near.apart_ms + near.tolerance_ms
    window = Window(bounds[0] - margin, bounds[1] + margin)
    found: list[Served] = []
    here = ground.installed(channel.point, Span(window.from_ms, window.to_ms))
    for each in sorted(here, key=lambda one: (one.span.from_ms, one.meter)):
        rows = [row for row in ground.registers(each.meter, channel.register) if row.quantity == channel.quantity]
        if not rows:
            continue
        made = served(each, rows, ground.seen(each, window), near.tolerance_ms, STEP_S[channel.cadence] * 1_000)
        made = replace(made, floor=_floor(ground, each, rows, window, near))
        if found and _goes_on(found[-1].installation, each):
            found[-1] = _joined(found[-1], made)
        else:
            found.append(made)
    return found


def seen_as(meter: str, whose: Shown, reading: SealedReading, found: tuple[str, int, str]) -> Seen | None:
    """A reading as it is for a meter; None where nothing of it is the meter's.

    `found` is under which moment and as which variant it stands, and why it must not feed (or "").
    """
    own = whose.meter == meter
    mapped = tuple(
        (each.key, each.register if each.meter == meter else None) for each in whose.mapped if each.key is not None
    )
    if not own and all(register is None for _, register in mapped):
        return None
    return Seen(reading, *found, own, mapped)


def moments(how: How, clock: Clock, window: Window) -> Iterator[tuple[str, str]]:
    """The ranges of moments (`collector.store.readings`) that a window has."""
    yield from ranges("slot ", window.from_ms, window.to_ms + 1)
    yield from ranges("at ", window.from_ms, window.to_ms + 1)
    if how is not How.READ:
        beside = BESIDE_S + (DAY_S if how is How.STORAGE else 0)
        yield from ranges(METER, clock.shown_s(window.from_ms) - beside, clock.shown_s(window.to_ms) + beside + 1)


def _floor(ground: Ground, here: Installation, rows: Sequence[Register], window: Window, near: Near) -> Sample | None:
    """The last sample in the unit before, where that changed before the window while the meter was here."""
    changes = [
        (before, after)
        for before, after in pairwise(rows)
        if (before.unit, before.key) != (after.unit, after.key)
        and here.span.from_ms < after.span.from_ms <= window.from_ms
    ]
    if not changes:
        return None
    old, at_ms = changes[-1][0].unit, changes[-1][1].span.from_ms
    around = Window(at_ms - near.apart_ms - NEAR_MS, min(at_ms + NEAR_MS, window.from_ms))
    samples = served(here, rows, ground.seen(here, around), near.tolerance_ms, near.apart_ms).samples
    return next((each for each in reversed(samples) if each.unit == old and each.at_ms < window.from_ms), None)


def _goes_on(one: Installation, other: Installation) -> bool:
    """Whether one installation is the other's going on: only what is said of it changed (its clock)."""
    same = one.meter == other.meter and one.span.to_ms == other.span.from_ms
    return same and not one.final and not other.initial


def _joined(one: Served, other: Served) -> Served:
    span = Span(one.installation.span.from_ms, other.installation.span.to_ms)
    installation = replace(one.installation, span=span, final=other.installation.final)
    edge = one.installation.span.to_ms
    samples = (*(each for each in one.samples if edge is None or each.at_ms < edge), *other.samples)
    return Served(installation, one.registers, samples, (*one.doubts, *other.doubts), one.period_ms, one.floor)
