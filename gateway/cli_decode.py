"""What the command `decode` does: telegrams explained offline; an explanation goes to stdout, an error to stderr.

Of which protocol a telegram is, its first bytes say: 68, 10 and E5 begin M-Bus frames (a long one whose CI is below 20
carries DLMS/COSEM), all else that is known is DLMS/COSEM. With `-` every line of standard input is a telegram and has
an answer of its own on stdout, an error too; as JSON a blank one too, so that line N of the output is of line N.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from gateway.password import key_in, keys_in
from protocols.dlms import frames as dlms_frames
from protocols.dlms import layout as dlms_layout
from protocols.dlms.ciphering import TITLE
from protocols.dlms.decipher import Opener
from protocols.errors import MeterError
from protocols.mbus import explain, layout, link, telegram
from protocols.mbus.link import Frame
from protocols.mbus.telegram import Telegram

MBUS_STARTS = frozenset(kind.value for kind in link.Kind)


def decode(written: str, as_json: bool, opener: Opener | None = None) -> None:
    """Explain one telegram; with `opener` what is ciphered is opened.

    Raises:
        MeterError: it does not decode; what can be said of its bytes is printed first.
    """
    octets = explain.octets_of(written.lstrip("\ufeff"))
    if dlms_frames.is_over_mbus(octets) or (octets[0] not in MBUS_STARTS and dlms_layout.is_dlms(octets)):
        _decode_dlms(octets, as_json, opener)
    else:
        _decode_mbus(octets, as_json)


def opener_of(
    key_file: Path | None, titles: tuple[str, ...], dedicated_file: Path | None, master_file: Path | None = None
) -> Opener | None:
    """What the options of the command say of keys; None where there are none.

    Raises:
        click.UsageError: not well, or not together.
        KeyUnusable: a file cannot be used.
    """
    if key_file is None:
        if titles or dedicated_file is not None or master_file is not None:
            raise click.UsageError("--system-title, --dedicated-key-file and --master-key-file want --key-file")
        return None
    keys = keys_in(key_file)
    dedicated = b"" if dedicated_file is None else key_in(dedicated_file, keys.suite)
    master = b"" if master_file is None else key_in(master_file, keys.suite)
    return Opener(keys, tuple(map(_title, titles)), dedicated, master)


def _title(digits: str) -> bytes:
    try:
        title = bytes.fromhex(digits)
    except ValueError:
        title = b""
    if len(title) != TITLE:
        words = f"expected {2 * TITLE} hex digits, got {digits!r}"
        raise click.BadParameter(words, param_hint="--system-title")
    return title


def decode_lines(telegrams: Iterable[str], as_json: bool, opener: Opener | None = None) -> None:
    """Explain one telegram a line; one that does not decode is answered by its error, a blank one as JSON alone.

    System titles and dedicated keys that one telegram shows count for those behind it.
    """
    for each in telegrams:
        if not as_json and not each.strip():
            continue
        try:
            decode(each, as_json, opener)
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


def _decode_dlms(octets: bytes, as_json: bool, opener: Opener | None) -> None:
    found = dlms_layout.explained(octets)
    if opener is not None:
        opener.open(found)
    if not as_json:
        click.echo("\n".join(dlms_layout.lines(found)))
    if found.error is not None:
        raise found.error
    if as_json:
        click.echo(json.dumps(dlms_layout.as_json(found)))


def _answer(frame: Frame) -> Telegram | None:
    return telegram.decode(frame) if frame.kind is link.Kind.LONG else None
