"""The command that attributes readings to the series of metering points."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import click

from collector import logs
from collector.attribute.beside import Beside
from collector.attribute.explain import Unplaced, unplaced
from collector.attribute.work import Attribution, Done
from collector.cli import config_option, json_option
from collector.cli_show import opened

PARTIAL = 3


@click.command()
@config_option
@json_option
@click.option("--once", is_flag=True, help="Do all that there is to do, say what was done, and end.")
def attribute(config_file: Path, as_json: bool, once: bool) -> None:
    """Attribute stored readings to the series of points, by the master data; 'run' does it by itself.

    Works beside a collector that runs, and may be ended at any time: what was not done is done at the next time. Exit
    code 3 when a page could not be reckoned.
    """
    logs.set_up()
    with opened(config_file) as (config, store):
        if not once:
            beside = Beside(config.store, _now_ms)
            signal.signal(signal.SIGTERM, lambda *_: beside.end())
            signal.signal(signal.SIGINT, lambda *_: beside.end())
            beside.run()
            return
        done = Attribution(store).all(_now_ms())
        left = list(unplaced(store))
        due = store.due.count()
    if as_json:
        click.echo(json.dumps(_shown(done, left, due), indent=1))
    else:
        for line in _lines(done, left):
            click.echo(line)
    for fault, count in sorted(done.failed.items()):
        click.echo(f"{count} pages could not be reckoned: {fault}", err=True)
    if done.failed:
        raise SystemExit(PARTIAL)


def _shown(done: Done, left: list[Unplaced], due: int) -> dict[str, object]:
    """For programs."""
    values = [{"state": state, "reason": why, "values": n} for (state, why), n in sorted(done.values.items())]
    return {
        "batches": done.looked.batches,
        "readings": done.looked.readings,
        "changes": done.looked.marks,
        "pages": done.pages,
        "versions": done.versions,
        "stands": done.stands,
        "values": values,
        "due": due,
        "failed": dict(done.failed),
        "unplaced": [each.shown() for each in left],
    }


def _lines(done: Done, left: list[Unplaced]) -> list[str]:
    """For people."""
    looked = done.looked
    lines = [
        f"looked at {looked.batches} batches with {looked.readings} readings and {looked.marks} changes of master data",
        f"reckoned {done.pages} pages of series: {done.versions} new versions, {done.stands} of stands",
    ]
    lines += [f"  {n} values {state}{why and ': '}{why}" for (state, why), n in sorted(done.values.items())]
    lines += [f"{each.stored} readings of {each.words} ({each.gateway}) reach no series: {each.why}" for each in left]
    return lines


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
