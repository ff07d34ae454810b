"""What the command `read` does: one meter read now and shown; what it shows goes to stdout, talk to stderr.

`--json` prints what `decode --json` prints of a telegram, with the records of all telegrams of the answer, and beside
it when the exchange was and each telegram in hex.
"""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import Any

import click

from gateway.adhoc import said
from gateway.exchanges import spanning
from gateway.lines import MACHINE, Lines
from gateway.visit import Visit, Visited, decoded, step, visit
from protocols.errors import LinkError, MeterError
from protocols.mbus import dif, explain
from protocols.mbus.explain import ShownRecord, ShownTelegram
from protocols.reading import TimeQuality

OK, FAILED = 0, 1
UNKNOWN = TimeQuality(synchronised=False, uncertainty_ms=None)


def read(asked: Visit, as_json: bool, raw: bool, lines: Lines = MACHINE) -> int:
    """Read the meter, print what it shows, and give the exit code."""
    try:
        found = asyncio.run(visit(asked, lines))
        if raw:
            click.echo("\n".join(each.frame.octets.hex() for each in found.answers))
        _tell(found)
        decoded(asked, found)
    except MeterError as error:
        click.echo(said(error, asked.place, step(asked, error)), err=True)
        return FAILED
    except LinkError as error:
        click.echo(said(error, asked.place), err=True)
        return FAILED
    if not raw:
        parts = [explain.explain(each.frame) for each in found.answers]
        for_programs = [explain.in_seconds(each) for each in parts]
        click.echo(json.dumps(_row(found, for_programs)) if as_json else "\n".join(_rows(found, parts)))
    return OK


def _tell(found: Visited) -> None:
    """What happened on the way, where it was not all well."""
    counts = (
        ("questions repeated", found.repeated),
        ("damaged answers", found.damaged),
        ("answers of other meters, none of them taken", found.foreign),
    )
    told = "; ".join(f"{words}: {count}" for words, count in counts if count)
    if told:
        click.echo(told, err=True)


def _row(found: Visited, parts: list[ShownTelegram]) -> dict[str, Any]:
    """One object for the whole answer."""
    made = spanning(found.answers[0], found.answers[-1], b"", UNKNOWN, keep=False)
    joined = {
        "status": list(dict.fromkeys(chain.from_iterable(each.status for each in parts))),
        "more": parts[-1].more,
        "partial": any(each.partial for each in parts),
        "manufacturer_data": "".join(each.manufacturer_data for each in parts),
        "records": [asdict(record) for each in parts for record in each.records],
    }
    telegrams = [
        {"raw": each.frame.octets.hex(), "at": _instant(each.at_ms), "round_trip_ms": each.round_trip_ms}
        for each in found.answers
    ]
    return {
        **asdict(parts[0]),
        **joined,
        "at": _instant(made.at_ms),
        "round_trip_ms": made.round_trip_ms,
        "telegrams": telegrams,
    }


def _rows(found: Visited, parts: list[ShownTelegram]) -> Iterator[str]:
    """Who answered and when, and a line for each record."""
    first, row = parts[0], _row(found, parts)
    who = f"{first.manufacturer or '-'} {first.id or '-'}, version {first.version}, medium {first.medium}"
    yield f"{who} ({first.medium_name or 'not said'}), address {first.address}"
    status = ", ".join(row["status"]) or "nothing to report"
    yield f"read {row['at']}, {row['round_trip_ms']} ms, {len(parts)} telegram(s); status: {status}"
    if row["partial"] or row["more"]:
        yield "the answer broke off: not all that the meter has is here"
    records = [record for each in parts for record in each.records]
    width = max((len(_place(each)) for each in records), default=0)
    for each in records:
        value = "-" if each.value is None else each.value
        notes = [note for note in (*each.qualifiers, each.state) if note not in (each.function, "ok")]
        yield f"  {_place(each):{width}}  {value} {each.unit}".rstrip() + (f"  ({', '.join(notes)})" if notes else "")


def _place(record: ShownRecord) -> str:
    """Which register it is: its quantity, and where it stands if that is not the present value."""
    numbers = (("storage", record.storage), ("tariff", record.tariff), ("subunit", record.subunit))
    parts = [f"{name} {number}" for name, number in numbers if number]
    function = [] if record.function == dif.FUNCTIONS[0] else [record.function]
    return ", ".join([record.quantity, *function, *parts])


def _instant(at_ms: int) -> str:
    instant = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
