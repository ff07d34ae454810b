"""The command that proves what a channel delivered, to people who have public keys and no access to us."""

from __future__ import annotations

import time
from pathlib import Path

import click

from collector import files
from collector.cli import config_option, file_argument
from collector.cli_show import opened
from collector.keys import WorkerKeys
from collector.master.dated import Span
from collector.proving import told
from collector.proving.make import Wanted, values_proof
from collector.query.book import MasterBook
from collector.query.source import zone_at
from collector.query.times import instant_of

PARTIAL = 3


@click.command()
@click.argument("point")
@click.argument("channel")
@click.argument("begin", metavar="FROM")
@click.argument("end", metavar="TO")
@config_option
@click.option("--out", type=file_argument, required=True, help="The file to write; none may be there.")
def prove(point: str, channel: str, begin: str, end: str, config_file: Path, out: Path) -> None:
    """Write a proof of a channel's values: the sealed readings they come from, the master data, and the values.

    POINT is a metering point's id, CHANNEL a channel of it that is read. FROM and TO are written as in 'series', in the
    point's time; TO is no longer in it. 'verify' checks the file without us and says what it proves; it shows nothing
    of other meters. Exit code 3 when values are missing.
    """
    now_ms = time.time_ns() // 1_000_000
    with opened(config_file) as (config, store):
        zone = zone_at(MasterBook(store.master), point, Span(now_ms, now_ms + 1), None)
        from_ms, to_ms = instant_of(begin, zone, "FROM"), min(instant_of(end, zone, "TO"), now_ms)
        seal = WorkerKeys.read(config.keys_folder).seal
        octets, proven = values_proof(store, Wanted(point, channel, from_ms, to_ms), config.collector, seal, now_ms)
    files.write(out, octets)
    for each in told.sentences(proven):
        click.echo(each, err=True)
    click.echo(str(out))
    if not proven.whole:
        raise SystemExit(PARTIAL)
