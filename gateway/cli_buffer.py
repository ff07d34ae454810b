"""The commands about the buffer: what is in it, whether it holds, and the way to the collector where no link is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.faults import BufferFull

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Configuration
    from gateway.fill import Fill, Held

FAILED, PARTIAL = 1, 3

_config = click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="The gateway's configuration (TOML)."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def buffer() -> None:
    """Look into the buffer, check it, and carry batches to the collector by hand where the link stays dead."""


@buffer.command()
@_config
@_json
def status(path: Path, as_json: bool) -> None:
    """Show how full it is, what may leave it, and how many readings were refused for want of room."""
    from gateway.fill import read_fill  # noqa: PLC0415

    configuration = _read(path)
    found = read_fill(configuration.state_folder, configuration.buffer.max_bytes)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
        return
    for name, text in _lines(found):
        click.echo(f"{name + ':':24}{text}")
    if found.level != "room":
        click.echo(f"next: {BufferFull.do}", err=True)


def _lines(found: Fill) -> Iterator[tuple[str, str]]:
    refuses = ": new readings are refused" if found.level == "full" else ""
    yield "level", f"{found.level}{refuses}"
    yield "in use", f"{found.percent} % of {found.max_bytes} bytes"
    for name, held in (("not stored", found.not_stored), ("stored", found.stored), ("safe", found.safe)):
        yield name, _held(held)
    yield "readings refused", f"{found.readings_refused} since the buffer began" if found.readings_refused else "none"
    if found.set_aside:
        yield "set aside", f"{found.set_aside} batches whose seal does not hold: see 'buffer verify'"
    if found.readings_in_quarantine:
        yield "in quarantine", f"{found.readings_in_quarantine} readings, taken without a key"
    if found.places_lost:
        yield "to be declared lost", f"{found.places_lost} batches"


def _held(held: Held) -> str:
    from gateway.cli import shown_time  # noqa: PLC0415

    if held.oldest_ms is None or held.newest_ms is None:
        return "none"
    times = f"{shown_time(held.oldest_ms)} to {shown_time(held.newest_ms)}"
    return f"{held.batches} batches with {held.readings} readings, {times}"


@buffer.command()
@_config
@_json
@click.pass_context
def verify(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Check every batch's seal and that each names the one before it; 0 all hold, 1 something does not."""
    from gateway.walk import walk  # noqa: PLC0415

    found = walk(_read(path).state_folder)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
    else:
        for hole in found.holes:
            click.echo(f"not held: {hole} (stored at the collector, or declared lost)")
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
