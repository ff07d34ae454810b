"""Series of channels: one row per channel, page and version; a correction is a new version, nothing is overwritten.

A page is a local day of quarters or hours, a local month of days, a local year of months (`collector.grid`). It holds
every interval that the grid has there: what is missing is there as missing, without a number. Numbers are integers
times a power of ten in the base unit of the quantity (`collector.master.units`), packed (`collector.store.packing`),
quality is kept as runs (`collector.quality`). `digest` is what coarser periods need of a page, so that three years of
months are answered without unpacking a day.

The newest version has `past` 0, those before it 1: who asks for what holds now reads neighbouring rows and no others.
"As known at" an instant is, for each page, its newest version of those known by then.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from collector.faults import CurveAlteredError
from collector.grid import CADENCES, STEP_S
from collector.master.channels import Cadence
from collector.master.dated import Act
from collector.quality import Runs, State, each_of, runs_from_text, runs_to_text
from collector.store.packing import pack, unpack
from collector.store.sql import Connection

CURVES = """
CREATE TABLE curve (
  point TEXT NOT NULL, channel TEXT NOT NULL, past INTEGER NOT NULL, step_s INTEGER NOT NULL, day INTEGER NOT NULL,
  version INTEGER NOT NULL, start_ms INTEGER NOT NULL, count INTEGER NOT NULL, exponent INTEGER NOT NULL,
  packed BLOB NOT NULL, moments BLOB, quality TEXT NOT NULL, digest TEXT NOT NULL, origin TEXT NOT NULL,
  known_ms INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, channel, past, step_s, day, version)
) STRICT, WITHOUT ROWID;
"""
_SELECT = (
    "SELECT point, channel, past, step_s, day, version, start_ms, count, exponent, packed, moments, quality, digest,"
    " origin, known_ms, who, why FROM curve WHERE point = ? AND channel = ?"
)
_PAGE = "point = ? AND channel = ? AND past = ? AND step_s = ? AND day = ?"
_STATES = tuple(State)


@dataclass(frozen=True, slots=True)
class Origin:
    """The readings that values were made of: a meter (its serial) and register, how they came, and which.

    `first` and `last` are times as the store of readings has them in its key (`moment`), so that evidence is found.
    """

    serial: str
    register: str
    how: int
    first: str
    last: str

    def to_list(self) -> list[str | int]:
        """As the store keeps it, in JSON."""
        return [self.serial, self.register, self.how, self.first, self.last]


class Digest(NamedTuple):
    """What coarser periods need of some intervals; `total`, `last` and `top` are None where no value is there.

    `expected` are the intervals that there should be, `present` those that have a value, `estimated` those of them that
    were estimated. `total` is the sum, `last` the value of the last interval that has one, `top` the greatest and
    `top_place` the (first) interval where it is, from 0. `state` is the worst, `final` whether all are final.
    """

    expected: int
    present: int
    estimated: int
    state: State
    final: bool
    total: int | None
    last: int | None
    top: int | None
    top_place: int | None

    @classmethod
    def of(cls, values: Sequence[int | None], runs: Runs) -> Digest:
        """That of these intervals."""
        there = [each for each in values if each is not None]
        top = max(there, default=None)
        return cls(
            len(values),
            len(there),
            sum(run.count for run in runs if run.quality.state is State.ESTIMATED),
            max((run.quality.state for run in runs), default=State.MISSING),
            all(run.quality.final for run in runs),
            sum(there) if there else None,
            there[-1] if there else None,
            top,
            None if top is None else values.index(top),
        )

    @classmethod
    def from_fields(cls, expected: int, fields: list[Any]) -> Digest:
        """From the fields that the store keeps.

        Raises:
            ValueError, TypeError: they are none.
        """
        return cls(expected, fields[0], fields[1], _STATES[fields[2]], bool(fields[3]), *fields[4:])

    def to_text(self) -> str:
        """As the store keeps it: a JSON array of integers, without what is expected."""
        fields = (self.present, self.estimated, int(self.state), int(self.final))
        return json.dumps([*fields, self.total, self.last, self.top, self.top_place], separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Curve:
    """What a page of a series holds: a value (or None) and a quality for each interval of the grid.

    `start_ms` is where the first interval begins, `day` names the page. Values are integers times 10^`exponent` in the
    base unit; exactly those of state missing are None. `moments` are, for maxima, the instants (ms UTC) at which they
    were reached, for each value that is there.
    """

    point: str
    channel: str
    cadence: Cadence
    day: int
    start_ms: int
    exponent: int
    values: tuple[int | None, ...]
    runs: Runs
    origin: tuple[Origin, ...] = ()
    moments: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        states = [each.state for each in each_of(self.runs)]
        if [each is State.MISSING for each in states] != [each is None for each in self.values]:
            raise ValueError(f"expected a state missing for each value that is none, got {self.values} as {self.runs}")
        if self.moments is not None and len(self.moments) != sum(each is not None for each in self.values):
            raise ValueError(f"expected a moment for each value, got {len(self.moments)}")


class Page(NamedTuple):
    """A stored version of a page, as its row is; its numbers are unpacked when they are asked for."""

    point: str
    channel: str
    past: int
    step_s: int
    day: int
    version: int
    start_ms: int
    intervals: int
    exponent: int
    packed: bytes
    moments: bytes | None
    quality: str
    summary: str
    origin: str
    known_ms: int
    who: str
    why: str

    @property
    def cadence(self) -> Cadence:
        """How long its intervals are."""
        return CADENCES[self.step_s]

    @property
    def newest(self) -> bool:
        """Whether no other version came after it."""
        return not self.past

    @property
    def act(self) -> Act:
        """Who put it, when, and why."""
        return Act(self.who, self.known_ms, self.why)

    def digest(self) -> Digest:
        """What coarser periods need of it.

        Raises:
            CurveAlteredError: it is not what was written.
        """
        try:
            return Digest.from_fields(self.intervals, json.loads(self.summary))
        except (ValueError, TypeError, LookupError) as error:
            raise self.altered(error) from error

    def curve(self) -> Curve:
        """All that it holds.

        Raises:
            CurveAlteredError: it is not what was written.
        """
        try:
            runs = runs_from_text(self.quality)
            if sum(run.count for run in runs) != self.intervals:
                raise ValueError(f"{self.intervals} intervals, but qualities {self.quality}")
            values = tuple(_placed(iter(unpack(self.packed)), runs))
            known = None if self.moments is None else tuple(unpack(self.moments))
            origins = tuple(Origin(*each) for each in json.loads(self.origin))
            place = (self.point, self.channel, self.cadence, self.day, self.start_ms, self.exponent)
            return Curve(*place, values, runs, origins, known)
        except (ValueError, TypeError) as error:
            raise self.altered(error) from error

    def values(self) -> list[int | None]:
        """The numbers alone, None for what is missing; much quicker than the whole `curve`.

        Raises:
            CurveAlteredError: it is not what was written.
        """
        try:
            numbers = unpack(self.packed)
            values: list[int | None] = [*numbers]
            if len(numbers) != self.intervals:
                values = list(_placed(iter(numbers), self.runs()))
            if len(values) != self.intervals:
                raise ValueError(f"{self.intervals} intervals, but {len(values)} values")
        except (ValueError, TypeError) as error:
            raise self.altered(error) from error
        return values

    def runs(self) -> Runs:
        """The qualities alone.

        Raises:
            CurveAlteredError: it is not what was written.
        """
        try:
            return runs_from_text(self.quality)
        except (ValueError, TypeError) as error:
            raise self.altered(error) from error

    def altered(self, error: Exception) -> CurveAlteredError:
        """What to raise where it is not what was written."""
        where = f"{self.point}, channel {self.channel}, page {self.day}, version {self.version}"
        return CurveAlteredError("a page as it was written", str(error)[:200], where)


def digests(pages: Sequence[Page]) -> list[Digest]:
    """The digests of many pages, read at one go: a third of the time that it takes one by one.

    Raises:
        CurveAlteredError: one is not what was written.
    """
    try:
        fields = json.loads("[" + ",".join([page.summary for page in pages]) + "]")
        return [Digest.from_fields(page.intervals, mine) for page, mine in zip(pages, fields, strict=True)]
    except (ValueError, TypeError, LookupError):
        return [page.digest() for page in pages]  # and the one that is wrong says so


class CurveTable:
    """The table curve."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def put(self, curve: Curve, act: Act) -> bool:
        """Store a page as its newest version; False where the newest says the same already, and nothing was done.

        Inside a transaction; `act.at_ms` is when it became known.
        """
        key = (curve.point, curve.channel, 0, STEP_S[curve.cadence], curve.day)
        row = self._sql.execute(
            f"SELECT version, start_ms, count, exponent, packed, moments, quality, origin FROM curve WHERE {_PAGE}",  # noqa: S608 - a constant
            key,
        ).fetchone()
        packed = pack([each for each in curve.values if each is not None])
        moments = None if curve.moments is None else pack(curve.moments)
        quality = runs_to_text(curve.runs)
        origin = json.dumps([each.to_list() for each in curve.origin], separators=(",", ":"), ensure_ascii=False)
        fields = (curve.start_ms, len(curve.values), curve.exponent, packed, moments, quality)
        if row is not None and tuple(row[1:]) == (*fields, origin):
            return False
        version = 1 if row is None else row[0] + 1
        self._sql.execute(f"UPDATE curve SET past = 1 WHERE {_PAGE}", key)  # noqa: S608 - a constant
        digest = Digest.of(curve.values, curve.runs).to_text()
        self._sql.execute(
            "INSERT INTO curve VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, version, *fields, digest, origin, act.at_ms, act.who, act.why),
        )
        return True

    def pages(
        self, point: str, channel: str, cadence: Cadence, first: int, last: int, known_ms: int | None = None
    ) -> list[Page]:
        """The pages from the one named `first` to `last` (both included), in order, as known at an instant (None: now).

        Of a page that was not known then there is none.
        """
        step_s = STEP_S[cadence]
        span = "AND past = ? AND step_s = ? AND day >= ? AND day <= ?"
        newest = self._sql.execute(f"{_SELECT} {span} ORDER BY day", (point, channel, 0, step_s, first, last))
        pages = list(map(Page._make, newest))
        if known_ms is None:
            return pages
        found = {
            page.day: page
            for page in self._rows(
                f"{span} AND known_ms <= ? ORDER BY day, version", (point, channel, 1, step_s, first, last, known_ms)
            )
        }
        found.update((page.day, page) for page in pages if page.known_ms <= known_ms)
        return [found[day] for day in sorted(found)]

    def versions(self, point: str, channel: str, cadence: Cadence, day: int) -> list[Page]:
        """All versions of a page, the oldest first."""
        span = "AND past IN (0, 1) AND step_s = ? AND day = ? ORDER BY version"
        return list(self._rows(span, (point, channel, STEP_S[cadence], day)))

    def meeting(self, point: str, cadences: Iterable[Cadence], first: int, last: int) -> list[Page]:
        """All versions of the pages of a point, of every channel, named by days from `first` to `last`."""
        steps = {STEP_S[each] for each in cadences}
        found: list[Page] = []
        for channel, cadence in self.channels(point):
            if STEP_S[cadence] in steps:
                span = "AND past IN (0, 1) AND step_s = ? AND day >= ? AND day <= ? ORDER BY day, version"
                found += self._rows(span, (point, channel, STEP_S[cadence], first, last))
        return found

    def extent(self, steps: Sequence[int], point: str | None = None) -> tuple[int, int | None]:
        """How many pages (newest versions) of these steps there are (of a point), and when the first begins."""
        marks = ", ".join("?" * len(steps))
        where = "" if point is None else " AND point = ?"
        row = self._sql.execute(
            f"SELECT count(*), min(start_ms) FROM curve WHERE past = 0 AND step_s IN ({marks}){where}",  # noqa: S608 - marks
            (*steps, *(() if point is None else (point,))),
        ).fetchone()
        return row[0], row[1]

    def rewrite(self, page: Page, curve: Curve) -> None:
        """Put other values into a stored version, with its own number, person and date: for what must be forgotten."""
        packed = pack([each for each in curve.values if each is not None])
        moments = None if curve.moments is None else pack(curve.moments)
        origin = json.dumps([each.to_list() for each in curve.origin], separators=(",", ":"), ensure_ascii=False)
        digest = Digest.of(curve.values, curve.runs).to_text()
        key = (page.point, page.channel, page.past, page.step_s, page.day, page.version)
        self._sql.execute(
            f"UPDATE curve SET packed = ?, moments = ?, quality = ?, digest = ?, origin = ? WHERE {_PAGE}"  # noqa: S608 - a constant
            " AND version = ?",
            (packed, moments, runs_to_text(curve.runs), digest, origin, *key),
        )

    def remove(self, pages: Iterable[Page]) -> None:
        """Remove stored versions wholly."""
        keys = [(each.point, each.channel, each.past, each.step_s, each.day, each.version) for each in pages]
        self._sql.executemany(f"DELETE FROM curve WHERE {_PAGE} AND version = ?", keys)  # noqa: S608 - a constant

    def newest(self, point: str, channel: str, cadence: Cadence, known_ms: int | None = None) -> Page | None:
        """The last page that has a value, as known at an instant (None: now)."""
        span = "AND past = 0 AND step_s = ? AND day < ? ORDER BY day DESC LIMIT 1"
        before = _AFTER_ALL
        while found := list(self._rows(span, (point, channel, STEP_S[cadence], before))):
            before = found[0].day
            pages = self.pages(point, channel, cadence, before, before, known_ms)
            if pages and pages[0].digest().present:
                return pages[0]
        return None

    def channels(self, point: str) -> list[tuple[str, Cadence]]:
        """The channels of a point that there are series of, each with its cadences."""
        rows = self._sql.execute(
            "SELECT DISTINCT channel, step_s FROM curve WHERE point = ? ORDER BY channel, step_s", (point,)
        )
        return [(channel, CADENCES[step_s]) for channel, step_s in rows]

    def _rows(self, rest: str, parameters: Iterable[object]) -> Iterator[Page]:
        return (Page(*row) for row in self._sql.execute(f"{_SELECT} {rest}", tuple(parameters)))


_AFTER_ALL = datetime.date.max.toordinal()


def _placed(numbers: Iterator[int], runs: Runs) -> Iterator[int | None]:
    """The numbers at their places.

    Raises:
        ValueError: there are more or fewer of them than places.
    """
    for run in runs:
        for _ in range(run.count):
            if run.quality.state is State.MISSING:
                yield None
                continue
            number = next(numbers, None)
            if number is None:
                raise ValueError("fewer numbers than values")
            yield number
    if next(numbers, None) is not None:
        raise ValueError("more numbers than values")
