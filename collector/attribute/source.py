"""What attribution takes from the store: the installations of a point with what their meters showed.

A window of readings is looked up by the times in their keys. A meter's own times are looked up by what its clock showed
at both ends, and two hours beside: a clock may be set to summer time or not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from collector.attribute.clock import Clock
from collector.attribute.page import Near
from collector.attribute.samples import NEAR_MS, served
from collector.attribute.words import CONFLICT, HELD, Sample, Seen, Served
from collector.attribute.words import PARTIAL as NOT_WHOLE
from collector.grid import STEP_S
from collector.master.channels import Channel
from collector.master.dated import Span
from collector.master.meters import Installation, Register
from collector.store.interface import Store
from collector.store.master_identity import Key, Shown
from collector.store.readings import METER, PARTIAL, ReadingRow
from protocols.errors import PlombaError
from protocols.reading import How
from protocols.uplink.leaf import SealedReading, leaf_from_bytes

BESIDE_S = 2 * 3_600  # a clock may show summer time when its zone does not, and the other way round
DAY_S = 86_400  # a storage has the day alone, and it may mean either end of it
_OWN = (How.PROFILE, How.STORAGE, How.PUSH)


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when readings are wanted (ms UTC), both included."""

    from_ms: int
    to_ms: int


class Source:
    """Reads one store; what it has read of a window is kept until `forget`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[tuple[str, str, Window], list[Seen]] = {}
        self._keys: dict[str, list[bytes]] = {}
        self._whose: dict[tuple[bytes, str, str], _Whose] = {}

    def forget(self) -> None:
        """What was read is read again when it is wanted."""
        self._seen.clear()
        self._keys.clear()
        self._whose.clear()

    def served(self, channel: Channel, start_ms: int, end_ms: int, near: Near) -> list[Served]:
        """The installations that meet a page of a channel and its surroundings, by time.

        Raises:
            ZoneError: an installation names a zone that is none.
        """
        margin = near.apart_ms + near.tolerance_ms
        window = Window(start_ms - margin, end_ms + margin)
        master = self._store.master
        found: list[Served] = []
        here = master.installations.during(Span(window.from_ms, window.to_ms), point=channel.point)
        for each in sorted(here, key=lambda one: (one.span.from_ms, one.meter)):
            rows = master.registers.all(meter=each.meter, name=channel.register)
            rows = [row for row in rows if row.quantity == channel.quantity]
            if not rows:
                continue
            made = served(each, rows, self.seen(each, window), near.tolerance_ms, STEP_S[channel.cadence] * 1_000)
            made = replace(made, floor=self._floor(each, rows, window, near))
            if found and _goes_on(found[-1].installation, each):
                found[-1] = _joined(found[-1], made)
            else:
                found.append(made)
        return found

    def seen(self, installation: Installation, window: Window) -> list[Seen]:
        """The readings of an installed meter in a window, and a little around it."""
        wanted = (installation.meter, installation.clock, window)
        if wanted not in self._seen:
            clock = Clock(installation.clock)
            self._seen[wanted] = [
                each
                for key in self.keys_of(installation.meter)
                for each in self._of_key(installation.meter, key, clock, window)
            ]
        return self._seen[wanted]

    def keys_of(self, meter: str) -> list[bytes]:
        """The packed keys under which readings of a meter stand, as far as they were looked at (`Looking`)."""
        if meter not in self._keys:
            master = self._store.master
            found = [key for each in master.meters.all(meter=meter) for key in master.identities.read_as(each)]
            for each in master.mapped.all(meter=meter):
                found += master.identities.read_at(each.gateway, each.device)
            self._keys[meter] = list(dict.fromkeys(found))
        return self._keys[meter]

    def whose(self, key: bytes, gateway: str, device: str, at_ms: int) -> Shown:
        """Whose the values of a reading are that was read at an instant."""
        place = (key, gateway, device)
        if place not in self._whose:
            self._whose[place] = _Whose(self._store, *place)
        return self._whose[place].at(at_ms)

    def _of_key(self, meter: str, key: bytes, clock: Clock, window: Window) -> Iterator[Seen]:
        for how in (How.READ, *_OWN):
            for low, high in _moments(how, clock, window):
                for (moment, _, variant), row in self._store.readings.between(key, int(how), low, high):
                    found = self._of_row(meter, key, moment, variant, row)
                    if found is not None:
                        yield found

    def _of_row(self, meter: str, key: bytes, moment: str, variant: int, row: ReadingRow) -> Seen | None:
        try:
            reading = SealedReading.from_wire(leaf_from_bytes(row.sealed))
        except PlombaError:
            return None  # erased, or altered: who shows it says so
        whose = self.whose(key, row.place.gateway, reading.device, reading.at_ms)
        own = whose.meter == meter
        mapped = tuple(
            (each.key, each.register if each.meter == meter else None) for each in whose.mapped if each.key is not None
        )
        if not own and all(register is None for _, register in mapped):
            return None
        return Seen(reading, moment, variant, _doubt(row), own, mapped)

    def _floor(self, here: Installation, rows: list[Register], window: Window, near: Near) -> Sample | None:
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
        samples = served(here, rows, self.seen(here, around), near.tolerance_ms, near.apart_ms).samples
        return next((each for each in reversed(samples) if each.unit == old and each.at_ms < window.from_ms), None)


class _Whose:
    """Whose a device's values are, and when that changes."""

    def __init__(self, store: Store, key: bytes, gateway: str, device: str) -> None:
        self._store = store
        self._key = Key.from_bytes(key)
        self._gateway, self._device = gateway, device
        spans = [each.span for each in store.master.mapped.all(gateway=gateway, device=device)]
        spans += [each.span for each in store.master.identities.like(self._key.identity, Span(0))]
        self._changes = sorted({at for each in spans for at in (each.from_ms, each.to_ms) if at is not None})
        self._known: dict[int, Shown] = {}

    def at(self, at_ms: int) -> Shown:
        """At an instant."""
        place = bisect_right(self._changes, at_ms)
        if place not in self._known:
            identity, sub = self._key.identity, self._key.sub
            self._known[place] = self._store.master.shown(identity, sub, self._gateway, self._device, at_ms)
        return self._known[place]


def _doubt(row: ReadingRow) -> str:
    """Why a stored reading must not feed, or empty."""
    if row.conflict:
        return CONFLICT
    if PARTIAL in row.held:
        return NOT_WHOLE
    return HELD if row.held else ""


def _moments(how: How, clock: Clock, window: Window) -> Iterator[tuple[str, str]]:
    """The ranges of moments (`collector.store.readings`) that a window has."""
    yield from _ranges("slot ", window.from_ms, window.to_ms + 1)
    yield from _ranges("at ", window.from_ms, window.to_ms + 1)
    if how is not How.READ:
        beside = BESIDE_S + (DAY_S if how is How.STORAGE else 0)
        yield from _ranges(METER, clock.shown_s(window.from_ms) - beside, clock.shown_s(window.to_ms) + beside + 1)


def _ranges(before: str, low: int, high: int) -> Iterator[tuple[str, str]]:
    """Numbers from low to high (not included) as texts that sort as they do: those of as many digits."""
    low = max(low, 0)
    while low < high:
        end = min(high, 10 ** len(str(low)))
        # Behind the last number of as many digits, and before the first of one more: ":" follows "9".
        yield f"{before}{low}", f"{before}{end}" if len(str(end)) == len(str(low)) else f"{before}:"
        low = end


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
