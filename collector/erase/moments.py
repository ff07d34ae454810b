"""When a stored reading was: by the time in its key, with the clock of the meter that showed it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from collector.attribute.clock import Clock
from collector.moments import METER
from collector.store.interface import Store
from collector.store.readings import Arrival
from protocols.errors import PlombaError
from protocols.uplink.batch import Batch
from protocols.uplink.leaf import time_of

UTC = "+00:00"  # as a clock: of a meter of which nobody said what its clock keeps


@dataclass(frozen=True, slots=True)
class MeterSpan:
    """What a meter (its packed key) showed from an instant to another (ms UTC, both included), by this clock."""

    meter: bytes
    from_ms: int
    to_ms: int
    clock: str

    def holds(self, moment: str) -> bool:
        """Whether a reading of the meter under this time is in it; one that may be is."""
        return any(self.from_ms <= at_ms <= self.to_ms for at_ms in instants(moment, self.clock))


def instants(moment: str, clock: str) -> tuple[int, ...]:
    """The instants (ms UTC) that a time in a reading's key may be: two where the clock showed an hour twice.

    Raises:
        ZoneError: the clock names a zone that is none.
    """
    if not moment.startswith(METER):
        return (int(moment.rpartition(" ")[2]),)
    seconds, code = moment.removeprefix(METER).split(" ")
    try:
        shown = time_of(int(seconds), int(code))
    except PlombaError:
        return ()
    known = Clock(clock)
    return tuple({known.instant(shown, nth, 2).at_ms for nth in (0, 1)})


def held_by(spans: Iterable[MeterSpan], rows: Iterable[tuple[int, bytes, str]]) -> set[int]:
    """The leaves among (leaf, meter, moment) whose readings are in one of the spans."""
    of_meter: dict[bytes, list[MeterSpan]] = {}
    for each in spans:
        of_meter.setdefault(each.meter, []).append(each)
    return {leaf for leaf, meter, moment in rows if any(each.holds(moment) for each in of_meter.get(meter, ()))}


def forbidden(store: Store, batch: Batch, came: Sequence[Arrival]) -> set[int]:
    """The leaves of a batch whose content was erased by right, here or in another batch: they are not stored again."""
    spans = [MeterSpan(*each) for meter in {each.meter for each in came} for each in store.erasures.spans_of(meter)]
    named = store.erasures.leaves_of(batch.header.gateway, batch.id)
    return named | held_by(spans, ((each.leaf, each.meter, each.moment) for each in came))


def without(from_ms: int, to_ms: int, kept: Collection[int]) -> Sequence[tuple[int, int]]:
    """The spans that are left of [from, to] (both included) without some instants."""
    found, start = [], from_ms
    for at_ms in sorted(each for each in kept if from_ms <= each <= to_ms):
        found += [(start, at_ms - 1)] if start < at_ms else []
        start = at_ms + 1
    return found + ([(start, to_ms)] if start <= to_ms else [])
