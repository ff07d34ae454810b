"""What the command `read` does: a meter, or all of them, read now and shown; values go to stdout, talk to stderr.

Where the daemon runs it is the one that reads: the same is printed, and it is said.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gateway import adhoc
from gateway.adhoc import listed, said, through
from gateway.config import Configuration, DlmsBus, MbusBus, ModbusBus
from gateway.config_file import read_configuration
from gateway.faults import UnknownMeter
from gateway.lines import MACHINE, Lines
from gateway.readout import Readable
from gateway.readout_mbus import MbusMeter
from gateway.visit import Visit
from protocols.errors import LinkError, MeterError, PlombaError

OK, FAILED, PARTIAL = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Form:
    """How it is printed; not both."""

    as_json: bool = False
    raw: bool = False


def one(file: Path, name: str, baud: int | None, mode: str | None) -> Readable:
    """A configured meter, of whatever protocol.

    Raises:
        UnknownMeter: there is none of this name.
        LineOwned: a speed is given, and the daemon has the line open.
        PlombaError: the file, or the meter's secrets, cannot be used.
    """
    found = read_configuration(file)
    known = {device.name: bus.protocol for bus in found.bus for device in bus.device}
    if name not in known:
        raise UnknownMeter(f"a meter: {listed(known)}", name, str(file))
    if (baud or mode) and known[name] != "mbus":
        raise click.UsageError(f"--baud and --mode are of M-Bus lines: leave them out for {name}")
    return readable(file, found, name, baud, mode)


def by_options(asked: Visit) -> Readable:
    """An M-Bus meter that the options name."""
    return MbusMeter(asked)


def read(meter: Readable, form: Form, lines: Lines = MACHINE) -> int:
    """Read the meter, print what it shows, and give the exit code; 3: it has more than came."""
    if meter.through is not None:
        click.echo(meter.through.told, err=True)
    try:
        found = asyncio.run(meter.heard(lines))
        if form.raw:
            click.echo("\n".join(each.hex() for each in found.raw))
        if found.told:
            click.echo(found.told, err=True)
        shown = found.readout()
    except (MeterError, LinkError) as error:
        click.echo(_said(meter, error), err=True)
        return FAILED
    if not form.raw:
        click.echo(json.dumps(shown.row) if form.as_json else "\n".join(shown.lines))
    return PARTIAL if shown.partial else OK


def read_all(file: Path, form: Form, lines: Lines = MACHINE) -> int:
    """Read each configured meter, a line for each; 0: all were read, 3: some, or not all of each, 1: none."""
    found = read_configuration(file)
    names = [device.name for bus in found.bus for device in bus.device]
    width = max(map(len, names), default=0)
    behind = through(found, "")
    if behind is not None:
        click.echo(behind.told, err=True)
    rows = []
    for name in names:
        rows.append(_row_of(file, found, name, lines))
        if not form.as_json:
            click.echo("\n".join(_line(rows[-1], width, form.raw)))
    if form.as_json:
        click.echo(json.dumps(rows))
    failed = sum(not row["ok"] for row in rows)
    click.echo(f"{len(rows) - failed} of {len(rows)} meters read", err=True)
    if failed == len(rows) and rows:
        return FAILED
    return PARTIAL if failed or any(row["ok"] and row["partial"] for row in rows) else OK


def store(file: Path, names: Sequence[str], as_json: bool) -> int:
    """Read these configured meters (none: all) and seal what they show; 0: all were sealed, 3: some, 1: none."""
    from gateway.session import session  # noqa: PLC0415
    from gateway.stored import store as sealed  # noqa: PLC0415

    found = read_configuration(file)
    known = [device.name for bus in found.bus for device in bus.device]
    if unknown := [each for each in names if each not in known]:
        raise UnknownMeter(f"a meter: {listed(known)}", unknown[0], str(file))
    rows: list[dict[str, Any]] = []
    with session(found, "read") as say:
        for name in names or known:
            try:
                shown = sealed(say, found.state_folder, name)
            except PlombaError as error:
                rows.append({"device": name, "code": error.code, "error": str(error)})
                click.echo(f"{name}: {error}", err=True)
                continue
            rows.append(shown.row)
            if not as_json:
                click.echo("\n".join((f"{name}: {shown.lines[0]}", *shown.lines[1:])))
    if as_json:
        click.echo(json.dumps(rows))
    failed = sum("error" in row for row in rows)
    click.echo(f"{len(rows) - failed} of {len(rows)} meters read and sealed", err=True)
    return OK if not failed else PARTIAL if failed < len(rows) else FAILED


def _row_of(file: Path, found: Configuration, name: str, lines: Lines) -> dict[str, Any]:
    """A meter's readout, or what went wrong."""
    raw: list[str] = []
    try:
        meter = readable(file, found, name)
        try:
            heard = asyncio.run(meter.heard(lines))
            raw = [each.hex() for each in heard.raw]
            shown = heard.readout()
        except (MeterError, LinkError) as error:
            return {"name": name, "ok": False, "code": error.code, "error": _said(meter, error), "raw": raw}
    except PlombaError as error:
        return {"name": name, "ok": False, "code": error.code, "error": str(error), "raw": raw}
    told = {"who": shown.who, "first": shown.first, "partial": shown.partial}
    return {"name": name, "ok": True, **told, "reading": shown.row, "raw": raw}


def _line(row: dict[str, Any], width: int, raw: bool) -> Iterable[str]:
    if raw and row["raw"]:
        return [f"{row['name']:{width}}  {each}" for each in row["raw"]]
    said_of = f"{row['who']}: {row['first']}" if row["ok"] else row["error"]
    return [f"{row['name']:{width}}  {said_of}"]


def readable(file: Path, found: Configuration, name: str, baud: int | None = None, mode: str | None = None) -> Readable:
    """A meter of a configuration, read from `file` or to be written there; `baud` and `mode` are of M-Bus alone.

    Raises:
        LineOwned: a speed is given, and the daemon has the line open.
        PlombaError: the meter's secrets cannot be used.
    """
    match next(bus for bus in found.bus for device in bus.device if device.name == name):
        case MbusBus():
            return MbusMeter(adhoc.configured(file, found, name, baud, mode))
        case DlmsBus():
            from gateway import dlms_adhoc  # noqa: PLC0415
            from gateway.readout_dlms import DlmsMeter  # noqa: PLC0415

            return DlmsMeter(dlms_adhoc.configured(file, found, name))
        case ModbusBus() as bus:
            from gateway.readout_modbus import ModbusMeter  # noqa: PLC0415

            device = next(each for each in bus.device if each.name == name)
            return ModbusMeter(bus, device, through(found, name))


def _said(meter: Readable, error: MeterError | LinkError) -> str:
    return said(error, meter.place, meter.step(error) if isinstance(error, MeterError) else "")
