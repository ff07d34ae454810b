"""The commands around the torture run."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import click

from simulators.mbus.lines import Lines
from simulators.site.parts import PartError
from simulators.torture import run as story
from simulators.torture.setup import Street, Wanted

HOUSES = 100  # numbers of meters have two digits for the house


@click.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="Where the lines appear: bus0, bus1, ..."
)
@click.option("--record", type=click.Path(path_type=Path), required=True, help="File that records every answer.")
@click.option("--house", type=click.IntRange(0, HOUSES - 1), default=0, show_default=True, help="First two digits.")
@click.option("--meters", type=click.IntRange(1, 10_000), default=6, show_default=True, help="How many meters.")
@click.option("--seed", type=int, default=0, show_default=True, help="Makes growth repeatable.")
def lines(*, folder: Path, record: Path, house: int, meters: int, seed: int) -> None:
    """Any number of M-Bus meters on several lines until SIGTERM; SIGUSR1 silences them for good."""
    try:
        found = Lines(folder, record, house, meters, seed)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{meters} meters in {folder}, process {os.getpid()}", err=True)
    try:
        asyncio.run(_serve(found))
    finally:
        found.close()


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Draws every fault.")
@click.option("--seconds", type=click.FloatRange(5, 86_400), default=60, show_default=True, help="Of faults.")
@click.option("--gateways", type=click.IntRange(1, HOUSES), default=2, show_default=True, help="How many gateways.")
@click.option("--meters", type=click.IntRange(1, 1_000), default=6, show_default=True, help="Of each gateway.")
@click.option(
    "--broker",
    type=click.Choice(["mosquitto", "nats"]),
    default="mosquitto",
    show_default=True,
    help="The broker between them.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 8),
    default=0,
    show_default=True,
    help="Of the collector, on a database of PostgreSQL that is tormented too; 0: one, on a file.",
)
@click.option("--run-folder", type=click.Path(path_type=Path), help="Keep everything here; without it nothing stays.")
@click.option("--program", "programs", multiple=True, metavar="NAME=COMMAND", help="Start this in place of a daemon.")
def torture(
    *,
    seed: int,
    seconds: float,
    gateways: int,
    meters: int,
    broker: str,
    workers: int,
    run_folder: Path | None,
    programs: tuple[str, ...],
) -> None:
    """Real processes under faults that SEED draws, and a count; the last line is one JSON object."""
    instead = dict(each.partition("=")[::2] for each in programs)
    folder = (run_folder or Path(tempfile.mkdtemp(prefix="plomba-torture-"))).absolute()
    try:
        result = asyncio.run(_tortured(Wanted(folder, seed, gateways, meters, broker, workers, instead), seconds))
    except* PartError as errors:
        _give_up(f"{_first(errors)}; the files stay in {folder}")
    except* asyncio.CancelledError:
        _give_up("asked to stop: everything is stopped")
    click.echo(result.to_json())
    if run_folder is None and result.holds:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(0 if result.holds else 1)


async def _tortured(wanted: Wanted, seconds: float) -> story.Result:
    began = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - began:6.1f} s  {text}", err=True)

    me = asyncio.current_task()
    if me is not None:  # SIGTERM ends it as Ctrl-C does: everything that was started is stopped
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    street = Street(wanted)
    try:
        await street.set_up()
    except BaseException:
        await street.stop()
        await street.close()
        raise
    say(f"{wanted.gateways} gateways with {wanted.meters} meters each are set up in {wanted.folder}")
    try:
        return await story.torture(street, seconds, say)
    finally:
        await street.close()


async def _serve(found: Lines) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, found.freeze)
    await found.serve(stop)


def _first(errors: BaseExceptionGroup[PartError]) -> BaseException:
    """The first error in groups of groups."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _give_up(reason: str) -> NoReturn:
    click.echo(f"Error: {reason}", err=True)
    click.echo(story.not_counted(reason))
    raise SystemExit(1)
