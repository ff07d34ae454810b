"""Attribution at work: looks at what is new and reckons the pages that are due, in small transactions of its own.

A page is reckoned wholly from the readings and the master data as they are now; where that says what is stored already,
there is no new version. So a step may end anywhere and be done again. What is read while it reckons touches the page
again, and the mark that it takes away is only the one that it saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import structlog

from collector.attribute.closed import settled, stands_left
from collector.attribute.intervals import Near
from collector.attribute.look import Looked, Looking
from collector.attribute.page import page
from collector.attribute.source import Source
from collector.attribute.standing import Standing
from collector.faults import MISHAPS
from collector.grid import STEP_S, day_start, edges, next_page
from collector.master.channels import Channel
from collector.master.dated import Act
from collector.master.points import Point
from collector.quality import Quality, each_of, runs_of
from collector.store.curves import Curve
from collector.store.due import STANDS, Due
from collector.store.interface import Store
from collector.store.stands import Stand
from protocols.errors import PlombaError

log = structlog.get_logger()

WHO = "attribution"
PAGES = 32  # of one point, in one transaction
SETTLE_MS = 60_000  # what comes late mostly comes in several batches
STANDS_MS = 6 * 3_600_000  # ... and a month of stands is a month's readings to look at
RUNNING_MS = 3_600_000  # a page whose end is still to come has at most one version an hour
STUCK_MS = 3_600_000  # until a page that could not be reckoned is tried again
FOREVER = 2**62
_CADENCES = {step_s: cadence for cadence, step_s in STEP_S.items()}


@dataclass(slots=True)
class Done:
    """What was done: new versions of pages and stands; `values` by state and reason, `failed` pages by error."""

    looked: Looked = field(default_factory=Looked)
    pages: int = 0
    versions: int = 0
    stands: int = 0
    values: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, other: Done) -> None:
        """Take up what another step did."""
        for name in ("batches", "readings", "marks", "pages"):
            setattr(self.looked, name, getattr(self.looked, name) + getattr(other.looked, name))
        self.pages += other.pages
        self.versions += other.versions
        self.stands += other.stands
        self.values += other.values
        self.failed += other.failed


class Attribution:
    """Works on one store, from one thread; other processes may do so too."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._source = Source(store)
        self._standing = Standing(store, self._source, WHO)
        self._looking = Looking(store, self._source, SETTLE_MS, STANDS_MS)
        self._after = ""

    def step(self, now_ms: int, *, wait: bool = True) -> Done | None:
        """Look at a few batches, else reckon a few pages; None when there is nothing to do now.

        Args:
            now_ms: our clock.
            wait: leave pages alone that may change again soon.

        Raises:
            StoreFullError: the store does not take it; it is done again by the next step.
        """
        looked = self._looking.look(now_ms)
        if looked:
            return Done(looked)
        found = self._due(now_ms if wait else FOREVER)
        if not found:
            return None
        self._source.forget()
        return self._reckon(found, now_ms, wait=wait)

    def all(self, now_ms: int) -> Done:
        """Everything that there is to do, also what may change again soon.

        Raises:
            StoreFullError: the store does not take it; what was done before counts.
        """
        done = Done()
        while (step := self.step(now_ms, wait=False)) is not None:
            done.add(step)
        return done

    def _due(self, now_ms: int) -> list[Due]:
        """Pages of the next point: each has its turn."""
        found = self._store.due.of_next(self._after, now_ms, PAGES)
        if not found and self._after:
            found = self._store.due.of_next("", now_ms, PAGES)
        self._after = found[0].leaf.point if found else ""
        # One month of stands at a time, the earliest first: the next one counts on from what is stored of it.
        months = [each for each in found if _is_stands(each)]
        return [each for each in found if each not in months[1:]]

    def _reckon(self, found: Sequence[Due], now_ms: int, *, wait: bool) -> Done:
        done = Done(pages=len(found))
        off: list[tuple[Due, int]] = []
        made: list[tuple[Due, Curve | list[Stand] | None]] = []
        for each in found:
            later = self._later(each, now_ms) if wait else None
            if later is not None:
                off.append((each, later))
                continue
            try:
                made.append((each, self._stands(each) if _is_stands(each) else self._page(each)))
            except (PlombaError, *MISHAPS) as error:
                name = f"{each.leaf.point} {each.leaf.channel} {each.leaf.day}"
                log.error("a page of a series cannot be reckoned", page=name, fault=repr(error)[:200])
                done.failed[str(error)[:200]] += 1
                off.append((each, now_ms + STUCK_MS))
        with self._store.transaction():
            self._store.due.turn()
            for due, result in made:
                if not self._store.due.unchanged(due):
                    continue  # another process has reckoned it, or it was touched since: then it is reckoned again
                if isinstance(result, list):
                    done.stands += sum(self._store.stands.put(each, Act(WHO, now_ms)) for each in result)
                elif result is not None and self._put(result, now_ms):
                    done.versions += 1
                    done.values += Counter((str(each.state), each.reason) for each in each_of(result.runs))
                self._store.due.done(due)
            for due, after_ms in off:
                self._store.due.put_off(due, after_ms) if wait else self._store.due.done(due)
        return done

    def _later(self, due: Due, now_ms: int) -> int | None:
        """Until when a page waits that is still running and was reckoned not long ago."""
        leaf = due.leaf
        if _is_stands(due):
            return None
        point, cadence = self._point(leaf.point), _CADENCES[leaf.step_s]
        if point is None or day_start(point.zone, next_page(cadence, leaf.day)) <= now_ms:
            return None
        pages = self._store.curves.pages(leaf.point, leaf.channel, cadence, leaf.day, leaf.day)
        until = pages[0].act.at_ms + RUNNING_MS if pages else 0
        return until if now_ms < until <= now_ms + RUNNING_MS else None

    def _page(self, due: Due) -> Curve | None:
        """A page of a series; None where there is no such channel (any more)."""
        leaf, point = due.leaf, self._point(due.leaf.point)
        if point is None:
            return None
        cadence = _CADENCES[leaf.step_s]
        rows = [each for each in self._channels(leaf.point, leaf.channel) if each.cadence is cadence]
        made = [self._of_row(each, point, leaf.day) for each in rows]
        if not made:
            return None
        bounds = edges(point.zone, cadence, leaf.day)
        curve, closed = _merged(rows, made, bounds), self._store.erasures.closed(leaf.point)
        if not closed:
            return curve
        known = self._store.curves.pages(leaf.point, leaf.channel, cadence, leaf.day, leaf.day)
        apart_ms = Near.of(cadence, point.medium).apart_ms
        return settled(curve, bounds, apart_ms, closed, known[0] if known else None)

    def _stands(self, due: Due) -> list[Stand]:
        """The stands of a month."""
        point = self._point(due.leaf.point)
        made = [] if point is None else self._standing.month(point, due.leaf.day)
        closed = self._store.erasures.closed(due.leaf.point) if made else []
        if not closed:
            return made
        times = [each.at_ms for each in made]
        return stands_left(made, closed, self._store.stands.of(due.leaf.point, min(times), max(times) + 1))

    def _of_row(self, channel: Channel, point: Point, day: int) -> Curve:
        near = Near.of(channel.cadence, point.medium)
        bounds = edges(point.zone, channel.cadence, day)
        served = self._source.served(channel, bounds[0], bounds[-1], near)
        return page(channel, point.zone, day, near, served)

    def _put(self, curve: Curve, now_ms: int) -> bool:
        if all(each is None for each in curve.values):
            place = (curve.point, curve.channel, curve.cadence, curve.day, curve.day)
            if not self._store.curves.pages(*place):
                return False  # nothing was ever there
        return self._store.curves.put(curve, Act(WHO, now_ms))

    def _point(self, name: str) -> Point | None:
        known = self._store.master.points.all(point=name)
        return known[-1] if known else None

    def _channels(self, point: str, name: str) -> list[Channel]:
        return self._store.master.channels.all(point=point, name=name)


