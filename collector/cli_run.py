"""The commands that use the pipe: the daemon, and the check of a broker."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import click

from collector import logs
from collector.cli import FAILED, config_option, json_option
from collector.config import Config
from collector.seat import Seat


def _seat(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Seat | None:
    """A seat as it is written on the command line."""
    try:
        return None if text is None else Seat.from_text(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@config_option
@click.option("--worker", "seat", metavar="N/M", callback=_seat, help="The N-th of M that share one database's work.")
def run(config_file: Path, seat: Seat | None) -> None:
    """Run the collector until SIGTERM.

    With --worker N/M it takes what comes from the N-th of M shares of the gateways, and from those of workers that are
    not there. The store must be in PostgreSQL then. There a second one that is started without it, or on a seat that is
    taken, waits and is there when the first one ends.
    """
    from collector.daemon import run as run_daemon  # noqa: PLC0415 - loads the MQTT client

    logs.set_up()
    run_daemon(Config.from_toml(config_file), seat)


_party = (str, click.Path(path_type=Path), click.Path(path_type=Path))


@click.command("broker-check")
@config_option
@click.option("--gateway", type=_party, required=True, help="A gateway: name, certificate and key (PEM files).")
@click.option("--other", type=_party, required=True, help="Another gateway: name, certificate and key.")
@json_option
def broker_check(
    config_file: Path, gateway: tuple[str, Path, Path], other: tuple[str, Path, Path], as_json: bool
) -> None:
    """Try at the live broker all that must fail and all that must work."""
    from collector.brokercheck import CheckTarget  # noqa: PLC0415 - loads the MQTT client
    from collector.brokercheck import broker_check as check  # noqa: PLC0415
    from collector.daemon import pipe_settings  # noqa: PLC0415

    mine = pipe_settings(Config.from_toml(config_file))
    parties = [dataclasses.replace(mine, certificate=party[1], key=party[2]) for party in (gateway, other)]
    target = CheckTarget(mine, parties[0], gateway[0], parties[1], other[0])
    results = asyncio.run(check(target))
    if as_json:
        rows = [{"check": each.name, "expected": each.expected, "got": each.got, "ok": each.ok} for each in results]
        click.echo(json.dumps(rows, indent=1))
    else:
        for each in results:
            click.echo(f"{'ok  ' if each.ok else 'FAIL'} {each.name}: {each.got}")
    if not all(each.ok for each in results):
        raise SystemExit(FAILED)
