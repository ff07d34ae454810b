"""`plomba-simulator modbus`: an RTU line with any number of meters, on a pseudo-terminal and over TCP."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import click

from simulators.mbus.converter import Converter
from simulators.mbus.line import Line, PtyLine, serve
from simulators.mbus.portcontrol import PortControl
from simulators.modbus.faults import RtuFaults
from simulators.modbus.rtu import MAX_UNITS, RtuBus, units
from simulators.record import Record

_port = click.IntRange(0, 65_535)


@click.command()
@click.option("--link", type=click.Path(path_type=Path), help="Where the line appears (a symbolic link).")
@click.option("--port", type=_port, help="The line over TCP, RTU frames passed on (0: a free port).")
@click.option("--control-port", type=_port, help="... and over RFC 2217 (0: a free port).")
@click.option("--record", type=click.Path(path_type=Path), required=True, help="File that records every answer.")
@click.option("--units", "count", type=click.IntRange(1, MAX_UNITS), default=3, show_default=True, help="Meters.")
@click.option("--baud", type=click.IntRange(300, 115_200), default=9600, show_default=True, help="Speed for --pace.")
@click.option("--pace", is_flag=True, help="Answer at the speed of the line instead of at once.")
@click.option("--seed", type=int, default=0, show_default=True, help="Makes growth and faults repeatable.")
@click.option(
    "--faults",
    "written",
    default="",
    help='For example "crc=0.05,silent=0.05,late=0.02,wrong_unit=0.02,exception=0.02,noise=0.05,torn=0.01,restart=0.01,'
    'dead=0.1,echo".',
)
def modbus(
    *,
    link: Path | None,
    port: int | None,
    control_port: int | None,
    record: Path,
    count: int,
    baud: int,
    pace: bool,
    seed: int,
    written: str,
) -> None:
    """Simulated Modbus RTU meters until SIGTERM, Carlo Gavazzi EM340s at units 1 to --units; SIGUSR1 silences them."""
    if link is None and port is None and control_port is None:
        raise click.UsageError("--link, --port or --control-port says where the line is")
    try:
        faults = RtuFaults.parse(written)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error
    try:
        kept, terminal = Record(record), None if link is None else PtyLine(link)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    bus = RtuBus(units(count, seed, _utc_ms(), faults), kept, _utc_ms, seed, faults)
    dead = [unit for unit, each in bus.meters.items() if each.dead]
    where = "" if terminal is None else f" on {link} ({terminal.path})"
    click.echo(f"{count} meters{where}, dead: {dead or 'none'}, process {os.getpid()}", err=True)
    click.echo(f"faults: {written or 'none'}; record: {record}", err=True)
    try:
        asyncio.run(_run(bus, terminal, (port, control_port), baud if pace else None))
    except OSError as error:
        raise click.ClickException(f"expected free ports, got {error}") from error
    finally:
        if terminal is not None:
            terminal.close()
        kept.close()
    click.echo("stopped", err=True)


async def _run(bus: RtuBus, terminal: PtyLine | None, ports: tuple[int | None, int | None], baud: int | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, _freeze, bus)
    converters = [make() for make, port in zip((Converter, PortControl), ports, strict=True) if port is not None]
    for converter, port in zip(converters, (each for each in ports if each is not None), strict=True):
        await converter.start(port)
        click.echo(f"the line is also at {converter.url.replace('tcp:', 'tcp+rtu:')}", err=True)
    lines: list[Line] = [*converters] if terminal is None else [terminal, *converters]
    try:
        await asyncio.gather(*(serve(bus, each, stop, baud) for each in lines))
    finally:
        for converter in converters:
            await converter.stop()


def _freeze(bus: RtuBus) -> None:
    bus.frozen = True
    click.echo("frozen: the meters answer no more", err=True)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
