"""The commands `check` and `explain`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from collector import keys as names
from collector.cli import FAILED, config_option, json_option
from collector.config import File, read_file
from collector.faults import ConfigFileError
from protocols import shell
from protocols.catalogue import read_catalogue
from protocols.settings import shown
from protocols.settings.problems import coloured

PARTIAL = 3
MADE_BY_KEYS = "make them with 'plomba-collector keys'"
MADE_BY_TRUST = "the site's authority makes it: 'plomba-collector authority trust'"

MADE_BY_TLS = "make it with 'plomba-collector tls-key' and let the authority sign the request"


@click.command()
@config_option
@json_option
def check(config_file: Path, as_json: bool) -> None:
    """Check the configuration and show what it comes to; 0 well, 1 failed, 3 files are still missing."""
    try:
        file = read_file(config_file)
    except ConfigFileError as error:
        rows = [each.row() for each in error.problems]
        click.echo(
            json.dumps({"ok": False, "problems": rows}, indent=1) if as_json else error.report(coloured(sys.stdout))
        )
        sys.exit(FAILED)
    folder = config_file.resolve().parent
    places = {"store": folder / file.store, "keys_folder": folder / file.keys_folder}
    files = _files(file, folder)
    missing = [each for each in files if not each[2]]
    rows_shown = shown.rows(file, file.model_dump(exclude_unset=True), places)
    if as_json:
        listed = [{"what": what, "path": str(path), "there": there} for what, path, there, _ in files]
        content = {"ok": True, "problems": [], "configuration": [asdict(each) for each in rows_shown], "files": listed}
        click.echo(json.dumps(content, indent=1))
    else:
        click.echo(f"configuration of {config_file.absolute()}")
        click.echo("\n".join(shown.table(rows_shown)))
        click.echo("\nfiles")
        for what, path, there, do in files:
            click.echo(
                f"{'ok' if there else 'hint':4} {what}: {path}" + ("" if there else f": not there yet\n       {do}")
            )
        click.echo("\nall is well" if not missing else f"\nusable, {len(missing)} files are not there yet")
    sys.exit(PARTIAL if missing else 0)


completion = shell.completion("plomba-collector")


@click.command()
@click.argument("code", required=False)
@json_option
def explain(code: str | None, as_json: bool) -> None:
    """Say what an error code means, who can remedy it and how; without a code: list them all."""
    text, known = read_catalogue().page(code, as_json)
    click.echo(text, err=not known)
    sys.exit(0 if known else FAILED)


def _files(file: File, folder: Path) -> list[tuple[str, Path, bool, str]]:
    """What is read beside the configuration: what it is, its path, whether it is there, and who makes it."""
    keys = folder / file.keys_folder
    wanted = [
        ("acknowledgement key", keys / names.ACK, MADE_BY_KEYS),
        ("seal key", keys / names.SEAL, MADE_BY_KEYS),
        ("box key", keys / names.BOX, MADE_BY_KEYS),
        ("worker's public keys", keys / names.PUBLIC, MADE_BY_KEYS),
        ("trust document", keys / names.TRUST, MADE_BY_TRUST),
        ("broker's authority", keys / names.CA, MADE_BY_TRUST),
        ("TLS key", keys / names.TLS, MADE_BY_TLS),
        ("certificate", keys / names.CERTIFICATE, MADE_BY_TLS),
    ]
    return [(what, path, path.exists(), do) for what, path, do in wanted]
