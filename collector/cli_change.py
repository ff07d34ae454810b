"""The commands that change one thing of a metering point: relations, computed channels, supplies, and what ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from collector import told
from collector.cli import config_option, json_option
from collector.cli_show import opened
from collector.cli_who import WHEN, final_option, instant_at, now_ms, stood_of, who_option, why_option
from collector.faults import NotEnteredError
from collector.master.channels import Aggregate, Channel, Computed, Term
from collector.master.clocks import instant
from collector.master.dated import Act, Span
from collector.master.points import Related, Relation, Supply
from collector.shown import utc
from collector.store.interface import Store
from collector.store.master_words import Word

UTC = "UTC"
_SHARE = re.compile(r"\d{1,9}(/[1-9]\d{0,8}|\.\d{1,9})?")

_from = click.option("--from", "since", required=True, help=f"Since when it holds: {WHEN}.")
_to = click.option("--to", "until", help="Until when [default: further notice].")
_correct = click.option("--correct", is_flag=True, help="Let it count where something else was entered.")


@click.command()
@click.argument("point")
@click.argument("customer")
@config_option
@_from
@_to
@_correct
@who_option
@why_option
@json_option
def supply(
    point: str,
    customer: str,
    config_file: Path,
    since: str,
    until: str | None,
    correct: bool,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Record that CUSTOMER is supplied at POINT; with --correct it ends the supply that was entered before."""
    with opened(config_file) as (_, store):
        word = Supply(point, customer, _span(store, point, since, until))
        _entered(store, word, Act(who, now_ms(), why or "supply"), correct, as_json)


@click.command()
@click.argument("point")
@click.argument("other")
@config_option
@click.option(
    "--as", "relation", required=True, type=click.Choice([each.value for each in Relation]), help="What it is to OTHER."
)
@click.option("--share", default="1", help="Of a share: how much, as 0.25 or 1/3.")
@_from
@_to
@_correct
@who_option
@why_option
@json_option
def relate(
    point: str,
    other: str,
    config_file: Path,
    relation: str,
    share: str,
    since: str,
    until: str | None,
    correct: bool,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Record what POINT is to OTHER.

    sub: its delivery is part of the other's; check: it measures the same again; share: it takes a share of it.
    """
    if not _SHARE.fullmatch(share):
        raise click.UsageError(f"expected a share as 0.25 or 1/3, got {share!r}")
    with opened(config_file) as (_, store):
        span = _span(store, point, since, until)
        word = Related(point, other, Relation(relation), Fraction(share), span)
        _entered(store, word, Act(who, now_ms(), why or "relation"), correct, as_json)


@click.command()
@click.argument("point")
@click.argument("channel")
@config_option
@click.option("--plus", "plus", nargs=2, multiple=True, metavar="POINT CHANNEL", help="A channel to add; repeated.")
@click.option("--minus", "minus", nargs=2, multiple=True, metavar="POINT CHANNEL", help="... to subtract; repeated.")
@click.option(
    "--aggregate",
    type=click.Choice([each.value for each in Aggregate if each is not Aggregate.WEIGHTED]),
    help="What a longer period's value is made of [default: as the first term].",
)
@_from
@_to
@_correct
@who_option
@why_option
@json_option
def compute(
    point: str,
    channel: str,
    config_file: Path,
    plus: tuple[tuple[str, str], ...],
    minus: tuple[tuple[str, str], ...],
    aggregate: str | None,
    since: str,
    until: str | None,
    correct: bool,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Record that CHANNEL of POINT is computed: the sum of some channels less others, of one quantity and cadence.

    An interval has a value when all of them have one, and the worst of their states.
    """
    terms = [Term(1, *each) for each in plus] + [Term(-1, *each) for each in minus]
    if not terms:
        raise click.UsageError("expected --plus or --minus with the POINT and the CHANNEL of at least one term")
    with opened(config_file) as (_, store):
        span = _span(store, point, since, until)
        first = _term(store, terms[0], span)
        rule = first.aggregate if aggregate is None else Aggregate(aggregate)
        word = Computed(point, channel, first.quantity, first.cadence, rule, tuple(terms), span)
        _entered(store, word, Act(who, now_ms(), why or "computed channel"), correct, as_json)


@click.command()
@click.argument("point")
@config_option
@click.option("--at", "at", required=True, help=f"When: {WHEN}.")
@click.option("--meter", help="Only this meter goes.")
@final_option
@click.option("--customer", help="Only the supply of this customer.")
@click.option("--channel", help="Only this channel, read or computed.")
@click.option("--relation", metavar="OTHER", help="Only what it is to this other point.")
@who_option
@why_option
@json_option
def end(
    point: str,
    config_file: Path,
    at: str,
    meter: str | None,
    final: tuple[str, ...],
    customer: str | None,
    channel: str | None,
    relation: str | None,
    who: str,
    why: str,
    as_json: bool,
) -> None:
    """Let something of POINT hold no longer: a meter that goes, a supply, a channel, a relation; or the point itself.

    What refers to it must have ended before. What was stored of it stays.
    """
    given = {"meter": meter, "customer": customer, "channel": channel, "relation": relation}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) > 1 or (final and meter is None):
        raise click.UsageError("expected at most one of --meter, --customer, --channel, --relation; --final of a meter")
    with opened(config_file) as (_, store):
        at_ms = instant_at(store, point, at)
        what, name = next(iter(named.items()), ("point", point))
        found = _holding(store, what, name, point, at_ms)
        rows = []
        with store.transaction(), store.master.acting(Act(who, now_ms(), why or f"end of {what}")) as change:
            for each in found:
                change.end(each, at_ms, stood_of(final))
                rows.append(told.word(each) | {"to": utc(at_ms)})
    _echo(rows, as_json)


