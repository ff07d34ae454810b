"""Intervals of a channel, one after the other: pages of the store, pages that are not there, or what was reckoned."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from collector.faults import CurveAlteredError
from collector.grid import day_start, edges, next_page, page_of
from collector.master.channels import Cadence
from collector.quality import MISSING, Quality, Run, Runs
from collector.store.curves import CurveTable, Digest, Page

Amount = int | Fraction  # of base units, times a power of ten; a fraction only in what was reckoned from means


@dataclass(frozen=True)
class Stretch:
    """The intervals between `edges` (ms UTC), of which those from `first` to before `end` are asked for."""

    edges: tuple[int, ...]
    exponent: int
    first: int
    end: int
    page: Page | None = None  # of the store; None: there is none, all is missing
    reckoned: tuple[tuple[Amount | None, ...], Runs] | None = None

    @classmethod
    def of(
        cls, marks: tuple[int, ...], page: Page | None, from_ms: int, to_ms: int, exponent: int = 0
    ) -> Stretch | None:
        """What of a page lies wholly in [from, to); None where nothing does.

        Raises:
            CurveAlteredError: the page is not one of this grid.
        """
        if page is not None and (page.start_ms != marks[0] or page.count != len(marks) - 1):
            got = f"{page.count} intervals from {page.start_ms}"
            where = f"{page.point}, channel {page.channel}, page {page.day}"
            raise CurveAlteredError(f"{len(marks) - 1} intervals from {marks[0]}, by the point's zone", got, where)
        first, end = bisect_left(marks, from_ms), bisect_right(marks, to_ms) - 1
        if first >= end:
            return None
        return cls(marks, exponent if page is None else page.exponent, first, end, page)

    @cached_property
    def values(self) -> Sequence[Amount | None]:
        """A value for each interval between all edges."""
        if self.reckoned is not None:
            return self.reckoned[0]
        return [None] * (len(self.edges) - 1) if self.page is None else self.page.values()

    @cached_property
    def runs(self) -> Runs:
        """The qualities of all of them."""
        if self.reckoned is not None:
            return self.reckoned[1]
        return (Run(len(self.edges) - 1, MISSING),) if self.page is None else self.page.runs()

    @cached_property
    def moments(self) -> dict[int, int]:
        """When the maxima were reached, by interval, where that is known."""
        known = None if self.page is None or self.page.content.moments is None else self.page.curve().moments
        there = (at for at, value in enumerate(self.values) if value is not None)
        return {} if known is None else dict(zip(there, known, strict=True))

    def digest(self) -> Digest | None:
        """That of the page, where it stands for all intervals between the edges."""
        return None if self.page is None else self.page.digest()

    def is_even(self) -> bool:
        """Whether all intervals are equally long."""
        length = self.edges[1] - self.edges[0]
        marks = range(self.edges[0], self.edges[0] + length * len(self.edges), length)
        return tuple(marks) == self.edges

    def qualities(self, first: int, end: int) -> Iterator[tuple[int, Quality]]:
        """The runs of the intervals from `first` to before `end`, cut there: how many, and their quality."""
        place = 0
        for run in self.runs:
            count = min(place + run.count, end) - max(place, first)
            if count > 0:
                yield count, run.quality
            place += run.count


def stored(
    table: CurveTable, name: tuple[str, str], zone: str, cadence: Cadence, span: tuple[int, int], known_ms: int | None
) -> list[Stretch]:
    """The intervals of a channel (point, name) that lie wholly in a span, with those that are missing from the store.

    Raises:
        CurveAlteredError: a page is not what was written, or of another zone.
        ZoneError: there is no such zone.
    """
    from_ms, to_ms = span
    if from_ms >= to_ms:
        return []
    first, last = page_of(zone, cadence, from_ms), page_of(zone, cadence, to_ms - 1)
    pages = {page.day: page for page in table.pages(*name, cadence, first, last, known_ms)}
    exponent = min((page.exponent for page in pages.values()), default=0)
    found = []
    while first <= last:
        following = next_page(cadence, first)
        if day_start(zone, first) < day_start(zone, following):
            stretch = Stretch.of(edges(zone, cadence, first), pages.get(first), from_ms, to_ms, exponent)
            found += [] if stretch is None else [stretch]
        first = following
    return found
