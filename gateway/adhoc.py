"""What a technician's command works on: a configured line or meter, or a line that is named with the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from gateway.config import Configuration, MbusBus, MbusDevice
from gateway.config_file import read_configuration
from gateway.faults import LineOwned, UnknownBus, UnknownMeter
from gateway.handed import Through
from gateway.lines import Place
from gateway.mbus import way
from gateway.owners import daemon_of, holder, port_step
from gateway.visit import Visit
from protocols.errors import PlombaError
from protocols.mbus import select
from protocols.mbus.pymeterbus import BROADCAST_REPLY
from protocols.mbus.select import Secondary
from protocols.mbus.session import primary
from protocols.transports.serial import PortBusy

RESERVED = (251, 252, 253)  # EN 13757-2: no meter's own; 253 is the one that is selected


def place(file: Path | None, port: str | None, url: str | None, baud: int | None, mode: str | None) -> Place:
    """A line that is named with the command.

    Raises:
        click.UsageError: it is not, or in two ways, or not well.
    """
    if file is not None:
        raise click.UsageError(f"which one of {file} is meant? write its name behind the command")
    if (port is None) == (url is None):
        raise click.UsageError("name the line: --port PATH, or --url URL, or a NAME of --config FILE")
    if url is not None and "://" not in url:
        words = "tcp://HOST:PORT or rfc2217://HOST:PORT"
        raise click.BadParameter(f"expected {words}, got {url!r}", param_hint="--url")
    try:
        return spoken(Place(port or url or ""), baud, mode)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error


def named(at: Place, address: int | None, secondary: str | None) -> Visit:
    """A meter that is named with the command.

    Raises:
        click.UsageError: it is not, or in two ways, or not well.
    """
    if (address is None) == (secondary is None):
        raise click.UsageError("name the meter: --address N or --secondary NUMBER")
    if secondary is not None:
        wanted = selection(secondary)
        return Visit(at, select.selected(wanted), selected=True, wide="F" in wanted.id)
    if address is None or address in RESERVED:
        raise click.BadParameter("expected 0 to 250, or 254 for the only meter of a line", param_hint="--address")
    return Visit(at, primary(address), wide=address == BROADCAST_REPLY)


def selection(digits: str) -> Secondary:
    """The secondary address that --secondary gives.

    Raises:
        click.BadParameter: it is none.
    """
    try:
        return Secondary.of(digits)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--secondary") from error


def configured(file: Path, found: Configuration, name: str, baud: int | None, mode: str | None) -> Visit:
    """A configured M-Bus meter of a `file` with what was `found` in it, or that meter behind the daemon that reads it.

    Raises:
        UnknownMeter: there is none of this name, or it is not of M-Bus.
        LineOwned: the daemon has the line open at another speed.
    """
    bus, device = _mbus_meter(file, found, name)
    if baud or mode:
        refuse_owned(found, bus.name)
    at = spoken(Place.of(bus), baud, mode)
    return Visit(at, way(device), device.identity, device.secondary is not None, through=through(found, name))


def through(found: Configuration, name: str) -> Through | None:
    """The daemon of this configuration, where it runs and so owns the meter's line."""
    running = daemon_of(found.state_folder)
    return Through(found.state_folder, running, name) if running else None


def spoken(at: Place, baud: int | None, mode: str | None) -> Place:
    """The place with another speed or mode, where one is given."""
    return replace(at, baud=baud or at.baud, mode=mode or at.mode)


def line(file: Path, name: str) -> MbusBus:
    """A configured line that nobody reads now.

    Raises:
        UnknownBus: there is none of this name, or it is not of M-Bus.
        LineOwned: the daemon owns it.
    """
    found = read_configuration(file)
    buses = {bus.name: bus for bus in found.bus if isinstance(bus, MbusBus)}
    if name not in buses:
        raise UnknownBus(f"an M-Bus line: {listed(buses)}", name, str(file))
    refuse_owned(found, name)
    return buses[name]


def meter(file: Path, name: str) -> tuple[MbusBus, MbusDevice]:
    """A configured meter on a line that nobody reads now, and that line.

    Raises:
        UnknownMeter: there is none of this name, or it is not of M-Bus.
        LineOwned: the daemon owns its line.
    """
    found = read_configuration(file)
    bus, device = _mbus_meter(file, found, name)
    refuse_owned(found, bus.name)
    return bus, device


def _mbus_meter(file: Path, found: Configuration, name: str) -> tuple[MbusBus, MbusDevice]:
    meters = {each.name: (bus, each) for bus in found.bus if isinstance(bus, MbusBus) for each in bus.device}
    if name not in meters:
        raise UnknownMeter(f"an M-Bus meter: {listed(meters)}", name, str(file))
    return meters[name]


def said(error: PlombaError, at: Place, do: str = "") -> str:
    """An error in one line with what to do next; of a busy port it names who holds it."""
    step = port_step("", holder(at.at)) if isinstance(error, PortBusy) else do or error.do
    where = f" in {error.where}" if error.where else ""
    return f"{error.code}: expected {error.expected}, got {error.got}{where}; {step}"


def refuse_owned(found: Configuration, name: str) -> None:
    """A line has one owner.

    Raises:
        LineOwned: the daemon of this configuration runs.
    """
    running = daemon_of(found.state_folder)
    if running:
        raise LineOwned("a line that nobody reads", f"one that the daemon, process {running}, reads", name)


def listed(names: object) -> str:
    """Names in order, for a message."""
    shown = sorted(names) if isinstance(names, dict) else []
    return ", ".join(shown) or "there is none in this file"
