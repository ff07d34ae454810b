"""The command `plomba-simulator dlms-line`: electricity meters on one pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import click

from protocols.dlms.opening import SPEEDS, Identification
from simulators.dlms.habits import HELP, changed
from simulators.dlms.line import BAUD, DlmsLine, line_plates
from simulators.dlms.line_faults import LineFaults
from simulators.record import Record

MAKER, MODEL = "LGZ", "ZMD3104407.B32"
ESCAPE = "\\2"  # mode E


@click.command("dlms-line")
@click.option(
    "--link", type=click.Path(path_type=Path), required=True, help="Where the line appears (a symbolic link)."
)
@click.option("--record", type=click.Path(path_type=Path), required=True, help="File that records every answer.")
@click.option("--meters", "count", type=click.IntRange(1, 32), default=2, show_default=True, help="How many.")
@click.option(
    "--baud",
    type=click.Choice([str(each) for each in SPEEDS.values()]),
    default=str(BAUD),
    show_default=True,
    help="Speed of the line.",
)
@click.option("--mode-e", is_flag=True, help="Optical ports: opened at 300 baud, then HDLC at --baud.")
@click.option("--mode-c", is_flag=True, help="Optical ports that know no HDLC.")
@click.option("--seed", type=int, default=0, show_default=True, help="Makes growth and faults repeatable.")
@click.option("--faults", "written", default="", help='For example "noise=0.05,late=0.02,garble=0.02,echo,half_open".')
@click.option("--password-file", type=click.Path(path_type=Path), help="Client 32 with this password, not client 16.")
@click.option("--habits", default="", metavar="TEXT", help=HELP)
@click.option("--history-rows", type=click.IntRange(0, 8_640), default=96, show_default=True, help="Of load profiles.")
def dlms_line(
    *,
    link: Path,
    record: Path,
    count: int,
    baud: str,
    mode_e: bool,
    mode_c: bool,
    seed: int,
    written: str,
    password_file: Path | None,
    habits: str,
    history_rows: int,
) -> None:
    """Simulated DLMS meters on a line until SIGTERM, at physical addresses from 17 on; SIGUSR1 silences them."""
    letter = next(each for each, speed in SPEEDS.items() if speed == int(baud))
    optical = Identification(MAKER, letter, ESCAPE if mode_e else "", MODEL) if mode_e or mode_c else None
    try:
        password = b"" if password_file is None else password_file.read_bytes().strip()
        faults = LineFaults.parse(written)
        found = tuple(changed(each, habits) for each in line_plates(count, password))
        line = DlmsLine(
            link,
            found,
            Record(record),
            _utc_ms,
            seed=seed,
            faults=faults,
            baud=int(baud),
            history_rows=history_rows,
            optical=optical,
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--faults or --habits") from error
    except OSError as error:
        raise click.ClickException(str(error)) from error
    _introduce(line, baud, optical)
    try:
        asyncio.run(_served(line))
    finally:
        line.close()
    click.echo("stopped", err=True)


async def _served(line: DlmsLine) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, line.freeze)
    await line.serve(stop)


def _introduce(line: DlmsLine, baud: str, optical: Identification | None) -> None:
    speed = f"{baud} baud" if optical is None else f"300 baud, then {baud}: {optical.to_bytes().decode().strip()}"
    many = f"{len(line.meters)} meter{'' if len(line.meters) == 1 else 's'}"
    click.echo(f"{many} on {line.pty.link} ({line.pty.path}), {speed}, process {os.getpid()}", err=True)
    for each in line.meters:
        plate = each.meter.plate
        at = f"client {plate.access.client}, server {plate.access.server}, physical {plate.access.physical}"
        click.echo(f"  {at}: serial {plate.serial}", err=True)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
