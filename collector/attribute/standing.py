"""The stands of a month of a point: from the store, and what is to be put into it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from collector.attribute import stands
from collector.attribute.intervals import Near
from collector.attribute.samples import served
from collector.attribute.serving import Window
from collector.attribute.source import Source
from collector.attribute.stands import Place
from collector.attribute.words import Served
from collector.grid import day_start, next_page
from collector.master.channels import Cadence
from collector.master.dated import Span
from collector.master.meters import Installation, Register
from collector.master.points import Point
from collector.store.interface import Store
from collector.store.stands import Character, Stand, StandVersion

FOLLOWING_MS = 62 * 86_400_000  # how far behind a month the stand after its last one is looked for
PAST_MS = 800 * 86_400_000  # how far back the stand before one is looked for: a set day that was missed, and some
_EXCHANGE = (Character.REMOVED, Character.INSTALLED)
Key = tuple[str, int, Character]


class Standing:
    """Works out the stands of points; what `who` did not put stays as it is."""

    def __init__(self, store: Store, source: Source, who: str) -> None:
        self._store, self._source, self._who = store, source, who

    def month(self, point: Point, day: int) -> list[Stand]:
        """The stands that the month named by `day` has, and those whose consumption follows from them.

        Raises:
            ZoneError: the point or an installation names a zone that is none.
        """
        place = Place(
            *(point.id, point.zone, day, day_start(point.zone, day)),
            day_start(point.zone, next_page(Cadence.DAY, day)),
        )
        span = Span(place.from_ms - stands.TURN_MS, place.to_ms)
        here = self._store.master.installations.during(span, point=point.id)
        rows = {each.meter: self._store.master.registers.all(meter=each.meter) for each in here}
        window = Window(span.from_ms, place.to_ms)
        new: dict[Key, Stand] = {}
        for each in here:
            for stand in stands.found(place, each, rows[each.meter], self._source.seen(each, window)):
                new.setdefault(_key(stand), stand)
        start = min([place.from_ms, *(each.at_ms for each in new.values())])
        known = {_key(each.stand): each for each in self._store.stands.of(point.id, start, place.to_ms + FOLLOWING_MS)}
        made = self._consumed(point, self._together(place, new, known))
        return [each for each in made if (old := known.get(_key(each))) is None or self._ours(old)]

    def _together(self, place: Place, new: dict[Key, Stand], known: dict[Key, StandVersion]) -> dict[Key, Stand]:
        """New ones over those that are there; an exchange that is not so any more is withdrawn."""
        found = {key: each.stand for key, each in known.items()}
        for key, each in known.items():
            in_month = place.from_ms <= each.stand.at_ms < place.to_ms
            if in_month and each.stand.character in _EXCHANGE and key not in new and each.act.who == self._who:
                found[key] = stands.withdrawn(each.stand)
        for key, stand in new.items():
            old = known.get(key)
            if old is None or (self._ours(old) and not _same(old.stand, stand)):
                found[key] = stand
        return found

    def _ours(self, version: StandVersion) -> bool:
        return version.act.who == self._who and version.stand.approved is None

    def _consumed(self, point: Point, all_of: dict[Key, Stand]) -> list[Stand]:
        """With what was delivered since the one before."""
        made = []
        for stand in sorted(all_of.values(), key=lambda each: (each.register, each.at_ms)):
            here = self._installation(point.id, stand)
            if here is None or stand.quality.reason == stands.WITHDRAWN:
                made += [stand] if stand.quality.reason == stands.WITHDRAWN else []
                continue
            rows = self._store.master.registers.all(meter=stand.meter, name=stand.register)
            before = self._before(stand, all_of.values())
            used = stands.consumption(before, stand, here, rows, self._between(here, rows, point))
            made.append(replace(stand, consumption=used))
        return made

    def _installation(self, point: str, stand: Stand) -> Installation | None:
        """Where its meter was; one that came at that instant, or one that went."""
        found = self._store.master.installations.all(point=point, meter=stand.meter)
        return next((each for each in found if stands.within(each.span, stand.at_ms)), None)

    def _before(self, stand: Stand, beside: Iterable[Stand]) -> Stand | None:
        """The last stand of the same meter and register before it, here or in the store."""
        mine = [each for each in beside if (each.meter, each.register) == (stand.meter, stand.register)]
        earlier = [each for each in mine if each.at_ms < stand.at_ms and each.quality.reason != stands.WITHDRAWN]
        if earlier:
            return max(earlier, key=lambda each: each.at_ms)
        past = self._store.stands.of(stand.point, stand.at_ms - PAST_MS, stand.at_ms, register=stand.register)
        same = [each.stand for each in past if each.stand.meter == stand.meter]
        there = [each for each in same if each.quality.reason != stands.WITHDRAWN]
        return max(there, key=lambda each: each.at_ms, default=None)

    def _between(self, here: Installation, rows: list[Register], point: Point) -> _Reader:
        return _Reader(self._source, here, rows, Near.of(Cadence.DAY, point.medium))


class _Reader:
    """Reads what a meter showed in a span, when it is asked."""

    def __init__(self, source: Source, here: Installation, rows: list[Register], near: Near) -> None:
        self._source, self._here, self._rows, self._near = source, here, rows, near

    def __call__(self, span: Span) -> Served:
        end = span.from_ms if span.to_ms is None else span.to_ms
        readings = self._source.seen(self._here, Window(span.from_ms, end))
        return served(self._here, self._rows, readings, self._near.tolerance_ms, self._near.apart_ms)


def _key(stand: Stand) -> Key:
    return stand.register, stand.at_ms, stand.character


def _same(one: Stand, other: Stand) -> bool:
    """The same but for the reading that showed it."""
    return (one.meter, one.value, one.unit, one.quality) == (other.meter, other.value, other.unit, other.quality)
