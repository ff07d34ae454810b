"""The commands of the master data: import, points, meters, who waits, and the exchange of a meter."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from collector import cli_change, told
from collector.cli import FAILED, config_option, file_argument, json_option
from collector.cli_show import opened
from collector.cli_who import final_option, instant_at, now_ms, stood_of, who_option, why_option
from collector.enter import enter, octets_of
from collector.faults import NotEnteredError, SheetError
from collector.master.clocks import instant
from collector.master.dated import Act
from collector.master.meters import Kind
from collector.master.sheet import read
from collector.store.master import MARKS, Master

PAGE = 500  # things read at once


_known = click.option("--known-at", help="As it was known then: a day (UTC) or an instant as 2026-03-01T06:00Z.")


@click.command("import-points")
@click.argument("sheet", metavar="CSV", type=file_argument)
@config_option
@click.option("--dry-run", is_flag=True, help="Check everything and enter nothing.")
@click.option("--correct", is_flag=True, help="Where something else holds, let the file count from its 'from' on.")
@who_option
@why_option
@json_option
def import_points(
    sheet: Path, config_file: Path, dry_run: bool, correct: bool, who: str, why: str, as_json: bool
) -> None:
    """Enter points, meters, registers, installations and channels from a CSV file; all of it, or nothing.

    Every fault is told at once with line and column. Given again it changes nothing. docs/master.md has the columns.
    """
    try:
        said = read(octets_of(sheet), str(sheet))
        with opened(config_file) as (_, store):
            act = Act(who, now_ms(), why or f"import of {sheet.name}")
            done = enter(store, said, str(sheet), act, correct=correct, dry=dry_run)
    except SheetError as error:
        if not (as_json and error.problems):
            raise
        rows = [each.row() for each in error.problems]
        click.echo(json.dumps({"ok": False, "file": str(sheet), "dry_run": dry_run, "problems": rows}, indent=1))
        raise SystemExit(FAILED) from None
    click.echo(json.dumps(done.row, indent=1) if as_json else done.sentence)


@click.group(invoke_without_command=True)
@click.pass_context
@click.option("--config", "config_file", type=file_argument, help="The collector's configuration (TOML).")
@_known
@json_option
def points(ctx: click.Context, config_file: Path | None, known_at: str | None, as_json: bool) -> None:
    """List the metering points that hold now; 'points show ID' tells all of one."""
    if ctx.invoked_subcommand is None:
        _list(_needed(config_file), known_at, as_json, lambda master: master.points)


@points.command("show")
@click.argument("point", metavar="ID")
@config_option
@_known
@click.option("--history", is_flag=True, help="Every row that was ever entered, with who, when and why.")
@json_option
def show_point(point: str, config_file: Path, known_at: str | None, history: bool, as_json: bool) -> None:
    """Tell all of a metering point: installations, channels, supplies, relations, what must be computed again."""
    known_ms = _known_ms(known_at)
    with opened(config_file) as (_, store):
        master = store.master
        tables = {
            "point": master.points,
            "supplies": master.supplies,
            "relations": master.relations,
            "installations": master.installations,
            "channels": master.channels,
            "computed": master.computed,
        }
        shown = _told(tables, known_ms, history, point=point)
        marks = [told.mark(each) for each in master.recompute(MARKS) if each.point == point]
    _one(shown | ({} if known_at or history else {"recompute": marks}), "point", point, as_json)


for _command in cli_change.OF_POINTS:
    points.add_command(_command)


@click.group(invoke_without_command=True)
@click.pass_context
@click.option("--config", "config_file", type=file_argument, help="The collector's configuration (TOML).")
@_known
@json_option
def meters(ctx: click.Context, config_file: Path | None, known_at: str | None, as_json: bool) -> None:
    """List the meters; 'meters show SERIAL' tells all of one."""
    if ctx.invoked_subcommand is None:
        _list(_needed(config_file), known_at, as_json, lambda master: master.meters)


@meters.command("show")
@click.argument("serial")
@config_option
@_known
@click.option("--history", is_flag=True, help="Every row that was ever entered, with who, when and why.")
@json_option
def show_meter(serial: str, config_file: Path, known_at: str | None, history: bool, as_json: bool) -> None:
    """Tell all of a meter: identity, registers, where it is and was installed, which device shows it."""
    known_ms = _known_ms(known_at)
    with opened(config_file) as (_, store):
        master = store.master
        tables = {
            "meter": master.meters,
            "registers": master.registers,
            "installations": master.installations,
            "mapped": master.mapped,
        }
        shown = _told(tables, known_ms, history, meter=serial)
    _one(shown, "meter", serial, as_json)


for _command in cli_change.OF_METERS:
    meters.add_command(_command)


@click.command()
@config_option
@json_option
def waiting(config_file: Path, as_json: bool) -> None:
    """List the meters that are read and were not entered: their readings wait and are attributed when they are."""
    with opened(config_file) as (_, store):
        rows = [told.waiting(each) for each in store.master.waiting()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for each in rows:
        where = f"{each['gateway']} {' '.join(each['devices'])}".strip()
        click.echo(f"{each['meter']}  {where}  {each['readings']} readings since {each['since']}")
    click.echo(f"{len(rows)} meters wait", err=True)


@click.command()
@click.argument("point")
@click.argument("old")
@click.argument("new")
@config_option
@click.option("--at", "at", required=True, help="When: a time of the point's zone as 2026-03-01T09:30, or an instant.")
@final_option
@click.option("--initial", "initial", multiple=True, metavar="REGISTER=VALUE", help="... the new one; repeated.")
@click.option("--clock", help="The zone of the new meter's clock [default: as the old one's].")
@who_option
@why_option
@json_option
def exchange(
    point: str,
    old: str,
    new: str,
    config_file: Path,
    at: str,
    final: tuple[str, ...],
    initial: tuple[str, ...],
    clock: str | None,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Record that at POINT the meter OLD went and the meter NEW came, in one act; both were entered before.

    Values are in the unit that the register shows, as read off the meters.
    """
    with opened(config_file) as (_, store):
        at_ms = instant_at(store, point, at)
        with store.transaction(), store.master.acting(Act(who, now_ms(), why or "meter exchange")) as change:
            both = change.exchange(point, old, new, at_ms, stood_of(final), stood_of(initial), clock)
        for each, stood, what in ((old, both[0].final, "final"), (new, both[1].initial, "initial")):
            totals = {row.name for row in store.master.registers.at(at_ms, meter=each) if row.kind is Kind.TOTAL}
            for name in sorted(totals - {one.register for one in stood}):
                click.echo(f"no {what} value of {name} of meter {each}: its next reading counts", err=True)
    rows = [told.word(each) for each in both]
    if as_json:
        click.echo(json.dumps({"old": rows[0], "new": rows[1]}, indent=1))
    else:
        click.echo("\n".join(told.line(each) for each in rows))


