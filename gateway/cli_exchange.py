"""The command `plomba-gateway exchange`: the meter of a device was, or is just now, exchanged for another one."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("meter")
@click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="The gateway's configuration (TOML)."
)
@click.option("--to", metavar="NUMBER", help="The new meter's number; needed where meters are selected by theirs.")
@click.option(
    "--final",
    "typed",
    multiple=True,
    metavar="TEXT",
    help="What the old meter showed, where it is gone: 'energy 123.4 MWh'.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def exchange(ctx: click.Context, meter: str, path: Path, to: str | None, typed: tuple[str, ...], yes: bool) -> None:
    """Record that METER was exchanged: final reading, new identity, initial reading, sealed; offline, too.

    While the old meter answers it is read a last time, and the new one after it is mounted. Then the configuration is
    changed: what changes is shown, and asked for. Exit code 0 done, 1 failed, 3 recorded and the file left as it was.
    """
    from gateway import exchange as exchanges  # noqa: PLC0415
    from gateway.exchanging import TYPED, plate  # noqa: PLC0415

    if len(typed) > TYPED:
        raise click.BadParameter(f"expected at most {TYPED} values, got {len(typed)}", param_hint="--final")
    for each in typed:
        plate(each)
    ctx.exit(exchanges.exchange(path, meter, to, typed, yes))