def _is_stands(due: Due) -> bool:
    return (due.leaf.channel, due.leaf.step_s) == STANDS


def _merged(rows: Sequence[Channel], made: Sequence[Curve], bounds: Sequence[int]) -> Curve:
    """One page of what each of the channel's dated rows says of its own intervals."""
    if len(made) == 1:
        return made[0]
    values: list[int | None] = []
    qualities: list[Quality] = []
    moments: list[int] = []
    parts = [list(zip(one.values, each_of(one.runs), _moments(one), strict=True)) for one in made]
    for place, start in enumerate(bounds[:-1]):
        row = next((n for n, each in enumerate(rows) if each.span.holds(start)), 0)
        value, quality, moment = parts[row][place]
        values.append(value)
        qualities.append(quality)
        moments += [moment or 0] if value is not None else []
    origin = tuple(dict.fromkeys(one for each in made for one in each.origin))
    kept = tuple(moments) if any(each.moments is not None for each in made) else None
    return replace(made[-1], values=tuple(values), runs=runs_of(qualities), origin=origin, moments=kept)


def _moments(curve: Curve) -> list[int | None]:
    """The moment of each interval's maximum, None where there is none."""
    left = iter(curve.moments or ())
    return [next(left, None) if value is not None else None for value in curve.values]
