"""A year's points through the real way: sealed, verified, stored, attributed; then every month against the truth."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise

import ground_year as year
from chain import Bench

from collector.attribute.work import Attribution, Done
from collector.grid import By as Period
from collector.grid import day_of, day_start, edges, first_day, next_page
from collector.master.channels import Cadence
from collector.master.dated import Act, Span
from collector.quality import each_of
from collector.store.sqlite import SqliteStore
from protocols.reading import Reading

ROWS, GROUP = 96, 8  # readings of a batch, batches of a group
LATE = 0.05  # of the batches come after everything else


@dataclass(frozen=True)
class Miss:
    """A month of a channel whose sum is not what the register says."""

    point: str
    channel: str
    month: int
    summed: Fraction | None
    truth: Fraction
    step: Fraction


class Year:
    """The points, a store, and what was done."""

    def __init__(self, store: SqliteStore, sites: Iterable[year.Site], bounds: Sequence[int]) -> None:
        self.bench, self.store, self.bounds = Bench(store), store, bounds
        self.sites = list(sites)
        self.attribution = Attribution(store)
        self._drawn = random.Random(7)
        self._late: list[list[Reading]] = []
        self.readings = 0

    def enter(self, sites: Iterable[year.Site]) -> None:
        """Enter the master data of points."""
        span = Span(self.bounds[0] - year.DAY_MS)
        for site in sites:
            with self.store.transaction():
                act = Act("operator", self.bench.now_ms, "entered")
                self.store.master.enter(act, *year.words(site, span))  # type: ignore[arg-type]

    def read(self) -> None:
        """Seal and store the year's readings of every point, but some batches."""
        for site in self.sites:
            rows = year.rows(site, self.bounds[0], self.bounds[-1])
            kept: list[list[Reading]] = []
            while batch := list(islice(rows, ROWS)):
                self.readings += len(batch)
                (self._late if self._drawn.random() < LATE else kept).append(batch)
            self._take(kept)

    def read_late(self) -> None:
        """Store what came late."""
        self._take(self._late)
        self._late = []

    def attribute(self) -> Done:
        """Attribute all there is, some time later."""
        self.bench.now_ms += 10_000
        return self.attribution.all(self.bench.now_ms)

    def correct_factor(self, site: year.Site, at_ms: int, factor: Fraction) -> None:
        """A CT's ratio was entered wrong from an instant on."""
        site.factors = [*[each for each in site.factors if each[0] < at_ms], (at_ms, factor)]
        self.bench.now_ms += 10_000
        with self.store.transaction(), self.store.master.acting(Act("operator", self.bench.now_ms, "CT")) as change:
            for meter in site.meters:
                for part in meter.parts:
                    for row in self.store.master.registers.during(Span(at_ms), meter=meter.serial, name=part.name):
                        common = row.span.common(Span(at_ms))
                        if common is not None:
                            change.correct(replace(row, factor=factor, span=common))

    def misses(self, sites: Iterable[year.Site] | None = None) -> Iterator[Miss]:
        """The months whose sum is not the register's difference within its step."""
        for site in self.sites if sites is None else sites:
            for name in site.waves:
                for month, (start, end) in enumerate(pairwise(self.bounds)):
                    summed = self._sum(site, name, start, end)
                    truth, step = site.truth(name, start, end)
                    if summed is None or abs(summed - truth) > step:
                        yield Miss(site.point, name, month, summed, truth, step)

    def states(self) -> dict[str, int]:
        """How many values there are of each state."""
        found: dict[str, int] = {}
        for site in self.sites:
            for name in site.waves:
                first = first_day(Period.MONTH, day_of(year.ZONE, self.bounds[0]))
                for page in self.store.curves.pages(site.point, name, site.cadence, first, first + 400):
                    for each in each_of(page.runs()):
                        found[str(each.state)] = found.get(str(each.state), 0) + 1
        return found

    def versions(self) -> int:
        """How many versions of pages there are."""
        count = 0
        for site in self.sites:
            for name in site.waves:
                day = first_day(Period.MONTH, day_of(year.ZONE, self.bounds[0]))
                while day_start(year.ZONE, day) < self.bounds[-1]:
                    count += len(self.store.curves.versions(site.point, name, site.cadence, day))
                    day = next_page(site.cadence, day)
        return count

    def _sum(self, site: year.Site, name: str, start: int, end: int) -> Fraction | None:
        total, there = Fraction(0), 0
        first, last = day_of(year.ZONE, start), day_of(year.ZONE, end - 1)
        pages = self.store.curves.pages(site.point, name, site.cadence, first, last)
        for page in pages:
            values = page.values()
            if None in values:
                return None
            there += len(values)
            total += sum(each for each in values if each is not None) * Fraction(10) ** page.exponent
        return total if there == self._expected(site.cadence, first, last) else None

    def _expected(self, cadence: Cadence, first: int, last: int) -> int:
        day, count = first, 0
        while day <= last:
            count += len(edges(year.ZONE, cadence, day)) - 1
            day = next_page(cadence, day)
        return count

    def _take(self, batches: Iterable[list[Reading]]) -> None:
        left = iter(batches)
        while group := list(islice(left, GROUP)):
            self.bench.take(*[self.bench.chain.seal(each) for each in group])
