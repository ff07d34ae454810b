"""What the command `decode` does: telegrams explained offline; an explanation goes to stdout, an error to stderr.

Of which protocol a telegram is, its first bytes say: 68, 10 and E5 begin M-Bus frames (a long one whose CI is below 20
carries DLMS/COSEM), all else that is known is DLMS/COSEM. With `-` every line of standard input is a telegram and has
an answer of its own on stdout, an error too; as JSON a blank one too, so that line N of the output is of line N.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

import click

from protocols.dlms import frames as dlms_frames
from protocols.dlms import layout as dlms_layout
from protocols.errors import MeterError
from protocols.mbus import explain, layout, link, telegram
from protocols.mbus.link import Frame
from protocols.mbus.telegram import Telegram

MBUS_STARTS = frozenset(kind.value for kind in link.Kind)


def decode(written: str, as_json: bool) -> None:
    """Explain one telegram.

    Raises:
        MeterError: it does not decode; what can be said of its bytes is printed first.
    """
    octets = explain.octets_of(written.lstrip("\ufeff"))
    if dlms_frames.is_over_mbus(octets) or (octets[0] not in MBUS_STARTS and dlms_layout.is_dlms(octets)):
        _decode_dlms(octets, as_json)
    else:
        _decode_mbus(octets, as_json)


def decode_lines(telegrams: Iterable[str], as_json: bool) -> None:
    """Explain one telegram a line; one that does not decode is answered by its error, a blank one as JSON alone."""
    for each in telegrams:
        if not as_json and not each.strip():
            continue
        try:
            decode(each, as_json)
        except MeterError as error:
            click.echo(json.dumps({"error": str(error)}) if as_json else str(error))
        if not as_json:
            click.echo()


def _decode_mbus(octets: bytes, as_json: bool) -> None:
    frame = link.parse(octets)
    if as_json:
        click.echo(json.dumps(asdict(explain.in_seconds(explain.explain(frame)))))
        return
    try:
        answer = _answer(frame)
    except MeterError:
        click.echo("\n".join(layout.lines(frame, None)))
        raise
    click.echo("\n".join(layout.lines(frame, answer)))


def _decode_dlms(octets: bytes, as_json: bool) -> None:
    found = dlms_layout.explained(octets)
    if not as_json:
        click.echo("\n".join(dlms_layout.lines(found)))
    if found.error is not None:
        raise found.error
    if as_json:
        click.echo(json.dumps(dlms_layout.as_json(found)))


def _answer(frame: Frame) -> Telegram | None:
    return telegram.decode(frame) if frame.kind is link.Kind.LONG else None