def _needed(config_file: Path | None) -> Path:
    if config_file is None:
        raise click.UsageError("Missing option '--config'.")
    return config_file


def _known_ms(text: str | None) -> int | None:
    return None if text is None else instant(text, zoneinfo.ZoneInfo("UTC").key)


def _list(config_file: Path, known_at: str | None, as_json: bool, table: Callable[[Master], Any]) -> None:
    """What holds now, page by page: there may be more than memory holds."""
    known_ms, count = _known_ms(known_at), 0
    now = known_ms or now_ms()
    with opened(config_file) as (_, store):
        for row in _pages(table(store.master), known_ms, now):
            before = "," if count else "["
            click.echo(f"{before}\n{json.dumps(row)}" if as_json else told.line(row), nl=not as_json)
            count += 1
    if as_json:
        click.echo("\n]" if count else "[]")


def _pages(table: Any, known_ms: int | None, now: int) -> Iterator[dict[str, Any]]:
    after = ""
    while page := table.page(after, PAGE, known_ms):
        for each in page:
            after = table.form.to_row(each)[0]
            if each.span.holds(now):
                yield told.word(each)


def _told(tables: dict[str, Any], known_ms: int | None, history: bool, **only: str) -> dict[str, list[dict[str, Any]]]:
    if history:
        return {name: [told.version(each) for each in table.versions(**only)] for name, table in tables.items()}
    return {name: [told.word(each) for each in table.all(known_ms, **only)] for name, table in tables.items()}


def _one(shown: dict[str, list[dict[str, Any]]], what: str, name: str, as_json: bool) -> None:
    if not shown[what]:
        raise NotEnteredError(f"a {what} that was entered", repr(name[:64]), "the store")
    if as_json:
        click.echo(json.dumps(shown, indent=1))
        return
    for kind, rows in shown.items():
        for each in rows:
            click.echo(f"{kind}: {told.line(each)}")
