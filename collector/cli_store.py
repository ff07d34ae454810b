"""The commands about the store itself."""

from __future__ import annotations

from pathlib import Path

import click

from collector.cli import config_option
from collector.config import Config
from collector.faults import NotDistributableError
from collector.place import Server
from collector.store import dialect
from collector.store.opening import open_server


@click.command()
@config_option
@click.option("--print", "only_print", is_flag=True, help="Print the statements and do nothing.")
def distribute(config_file: Path, only_print: bool) -> None:
    """Spread the tables of a PostgreSQL store over the machines of a Citus cluster, once; stop the collector before."""
    place = Config.from_toml(config_file).store
    if not isinstance(place, Server):
        raise NotDistributableError("a store in PostgreSQL", "a file of SQLite", str(place))
    if only_print:
        click.echo(";\n".join(dialect.distribution()) + ";")
        return
    store = open_server(place)
    try:
        if not store.has_citus():
            raise NotDistributableError("the extension citus", "none: the tables stay as they are", str(place))
        store.distribute()
    finally:
        store.close()
    click.echo(f"distributed {len(dialect.SPREAD)} tables", err=True)
