"""The command `plomba-simulator`: meters that are not there."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

import click

from simulators.mbus.bus import Bus
from simulators.mbus.faults import Faults
from simulators.mbus.line import PtyLine, serve
from simulators.mbus.meters import cellar
from simulators.record import Record
from simulators.site import check
from simulators.site.check import Result
from simulators.site.parts import PartError
from simulators.site.setup import Site


@click.group()
def main() -> None:
    """Simulated meters on real terminals, with their own record of what they answered."""


@main.command()
@click.option(
    "--link", type=click.Path(path_type=Path), required=True, help="Where the line appears (a symbolic link)."
)
@click.option("--record", type=click.Path(path_type=Path), required=True, help="File that records every answer.")
@click.option("--baud", type=click.IntRange(300, 38_400), default=2400, show_default=True, help="Speed for --pace.")
@click.option("--pace", is_flag=True, help="Answer at the speed of the line instead of at once.")
@click.option("--seed", type=int, default=0, show_default=True, help="Makes growth and faults repeatable.")
@click.option(
    "--faults", "written", default="", help='For example "noise=0.05,silent=0.05,garble=0.05,late=0.02,echo".'
)
def meters(*, link: Path, record: Path, baud: int, pace: bool, seed: int, written: str) -> None:
    """Three M-Bus meters on a pseudo-terminal until SIGTERM; SIGUSR1 makes them fall silent for good."""
    try:
        faults = Faults.parse(written)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error
    kept = Record(record)
    bus = Bus(cellar(), kept, _utc_ms, seed, faults)
    try:
        line = PtyLine(link)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    _introduce(bus, line, record, written, baud if pace else None)
    try:
        asyncio.run(_run(bus, line, baud if pace else None))
    finally:
        line.close()
        kept.close()
    click.echo("stopped", err=True)


@main.command("demo-check")
@click.option("--run-folder", type=click.Path(path_type=Path), required=True, help="Where the site lives; is emptied.")
@click.option("--kill-seed", type=int, default=None, help="Kill parts of the site at random, repeatably.")
def demo_check(*, run_folder: Path, kill_seed: int | None) -> None:
    """Run a whole site for a minute, cut its link, count what arrived; the last line is one JSON object."""
    site = Site(run_folder)
    try:
        result = asyncio.run(_checked(site, kill_seed))
    except PartError as error:
        _give_up(str(error))
    except asyncio.CancelledError:
        _give_up("asked to stop: everything is stopped")
    click.echo(result.to_json())
    raise SystemExit(0 if result.holds else 1)


def _give_up(reason: str) -> NoReturn:
    click.echo(f"Error: {reason}", err=True)
    click.echo(check.not_counted(reason))
    raise SystemExit(1) from None


async def _checked(site: Site, kill_seed: int | None) -> Result:
    began = time.monotonic()
    me = asyncio.current_task()
    if me is not None:  # SIGTERM ends it as Ctrl-C does: everything that was started is stopped
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    await site.set_up()
    click.echo(f"the site is set up in {time.monotonic() - began:.1f} s: {site.folder}", err=True)
    return await check.demo_check(site, kill_seed, lambda text: click.echo(f"  {text}", err=True))


async def _run(bus: Bus, line: PtyLine, baud: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, _freeze, bus)
    await serve(bus, line, stop, baud)


def _freeze(bus: Bus) -> None:
    bus.frozen = True
    click.echo("frozen: the meters answer no more", err=True)


def _introduce(bus: Bus, line: PtyLine, record: Path, faults: str, baud: int | None) -> None:
    pace = f"paced at {baud} baud" if baud else "answering at once"
    click.echo(f"{len(bus.slaves)} meters on {line.link} ({line.path}), {pace}, process {os.getpid()}", err=True)
    for address, slave in sorted(bus.slaves.items()):
        model = slave.plate.model
        click.echo(
            f"  address {address}: {model.letters} {slave.plate.number} version {model.version:02x} "
            f"medium {model.medium:02x}, {slave.registers.count} answers so far",
            err=True,
        )
    click.echo(f"faults: {faults or 'none'}; record: {record}", err=True)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()
