"""The commands `plomba-gateway mbus ...`: orders to one meter of a line, each after a question."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from gateway.cli_line import LineOptions, line_options
from protocols.mbus.timing import BAUDS
from protocols.reading import MeterTime, Precision

if TYPE_CHECKING:
    from gateway.services import Agree, Talk, Where

FAILED = 1


def _meter(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name a line and one meter on it."""
    options = (
        click.option("--meter", metavar="NAME", help="A meter of --config FILE."),
        click.option("--address", type=click.IntRange(0, 250), help="The meter's primary address."),
        click.option("--secondary", metavar="DIGITS", help="Its number: 8 digits, or 16 with the rest of its plate."),
        click.option("--yes", is_flag=True, help="Do not ask."),
    )
    for option in reversed(options):
        command = option(command)
    return line_options(command)


@click.group()
def mbus() -> None:
    """Change a setting of one M-Bus meter: it is named first, asked before, and read afterwards."""


@mbus.command("set-address")
@click.argument("new", type=click.IntRange(1, 250))
@_meter
@click.pass_context
def set_address(ctx: click.Context, /, new: int, yes: bool, **where: Any) -> None:
    """Give the meter the primary address NEW, if nobody answers there."""
    from gateway import services  # noqa: PLC0415

    _do(ctx, where, lambda talk: services.set_address(talk, new, _agree(yes)))


@mbus.command()
@click.option(
    "--sub-code", metavar="HEX", help="Two hexadecimal digits: which telegram it is to begin with; without: the first."
)
@_meter
@click.pass_context
def reset(ctx: click.Context, /, sub_code: str | None, yes: bool, **where: Any) -> None:
    """Application reset: the meter begins anew with its first telegram, or with the one of a sub-code."""
    from gateway import services  # noqa: PLC0415

    code = None if sub_code is None else _octet(sub_code)
    _do(ctx, where, lambda talk: services.reset(talk, code, _agree(yes)))


@mbus.command("set-baud")
@click.argument("new", type=click.Choice(BAUDS))
@_meter
@click.pass_context
def set_baud(ctx: click.Context, /, new: int, yes: bool, **where: Any) -> None:
    """Let the meter speak at NEW baud; where it does not answer there it is looked for at the old speed."""
    from gateway import services  # noqa: PLC0415

    _do(ctx, where, lambda talk: services.set_baud(talk, new, _agree(yes)))


@mbus.command("set-clock")
@click.option(
    "--time",
    "wanted",
    type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]),
    help="As the meter is to show it; without: this machine's local time, with its summer-time flag.",
)
@click.option("--summer", is_flag=True, help="With --time: it is summer time and its flag is set; else standard time.")
@click.option("--any-model", is_flag=True, help="Try it also where no model says that this meter's clock can be set.")
@_meter
@click.pass_context
def set_clock(
    ctx: click.Context, /, wanted: datetime.datetime | None, summer: bool, any_model: bool, yes: bool, **where: Any
) -> None:
    """Set the meter's clock, where its model says that this can be done over the bus."""
    from gateway import services  # noqa: PLC0415

    if summer and wanted is None:
        raise click.UsageError("--summer says what --time is; this machine's own time has its flag")
    shown = None if wanted is None else MeterTime.from_calendar(wanted, Precision.SECOND, summer)
    _do(ctx, where, lambda talk: services.set_clock(talk, shown, _agree(yes), any_model))


def _do(ctx: click.Context, where: dict[str, Any], act: Callable[[Talk], Awaitable[str]]) -> None:
    from gateway.lines import MACHINE  # noqa: PLC0415
    from gateway.services import Declined, Talk  # noqa: PLC0415

    async def visited() -> str:
        async with Talk(_where(**where), MACHINE) as talk:
            return await act(talk)

    try:
        click.echo(asyncio.run(visited()))
    except Declined:
        click.echo("nothing was changed", err=True)
        ctx.exit(FAILED)


def _where(line: LineOptions, meter: str | None, address: int | None, secondary: str | None) -> Where:
    from gateway import adhoc  # noqa: PLC0415
    from gateway.lines import Place  # noqa: PLC0415
    from gateway.mbus import plate_of  # noqa: PLC0415
    from gateway.services import Where  # noqa: PLC0415

    if [meter, address, secondary].count(None) != 2:
        raise click.UsageError("name the meter with --address or with --secondary, or with --meter and --config FILE")
    if meter is not None:
        bus, device = adhoc.meter(line.configured(meter), meter)
        reached = plate_of(device) if device.address is None else device.address
        return Where(adhoc.spoken(Place.of(bus), line.baud, line.mode), reached)
    if line.path is not None:
        raise click.UsageError(f"which meter of {line.path} is meant? --meter NAME, without --address and --secondary")
    place = adhoc.place(None, line.port, line.url, line.baud, line.mode)
    return Where(place, adhoc.selection(secondary) if secondary is not None else address or 0)


def _octet(digits: str) -> int:
    if not re.fullmatch("[0-9A-Fa-f]{2}", digits):
        raise click.BadParameter(f"expected two hexadecimal digits, got {digits!r}", param_hint="--sub-code")
    return int(digits, 16)


def _agree(yes: bool) -> Agree:
    """Asks on stderr; with `yes` only says what is done."""

    def ask(question: str) -> bool:
        if yes:
            click.echo(question.replace("?", "", 1), err=True)
            return True
        return click.confirm(question, err=True)

    return ask
