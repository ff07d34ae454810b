"""The command that reads a gateway's commissioning record and says which meters and installations it proposes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from collector import files
from collector.cli import file_argument, json_option

PARTIAL = 3


@click.command()
@click.argument("record", type=file_argument)
@click.option("--config", "config_file", type=file_argument, help="The collector's configuration: its register counts.")
@click.option("--expect-fingerprint", help="Refuse unless this key sealed it, as the device shows it.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print lines for 'import-points', with what is to be filled in.")
@click.pass_context
def propose(
    ctx: click.Context,
    record: Path,
    config_file: Path | None,
    expect_fingerprint: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Check the seal of a commissioning RECORD (.plomba) and print the meters and installations that it proposes.

    With --config the key must be an active one of that gateway there (or, of one not registered yet, the one of
    --expect-fingerprint). 0: the key is vouched for, 3: nobody compared it yet, 1: altered, or another key.
    """
    if as_json and as_csv:
        raise click.UsageError("choose one of --json and --csv")
    from collector import propose_sheet  # noqa: PLC0415
    from collector.cli_show import opened  # noqa: PLC0415
    from collector.propose import propose as proposed  # noqa: PLC0415

    register = None
    if config_file is not None:
        with opened(config_file) as (_, store):
            register = store.gateways.register()
    found = proposed(files.read(record), register, expect_fingerprint)
    if as_csv:
        click.echo(propose_sheet.sheet(found), nl=False)
        for each in propose_sheet.left_out(found):
            click.echo(f"no line: {each}", err=True)
        if not found.vouched:
            click.echo(found.lines[1], err=True)
    else:
        click.echo(json.dumps(found.row, indent=1) if as_json else "\n".join(found.lines))
    ctx.exit(0 if found.vouched else PARTIAL)
