"""What the command `exchange` does: old meter, new meter, record, configuration; beside the daemon or without it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from gateway import newcomers
from gateway.config import Configuration, Device, MbusDevice
from gateway.config_file import read_configuration
from gateway.edit import edited
from gateway.exchanging import READ, RECORD, Visited, find, keys_of
from gateway.faults import NotExchanged
from gateway.files import write_whole
from gateway.owners import daemon_of
from gateway.session import Say, session
from gateway.succession import fits
from gateway.successors import named
from protocols.errors import PlombaError
from protocols.uplink.leaf import identity_to_wire
from protocols.uplink.pack import Wire

FAILED, LEFT = 1, 3  # nothing was recorded; it was, and the file was left as it is


def exchange(path: Path, name: str, to: str | None, typed: Sequence[str], yes: bool) -> int:
    """Read, ask, record and write; the exit code.

    Raises:
        PlombaError: what went wrong; what was read and recorded before it stays.
    """
    configuration = read_configuration(path)
    _, device = find(configuration, name)
    to = to or _offered(configuration, device, yes)
    with session(configuration, "exchange") as say:
        initial = _recorded(say, path, device, to, typed, yes)
    return FAILED if initial is None else _configure(path, configuration, device, initial, yes)


def _recorded(say: Say, path: Path, device: Device, to: str | None, typed: Sequence[str], yes: bool) -> Visited | None:
    """The new meter, and the record of the exchange sealed, once; None where that was not wanted."""
    final, initial = _met(say, device, to, yes)
    if initial.known:
        click.echo(f"the exchange was recorded before: only {path} still names the old meter", err=True)
        return initial
    if final is None and not typed:
        click.echo(
            "the old meter does not answer: its last reading is the final one (--final gives the plate's)", err=True
        )
    who = named(initial.meter)
    asked = f"record that the meter of {device.name} was exchanged, and is now {who}?"
    if not yes and not click.confirm(asked, err=True):
        click.echo("nothing was recorded", err=True)
        return None
    old: Wire = None if final is None else identity_to_wire(final.meter)
    said = [old, identity_to_wire(initial.meter), None if final is None else final.digest, initial.digest, list(typed)]
    say(RECORD, device.name, *said)
    click.echo(f"recorded: {who} is the meter of {device.name}")
    return initial


def _offered(configuration: Configuration, device: Device, yes: bool) -> str | None:
    """The number of a newcomer that was found and is taken for the new meter; with `yes` only the one that is proposed.

    A meter that is not selected by its number needs none: the new one answers at its address.
    """
    if not isinstance(device, MbusDevice) or device.secondary is None:
        return None
    for each in newcomers.standing(configuration):
        if device.name not in each.devices or (yes and not each.sure):
            continue
        who, number = named(each.newcomer.identity), each.newcomer.number
        if yes or click.confirm(f"{who} was found on the line {each.bus}: is it the new meter?", err=True):
            return number
    return None


def _met(say: Say, device: Device, to: str | None, yes: bool) -> tuple[Visited | None, Visited]:
    """The old meter where it still answers, and the new one, which is known where this was recorded before."""
    try:
        first = Visited.from_wire(say(READ, device.name, None))
    except PlombaError as error:
        if to is None:
            raise
        click.echo(f"the old meter: {error}", err=True)
        return None, _new(Visited.from_wire(say(READ, device.name, to)), device)
    _show(first, device)
    if _recorded_before(first, device):
        return None, first
    if not first.known:
        number = first.meter.id or first.meter.fabrication
        if to is not None and number != to.upper():
            raise NotExchanged(f"number {to}", number or "none", device.name)
        return None, first
    if yes:
        raise NotExchanged("the new meter", f"the old one, {named(first.meter)}", device.name)
    click.prompt("take the old meter away, mount the new one, then press Enter", "", show_default=False, err=True)
    second = Visited.from_wire(say(READ, device.name, to))
    _show(second, device)
    return first, _new(second, device)


def _recorded_before(found: Visited, device: Device) -> bool:
    """Whether it is the meter of the device by a record, and not by the file."""
    return found.known and not fits(found.meter, device.identity)


def _new(found: Visited, device: Device) -> Visited:
    if found.known and not _recorded_before(found, device):
        raise NotExchanged("the new meter", f"the old one, {named(found.meter)}", device.name)
    return found


def _show(found: Visited, device: Device) -> None:
    known = "the recorded meter" if _recorded_before(found, device) else "the configured meter"
    click.echo(f"{known if found.known else 'a new meter'} answers: {named(found.meter)}")
    for each in found.shows:
        click.echo(f"  {each}")


def _wanted(question: str) -> bool:
    """What a person says; who goes away without a word says no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def _configure(path: Path, configuration: Configuration, device: Device, initial: Visited, yes: bool) -> int:
    """Write the new meter into the file; what is beside it stays as it was written."""
    keys = keys_of(device, initial.meter)
    before = path.read_bytes().decode()
    now = edited(path, before, device.name, keys)
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), str(path), str(path), lineterm="", n=1)
    click.echo("\n".join(lines))
    if not yes and not _wanted(f"write this into {path}?"):
        said = "the next start of the daemon goes by it; give the command again to write it"
        click.echo(f"the file was left as it is: {said}", err=True)
        return LEFT
    status = path.stat()
    write_whole(path, now.encode(), status.st_mode & 0o777)
    with suppress(PermissionError):
        os.chown(path, status.st_uid, status.st_gid)
    if daemon_of(configuration.state_folder):
        number = isinstance(device, MbusDevice) and device.secondary is not None
        when = "now: until then it selects the old number" if number else "when it suits: it reads the file then"
        click.echo(f"restart the daemon (systemctl restart plomba-gateway) {when}", err=True)
    return 0
