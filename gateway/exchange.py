"""What the command `exchange` does: old meter, new meter, record, configuration; beside the daemon or without it."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click

from gateway import enrol, events, local, newcomers
from gateway.buses import Shared
from gateway.clock import GatewayClock
from gateway.config import Configuration, Device, MbusDevice, configuration_content, read_configuration
from gateway.core import core_of_this_program
from gateway.edit import edited
from gateway.exchanging import READ, RECORD, Exchanging, Visited, find, keys_of
from gateway.faults import NotExchanged
from gateway.files import write_whole
from gateway.lock import FolderLock
from gateway.owners import daemon_of
from gateway.salvage import declared
from gateway.seal import Seal, Sealer
from gateway.settled import Positions
from gateway.start import open_all
from gateway.successors import named
from gateway.surroundings import Surroundings, machine
from gateway.writer import InlineWriter
from protocols.errors import PlombaError
from protocols.reading import Reading
from protocols.uplink.leaf import identity_to_wire
from protocols.uplink.pack import Wire

FAILED = 1


def exchange(path: Path, name: str, to: str | None, typed: Sequence[str], yes: bool) -> int:
    """Read, ask, record and write; the exit code.

    Raises:
        PlombaError: what went wrong; what was read and recorded before it stays.
    """
    configuration = read_configuration(path)
    _, device = find(configuration, name)
    to = to or _offered(configuration, device, yes)
    say = _speaker(configuration)
    final, initial = _met(say, device, to, yes)
    if final is None and not typed:
        click.echo(
            "the old meter does not answer: its last reading is the final one (--final gives the plate's)", err=True
        )
    who = named(initial.meter)
    if not yes and not click.confirm(f"record that the meter of {name} was exchanged, and is now {who}?", err=True):
        click.echo("nothing was recorded", err=True)
        return FAILED
    old: Wire = None if final is None else identity_to_wire(final.meter)
    said = [old, identity_to_wire(initial.meter), None if final is None else final.digest, initial.digest, list(typed)]
    say(RECORD, name, *said)
    click.echo(f"recorded: {who} is the meter of {name}")
    return _configure(path, configuration, device, initial, yes)


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


Say = Callable[..., Wire]


def _met(say: Say, device: Device, to: str | None, yes: bool) -> tuple[Visited | None, Visited]:
    """The old meter where it still answers, and the new one."""
    try:
        first = Visited.from_wire(say(READ, device.name, None))
    except PlombaError as error:
        if to is None:
            raise
        click.echo(f"the old meter: {error}", err=True)
        return None, _new(Visited.from_wire(say(READ, device.name, to)), device)
    _show(first)
    if not first.known:
        number = first.meter.id or first.meter.fabrication
        if to is not None and number != to.upper():
            raise NotExchanged(f"number {to}", number or "none", device.name)
        return None, first
    if yes:
        raise NotExchanged("the new meter", f"the old one, {named(first.meter)}", device.name)
    click.prompt("take the old meter away, mount the new one, then press Enter", "", show_default=False, err=True)
    second = Visited.from_wire(say(READ, device.name, to))
    _show(second)
    return first, _new(second, device)


def _new(found: Visited, device: Device) -> Visited:
    if found.known:
        raise NotExchanged("the new meter", f"the old one, {named(found.meter)}", device.name)
    return found


def _show(found: Visited) -> None:
    click.echo(f"{'the configured meter' if found.known else 'a new meter'} answers: {named(found.meter)}")
    for each in found.shows:
        click.echo(f"  {each}")


def _configure(path: Path, configuration: Configuration, device: Device, initial: Visited, yes: bool) -> int:
    """Write the new meter into the file; what is beside it stays as it was written."""
    keys = keys_of(device, initial.meter)
    before = path.read_bytes().decode()
    now = edited(path, before, device.name, keys)
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), str(path), str(path), lineterm="", n=1)
    click.echo("\n".join(lines))
    if not yes and not click.confirm(f"write this into {path}?", err=True):
        click.echo("the file was left as it is: the next start of the daemon goes by it", err=True)
        return 3
    status = path.stat()
    write_whole(path, now.encode(), status.st_mode & 0o777)
    with suppress(PermissionError):
        os.chown(path, status.st_uid, status.st_gid)
    if daemon_of(configuration.state_folder):
        number = isinstance(device, MbusDevice) and device.secondary is not None
        when = "now: until then it selects the old number" if number else "when it suits: it reads the file then"
        click.echo(f"restart the daemon (systemctl restart plomba-gateway) {when}", err=True)
    return 0


def _speaker(configuration: Configuration) -> Say:
    """How the verbs are reached: the daemon's socket, or a session of our own."""
    if daemon_of(configuration.state_folder):
        return lambda verb, *arguments: local.ask(configuration.state_folder, verb, *arguments)
    enrol.read_keys(configuration.keys_folder)  # without them nothing can be sealed
    return lambda verb, *arguments: _alone(configuration, verb, list(arguments))


def _alone(configuration: Configuration, verb: str, arguments: list[Wire]) -> Wire:
    configuration.state_folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    lock = FolderLock(configuration.state_folder)
    try:
        return asyncio.run(_session(configuration, machine(), verb, arguments))
    finally:
        lock.close()


async def _session(configuration: Configuration, surroundings: Surroundings, verb: str, arguments: list[Wire]) -> Wire:
    """One verb, with the buffer open; the state folder is the caller's alone."""
    opened = await open_all(configuration, surroundings)
    if opened is None:
        raise NotExchanged("an exchange that ends", "a signal", "the command")
    known, writer = opened.known, InlineWriter()
    clock = GatewayClock(surroundings.clock, known.signed_ms, known.sealed_ms)
    seal = Seal(
        configuration.gateway, opened.keys.sealing, core_of_this_program(), configuration_content(configuration)
    )
    positions, chain = Positions(known.rows), opened.chain
    sealer = Sealer(seal, clock, opened.buffer, writer, chain, known.head, (), positions, surroundings.random)
    sealer.begin_epoch("exchange" if opened.salvaged is None else "buffer damaged")
    if opened.salvaged is not None:
        sealer.note_event(events.BUFFER_SALVAGED, len(opened.salvaged.whole), opened.salvaged.aside.name)
    for lost in declared(known.gaps, clock.when()):
        sealer.note(lost)
    shared = Shared.of(configuration, writer)
    try:
        verbs = Exchanging(configuration, clock, sealer, shared, _freely, surroundings.lines).verbs()
        return await verbs[verb](arguments)
    finally:
        await sealer.flush()
        opened.buffer.close()


async def _freely(bus: str, work: Callable[[], Awaitable[list[Reading]]]) -> list[Reading]:
    """Nobody else has the line."""
    return await work()
