"""The commands that erase what was read, and say what was erased."""

from __future__ import annotations

import json
from pathlib import Path

import click

from collector import files
from collector.cli import config_option, file_argument, json_option
from collector.cli_act import PARTIAL, batch_id
from collector.cli_show import opened
from collector.cli_who import instant_at, now_ms, who_option
from collector.erase.plan import Plan, Planner
from collector.erase.purposes import ALL
from collector.erase.work import Erasing, begin, forecast, words
from collector.faults import EraseError, NotFoundError
from collector.shown import utc
from collector.store.erasures import COARSE, FINE, KEPT, Erasure
from collector.store.interface import Store

_KINDS = {
    FINE: "values of quarters and hours",
    COARSE: "values of days and months, and stands",
    KEPT: "afterwards not reckoned anew: what",
}


@click.command()
@config_option
@click.option("--batch", type=batch_id, help="Id of a batch (64 hex digits), with --leaf.")
@click.option("--gateway", help="Whose batch it is, where two gateways have one of the same id.")
@click.option("--leaf", "leaves", type=click.IntRange(0, 4095), multiple=True, help="Index of a leaf; repeated.")
@click.option("--point", help="A metering point, with --from and --to: all that was read there, and made of it.")
@click.option("--from", "begins", metavar="TIME", help="From when, in the point's zone: 2026-03-01.")
@click.option("--to", "ends", metavar="TIME", help="Until before when.")
@click.option("--list", "listed", type=file_argument, help="Do again what 'erasures --json' printed: after a restore.")
@click.option(
    "--despite", type=click.Choice(ALL), multiple=True, help="Erase what this purpose still holds, too; repeated."
)
@click.option("--yes", is_flag=True, help="Erase; without it only what would go is shown.")
@who_option
@click.option("--why", help="Why; it is kept in the list and in the journal.")
@json_option
def erase(
    config_file: Path,
    batch: bytes | None,
    gateway: str | None,
    leaves: tuple[int, ...],
    point: str | None,
    begins: str | None,
    ends: str | None,
    listed: Path | None,
    despite: tuple[str, ...],
    yes: bool,
    who: str,
    why: str | None,
    as_json: bool,
) -> None:
    """Erase the content of leaves, or what lies within a span of a metering point: readings and what was made of them.

    Without --yes nothing is changed: what would go is shown, and which purpose still holds what. Hashes, headers and
    seals stay, so that every batch still verifies; nothing of it is taken in again, whoever sends it. Works beside a
    collector that runs; ended in the middle it goes on when it, or the collector, runs again. Exit code 3 when
    something stays that was asked for.
    """
    if sum(each is not None for each in (batch, point, listed)) != 1:
        raise click.UsageError("choose one of --batch, --point and --list")
    if (batch is not None and not leaves) or (point is not None and (begins is None or ends is None)):
        raise click.UsageError("--batch wants --leaf, --point wants --from and --to")
    if yes and not why and listed is None:
        raise click.UsageError("--yes wants --why: it is kept")
    with opened(config_file) as (config, store):
        if listed is not None:
            plans = _listed(listed)
        else:
            planner = Planner(store, config.purposes, now_ms(), despite)
            plans = [(now_ms(), who, why or "", _planned(store, planner, batch, gateway, leaves, point, begins, ends))]
        if not yes:
            _show(store, plans, as_json)
            return
        left = _erase(store, plans, as_json)
    if left or any(plan.held for *_, plan in plans):
        raise SystemExit(PARTIAL)


@click.command()
@config_option
@json_option
def erasures(config_file: Path, as_json: bool) -> None:
    """Show what was erased by right: who, when, why, what, how much.

    With --json it is the list for 'erase --list', which does it again in a store that was restored from a backup.
    """
    with opened(config_file) as (_, store):
        acts = store.erasures.all()
    if as_json:
        click.echo(json.dumps([_shown(each) for each in acts], indent=1))
        return
    for each in acts:
        done = "not done yet" if each.done_ms is None else f"done {utc(each.done_ms)}"
        click.echo(f"{each.number}  {utc(each.at_ms)}  {each.who}: {each.why}  {each.subject['what']}  {done}")
        click.echo(f"   {words(each.counts)}")


def _planned(
    store: Store,
    planner: Planner,
    batch: bytes | None,
    gateway: str | None,
    leaves: tuple[int, ...],
    point: str | None,
    begins: str | None,
    ends: str | None,
) -> Plan:
    if point is not None and begins is not None and ends is not None:
        return planner.point(point, instant_at(store, point, begins), instant_at(store, point, ends))
    row = None if batch is None else store.evidence.find(batch, gateway)
    if row is None:
        raise NotFoundError("the id of a stored batch", "" if batch is None else batch.hex(), "the store")
    return planner.leaves(row, sorted(set(leaves)))


def _listed(path: Path) -> list[tuple[int, str, str, Plan]]:
    """The acts in a list.

    Raises:
        EraseError: it is none.
    """
    try:
        acts = json.loads(files.read(path))
        return [
            (int(each["at_ms"]), str(each["who"]), str(each["why"]), Plan.from_json(each["subject"])) for each in acts
        ]
    except (ValueError, TypeError, LookupError) as error:
        raise EraseError("what 'erasures --json' prints", repr(error)[:100], str(path)) from None


def _erase(store: Store, plans: list[tuple[int, str, str, Plan]], as_json: bool) -> bool:
    """Do it; whether something could not be opened, or may still be in the store's log."""
    store.durability()
    numbers = {begin(store, plan, who, why, at_ms) for at_ms, who, why, plan in plans if plan}
    Erasing(store).all(now_ms())
    acts = [each for each in store.erasures.all() if each.number in numbers]
    clean = store.forget()
    if as_json:
        click.echo(json.dumps([_shown(each) for each in acts], indent=1))
    for each in acts:
        click.echo(f"erasure {each.number} done: {words(each.counts)}", err=True)
    for *_, plan in plans:
        for line in plan.held:
            click.echo(f"stays: {line}", err=True)
    if not clean:
        click.echo("another program reads for long: the store's log still has what was erased; give it again", err=True)
    return not clean or any("not opened" in each.counts for each in acts)


def _show(store: Store, plans: list[tuple[int, str, str, Plan]], as_json: bool) -> None:
    if as_json:
        shown = [plan.to_json() | {"counts": forecast(store, plan), "held": plan.held} for *_, plan in plans]
        click.echo(json.dumps(shown, indent=1))
        return
    for *_, plan in plans:
        click.echo(f"{plan.what}: {words(forecast(store, plan))} would go, where the evidence has them too")
        for leaf in plan.leaves:
            click.echo(f"  leaf {leaf[2]} of batch {leaf[1].hex()} of {leaf[0]}")
        for span in plan.meters:
            click.echo(f"  readings of a meter, {utc(span.from_ms)} to {utc(span.to_ms)}")
        for each in plan.points:
            click.echo(f"  {_KINDS[each.kind]} of {each.point}, {utc(each.from_ms)} to {utc(each.to_ms)}")
        for line in plan.held:
            click.echo(f"stays: {line}")
    click.echo("nothing was changed: give --yes and --why to erase", err=True)


def _shown(act: Erasure) -> dict[str, object]:
    return {
        "number": act.number,
        "at_ms": act.at_ms,
        "who": act.who,
        "why": act.why,
        "subject": act.subject,
        "done_ms": act.done_ms,
        "counts": act.counts,
    }
