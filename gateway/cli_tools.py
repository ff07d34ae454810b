"""The commands for a technician who asks what is wrong: `doctor`, `support-bundle`, `time`."""

from __future__ import annotations

import datetime
import json
import time as clocks
from pathlib import Path

import click

FAILED = 1

_config = click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="The gateway's configuration (TOML)."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("/etc/plomba/gateway.toml"),
    show_default=True,
    help="The gateway's configuration (TOML).",
)
@_json
@click.option("--offline", is_flag=True, help="Do not reach for the broker.")
@click.pass_context
def doctor(ctx: click.Context, path: Path, as_json: bool, offline: bool) -> None:
    """Say what is wrong with this gateway, and the next step; 0 nothing is wrong, 1 something is.

    Files and who may read them, ports, clock, daemon, disk, buffer, keys, certificate, broker. It may run beside the
    daemon, without it, and with a configuration that has faults. As root it sees most.
    """
    from gateway import doctor as looking  # noqa: PLC0415
    from gateway.findings import Mark  # noqa: PLC0415

    found = looking.examine(path, datetime.datetime.now(datetime.UTC), reach=not offline)
    if as_json:
        content = {"wrong": found.wrong, "warnings": found.warnings, "checks": found.rows()}
        click.echo(json.dumps(content, indent=1))
        ctx.exit(FAILED if found.wrong else 0)
    for group, findings in found.groups:
        click.echo(f"\n{group}" if group != found.groups[0][0] else group)
        for each in findings:
            code = f" {each.code}" if each.code else ""
            click.echo(f"  {looking.STATES[each.mark]}{code}: {each.what}: {each.text}")
            if each.do and each.mark is not Mark.OK:
                click.echo(f"      next: {each.do}")
    click.echo(f"\n{found.wrong} wrong, {found.warnings} warnings")
    ctx.exit(FAILED if found.wrong else 0)


@click.command("support-bundle")
@_config
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--with-readings", is_flag=True, help="The newest readings with their values, too.")
def support_bundle(path: Path, file: Path, with_readings: bool) -> None:
    """Write what is needed for help from elsewhere to FILE (.tar.gz): without secrets, and without readings.

    A file that is there is never written over.
    """
    from gateway import bundle  # noqa: PLC0415

    if file.exists() or file.is_symlink():
        raise click.BadParameter(f"{file} is there already: choose another name", param_hint="FILE")
    if not file.name.endswith((".tar.gz", ".tgz")):
        raise click.BadParameter(f"expected a name that ends in .tar.gz, got {file.name}", param_hint="FILE")
    made = bundle.members(path, datetime.datetime.now(datetime.UTC), with_readings)
    octets = bundle.packed(made)
    bundle.write(file, octets)
    click.echo(f"{len(octets)} bytes written to {file}: {', '.join(sorted(made))}", err=True)
    click.echo("look through it before you send it: names, addresses and numbers of the meters are in it", err=True)


@click.command()
@_config
@_json
def time(path: Path, as_json: bool) -> None:
    """Show the clocks: this machine's, the daemon's with its jumps, and how far each meter's is from ours."""
    from gateway import watches  # noqa: PLC0415
    from gateway.config_file import read_configuration  # noqa: PLC0415

    configuration = read_configuration(path)
    devices = frozenset(device.name for bus in configuration.bus for device in bus.device)
    found = watches.read_clocks(configuration.state_folder, devices)
    if as_json:
        click.echo(json.dumps(watches.rows(found), indent=1))
        return
    for line in watches.lines(found, clocks.time_ns() // 1_000_000):
        click.echo(line)
