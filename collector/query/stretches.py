"""Intervals of a channel, one after the other: pages of the store, pages that are not there, or what was reckoned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property

from collector.faults import CurveAlteredError
from collector.grid import STEP_S, edges_by, pages_of, within
from collector.master.channels import Cadence
from collector.quality import MISSING, Quality, Run, Runs
from collector.store.curves import CurveTable, Digest, Page, digests

Amount = int | Fraction  # of base units, times a power of ten; a fraction only in what was reckoned from means


class Stretch:
    """The intervals between `edges` (ms UTC), of which those from `first` to before `end` are asked for.

    They are those of a stored page, or of none (all is missing), or `reckoned`. What is not needed is not unpacked.
    """

    def __init__(
        self,
        edges: tuple[int, ...],
        exponent: int,
        asked: tuple[int, int],
        page: Page | None = None,
        digest: Digest | None = None,
        reckoned: tuple[tuple[Amount | None, ...], Runs] | None = None,
    ) -> None:
        self.edges, self.exponent, self.page, self.reckoned = edges, exponent, page, reckoned
        self.first, self.end = asked
        self.starts_ms, self.ends_ms = edges[self.first], edges[self.end]
        self.digest = digest  # of all intervals between the edges

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
        known = None if self.page is None or self.page.moments is None else self.page.curve().moments
        there = (at for at, value in enumerate(self.values) if value is not None)
        return {} if known is None else dict(zip(there, known, strict=True))

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
    days = pages_of(zone, cadence, from_ms, to_ms)
    known = table.pages(*name, cadence, days[0], days[-1], known_ms)
    pages = {page.day: (page, digest) for page, digest in zip(known, digests(known), strict=True)}
    exponent, step_s = min((page.exponent for page in known), default=0), STEP_S[cadence]
    found = []
    for day in days:
        marks = edges_by(zone, step_s, day)
        asked = within(marks, from_ms, to_ms)
        if asked is None:
            continue
        page, digest = pages.get(day, (None, None))
        if page is not None and (page.start_ms != marks[0] or page.intervals != len(marks) - 1):
            got = f"{page.intervals} intervals from {page.start_ms}"
            where = f"{page.point}, channel {page.channel}, page {page.day}"
            raise CurveAlteredError(f"{len(marks) - 1} intervals from {marks[0]}, by the point's zone", got, where)
        found.append(Stretch(marks, exponent if page is None else page.exponent, asked, page, digest))
    return found
