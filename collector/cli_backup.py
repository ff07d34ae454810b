"""The commands `backup` and `restore`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import click

from collector import backup as backups
from collector.cli import config_option, folder_argument, json_option
from collector.config import Config
from collector.shown import utc


@click.command()
@click.argument("folder", type=folder_argument)
@config_option
@json_option
def backup(folder: Path, config_file: Path, as_json: bool) -> None:
    """Copy the store into FOLDER, which is not there yet, as it is at one instant; the collector may run.

    It is checked before it counts. The keys and the configuration are not in it: keep them apart.
    """
    config = Config.from_toml(config_file)
    made = backups.make(config.store, config.collector, folder, time.time_ns() // 1_000_000)
    if as_json:
        click.echo(json.dumps(asdict(made), indent=1))
        return
    batches = sum(each.batches for each in made.gateways.values())
    held = f"{batches} batches of {len(made.gateways)} gateways"
    click.echo(f"{folder}: {held}, {made.size} bytes, SHA-256 {made.sha256}")


@click.command()
@click.argument("folder", type=folder_argument)
@config_option
@click.option("--check", is_flag=True, help="Check the backup and restore nothing.")
@click.option("--replace", is_flag=True, help="Set a store's file that is there aside under another name.")
@json_option
def restore(folder: Path, config_file: Path, check: bool, replace: bool, as_json: bool) -> None:
    """Put the backup in FOLDER in the place of the configured store; stop the collector before.

    Afterwards every gateway is asked for all it holds: what the backup lacks comes again, nothing twice.
    """
    config = Config.from_toml(config_file)
    if check:
        said, generation = backups.read(folder), None
    else:
        said, generation = backups.restore(folder, config.store, time.time_ns() // 1_000_000, replace=replace)
    if as_json:
        click.echo(json.dumps(asdict(said) | {"begins": generation}, indent=1))
        return
    for name, each in said.gateways.items():
        click.echo(f"{name}: {each.batches} batches until {utc(each.newest_ms)}; it is asked for what came later")
    click.echo(f"made {utc(said.made_ms)} of {said.collector}, store version {said.version}")
    if generation is not None:
        click.echo(f"generation {generation} begins; next: start the collector, and see its case 'restored'", err=True)
