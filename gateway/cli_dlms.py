"""The commands for one DLMS/COSEM meter: `probe`, `objects` and `profile`; nothing is sealed or stored."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gateway.cli_meter import MeterOptions, meter_options
from protocols import obis

if TYPE_CHECKING:
    from gateway.desk import Asked
    from gateway.excerpt import Wish

FAILED = 1
LOAD_PROFILE = "1-0:99.1.0.255"
LAST = 10  # rows where nothing is said
_TIMES = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"])
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command(
    epilog="\b\nplomba-gateway probe main --config gateway.toml\n"
    "plomba-gateway probe --url tcp+hdlc://192.0.2.11:4001 --client 32 --auth lls --password-file secret\n"
    "plomba-gateway probe --port /dev/ttyUSB0 --physical 17"
)
@meter_options
@_json
@click.pass_context
def probe(ctx: click.Context, where: MeterOptions, as_json: bool) -> None:
    """Try the way into a DLMS meter step by step; 0 it can be read, 1 it cannot, 3 it can with something to look at.

    The meter is METER of --config FILE, or the one at --url or --port. Its public client (16) is tried first, then the
    configured one: connection, framing, association, authentication, first GET, who it is, its clock. What fails is
    named with what came and the setting to change; each login is tried once. Where nobody answers other framings,
    addresses and speeds are tried with one frame each.
    """
    from gateway import cli_probe  # noqa: PLC0415

    ctx.exit(cli_probe.probe(where.alone(), as_json))


@click.command(
    epilog="\b\nplomba-gateway objects main --config gateway.toml\n"
    "plomba-gateway objects --url tcp://192.0.2.10:4059 --client 32 --auth lls --password-file secret"
)
@meter_options
@_json
@click.pass_context
def objects(ctx: click.Context, where: MeterOptions, as_json: bool) -> None:
    """List the objects of a DLMS meter that this client may see, with class, name and access rights.

    The meter is METER of --config FILE, or the one at --url or --port; other clients may see other objects.
    """
    from gateway import cli_objects  # noqa: PLC0415

    asked = where.asked()
    with _told(ctx, asked):
        cli_objects.objects(asked, as_json)


@click.command(
    epilog="\b\nplomba-gateway profile main --config gateway.toml --from 2026-11-01 --to 2026-11-02 --csv\n"
    "plomba-gateway profile --port /dev/ttyUSB0 --mode-e --last 2\n"
    "plomba-gateway profile --url tcp+hdlc://192.0.2.11:4001 --obis 0-0:98.1.0.255 --last 12"
)
@meter_options
@click.option("--obis", "name", help=f"The profile; 0-0:98.1.0.255 has the months.  [the file's, or {LOAD_PROFILE}]")
@click.option(
    "--from",
    "first",
    type=_TIMES,
    metavar="TIME",
    help="First row, by the meter's own clock: 2026-11-01 or with T00:15.",
)
@click.option("--to", "last", type=_TIMES, metavar="TIME", help="Last row.  [the meter's clock]")
@click.option("--last", "count", type=click.IntRange(1, 100_000), help=f"So many rows up to now.  [{LAST}]")
@click.option(
    "--compressed", is_flag=True, help="A null is the value of the row above.  [as the file or its model says]"
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV; values that are none are empty.")
@_json
@click.pass_context
def profile(
    ctx: click.Context,
    where: MeterOptions,
    name: str | None,
    first: datetime.datetime | None,
    last: datetime.datetime | None,
    count: int | None,
    compressed: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print rows of a DLMS meter's load profile, or of another profile, as the meter shows them.

    The meter is METER of --config FILE, or the one at --url or --port. Times are those of the meter's own clock. Where
    answers are lost it is asked again, a few times; 0 all rows came, 1 none, 3 some.
    """
    from gateway import cli_profile  # noqa: PLC0415

    if as_csv and as_json:
        raise click.UsageError("--json or --csv, not both")
    wish = _wish(first, last, count)
    asked = where.asked()
    form = cli_profile.CSV if as_csv else cli_profile.JSON if as_json else cli_profile.TABLE
    chosen = _name(name or asked.device.profile or LOAD_PROFILE)
    with _told(ctx, asked):
        ctx.exit(cli_profile.profile(asked, chosen, wish, form, compressed=compressed))


@contextmanager
def _told(ctx: click.Context, asked: Asked) -> Iterator[None]:
    """A fault of the line or of the meter in a line, with what to do next."""
    from gateway.adhoc import said  # noqa: PLC0415
    from protocols.dlms.faults import AccessRefused  # noqa: PLC0415
    from protocols.errors import LinkError, MeterError  # noqa: PLC0415

    if asked.through is not None:
        click.echo(asked.through.told, err=True)
    try:
        yield
    except AccessRefused as error:
        click.echo(said(error, asked.place, "'plomba-gateway objects' lists what this client may read"), err=True)
        ctx.exit(FAILED)
    except (LinkError, MeterError) as error:
        click.echo(f"{said(error, asked.place)}; 'plomba-gateway probe' goes step by step", err=True)
        ctx.exit(FAILED)


def _wish(first: datetime.datetime | None, last: datetime.datetime | None, count: int | None) -> Wish:
    from gateway.excerpt import Wish  # noqa: PLC0415
    from protocols.reading import METER_EPOCH, MeterTime, Precision  # noqa: PLC0415

    if count is not None and (first or last):
        raise click.UsageError("--last, or --from and --to")
    if first is None and last is not None:
        raise click.UsageError("--to wants --from")
    if first is None:
        return Wish(count=count or LAST)
    if last is not None and last < first:
        raise click.UsageError(f"--from {first:%Y-%m-%dT%H:%M} is after --to {last:%Y-%m-%dT%H:%M}")
    if first < METER_EPOCH:
        raise click.BadParameter(f"expected a time from {METER_EPOCH:%Y-%m-%d} on", param_hint="--from")
    end = None if last is None else MeterTime.from_calendar(last, Precision.SECOND)
    return Wish(MeterTime.from_calendar(first, Precision.SECOND), end)


def _name(text: str) -> bytes:
    try:
        return obis.from_text(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--obis") from error
