"""The commands that answer questions to points: their series, stands and newest values."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from collector.cli import config_option, json_option
from collector.cli_show import opened
from collector.grid import By, local
from collector.master.dated import Span
from collector.query.ask import Question, ask
from collector.query.book import MasterBook
from collector.query.latest import latest as newest
from collector.query.shown import Row, StandRow, columns_of, rows_of, stand_row
from collector.query.source import zone_at
from collector.query.times import instant_of
from collector.rows import cell
from collector.store.interface import Store

_csv = click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header line.")
_known = click.option(
    "--known-at", "known_at", metavar="TIME", help="As was known then; now where left out. Written as --from."
)
_from = click.option(
    "--from", "begin", metavar="TIME", required=True, help="From when: 2026-03-01, 2026-03, 2026 or 2026-03-01T06:00."
)
_to = click.option("--to", "end", metavar="TIME", help="Until before this day, month, year or time; now if left out.")


@click.command()
@click.argument("point")
@click.argument("channel")
@config_option
@_from
@_to
@click.option("--by", type=click.Choice([each.value for each in By]), default="day", help="The periods (day).")
@click.option("--unit", metavar="UNIT", help="Such as kWh, MWh, GJ, m3; the quantity's base unit where left out.")
@click.option("--decimals", type=int, metavar="N", help="How many decimals of the unit; rounded once, half to even.")
@_known
@json_option
@_csv
def series(
    point: str,
    channel: str,
    config_file: Path,
    begin: str,
    end: str | None,
    by: str,
    unit: str | None,
    decimals: int | None,
    known_at: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print a channel's values by periods of the point's time zone.

    POINT is a metering point's id, CHANNEL a channel of it, read or computed. Each period says how many of its
    intervals have a value, how many are missing or estimated, and the worst state of them; what is missing is never
    a zero. Times are those of the point's zone; --json has them in UTC, and the values as columns.
    """
    _one_form(as_json, as_csv)
    now_ms = _now_ms()
    with opened(config_file) as (_, store):
        zone = _zone(store, point, now_ms)
        span = (_instant(begin, zone, "--from", now_ms), _instant(end, zone, "--to", now_ms))
        known_ms = None if known_at is None else instant_of(known_at, zone, "--known-at")
        question = Question(point, channel, *span, By(by), unit, decimals, known_ms)
        answer = ask(store.curves, MasterBook(store.master), question, now_ms)
    if as_json:
        click.echo(json.dumps(columns_of(answer)))
    elif as_csv:
        _print_csv(Row, rows_of(answer))
    else:
        for each in rows_of(answer):
            counted = "" if each.expected == 1 else f"  {each.present} of {each.expected}"
            estimated = f", {each.estimated} estimated" if each.estimated and each.expected > 1 else ""
            top = f"  at {each.top}" if each.top else ""
            shown = "-" if each.value is None else f"{each.value} {each.unit}"
            click.echo(f"{each.start}  {shown}{top}  {each.state}{' final' if each.final else ''}{counted}{estimated}")


@click.command()
@click.argument("point")
@config_option
@click.option("--from", "begin", metavar="TIME", default="1971", help="From when, as in 'series'; all if left out.")
@_to
@click.option("--register", help="Only this register's.")
@_known
@json_option
@_csv
def stands(
    point: str,
    config_file: Path,
    begin: str,
    end: str | None,
    register: str | None,
    known_at: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print the stands of a metering point's registers: date, value, consumption since the last one, and character."""
    _one_form(as_json, as_csv)
    now_ms = _now_ms()
    with opened(config_file) as (_, store):
        zone = _zone(store, point, now_ms)
        span = (_instant(begin, zone, "--from", now_ms), _instant(end, zone, "--to", now_ms))
        known_ms = None if known_at is None else instant_of(known_at, zone, "--known-at")
        rows = [stand_row(each, zone) for each in store.stands.of(point, *span, known_ms, register)]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in rows], indent=1))
    elif as_csv:
        _print_csv(StandRow, rows)
    else:
        for each in rows:
            used = "" if each.consumption is None else f"  used {each.consumption} {each.unit}"
            shown = f"{each.register}  {each.value} {each.unit}{used}"
            click.echo(f"{each.at}  {each.meter}  {shown}  {each.character}, {each.state}")


@click.command()
@click.argument("point")
@config_option
@_known
@json_option
def latest(point: str, config_file: Path, known_at: str | None, as_json: bool) -> None:
    """Print the newest value of each channel of a metering point, in base units, with when its interval ended."""
    now_ms = _now_ms()
    with opened(config_file) as (_, store):
        zone = _zone(store, point, now_ms)
        known_ms = None if known_at is None else instant_of(known_at, zone, "--known-at")
        found = newest(store.curves, MasterBook(store.master), point, now_ms, known_ms)
    if as_json:
        shown = [
            {"channel": each.channel, "latest": None if each.answer is None else columns_of(each.answer)}
            for each in found
        ]
        click.echo(json.dumps(shown, indent=1))
        return
    for each in found:
        period, answer = each.period, each.answer
        if period is None or answer is None:
            click.echo(f"{each.channel}  nothing yet")
            continue
        until = local(period.end_ms, answer.zone)
        click.echo(f"{each.channel}  {period.value} {answer.unit}  until {until}  {period.state}")


def _one_form(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise click.UsageError("choose one of --json and --csv")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _zone(store: Store, point: str, now_ms: int) -> str:
    """The zone in which times are written: the point's of now."""
    return zone_at(MasterBook(store.master), point, Span(now_ms, now_ms + 1), None)


def _instant(text: str | None, zone: str, what: str, now_ms: int) -> int:
    return now_ms if text is None else instant_of(text, zone, what)


def _print_csv(form: type[Any], rows: Iterable[Any] | Sequence[Any]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(form)])
    for each in rows:
        writer.writerow([cell(value) for value in dataclasses.astuple(each)])
