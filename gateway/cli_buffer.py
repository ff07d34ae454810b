"""The commands about the buffer: what is in it, whether it holds, and the way to the collector where no link is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.config import Configuration

FAILED, PARTIAL = 1, 3

_config = click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="The gateway's configuration (TOML)."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def buffer() -> None:
    """Check the buffer, and carry batches to the collector by hand where the link stays dead."""


@buffer.command()
@_config
@_json
@click.pass_context
def verify(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Check every batch's seal and that each names the one before it; 0 all hold, 1 something does not."""
    from gateway.carry import walk  # noqa: PLC0415

    found = walk(_read(path).state_folder)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
    else:
        for hole in found.holes:
            click.echo(f"not held: {hole} (removed by the rules, or declared lost)")
        for wrong in found.wrong:
            click.echo(f"DOES NOT HOLD: {wrong}")
        click.echo(f"{found.batches} batches with {found.readings} readings hold, {len(found.wrong)} do not")
    ctx.exit(FAILED if found.wrong else 0)


@buffer.command()
@_config
@_json
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@click.option("--all", "everything", is_flag=True, help="What the collector has stored, too.")
@click.option("--replace", is_flag=True, help="Write over a file that is there.")
@click.pass_context
def export(ctx: click.Context, path: Path, as_json: bool, out: Path, everything: bool, replace: bool) -> None:
    """Write what is not stored at the collector to a file, sealed to the collector; 3: some batches do not hold.

    Nothing leaves the buffer by this. Give the file to 'plomba-collector import-batches', and what that writes to
    'buffer acknowledge' here.
    """
    from gateway.carry import write  # noqa: PLC0415

    configuration = _read(path)
    if out.exists() and not replace:
        raise click.BadParameter(f"{out} is there already: choose another name, or give --replace", param_hint="--out")
    done = write(configuration, out, everything)
    for wrong in done.wrong:
        click.echo(f"left out, its seal does not hold: {wrong}", err=True)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done) | {"file": str(out)}))
    else:
        click.echo(f"{done.batches} batches with {done.readings} readings, {done.octets} bytes written to {out}")
        click.echo(f"next: plomba-collector import-batches --config collector.toml {out.name}", err=True)
    ctx.exit(PARTIAL if done.wrong else 0)


@buffer.command()
@_config
@_json
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def acknowledge(path: Path, as_json: bool, file: Path) -> None:
    """Take over the acknowledgement in FILE that 'import-batches' wrote: what is stored is not sent again."""
    from gateway.carry import hear  # noqa: PLC0415
    from gateway.cli import shown_time  # noqa: PLC0415

    taken = hear(_read(path), file)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(taken)))
        return
    name = f"acknowledgement {taken.generation}.{taken.number} of {shown_time(taken.time_ms)}"
    click.echo(f"{name}: {taken.stored} batches became stored, {taken.safe} safe, {taken.refused} are refused")


def _read(path: Path) -> Configuration:
    from gateway.config_file import read_configuration  # noqa: PLC0415

    return read_configuration(path)
