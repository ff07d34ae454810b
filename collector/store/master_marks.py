"""What attribution has to compute again: the spans of a point that a change of the master data touched before now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from collector.master.dated import Span, covered

EVERY = ""  # as `channel`: every channel of the point, and its stands
SHIFT = 24  # bits of a mark's number that count within one act
DAY_MS = 86_400_000  # a meter's own clock may be that far from UTC


@dataclass(frozen=True, slots=True)
class Mark:
    """From when to when a point's channel (`EVERY`: all, and the stands) must be computed again, and why."""

    number: int
    point: str
    channel: str
    from_ms: int
    to_ms: int
    why: str
    act: int


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change touches: a span of a point's channel."""

    point: str
    channel: str
    span: Span
    why: str


class Marks:
    """The table recompute."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection

    def put(self, act: int, touched: Iterable[Touched], now_ms: int) -> int:
        """Mark what was touched before now, each point's spans of one channel joined; how many marks that are."""
        joined = _joined(touched, now_ms)
        for n, each in enumerate(joined):
            self._sql.execute(
                "INSERT INTO recompute (point, number, channel, from_ms, to_ms, why, act) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (each.point, (act << SHIFT) + n, each.channel, each.span.from_ms, each.span.to_ms, each.why, act),
            )
        return len(joined)

    def all(self, limit: int) -> list[Mark]:
        """The marks, oldest first."""
        rows = self._sql.execute(
            "SELECT number, point, channel, from_ms, to_ms, why, act FROM recompute ORDER BY number LIMIT ?", (limit,)
        )
        return [Mark(*row) for row in rows]

    def count(self) -> int:
        """How many marks there are."""
        found: int = self._sql.execute("SELECT count(*) FROM recompute").fetchone()[0]
        return found

    def done(self, number: int) -> bool:
        """Take a mark away; whether it was there."""
        row = self._sql.execute("DELETE FROM recompute WHERE number = ? RETURNING number", (number,)).fetchone()
        return row is not None


def _joined(touched: Iterable[Touched], now_ms: int) -> list[Touched]:
    """By point and channel, what meets or overlaps as one, cut off at now; why is that of the earliest.

    A channel's span in which the whole point is computed again anyway is left out.
    """
    past = Span(-DAY_MS, now_ms)
    found: list[Touched] = []
    for point, group in groupby(sorted(touched, key=_place), key=lambda each: each.point):
        wholes: list[Span] = []
        for channel, mine in groupby(group, key=lambda each: each.channel):
            spans = [(span, each.why) for each in mine if (span := each.span.common(past)) is not None]
            joined = [(span, why) for span, why in _together(spans) if not covered(wholes, span)]
            found += [Touched(point, channel, span, why) for span, why in joined]
            wholes += [span for span, _ in joined if channel == EVERY]
    return found


def _place(each: Touched) -> tuple[str, str, int]:
    """`EVERY` comes first of a point's channels."""
    return each.point, each.channel, each.span.from_ms


def _together(spans: list[tuple[Span, str]]) -> list[tuple[Span, str]]:
    """Spans with an end, by their beginning: those that meet as one."""
    found: list[tuple[Span, str]] = []
    for span, why in spans:
        end = found[-1][0].to_ms if found else None
        if end is None or span.to_ms is None or span.from_ms > end:
            found.append((span, why))
        else:
            found[-1] = (Span(found[-1][0].from_ms, max(end, span.to_ms)), found[-1][1])
    return found
