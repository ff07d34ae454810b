"""The commands `plomba-gateway mbus ...`: orders to one meter of a line, each after a question."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from protocols.reading import MeterTime, Precision

if TYPE_CHECKING:
    from gateway.services import Agree, Visit, Where
    from protocols.mbus.select import Secondary

FAILED = 1
BAUDS = ("300", "600", "1200", "2400", "4800", "9600", "19200", "38400")
Command = TypeVar("Command", bound=Callable[..., Any])


def _meter(command: Command) -> Command:
    """The options that name a line and one meter on it."""
    options = (
        click.option("--port", required=True, help="The serial port, as /dev/ttyUSB0."),
        click.option("--baud", type=click.Choice(BAUDS), default="2400", show_default=True, help="The line's speed."),
        click.option("--mode", default="8E1", show_default=True, help="Data bits, parity and stop bits."),
        click.option("--address", type=click.IntRange(0, 250), help="The meter's primary address."),
        click.option("--secondary", metavar="DIGITS", help="Its number: 8 digits, or 16 with the rest of its plate."),
        click.option("--yes", is_flag=True, help="Do not ask."),
    )
    for option in reversed(options):
        command = option(command)
    return command


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

    _do(ctx, where, lambda visit: services.set_address(visit, new, _agree(yes)))


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
    _do(ctx, where, lambda visit: services.reset(visit, code, _agree(yes)))


@mbus.command("set-baud")
@click.argument("new", type=click.Choice(BAUDS))
@_meter
@click.pass_context
def set_baud(ctx: click.Context, /, new: str, yes: bool, **where: Any) -> None:
    """Let the meter speak at NEW baud; where it does not answer there it is looked for at the old speed."""
    from gateway import services  # noqa: PLC0415

    _do(ctx, where, lambda visit: services.set_baud(visit, int(new), _agree(yes)))


@mbus.command("set-clock")
@click.option(
    "--time",
    "wanted",
    type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]),
    help="As the meter is to show it; without: this machine's local time.",
)
@_meter
@click.pass_context
def set_clock(ctx: click.Context, /, wanted: datetime.datetime | None, yes: bool, **where: Any) -> None:
    """Set the meter's clock."""
    from gateway import services  # noqa: PLC0415

    shown = None if wanted is None else MeterTime.from_calendar(wanted, Precision.SECOND)
    _do(ctx, where, lambda visit: services.set_clock(visit, shown, _agree(yes)))


def _do(ctx: click.Context, where: dict[str, Any], act: Callable[[Visit], Awaitable[str]]) -> None:
    from gateway.lines import MACHINE  # noqa: PLC0415
    from gateway.services import Declined, Visit  # noqa: PLC0415

    async def visited() -> str:
        with Visit(_where(**where), MACHINE) as visit:
            return await act(visit)

    try:
        click.echo(asyncio.run(visited()))
    except Declined:
        click.echo("nothing was changed", err=True)
        ctx.exit(FAILED)


def _where(port: str, baud: str, mode: str, address: int | None, secondary: str | None) -> Where:
    from gateway.services import Where  # noqa: PLC0415

    if address is not None and secondary is None:
        return Where(port, int(baud), address, mode)
    if secondary is not None and address is None:
        return Where(port, int(baud), _secondary(secondary), mode)
    raise click.UsageError("name the meter with --address or with --secondary")


def _secondary(digits: str) -> Secondary:
    from protocols.mbus.select import Secondary  # noqa: PLC0415

    try:
        return Secondary.of(digits)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--secondary") from error


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
