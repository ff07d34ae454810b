"""The commands that show what is stored."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from collector import report
from collector.attest import Attestor
from collector.cli import config_option, json_option
from collector.config import Config
from collector.faults import StoreVersionError
from collector.rows import ValueRow, cell, values_of
from collector.store.interface import Store
from collector.store.opening import open_store
from protocols.errors import PlombaError

_gateway = click.option("--gateway", help="Only this gateway's.")


@contextmanager
def opened(config_file: Path) -> Iterator[tuple[Config, Store]]:
    """The configuration, and its store as it is there already.

    Raises:
        NotFoundError: there is no store yet.
    """
    config = Config.from_toml(config_file)
    store = open_store(config.store, make=False)
    try:
        yield config, store
    except sqlite3.DatabaseError as error:
        raise StoreVersionError("a store that can be read", str(error), str(config.store)) from error
    finally:
        store.close()


@click.command()
@config_option
@json_option
def status(config_file: Path, as_json: bool) -> None:
    """Show every gateway, the workers where there are several, what was refused, and the cases."""
    with opened(config_file) as (config, store):
        shown = report.status(store, config.collector)
    if as_json:
        click.echo(json.dumps(shown, indent=1))
        return
    click.echo(f"collector {shown['collector']}, generation {shown['generation']}, refused {shown['refused']}")
    gateways, cases, workers = shown["gateways"], shown["cases"], shown["workers"]
    for each in workers if isinstance(workers, list) else []:
        taken = f"shares {', '.join(map(str, each['shares']))}" if each["shares"] else "no share"
        click.echo(f"worker {each['worker']}: {taken}, since {each['since']}")
    for each in gateways if isinstance(gateways, list) else []:
        counts = ", ".join(f"{each[name]} {name}" for name in ("stored", "undecoded", "held", "readings", "conflicts"))
        click.echo(f"{each['gateway']}: {counts}, last contact {each['last_contact'] or 'never'}")
        for epoch in each["epochs"]:
            gaps = f", missing {epoch['gaps']}" if epoch["gaps"] else ""
            click.echo(f"  epoch {epoch['epoch']}: {epoch['state']}, stored {epoch['stored']}{gaps}")
    for case in cases if isinstance(cases, list) else []:
        if case["closed"] is None:
            click.echo(f"open case {case['n']}: {case['kind']} {case['gateway'] or ''} since {case['opened']}")


@click.command()
@config_option
@_gateway
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header line.")
def readings(config_file: Path, gateway: str | None, as_json: bool, as_csv: bool) -> None:
    """Print one row per value: exact, with how, when and where it was sealed, and whether it is held.

    Every reading is compared with its evidence, whose seal is verified again. Exit code 3 when some are not what was
    sealed: their rows say "altered" and are named on standard error.
    """
    if as_json and as_csv:
        raise click.UsageError("choose one of --json and --csv")
    with opened(config_file) as (_, store):
        altered: list[str] = []
        rows = _attested(store, gateway, altered)
        if as_json:
            _json_rows(rows)
        elif as_csv:
            _csv_rows(rows)
        else:
            for each in rows:
                held = f"  held: {each.held}" if each.held else ""
                when = each.slot or each.meter_time or each.gateway_time
                click.echo(f"{when}  {each.meter}  {each.key}  {each.value} {each.unit}  {each.state}{held}")
    for name in altered:
        click.echo(f"altered: {name} is not what was sealed; do not use it", err=True)
    if altered:
        raise SystemExit(3)


def _attested(store: Store, gateway: str | None, altered: list[str]) -> Iterator[ValueRow]:
    """The rows of all readings; those whose evidence does not bear them out are named in `altered`."""
    attestor = Attestor(store)
    for row in store.readings.all(gateway):
        seal = "ok" if attestor.holds(row) else "altered"
        if seal != "ok":
            altered.append(f"leaf {row.place.leaf} of batch {row.place.batch.hex()}")
        try:
            yield from values_of(row, seal)
        except PlombaError:
            continue  # nothing of it can be shown; it is among the altered ones


@click.command()
@config_option
@json_option
def refusals(config_file: Path, as_json: bool) -> None:
    """Show the newest refused messages."""
    with opened(config_file) as (_, store):
        shown = report.refusals(store)
    _list(shown, as_json, ("at", "gateway", "kind", "message"))


@click.command()
@config_option
@_gateway
@json_option
def events(config_file: Path, gateway: str | None, as_json: bool) -> None:
    """Show the records beside the readings: the gateways' audit trail."""
    with opened(config_file) as (_, store):
        shown = report.events(store, gateway)
    _list(shown, as_json, ("gateway", "seq", "record", "code", "device", "first", "last", "reason", "parameters"))


def _list(shown: list[dict[str, object]], as_json: bool, columns: tuple[str, ...]) -> None:
    if as_json:
        click.echo(json.dumps(shown, indent=1))
        return
    for each in shown:
        click.echo("  ".join(str(each[name]) for name in columns if each.get(name) is not None))


def _json_rows(rows: Iterator[ValueRow]) -> None:
    """One array, written row by row: a store is larger than memory."""
    before = "["
    for each in rows:
        sys.stdout.write(f"{before}\n{json.dumps(dataclasses.asdict(each))}")
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def _csv_rows(rows: Iterator[ValueRow]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(ValueRow)])
    for each in rows:
        writer.writerow([cell(value) for value in dataclasses.astuple(each)])
        sys.stdout.write(buffer.getvalue())
        buffer.seek(0)
        buffer.truncate()
    sys.stdout.write(buffer.getvalue())
