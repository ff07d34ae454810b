"""Answers as they are read: columns for JSON, rows for CSV and the terminal; numbers are decimal text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from collector.grid import BY, local
from collector.query.ask import Answer
from collector.query.contract import decimals_of, in_unit
from collector.shown import utc
from collector.store.stands import StandVersion
from protocols.reading import Scaled


@dataclass(frozen=True, slots=True)
class Row:
    """A period of a series; `start` and `end` are of the point's clock with its offset, `top` too."""

    point: str
    channel: str
    start: str
    end: str
    value: str | None
    unit: str
    state: str
    final: bool
    expected: int
    present: int
    missing: int
    estimated: int
    top: str | None


@dataclass(frozen=True, slots=True)
class StandRow:
    """A stand; `at` is of the point's clock with its offset, consumption is in the stand's own unit."""

    point: str
    register: str
    at: str
    meter: str
    value: str
    unit: str
    consumption: str | None
    character: str
    state: str
    final: bool
    approved: str | None
    version: int
    known: str


def rows_of(answer: Answer) -> Iterator[Row]:
    """The periods of an answer."""
    question = answer.question
    for each in answer:
        yield Row(
            question.point,
            question.channel,
            local(each.start_ms, answer.zone),
            local(each.end_ms, answer.zone),
            None if each.value is None else str(each.value),
            answer.unit,
            str(each.state),
            each.final,
            each.expected,
            each.present,
            each.missing,
            each.estimated,
            None if each.top_ms is None else local(each.top_ms, answer.zone),
        )


def stand_row(version: StandVersion, zone: str) -> StandRow:
    """A stand as it is shown; consumption has as many decimals as the value, and as its unit usually has."""
    stand = version.stand
    used = stand.consumption
    if used is not None:
        decimals = max(-stand.value.exponent, decimals_of(stand.unit, stand.quantity))
        used = in_unit(used, stand.unit, stand.quantity, decimals)
    return StandRow(
        stand.point,
        stand.register,
        local(stand.at_ms, zone),
        stand.meter,
        str(stand.value),
        stand.unit,
        None if used is None else str(used),
        stand.character.value,
        str(stand.quality.state),
        stand.quality.final,
        stand.approved,
        version.version,
        utc(version.act.at_ms),
    )


def columns_of(answer: Answer) -> dict[str, object]:
    """An answer as columns; what all periods have alike is said once (`collector.expose.pointviews` describes them)."""
    question, columns = answer.question, answer.columns
    step_s = _step_s(columns.starts, columns.ends)
    whole = question.by is not BY[answer.cadence]
    starts = columns.starts
    return {
        "point": question.point,
        "channel": question.channel,
        "quantity": answer.quantity,
        "aggregate": answer.aggregate.value,
        "unit": answer.unit,
        "by": question.by.value,
        "zone": answer.zone,
        "from": utc(question.from_ms),
        "to": utc(question.to_ms),
        "known_at": None if question.known_ms is None else utc(question.known_ms),
        "count": len(starts),
        "start": utc(starts[0]) if starts else None,
        "step_s": step_s,
        "starts": None if step_s else [utc(each) for each in starts],
        "ends": None if step_s else [utc(each) for each in columns.ends],
        "values": decimals(answer.values, answer.exponent),
        "states": _runs(answer),
        "expected": columns.expected if whole else None,
        "present": columns.present if whole else None,
        "estimated": columns.estimated if whole else None,
        "tops": _tops(columns.tops),
    }


def decimals(values: Sequence[int | None], exponent: int) -> list[str | None]:
    """Integers times 10^exponent as decimal text."""
    return [None if each is None else str(Scaled(each, exponent)) for each in values]


def _step_s(starts: Sequence[int], ends: Sequence[int]) -> int | None:
    """How long all periods are, where they follow each other and are equally long."""
    if not starts or any(end != start for end, start in zip(ends, starts[1:], strict=False)):
        return None
    length = ends[0] - starts[0]
    even = all(after - before == length for before, after in pairwise((*starts, ends[-1])))
    return length // 1_000 if even and not length % 1_000 else None


def _runs(answer: Answer) -> list[dict[str, object]]:
    both = zip(answer.columns.states, answer.columns.finals, strict=True)
    return [
        {"count": sum(1 for _ in same), "state": str(state), "final": final} for (state, final), same in groupby(both)
    ]


def _tops(tops: Sequence[int | None]) -> list[str | None] | None:
    if all(each is None for each in tops):
        return None
    return [None if each is None else utc(each) for each in tops]
