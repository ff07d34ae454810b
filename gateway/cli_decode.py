"""What the command `decode` does: telegrams explained offline; an explanation goes to stdout, an error to stderr.

With `-` every line of standard input is a telegram and has an answer of its own on stdout, an error too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

import click

from protocols.errors import MeterError
from protocols.mbus import explain, layout, link, telegram
from protocols.mbus.link import Frame
from protocols.mbus.telegram import Telegram


def decode(written: str, as_json: bool) -> None:
    """Explain one telegram.

    Raises:
        MeterError: it does not decode; what can be said of its bytes is printed first.
    """
    frame = link.parse(explain.octets_of(written))
    if as_json:
        click.echo(json.dumps(asdict(explain.in_seconds(explain.explain(frame)))))
        return
    try:
        answer = _answer(frame)
    except MeterError:
        click.echo("\n".join(layout.lines(frame, None)))
        raise
    click.echo("\n".join(layout.lines(frame, answer)))


def decode_lines(telegrams: Iterable[str], as_json: bool) -> None:
    """Explain one telegram a line; blank lines are skipped, one that does not decode is answered by its error."""
    for each in telegrams:
        if not each.strip():
            continue
        try:
            decode(each, as_json)
        except MeterError as error:
            click.echo(json.dumps({"error": str(error)}) if as_json else str(error))
        if not as_json:
            click.echo()


def _answer(frame: Frame) -> Telegram | None:
    return telegram.decode(frame) if frame.kind is link.Kind.LONG else None