@click.command("end")
@click.argument("serial")
@config_option
@click.option("--at", "at", required=True, help="When: a day (UTC), or an instant as 2026-03-01T09:30+01:00.")
@who_option
@why_option
@json_option
def end_meter(serial: str, config_file: Path, at: str, who: str, why: str, as_json: bool) -> None:
    """Let a meter with its registers and devices hold no longer: scrapped, sold. It was taken from its point before."""
    with opened(config_file) as (_, store):
        master, at_ms = store.master, instant(at, UTC)
        found = master.meters.at(at_ms, meter=serial)
        if not found:
            raise NotEnteredError(f"meter {serial[:64]} that holds at {utc(at_ms)}", "none", "end")
        known = Span(at_ms)
        with store.transaction(), store.master.acting(Act(who, now_ms(), why or "end of meter")) as change:
            for table in (master.mapped, master.registers, master.meters):
                for each in table.during(known, meter=serial):
                    change.end(each, max(at_ms, each.span.from_ms))
    _echo([told.word(each) | {"to": utc(at_ms)} for each in found], as_json)


OF_POINTS = (supply, relate, compute, end)
OF_METERS = (end_meter,)


def _span(store: Store, point: str, since: str, until: str | None) -> Span:
    from_ms = instant_at(store, point, since)
    to_ms = None if until is None else instant_at(store, point, until)
    if to_ms is not None and to_ms <= from_ms:
        raise click.UsageError(f"expected --to after --from {utc(from_ms)}, got {utc(to_ms)}")
    return Span(from_ms, to_ms)


def _term(store: Store, term: Term, span: Span) -> Channel:
    """The channel of a term: it says of what quantity and cadence the computed one is.

    Raises:
        NotEnteredError: there is none in that time.
    """
    found = store.master.channels.during(span, point=term.point, name=term.channel)
    if not found:
        there = ", ".join(sorted({each.name for each in store.master.channels.during(span, point=term.point)}))
        raise NotEnteredError(f"channel {term.channel} of point {term.point}", there or "no channels", "a term")
    return found[0]


def _entered(store: Store, word: Word, act: Act, correct: bool, as_json: bool) -> None:
    with store.transaction(), store.master.acting(act) as change:
        if correct:
            change.set(word)
        else:
            change.enter(word)
    _echo([told.word(word)], as_json)


def _holding(store: Store, what: str, name: str, point: str, at_ms: int) -> list[Word]:
    """What is to end, as it holds then.

    Raises:
        NotEnteredError: nothing of that name holds.
    """
    master = store.master
    looks: dict[str, Callable[[], list[Any]]] = {
        "point": lambda: master.points.at(at_ms, point=point),
        "meter": lambda: master.installations.at(at_ms, point=point, meter=name),
        "customer": lambda: master.supplies.at(at_ms, point=point, customer=name),
        "channel": lambda: [
            *master.channels.at(at_ms, point=point, name=name),
            *master.computed.at(at_ms, point=point, name=name),
        ],
        "relation": lambda: master.relations.at(at_ms, point=point, other=name),
    }
    found: list[Word] = looks[what]()
    if not found:
        expected = f"{what} {name} {'' if what == 'point' else f'at point {point} '}that holds at {utc(at_ms)}"
        raise NotEnteredError(expected, "none", "end")
    return found


def _echo(rows: list[dict[str, Any]], as_json: bool) -> None:
    click.echo(json.dumps(rows, indent=1) if as_json else "\n".join(told.line(each) for each in rows))
