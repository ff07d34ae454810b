"""What the command `profile` does: rows of a profile as they come, as a table, as JSON lines in one object, or as CSV.

Rows go to stdout, what stands around them in a table to stderr. Times are those of the meter's own clock, beside them
its offset from UTC where it shows one; values are exact decimals in their unit. Exit code 3: rows are missing behind
those that are printed, and stderr says why.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import click

from gateway.adhoc import said
from gateway.desk import Asked, desk_of
from gateway.dlms_further import is_compressed
from gateway.excerpt import Profile, Wish
from gateway.findings import OK, PARTIAL
from gateway.lines import MACHINE, Lines
from gateway.online import against
from gateway.regain import Regained
from protocols import obis
from protocols.dlms import naming
from protocols.dlms.profile import NOTHING, Column, Row
from protocols.errors import LinkError, MeterError
from protocols.mbus.explain import written
from protocols.reading import MeterTime, Raw, State, Value

TABLE, JSON, CSV = "table", "json", "csv"
GAP = "  "


def profile(asked: Asked, name: bytes, wish: Wish, form: str, lines: Lines = MACHINE, compressed: bool = False) -> int:
    """Read the rows and print them as they come; JSON is one object, in the end. The exit code: 0, or 3 for a part.

    `compressed`: a null is the value of the row above, as it is for a meter that is configured so.

    Raises:
        MeterError, LinkError: no usable answer, and there is no row.
    """
    undone = compressed or is_compressed(asked.device)
    return asyncio.run(_shown(asked, name, wish, form, lines, undone))


async def _shown(asked: Asked, name: bytes, wish: Wish, form: str, lines: Lines, compressed: bool) -> int:
    paper = _Paper(form)
    code = OK
    with closing(desk_of(asked, lines)) as desk:

        def tell(error: LinkError | MeterError, what: str) -> None:
            click.echo(f"{said(error, asked.place)}; {what}", err=True)

        regained = Regained(asked, desk, name, wish, compressed, tell)
        try:
            async for found, rows in regained.parts():
                paper.take(found, rows)
        except (LinkError, MeterError) as error:
            if not paper.count:
                raise
            tell(error, "what came before is here, and it is not all")
            code = PARTIAL
    paper.end(code == OK)
    return code


class _Paper:
    """What is printed of a profile, in one form."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._found: Profile | None = None
        self._widths: list[int] = []
        self._rows: list[dict[str, Any]] = []
        self.count = 0

    def take(self, found: Profile, rows: Sequence[Row]) -> None:
        """Print rows, behind the heads where these are the first ones."""
        if self._found is None:
            self._found = found
            self._begin(found)
        for row in rows:
            self.count += 1
            if self._form == JSON:
                self._rows.append(_row(found, row))
            elif self._form == CSV:
                click.echo(_csv(_csv_cells(found, row)))
            else:
                cells = [_time(row), _status(row), *map(_cell, row.values)]
                click.echo(_line(cells, self._widths) + _remarks(row))

    def end(self, complete: bool) -> None:
        """Print what stands at the end."""
        if self._form == TABLE:
            click.echo(f"{self.count} rows", err=True)
        elif self._form == JSON and self._found is not None:
            click.echo(json.dumps(_head(self._found) | {"rows": self._rows, "complete": complete}))

    def _begin(self, found: Profile) -> None:
        if self._form == CSV:
            click.echo(_csv(_csv_heads(found)))
        elif self._form == TABLE:
            click.echo("\n".join(_introduction(found)), err=True)
            heads = ["time", "status", *(_titled(found, each) for each in found.valued)]
            self._widths = [25, 8, *(max(14, len(head)) for head in heads[2:])]
            click.echo(_line(heads, self._widths))


def _introduction(found: Profile) -> Iterator[str]:
    """Whose profile it is, its clock beside ours, and what the columns are."""
    who = " ".join(each for each in found.meter if each) or "a meter that does not say who it is"
    every = f"every {found.period_s} s" if found.period_s else "not at regular times"
    yield f"{who}: {naming.name(7, found.name)} ({obis.shown(found.name)}), captured {every}"
    clock = "shows no time" if found.clock is None else against(found.clock, found.at_ms)
    yield f"clock: {clock}"
    for each in found.valued:
        scaler = found.scalers.get(each.attribute)
        scaled = "no scaler" if scaler is None else f"x 10^{scaler.exponent} {_unit(found, each) or 'no unit'}"
        yield f"{GAP}{_label(each)}: {naming.name(each.attribute.class_id, each.attribute.name)}, {scaled}"


def _unit(found: Profile, column: Column) -> str:
    scaler = found.scalers.get(column.attribute)
    return "" if scaler is None else scaler.unit if scaler.unit is not None else "unknown unit"


