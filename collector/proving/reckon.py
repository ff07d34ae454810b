"""A claim reckoned anew from its sealed readings, by the functions that made the series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from collector.attribute.intervals import Near, values
from collector.attribute.rows import Value
from collector.attribute.serving import Ground, serving
from collector.faults import ClaimError
from collector.grid import STEP_S, edges, pages_of, within
from collector.master.channels import Aggregate, Channel
from collector.master.points import Point
from collector.master.units import base_unit
from collector.proving.claim import PAGES, WHERE, Claim, Stated
from collector.quality import Quality, State, each_of

BY_PERSON = (State.EDITED, State.ESTIMATED)  # the utility's own values: nothing of them follows from a reading


@dataclass(frozen=True, slots=True)
class Asked:
    """The intervals of a page that were asked for: those from `first` to before `end` between the page's `bounds`."""

    channel: Channel
    day: int
    bounds: tuple[int, ...]
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval as it was stated, and as it was reckoned; `wrong` says in words what differs, or is empty."""

    channel: Channel
    start_ms: int
    end_ms: int
    stated: Value
    reckoned: Value
    wrong: str


def asked(point: Point, channels: Sequence[Channel], from_ms: int, to_ms: int) -> Iterator[Asked]:
    """The pages of a channel's rows that have intervals wholly in [from, to), by row and time.

    Raises:
        ZoneError: the point's zone is none.
        ClaimError: there are more pages than a proof holds.
    """
    for row in sorted(channels, key=lambda each: each.span.from_ms):
        start, end = max(from_ms, row.span.from_ms), min(to_ms, row.span.to_ms or to_ms)
        if start >= end:
            continue
        if (end - start) // (STEP_S[row.cadence] * 1_000) > PAGES * 100:
            raise ClaimError(f"at most {PAGES} pages", "more", WHERE)
        for day in pages_of(point.zone, row.cadence, start, end):
            bounds = edges(point.zone, row.cadence, day)
            part = within(bounds, start, end)
            if part is not None:
                yield Asked(row, day, bounds, *part)


def reckon(ground: Ground, point: Point, page: Asked) -> list[Value]:
    """The values of a page's intervals that were asked for.

    Raises:
        ZoneError, UnitError: the master data name a zone, a quantity or a unit that is none.
    """
    near = Near.of(page.channel.cadence, point.medium)
    served = serving(ground, page.channel, (page.bounds[0], page.bounds[-1]), near)
    return values(page.channel, page.bounds, near, served)[page.first : page.end]


def intervals(claim: Claim, ground: Ground) -> Iterator[Interval]:
    """Every interval of a claim, in the order of its pages.

    Raises:
        ClaimError: it is of no point or channel, or its pages are not those of its time.
        ZoneError, UnitError: its master data name a zone, a quantity or a unit that is none.
    """
    point = point_of(claim)
    pages = list(islice(asked(point, claim.words.channels, claim.from_ms, claim.to_ms), len(claim.pages) + 1))
    if not pages or [each.day for each in pages] != [each.day for each in claim.pages]:
        raise ClaimError("the pages of the claimed time, each once", f"{len(claim.pages)} pages", WHERE)
    for page, stated in zip(pages, claim.pages, strict=True):
        if len(stated.values) != page.end - page.first:
            raise ClaimError(f"{page.end - page.first} values", f"{len(stated.values)}", f"{WHERE}, page {page.day}")
        marks = pairwise(page.bounds[page.first : page.end + 1])
        for (start, end), said, found in zip(marks, _values(stated), reckon(ground, point, page), strict=True):
            yield Interval(page.channel, start, end, said, found, _wrong(page.channel, said, found))


def point_of(claim: Claim) -> Point:
    """The point of a claim, as attribution takes it; all its words are of it.

    Raises:
        ClaimError: the claim has none, or is of several.
        UnitError: a channel's quantity is none.
    """
    names = {each.id for each in claim.words.points}
    channels = {(each.point, each.name) for each in claim.words.channels}
    if names != {claim.point} or channels != {(claim.point, claim.channel)}:
        raise ClaimError("one point and one channel of it", f"{len(names)} points, {len(channels)} channels", WHERE)
    for each in claim.words.channels:
        base_unit(each.quantity)
    return max(claim.words.points, key=lambda each: each.span.from_ms)


def _values(stated: Stated) -> Iterator[Value]:
    left = iter(stated.moments or ())
    for value, quality in zip(stated.values, each_of(stated.runs), strict=True):
        yield Value(value, quality, next(left, None) if value is not None else None)


def _wrong(channel: Channel, said: Value, found: Value) -> str:
    """What of a stated value does not follow from the readings, or ""."""
    if said.quality.state in BY_PERSON:
        return ""
    if said.ticks != found.ticks:
        return f"stated {_shown(said)}, but the sealed readings give {_shown(found)}"
    if channel.aggregate is Aggregate.MAXIMUM and said.ticks is not None and said.moment_ms != (found.moment_ms or 0):
        return f"its time is stated as {said.moment_ms} ms, but the sealed readings give {found.moment_ms} ms"
    told, real = ((each.quality.state, each.quality.method, each.quality.reason) for each in (said, found))
    if said.quality.state is not State.VALID and told != real:
        return f"stated as {_words(said.quality)}, but the sealed readings make it {_words(found.quality)}"
    return ""


def _shown(value: Value) -> str:
    return "no value" if value.ticks is None else str(value.ticks)


def _words(quality: Quality) -> str:
    return " ".join(each for each in (str(quality.state), quality.method, quality.reason) if each)
