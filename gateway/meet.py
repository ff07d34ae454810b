"""How `init` meets the meters of one line: asks where it is, finds who is there, reads each one, and gives its tables.

M-Bus lines are searched; DLMS and Modbus meters are named by address. What does not answer is left out, or kept if the
technician says so.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from gateway.adhoc import said
from gateway.cli_read import readable
from gateway.config import Configuration
from gateway.draft import Draft, Row, beside, keep
from gateway.faults import StateOfAnother
from gateway.lines import MACHINE, Place
from gateway.owners import holders
from gateway.propose import CADENCE_S, STABLE, stable
from gateway.questions import Questions, one_of
from gateway.readout import Readout
from gateway.scan import PARTIAL, Scan, scan
from protocols.errors import LinkError, MeterError, PlombaError
from protocols.models import dlms as dlms_models
from protocols.models import mbus as mbus_models
from protocols.models import modbus as modbus_models
from protocols.reading import Identity, Protocol

PROTOCOLS = ("mbus", "dlms", "modbus")
NONE, LEAVE_OUT = "none", "-"
AUTHS = ("none", "lls", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256")
KEYS = ("encryption_key_file", "authentication_key_file")


class Left(Exception):  # noqa: N818
    """A search was left before its end; its state is kept."""


class NotRead(Exception):  # noqa: N818
    """A meter was not read: why, in one line, with what to do; of a busy port with who holds it."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where the configuration goes, what it has so far, and who is asked about the next line."""

    path: Path
    draft: Draft
    questions: Questions

    def ask(self, name: str, words: str, default: str = "") -> str:
        """An answer that is kept at once, as the default of a run that goes on."""
        answer = self.questions.ask(name, words, default)
        self._keep()
        return answer

    def choose(self, name: str, words: str, default: str, known: tuple[str, ...]) -> str:
        """One of these words, kept at once."""
        answer = self.questions.ask(name, f"{words} ({', '.join(known)})", default, one_of(known))
        self._keep()
        return answer

    def _keep(self) -> None:
        self.draft.answers = {**self.draft.answers, **self.questions.taken}
        keep(self.path, self.draft)


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
    name = meeting.ask("name", "Name of this line", free)
    at = meeting.ask("at", "Serial port, or URL of a converter or meter", next(_free_ports(), ""))
    bus: Row = {"protocol": protocol, "name": name} | ({"url": at} if "://" in at else {"port": stable(at)})
    if "url" not in bus or at.startswith("rfc2217:"):
        bus["baud"] = int(meeting.ask("baud", "Speed, in baud", "2400" if protocol == "mbus" else "9600"))
        bus["parity"] = meeting.choose("parity", "Parity", *_parities(protocol))
    meet = {"mbus": _mbus, "dlms": _dlms, "modbus": _modbus}[protocol]
    bus["device"] = meet(meeting, bus)
    bus["device"] = [each for each in bus["device"] if _read(meeting, bus, each)]
    return bus if bus["device"] else None


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


def _parities(protocol: str) -> tuple[str, tuple[str, ...]]:
    return "none" if protocol == "dlms" else "even", ("even", "odd", "none")


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
    return [device for device in found if _called(meeting, device)]


def _called(meeting: Meeting, device: Row) -> bool:
    click.echo(f"  {who(device)}", err=True)
    proposed = device["name"]
    device["name"] = meeting.ask(proposed, f"Its name ({LEAVE_OUT} leaves it out)", proposed)
    return bool(device["name"] != LEAVE_OUT)


def _dlms(meeting: Meeting, bus: Row) -> list[Row]:
    device: Row = {"name": meeting.ask("meter", "Name of the meter", "main-meter")}
    if "port" in bus or not bus["url"].startswith("tcp:"):
        device["physical"] = int(meeting.ask("physical", "Its physical address (HDLC)", "17"))
    device["client"] = int(meeting.ask("client", "Client", "16"))
    device["auth"] = meeting.choose("auth", "Authentication", "none", AUTHS)
    if device["auth"] not in ("none", "hls-gmac"):
        device["password_file"] = meeting.ask("password_file", "File with its password (chmod 600)")
    if device["auth"] == "hls-gmac":
        device |= {key: meeting.ask(key, f"File with its {key[:-5].replace('_', ' ')}") for key in KEYS}
        device["ciphering"] = meeting.choose("ciphering", "Ciphering", "both", ("authenticated", "encrypted", "both"))
    model = meeting.choose("model", "Model", NONE, (NONE, *dlms_models.names()))
    device |= {} if model == NONE else {"model": model}
    device["cadence_s"] = _cadence_s(meeting)
    return [device]


def _modbus(meeting: Meeting, bus: Row) -> list[Row]:
    found: list[Row] = []
    while not found or meeting.questions.more("unit") or _another(meeting):
        unit = int(meeting.ask("unit", "Unit number of the meter", "1"))
        model = meeting.choose("model", "Model", "", modbus_models.names())
        name = meeting.ask("meter", "Name of the meter", f"{bus['name']}-unit-{unit}")
        found.append({"name": name, "unit": unit, "model": model, "cadence_s": _cadence_s(meeting)})
    return found


def _another(meeting: Meeting) -> bool:
    return meeting.questions.agreed("another", "Another meter on this line?", default=False)


def _cadence_s(meeting: Meeting) -> int:
    return int(meeting.ask("cadence_s", "Seconds from one reading to the next", str(CADENCE_S)))


def _read(meeting: Meeting, bus: Row, device: Row) -> bool:
    """A test read: what it shows, and whether the meter stays; its serial number is checked from now on."""
    name = device["name"]
    found = meeting.draft.checked(meeting.path, bus | {"device": [device]})
    try:
        shown = readout(meeting.path, found, name)
    except NotRead as error:
        click.echo(f"  {name}: {error}", err=True)
        return meeting.questions.agreed(f"keep {name}", f"  Keep {name} although it was not read?", default=False)
    click.echo(f"  {name}: {shown.who}: {shown.first}", err=True)
    serial = (shown.row.get("meter") or {}).get("serial")
    if serial and bus["protocol"] != "mbus":
        device["serial"] = serial
    return True


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
