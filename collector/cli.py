"""`plomba-collector`: data on stdout, talk on stderr; 0 ok, 1 failed, 2 usage, 3 partial."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from protocols.errors import FileUnusable, PlombaError
from protocols.settings.problems import ReportedError, coloured

FAILED = 1
_COMMANDS = {
    "check": ("collector.cli_check", "check"),
    "explain": ("collector.cli_check", "explain"),
    "keys": ("collector.cli_setup", "keys"),
    "authority": ("collector.cli_setup", "authority"),
    "tls-key": ("collector.cli_setup", "tls_key"),
    "propose": ("collector.cli_propose", "propose"),
    "sign": ("collector.cli_setup", "sign"),
    "broker-config": ("collector.cli_setup", "broker_config"),
    "broker-check": ("collector.cli_run", "broker_check"),
    "run": ("collector.cli_run", "run"),
    "attribute": ("collector.cli_attribute", "attribute"),
    "status": ("collector.cli_show", "status"),
    "readings": ("collector.cli_show", "readings"),
    "series": ("collector.cli_series", "series"),
    "stands": ("collector.cli_series", "stands"),
    "latest": ("collector.cli_series", "latest"),
    "refusals": ("collector.cli_show", "refusals"),
    "events": ("collector.cli_show", "events"),
    "import-points": ("collector.cli_master", "import_points"),
    "points": ("collector.cli_master", "points"),
    "meters": ("collector.cli_master", "meters"),
    "waiting": ("collector.cli_master", "waiting"),
    "exchange": ("collector.cli_master", "exchange"),
    "import-batches": ("collector.cli_act", "import_batches"),
    "close-case": ("collector.cli_act", "close_case"),
    "export": ("collector.cli_act", "export"),
    "proof": ("collector.cli_act", "proof"),
    "prove": ("collector.cli_prove", "prove"),
    "backup": ("collector.cli_backup", "backup"),
    "restore": ("collector.cli_backup", "restore"),
    "distribute": ("collector.cli_store", "distribute"),
    "erase": ("collector.cli_erase", "erase"),
    "erasures": ("collector.cli_erase", "erasures"),
    "retention": ("collector.cli_retention", "retention"),
    "erased": ("collector.cli_act", "erased"),
    "keys-file": ("collector.cli_act", "keys_file"),
    "fingerprint": ("collector.cli_act", "fingerprint"),
    "completion": ("collector.cli_check", "completion"),
    "verify": ("collector.cli_verify", "verify"),
}


class _Lazy(click.Group):
    """Imports a command's module when the command is asked for: `verify` must not load a store."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Lazy)
@click.version_option(package_name="plomba")
def commands() -> None:
    """Receive, verify, store and acknowledge sealed meter readings; set a site up; check what left it."""


def main() -> None:
    """Run a command; an expected fault is one line on stderr and exit code 1."""
    try:
        commands.main(prog_name="plomba-collector", standalone_mode=True)
    except ReportedError as error:
        click.echo(error.report(coloured(sys.stderr)), err=True)
        sys.exit(FAILED)
    except PlombaError as error:
        click.echo(str(error), err=True)
        sys.exit(FAILED)
    except OSError as error:
        click.echo(str(FileUnusable.of(error)), err=True)
        sys.exit(FAILED)


file_argument = click.Path(dir_okay=False, path_type=Path)
folder_argument = click.Path(file_okay=False, path_type=Path)
config_option = click.option(
    "--config", "config_file", type=file_argument, required=True, help="The collector's configuration (TOML)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

if __name__ == "__main__":
    main()
