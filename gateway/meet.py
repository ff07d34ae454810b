"""How `init` meets the meters of one line: asks where it is, finds who is there, reads each one, and gives its tables.

M-Bus lines are searched; DLMS and Modbus meters are named by address. What does not answer is left out, or kept if the
technician says so.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gateway import meet_dlms
from gateway.adhoc import said
from gateway.cli_read import readable
from gateway.config import Configuration, DlmsBus, MbusBus, MbusDevice, ModbusBus, ModbusDevice
from gateway.draft import Row, beside
from gateway.faults import StateOfAnother
from gateway.lines import MACHINE, Place
from gateway.meeting import Meeting
from gateway.owners import holders
from gateway.propose import CADENCE_S, STABLE, stable
from gateway.questions import Check, every, fits, unlike
from gateway.readout import Readout
from gateway.scan import PARTIAL, Scan, scan
from protocols.errors import LinkError, MeterError, PlombaError
from protocols.models import mbus as mbus_models
from protocols.models import modbus as modbus_models
from protocols.reading import Identity, Protocol

PROTOCOLS = ("mbus", "dlms", "modbus")
BUSES: dict[str, type[Any]] = {"mbus": MbusBus, "dlms": DlmsBus, "modbus": ModbusBus}
LEAVE_OUT = "-"
KEEP = "keep-"  # and a meter's name: whether it stays although it was not read
OF_LINE = frozenset({"protocol", "at", "name", "baud", "parity"})
WORDS = {
    "mbus": OF_LINE | {"search"},  # and the proposed name of each meter
    "dlms": OF_LINE
    | {"opening", "meter", "physical", "client", "server", "auth", "password_file", "ciphering"}
    | {"suite", *meet_dlms.KEYS, "system_title", "model", "cadence_s"},
    "modbus": OF_LINE | {"stop_bits", "unit", "model", "meter", "cadence_s"},
}


class Left(Exception):  # noqa: N818
    """A search was left before its end; its state is kept."""


class NotRead(Exception):  # noqa: N818
    """A meter was not read: why, in one line, with what to do; of a busy port with who holds it."""


def plugged() -> Iterator[str]:
    """The serial adapters that are plugged in, each by the path that stays, and who holds it."""
    ports = {stable(str(each)) for kind in ("ttyUSB*", "ttyACM*") for each in Path("/dev").glob(kind)}
    for port in sorted(ports | {str(each) for each in STABLE.glob("*")}):
        who = " and ".join(holders(port))
        yield f"{port}: {f'{who} holds it' if who else 'no process holds it'}"


def line(meeting: Meeting, protocol: str) -> Row | None:
    """The tables of one line; None where nothing on it is to be configured.

    Raises:
        Left: its search was left.
        BadConfiguration: the answers do not fit together.
    """
    names = {bus["name"] for bus in meeting.draft.buses}
    free = next(f"{protocol}-{n}" for n in range(1, len(names) + 2) if f"{protocol}-{n}" not in names)
    name = meeting.named("name", "Name of this line", free, BUSES[protocol])
    words = "Serial port, or URL of a converter or meter"
    at = meeting.ask("at", words, next(_free_ports(), ""), _place(meeting, protocol))
    bus: Row = {"protocol": protocol, "name": name} | ({"url": at} if "://" in at else {"port": stable(at)})
    if "url" not in bus or at.startswith("rfc2217:"):
        bus |= _spoken(meeting, protocol, "port" in bus)
    bus["device"] = {"mbus": _mbus, "dlms": _dlms, "modbus": _modbus}[protocol](meeting, bus)
    found, bus["device"] = bus["device"], []
    for each in found:
        meeting.draft.checked(meeting.path, bus | {"device": [*bus["device"], each]})
        bus["device"] += [each] if _read(meeting, bus, each) else []
    if not bus["device"]:
        return None
    meeting.draft.checked(meeting.path, bus)  # the serial numbers, too: one meter under two names
    return bus


def who(device: Row) -> str:
    """A meter of an M-Bus table in words: what it said it is, and the models that fit."""
    number = device.get("id") or device.get("secondary")
    version, medium = device.get("version"), device.get("medium")
    identity = Identity(Protocol.MBUS, device.get("manufacturer"), number, version, medium)
    models = ", ".join(each.name for each in mbus_models.candidates(identity)) or "none that is known"
    at = f"address {device['address']}" if "address" in device else f"secondary {device['secondary']}"
    return f"{at}: {device.get('manufacturer', '-')} {number or '-'}, model: {models}"


def _free_ports() -> Iterator[str]:
    return (text.rsplit(": ", 1)[0] for text in plugged() if text.endswith("no process holds it"))


def _place(meeting: Meeting, protocol: str) -> Check:
    """A port that no line of the draft has, or a URL of the protocol."""
    url = fits(BUSES[protocol], "url")
    free = unlike(sorted(each for bus in meeting.draft.buses for each in (bus.get("url"), bus.get("port")) if each))

    def check(answer: str) -> str:
        if "://" in answer:
            return url(answer) or free(answer)
        return free(stable(answer)) if answer else "a port's path or a URL"

    return check


def _spoken(meeting: Meeting, protocol: str, ours: bool) -> Row:
    """Speed and form of the bytes on a line that takes them from us; `ours`: it is a port of this machine."""
    kind = BUSES[protocol]
    spoken: Row = {}
    if protocol == "dlms" and ours:
        words = "Beginning: none on RS-485, mode-e for an optical head"
        spoken["opening"] = meeting.choose("opening", words, "none", ("none", "mode-e"))
    spoken["baud"] = meeting.number(kind, "baud", "Speed, in baud", 2400 if protocol == "mbus" else 9600)
    if spoken.get("opening") != "mode-e":  # it has a parity of its own
        usual = "none" if protocol == "dlms" else "even"
        spoken["parity"] = meeting.choose("parity", "Parity", usual, ("even", "odd", "none"))
    if protocol == "modbus":
        spoken["stop_bits"] = meeting.number(kind, "stop_bits", "Stop bits (1, 2)", 1)
    return spoken


def _mbus(meeting: Meeting, bus: Row) -> list[Row]:
    way = meeting.choose("search", "Search by", "numbers", ("numbers", "addresses"))
    state, blocks = beside(meeting.path, "scan"), list[str]()
    mode = f"8{bus.get('parity', 'even')[0].upper()}1"
    place = Place(bus.get("url") or bus["port"], bus.get("baud", 2400), mode)
    asked = Scan(place, primary=way == "addresses", state=state, name=bus["name"])
    try:
        code = scan(asked, show=blocks.append)
    except StateOfAnother:  # it was left, and then another line or another way was chosen
        state.unlink()
        code = scan(asked, show=blocks.append)
    if code == PARTIAL and state.exists():
        raise Left
    text = "".join(blocks)
    for comment in (each for each in text.splitlines() if each.startswith("#")):
        click.echo(comment, err=True)
    found: list[Row] = tomllib.loads(text).get("bus", [{"device": []}])[0]["device"]
    click.echo(f"{len(found)} meters can be configured on {bus['name']}", err=True)
    kept = list[Row]()
    for device in found:
        click.echo(f"  {who(device)}", err=True)
        name = _called(meeting, device["name"], kept)
        kept += [] if name == LEAVE_OUT else [device | {"name": name}]
    return kept


def _called(meeting: Meeting, proposed: str, kept: list[Row]) -> str:
    good = meeting.name_of(MbusDevice, kept)
    words = f"Its name ({LEAVE_OUT} leaves it out)"
    return meeting.ask(proposed, words, proposed, lambda answer: "" if answer == LEAVE_OUT else good(answer))


def _dlms(meeting: Meeting, bus: Row) -> list[Row]:
    found: list[Row] = []
    while not found or meeting.questions.more("meter") or meeting.questions.more("physical") or _another(meeting):
        found.append(meet_dlms.asked(meeting, bus, found))
    return found


def _modbus(meeting: Meeting, bus: Row) -> list[Row]:
    found: list[Row] = []
    while not found or meeting.questions.more("unit") or _another(meeting):
        before: Row = found[-1] if found else {}
        taken = unlike([str(each["unit"]) for each in found])
        words, free = "Unit number of the meter", str(before.get("unit", 0) + 1)
        unit = int(meeting.ask("unit", words, free, every(taken, fits(ModbusDevice, "unit"))))
        model = meeting.choose("model", "Model", before.get("model", ""), modbus_models.names())
        name = meeting.named("meter", "Name of the meter", f"{bus['name']}-unit-{unit}", ModbusDevice, found)
        words, usual = "Seconds from one reading to the next", before.get("cadence_s", CADENCE_S)
        cadence_s = meeting.number(ModbusDevice, "cadence_s", words, usual)
        found.append({"name": name, "unit": unit, "model": model, "cadence_s": cadence_s})
    return found


def _another(meeting: Meeting) -> bool:
    return meeting.questions.agreed("another", "Another meter on this line?", default=False)


def _read(meeting: Meeting, bus: Row, device: Row) -> bool:
    """A test read: what it shows, and whether the meter stays; its serial number is checked from now on."""
    name = device["name"]
    found = meeting.draft.checked(meeting.path, bus | {"device": [device]})
    try:
        shown = readout(meeting.path, found, name)
    except NotRead as error:
        click.echo(f"  {name}: {error}", err=True)
        return _kept(meeting, name)
    click.echo(f"  {name}: {shown.who}: {shown.first}", err=True)
    serial = (shown.row.get("meter") or {}).get("serial")
    if serial and bus["protocol"] != "mbus":
        device["serial"] = serial
    return True


def _kept(meeting: Meeting, name: str) -> bool:
    """Whether a meter that was not read stays: as the technician says."""
    word = KEEP + name.replace(" ", "-")
    kept = meeting.questions.agreed(word, f"  Keep {name} although it was not read?", default=False)
    if not kept and meeting.questions.silent:
        meeting.left_out.append(name)
        click.echo(f"  {name} is left out; the word {word}=yes in --bus keeps it", err=True)
    return kept


def readout(path: Path, found: Configuration, name: str) -> Readout:
    """What a configured meter shows now, through the daemon where it runs.

    Raises:
        NotRead: it does not answer well, or its secrets cannot be used.
    """
    try:
        meter = readable(path, found, name)
        try:
            return asyncio.run(meter.heard(MACHINE)).readout()
        except (MeterError, LinkError) as error:
            raise NotRead(
                said(error, meter.place, meter.step(error) if isinstance(error, MeterError) else "")
            ) from error
    except PlombaError as error:
        raise NotRead(str(error)) from error
