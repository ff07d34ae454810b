"""The command `plomba-simulator`: meters that are not there."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from protocols.dlms.ciphering import Keys
from protocols.errors import PlombaError
from protocols.shell import completion
from simulators.cli_dlms import dlms_line
from simulators.cli_modbus import modbus
from simulators.cli_push import dlms
from simulators.cli_torture import lines, torture
from simulators.dlms.habits import HELP, changed
from simulators.dlms.plates import plates
from simulators.house import KINDS, House, Ports
from simulators.keyfile import keys_in
from simulators.mbus.faults import Faults
from simulators.site import check
from simulators.site.check import Result
from simulators.site.demo import Pace
from simulators.site.demo import demo as run_demo
from simulators.site.parts import PartError
from simulators.site.say import Say
from simulators.site.setup import Site

HURRY = Pace(begin_s=2.0, cut_s=6.0, flip_s=4.0, between_s=1.0)
_port = click.IntRange(0, 65_535)


@click.group()
def main() -> None:
    """Simulated meters on real terminals, with their own record of what they answered."""


main.add_command(completion("plomba-simulator"))
main.add_command(dlms)
main.add_command(dlms_line)
main.add_command(lines)
main.add_command(modbus)
main.add_command(torture)


@main.command()
@click.option(
    "--link", type=click.Path(path_type=Path), required=True, help="Where the line appears (a symbolic link)."
)
@click.option("--record", type=click.Path(path_type=Path), required=True, help="File that records every answer.")
@click.option("--baud", type=click.IntRange(300, 38_400), default=2400, show_default=True, help="Speed for --pace.")
@click.option("--pace", is_flag=True, help="Answer at the speed of the line instead of at once.")
@click.option("--seed", type=int, default=0, show_default=True, help="Makes growth and faults repeatable.")
@click.option(
    "--faults",
    "written",
    default="",
    help='For example "noise=0.05,silent=0.05,garble=0.05,late=0.02,dead=0.2,echo,fcb".',
)
@click.option(
    "--house",
    "kind",
    type=click.Choice(list(KINDS)),
    default="cellar",
    show_default=True,
    help="Three meters, or six heat meters of six makers, one of which needs three telegrams.",
)
@click.option("--wrapper-port", type=_port, help="Also an electricity meter: DLMS wrapper on TCP (0: a free port).")
@click.option("--hdlc-port", type=_port, help="... and one with HDLC over TCP and a password.")
@click.option("--modbus-port", type=_port, help="Also a Modbus TCP meter.")
@click.option("--converter-port", type=_port, help="The M-Bus line behind a TCP converter, too (0: a free port).")
@click.option("--password-file", type=click.Path(path_type=Path), help="The password of the HDLC meter.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    help="Keys of both electricity meters: encryption and authentication key, each a line of 32 (64: suite 2) hex "
    "digits. Their clients 17 (HLS-GMAC), 18 (HLS-SHA256) and 19 (LLS) are ciphered then, 16 is the public one.",
)
@click.option("--habits", default="", metavar="TEXT", help=HELP)
@click.option("--history-rows", type=click.IntRange(0, 8_640), default=96, show_default=True, help="Of load profiles.")
@click.option(
    "--swap",
    "swapped",
    metavar="ADDRESS=NUMBER",
    help="At SIGUSR2 the M-Bus meter at this address is exchanged for one with this number (8 digits).",
)
def meters(
    *,
    link: Path,
    record: Path,
    baud: int,
    pace: bool,
    seed: int,
    written: str,
    kind: str,
    wrapper_port: int | None,
    hdlc_port: int | None,
    modbus_port: int | None,
    converter_port: int | None,
    password_file: Path | None,
    key_file: Path | None,
    habits: str,
    history_rows: int,
    swapped: str | None,
) -> None:
    """Simulated meters until SIGTERM: some on a pseudo-terminal, more over TCP; SIGUSR1 silences them for good."""
    if (wrapper_port is None) != (hdlc_port is None) or (hdlc_port is None) != (password_file is None):
        raise click.UsageError("--wrapper-port, --hdlc-port and --password-file belong together")
    try:
        faults = Faults.parse(written)
        changed(plates(b"")[0], habits)
        swap = None if swapped is None else _swap(swapped)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--faults, --habits or --swap") from error
    try:
        house = House(link, record, seed, faults, baud if pace else None, kind)
        password = b"" if password_file is None else password_file.read_bytes().strip()
        keys = None if key_file is None else keys_in(key_file)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    _introduce(house, record, written, baud if pace else None)
    try:
        ports = Ports(wrapper_port, hdlc_port, modbus_port, converter_port)
        asyncio.run(_run(house, ports, password, history_rows, keys, habits, swap))
    except OSError as error:
        raise click.ClickException(f"expected free ports, got {error}") from error
    finally:
        house.close()
    click.echo("stopped", err=True)


@main.command()
@click.option("--run-folder", type=click.Path(path_type=Path), help="Keep the site here; without it nothing stays.")
@click.option("--once", is_flag=True, help="End when the story is told.")
@click.option("--hurry", is_flag=True, help="Tell the story in a few seconds.")
def demo(*, run_folder: Path | None, once: bool, hurry: bool) -> None:
    """Run a whole site with its page, and tell a story to watch there; Ctrl-C ends it and leaves nothing behind."""
    folder = run_folder or Path(tempfile.mkdtemp(prefix="plomba-demo-"))
    try:
        asyncio.run(_told(Site(folder), Say(), HURRY if hurry else Pace(), once))
    except (PartError, PlombaError) as error:
        raise click.ClickException(f"{error}; the site's files stay for a look in {folder}") from error
    if run_folder is None:
        shutil.rmtree(folder, ignore_errors=True)


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


async def _told(site: Site, say: Say, pace: Pace, once: bool) -> None:
    """The demo until it ends or somebody ends it, which is no fault."""
    me = asyncio.current_task()
    if me is not None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, me.cancel)
    with suppress(asyncio.CancelledError):
        await run_demo(site, say, pace, once)


async def _run(
    house: House,
    ports: Ports,
    password: bytes,
    history_rows: int,
    keys: Keys | None,
    habits: str,
    swap: tuple[int, str] | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, _freeze, house)
    if swap is not None:
        loop.add_signal_handler(signal.SIGUSR2, _exchange, house, *swap)
    await house.start(ports, password, history_rows, keys, habits)
    if house.converter is not None:
        click.echo(f"the M-Bus line is also at {house.converter.url}", err=True)
    await house.serve(stop)


def _swap(text: str) -> tuple[int, str]:
    address, _, number = text.partition("=")
    if len(number) != 8 or not number.isdigit():
        raise ValueError(f"expected ADDRESS=NUMBER with 8 digits, got {text!r}")
    return int(address), number


def _exchange(house: House, address: int, number: str) -> None:
    house.bus.swap(address, number)
    click.echo(f"swapped: the meter at {address} is {number} now", err=True)


def _freeze(house: House) -> None:
    house.freeze()
    click.echo("frozen: the meters answer no more", err=True)


def _introduce(house: House, record: Path, faults: str, baud: int | None) -> None:
    pace = f"paced at {baud} baud" if baud else "answering at once"
    bus, line = house.bus, house.line
    click.echo(f"{len(bus.slaves)} meters on {line.link} ({line.path}), {pace}, process {os.getpid()}", err=True)
    for address, slave in sorted(bus.slaves.items()):
        model = slave.plate.model
        click.echo(
            f"  address {address}: {model.letters} {slave.plate.number} version {model.version:02x} "
            f"medium {model.medium:02x}, {slave.registers.count} answers so far",
            err=True,
        )
    click.echo(f"faults: {faults or 'none'}; record: {record}", err=True)


if __name__ == "__main__":
    main()