def _label(column: Column) -> str:
    """Which register a column holds: its name, and the attribute where it is not the value."""
    asked = column.attribute
    part = f"[{column.part}]" if column.part else ""
    return obis.shown(asked.name) + (f"/{asked.number}" if asked.number != 2 else "") + part


def _titled(found: Profile, column: Column) -> str:
    unit = _unit(found, column)
    return f"{_label(column)} {unit}".rstrip()


def _line(cells: list[str], widths: list[int]) -> str:
    """Time and status from the left, values from the right."""
    texts = (f"{cell:{width}}" for cell, width in zip(cells[:2], widths[:2], strict=True))
    numbers = (f"{cell:>{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True))
    return GAP.join([*texts, *numbers]).rstrip()


def _time(row: Row) -> str:
    if row.time is None:
        return "no time" if row.clock is None else f"no time: {row.clock.octets.hex()}"
    return str(row.time) + _offset(row.time)


def _offset(time: MeterTime) -> str:
    if time.deviation_min is None:
        return ""
    hours, minutes = divmod(abs(time.deviation_min), 60)
    return f"{'+' if time.deviation_min >= 0 else '-'}{hours:02}:{minutes:02}"


def _status(row: Row) -> str:
    return "-" if row.status is None else f"{row.status:02x}"


def _cell(value: Value) -> str:
    """A value; of one that is none, or may not be trusted, its state."""
    if value.number == NOTHING:
        return "null"
    return _number(value) if value.state is State.OK else f"{_number(value)} ({_state(value)})"


def _number(value: Value) -> str:
    return value.number.octets.hex() if isinstance(value.number, Raw) else written(value.number) or "-"


def _state(value: Value) -> str:
    return value.state.name.lower().replace("_", "-")


def _remarks(row: Row) -> str:
    said = (
        ("summer time", row.time is not None and row.time.summer),
        ("its time is reckoned: the row has none of its own", row.repeated and row.time is not None),
        ("it has no time, and no row above it has one", row.repeated and row.time is None),
        ("what was null in it is as in the row above", any(row.nulls) or row.status_repeated),
        ("the meter calls its time wrong", row.invalid),
        ("the meter doubts its time", row.doubtful),
    )
    return "".join(f"{GAP}{words}" for words, holds in said if holds)


def _csv_heads(found: Profile) -> list[str]:
    values = [f"{_label(each)} [{_unit(found, each)}]" for each in found.valued]
    return ["time", "offset_min", "summer", "clock", "invalid", "repeated", "status", *values]


def _csv_cells(found: Profile, row: Row) -> list[str]:
    time = row.time
    offset = "" if time is None or time.deviation_min is None else str(time.deviation_min)
    octets = "" if row.clock is None else row.clock.octets.hex()
    summer = "" if time is None else str(int(time.summer))
    status = "" if row.status is None else f"{row.status:02x}"
    marks = [str(int(row.invalid)), str(int(row.repeated))]
    values = [_number(each) if each.state is State.OK else "" for each in row.values]
    return ["" if time is None else str(time), offset, summer, octets, *marks, status, *values]


def _csv(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _head(found: Profile) -> dict[str, Any]:
    clock = found.clock
    return {
        "meter": found.meter[0],
        "serial": found.meter[1],
        "profile": obis.shown(found.name),
        "period_s": found.period_s or None,
        "clock": None if clock is None else {"time": str(clock), "offset_min": clock.deviation_min},
        "columns": [_column(found, each) for each in found.valued],
    }


def _column(found: Profile, column: Column) -> dict[str, Any]:
    scaler = found.scalers.get(column.attribute)
    return {
        "class": column.attribute.class_id,
        "obis": obis.shown(column.attribute.name),
        "attribute": column.attribute.number,
        "part": column.part,
        "name": naming.name(column.attribute.class_id, column.attribute.name),
        "scaler": None if scaler is None else scaler.exponent,
        "unit": None if scaler is None else scaler.unit,
    }


def _row(found: Profile, row: Row) -> dict[str, Any]:
    time = row.time
    return {
        "time": None if time is None else str(time),
        "offset_min": None if time is None else time.deviation_min,
        "summer": None if time is None else time.summer,
        "clock": None if row.clock is None else row.clock.octets.hex(),
        "invalid": row.invalid,
        "doubtful": row.doubtful,
        "repeated": row.repeated,
        "status": row.status,
        "values": [
            _value(each, null) for each, null in zip(row.values, row.nulls or (False,) * len(row.values), strict=True)
        ],
    }


def _value(value: Value, null: bool) -> dict[str, Any]:
    """A value; one that was null, and is that of the row above, says so."""
    said = None if value.number == NOTHING else _number(value)
    return {"value": said, "unit": value.unit, "state": _state(value)} | ({"as_above": True} if null else {})
