"""The command that shows what is held, for which purpose and until when."""

from __future__ import annotations

import json
from pathlib import Path

import click

from collector import logs
from collector.cli import config_option, json_option
from collector.cli_show import opened
from collector.cli_who import now_ms
from collector.erase.held import Held, held
from collector.erase.retain import Retention
from collector.erase.work import words
from collector.shown import utc


@click.command()
@config_option
@click.option("--point", help="Only what there is of this metering point.")
@click.option("--once", is_flag=True, help="First erase what no purpose holds any more, where [retention] says remove.")
@json_option
def retention(config_file: Path, point: str | None, once: bool, as_json: bool) -> None:
    """Show what is held, for which purpose, and until when the oldest of it is.

    Nothing is erased but with --once, and only where the configuration has remove = true in [retention]; 'run' does
    so by itself then. What was erased is told on standard error, and in the journal.
    """
    logs.set_up()
    with opened(config_file) as (config, store):
        done = Retention(store, config.purposes, config.safe_after_s * 1_000).all(now_ms()) if once else None
        rows, kept = held(store, config.purposes, now_ms(), point), store.erasures.retained()
    if as_json:
        click.echo(json.dumps({"held": [each.shown() for each in rows], "batches": kept, "erased": done}, indent=1))
    else:
        for each in rows:
            click.echo(_line(each))
        for why, count in kept.items():
            click.echo(f"{count} batches that diagnosis holds no more stay: {why}")
        if not config.purposes.remove:
            click.echo("nothing is erased by itself: [retention] has no remove = true")
    if done is not None:
        click.echo(f"erased: {words({name: count for name, count in sorted(done.items()) if count})}", err=True)


def _line(row: Held) -> str:
    until = "for ever" if row.until_ms is None else f"the oldest until {utc(row.until_ms)}"
    since = "" if row.oldest_ms is None else f", from {utc(row.oldest_ms)} on"
    return f"{row.count} {row.what}{since}: {row.purpose}, {until}" if row.count else f"no {row.what}: {row.purpose}"
