"""What the classes of the configuration cannot say: rules across keys, and slips that have a name.

All rules run on what is well-formed, whatever else is wrong in the file. A hint is no fault: the daemon starts with it.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from zoneinfo import available_timezones

from gateway import rules_dlms, rules_mbus, rules_modbus, rules_push, rules_serial
from gateway.cadence import is_zone
from gateway.entries import Entry, one_of
from protocols import obis
from protocols.settings import slips
from protocols.settings.document import Document
from protocols.settings.problems import Level, Problem
from protocols.settings.words import SIMILAR, nearest

DAY_S = 86_400
PORTS = 65_535
PROTOCOLS = ("mbus", "dlms", "modbus")
SECRETS = (
    "change the password or key if others saw the file; put it into a file of its own (chmod 600) and write"
    ' password_file = "PATH" (of keys: encryption_key_file, authentication_key_file), or name a systemd credential'
    " with password_credential"
)
_URL = re.compile(r"(?:(?P<scheme>[a-z0-9+]*)://)?(?P<host>[^/:\s]*)(?::(?P<port>[0-9]*))?(?P<rest>.*)", re.IGNORECASE)
_SCHEMES = {"mbus": ("tcp", "rfc2217"), "dlms": ("tcp", "tcp+hdlc", "rfc2217"), "modbus": ("tcp", "tcp+rtu", "rfc2217")}
_RTU = {"modbus": "tcp+rtu"}  # what others call rtu+tcp, rtuovertcp, rtu
_USUAL_PORT = {"mbus": 10001, "dlms": 4059, "modbus": 502}
_PROTOCOL_WORDS = {"mbus": "M-Bus converters", "dlms": "dlms", "modbus": "modbus"}
_PROFILES = (98, 99)  # OBIS group C of monthly and load profiles
_SLEEPY_NAME = re.compile(r"^/dev/tty(USB|ACM)\d+$")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that are of one protocol, and how they are called."""

    called: str
    meter: str
    bus: frozenset[str]
    device: frozenset[str]
    has_bus: str
    has_device: str


KEYS = {
    "mbus": Keys(
        "M-Bus",
        "an M-Bus meter",
        frozenset({"port", "url", "baud", "parity"}),
        frozenset({"address", "secondary", "id", "manufacturer", "version", "medium"}),
        'an M-Bus line has port = "/dev/serial/by-id/...", or url = "tcp://HOST:PORT" with a converter',
        "an M-Bus meter has address or secondary, and may have id, manufacturer, version and medium",
    ),
    "dlms": Keys(
        "DLMS",
        "a DLMS meter",
        frozenset({"url", *rules_serial.WHERE, *rules_serial.LINE_KEYS}),
        frozenset({"client", "server", "physical", "registers", "profile", "history_days", "serial", "logical_name"})
        | rules_dlms.STORED
        | rules_serial.DEVICE_KEYS
        | rules_dlms.LOGIN
        | rules_push.KEYS,
        'a DLMS bus has url = "tcp://HOST:PORT", "tcp+hdlc://HOST:PORT" with a serial server, or port on a serial line',
        "a DLMS meter has client and server, with HDLC physical, and may have serial",
    ),
    "modbus": Keys(
        "Modbus",
        "a Modbus meter",
        frozenset({*rules_modbus.WHERE, *rules_modbus.LINE_KEYS}),
        frozenset({"unit", "model", "serial"}),
        'a Modbus bus has url = "tcp://HOST:PORT", "tcp+rtu://HOST:PORT" with a serial server, or port on an RTU line',
        "a Modbus meter has unit and model, and may have serial",
    ),
}


def with_protocols(document: Document) -> tuple[Document, list[Problem]]:
    """The document with every bus's protocol, guessed where it is missing or misspelt, which is a problem each."""
    problems, table = [], document.table
    for bus in Entry((), table).entries("bus"):
        given = bus.table.get("protocol")
        if isinstance(given, str) and given in PROTOCOLS:
            continue
        slip = None if "protocol" in bus.table else _misspelt(bus)
        near = nearest(given, PROTOCOLS) if isinstance(given, str) else ""
        words = f"one of {', '.join(repr(each) for each in PROTOCOLS)}".replace("'", '"')
        likely = near.strip('"') or slip or _protocol(bus)
        path = (*bus.path, "protocol")
        do = (
            f'add to [[bus]]:  protocol = "{likely}"'
            if given is None
            else f'write protocol = "{near or likely}"'.replace('""', '"')
        )
        if given is None and not {"port", "url", "device"} & set(bus.table):
            do = 'add protocol to [[bus]]: "mbus" for an M-Bus line, "dlms" or "modbus" for meters behind an address'
        if slip is None:
            problems.append(document.problem(path, words, document.written(path), near=near, do=do))
        number = bus.path[1]
        buses = table["bus"]
        bettered = tuple({**each, "protocol": likely} if at == number else each for at, each in enumerate(buses))
        table = {**table, "bus": bettered}
    return replace(document, table=table), problems


def problems(document: Document) -> list[Problem]:
    """What is wrong across keys, in no order."""
    top = Entry((), document.table)
    buses = top.entries("bus")
    found = [*_folders(document, top), *_doubled(document, buses)]
    found += slips.hosts(document, ("broker", "host"), ("broker", "server_name"))
    found += [*rules_push.problems(document, top), *_zone(document, top)]
    for bus in buses:
        found += [*_address(document, bus), *_port(document, bus)]
        if bus.text("protocol") == "mbus":
            found += rules_mbus.problems(document, bus)
        if bus.text("protocol") == "dlms":
            found += rules_serial.problems(document, bus)
        if bus.text("protocol") == "modbus":
            found += rules_modbus.problems(document, bus)
        for device in bus.entries("device"):
            found += [*_cadence(document, device), *_zone(document, device), *_zoneless(document, top, device)]
            if bus.text("protocol") == "dlms":
                found += [
                    *rules_dlms.problems(document, device),
                    *_names(document, device),
                    *_registers(document, device),
                ]
                found += [*_physical(document, bus, device), *_secret_files(document, device)]
                found += _model(document, device, known_dlms_models())
            if bus.text("protocol") == "modbus":
                found += _model(document, device, known_models())
        for entry in (bus, *bus.entries("device")):
            found += _foreign(document, bus, entry)
    return found


def _secret_files(document: Document, device: Entry) -> list[Problem]:
    files = ("password_file", *(file for file, _ in rules_dlms.KEYS))
    return [each for name in files for each in slips.folders(document, (*device.path, name))]


def known_models() -> tuple[str, ...]:
    """The Modbus models that this version has; their data are looked at only where a bus is of Modbus."""
    from protocols.models.modbus import names  # noqa: PLC0415

    return names()


def known_dlms_models() -> tuple[str, ...]:
    """The DLMS models that this version has."""
    from protocols.models.dlms import names  # noqa: PLC0415

    return names()


def _misspelt(bus: Entry) -> str | None:
    """What a bus speaks by a key that is nearly `protocol`, which the class names; None where there is no such key."""
    key = next((each for each in bus.table if difflib.get_close_matches(each.lower(), ["protocol"], 1, SIMILAR)), None)
    if key is None:
        return None
    return bus.text(key) if bus.text(key) in PROTOCOLS else _protocol(bus)


def _protocol(bus: Entry) -> str:
    """What a bus without a usable protocol probably speaks."""
    keys = {key for device in bus.entries("device") for key in device.table}
    of_dlms = KEYS["dlms"].device - KEYS["mbus"].device - KEYS["modbus"].device
    of_modbus = "unit" in keys
    on_line = {"port", "baud", "parity"} & set(bus.table)
    if {"address", "secondary"} & keys or (on_line and not of_modbus and not of_dlms & keys):
        return "mbus"
    return "modbus" if {"model", "unit"} & keys and not of_dlms - {"model"} & keys else "dlms"


def _folders(document: Document, top: Entry) -> Iterator[Problem]:
    for key in ("state_folder", "keys_folder"):
        if top.table.get(key) == "":
            do = f'write a folder, as {key} = "{key.partition("_")[0]}"'
            yield document.problem((key,), "a folder's path in quotes", '""', do=do)
    yield from slips.folders(document, ("state_folder",), ("keys_folder",))
    yield from slips.apart(document, ("state_folder",), ("keys_folder",))


def _doubled(document: Document, buses: list[Entry]) -> Iterator[Problem]:
    """What must be there once: bus names, ports, device names, addresses on one bus, and meters."""
    devices = [each for bus in buses for each in bus.entries("device")]
    yield from _twice(document, buses, "name", "each bus name once", _plain("name"))
    yield from _twice(document, buses, "port", "each port once", _path)
    yield from _twice(document, buses, "url", "each address once: put its meters into one bus", _endpoint)
    yield from _twice(document, devices, "name", "each meter's name once", _plain("name"))
    yield from _twice(document, devices, rules_mbus.number_key, "each meter once", rules_mbus.plate)
    for bus in buses:
        mine, kind = bus.entries("device"), bus.text("protocol")
        if kind == "mbus":
            yield from _twice(document, mine, "address", "each address once on a line", _number("address"))
        if kind == "modbus":
            yield from _twice(document, mine, "unit", "each unit once behind an address", _number("unit", 1))
            yield from _twice(document, mine, "serial", "each meter once", _plain("serial"))
        if kind == "dlms":
            yield from _twice(document, mine, "server", "each meter once behind an address", _association)
            yield from _twice(document, mine, "serial", "each meter once", _plain("serial"))


Same = Callable[[Entry], object | None]


def _twice(
    document: Document, entries: list[Entry], where: str | Callable[[Entry], str], words: str, same: Same
) -> Iterator[Problem]:
    """The entries that are the `same` as one before them; `where` is the key that says so."""
    first: dict[object, Entry] = {}
    for entry in entries:
        value = same(entry)
        if value is None:
            continue
        other = first.setdefault(value, entry)
        if other is not entry:
            mine, its = (where, where) if isinstance(where, str) else (where(entry), where(other))
            path = (*entry.path, mine)
            at = document.places.of((*other.path, its)).line
            shown = document.written(path)
            got = f"{'its default' if shown == 'nothing' else shown} a second time"
            where = f"the first is in line {at}" if document.lines else "the first stands above it"
            yield document.problem(path, words, got, do=f"{where}: change one of the two")


def _plain(key: str) -> Same:
    return lambda entry: entry.text(key) or None


def _number(key: str, default: int | None = None) -> Same:
    def same(entry: Entry) -> int | None:
        value = entry.table.get(key, default)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    return same


def _path(entry: Entry) -> object | None:
    return os.path.normpath(entry.text("port")) if entry.text("port") else None


def _association(entry: Entry) -> object | None:
    found = entry.table.get("client", 16), entry.table.get("server", 1), entry.table.get("physical")
    return found if all(isinstance(each, int | None) for each in found) else None


def _endpoint(entry: Entry) -> object | None:
    """What an url leads to, however it is spoken to there."""
    found = _URL.fullmatch(entry.text("url"))
    if found is None or not found["host"] or not found["port"]:
        return entry.text("url") or None
    return found["host"].lower(), int(found["port"])


def _address(document: Document, bus: Entry) -> Iterator[Problem]:
    kind, url = bus.text("protocol"), bus.text("url")
    found = _URL.fullmatch(url)
    if not url or kind not in _SCHEMES or found is None:
        return
    schemes, usual = _SCHEMES[kind], _USUAL_PORT[kind]
    words = " or ".join(f"{each}://HOST:PORT" for each in schemes)
    path, got = (*bus.path, "url"), document.written((*bus.path, "url"))
    scheme, host, port = found["scheme"], found["host"], found["port"]
    near = do = ""
    if scheme is None or scheme not in schemes:
        meant = _RTU.get(kind, "tcp") if scheme is not None and "rtu" in scheme.lower() else "tcp"
        near = f'"{meant}://{host}:{port or usual}"' if host else ""
        do = f"begin it with {' or '.join(f'{each}://' for each in schemes)}"
    elif not host or found["rest"]:
        do = "write host and port and nothing behind them"
    elif not port:
        near = f'"{scheme}://{host}:{usual}"'
        do = f"add the port: {usual} is the usual one of {_PROTOCOL_WORDS[kind]}"
    elif not 0 < int(port) <= PORTS:
        words, do = f"a port from 1 to {PORTS} at its end", f"{usual} is the usual one of {_PROTOCOL_WORDS[kind]}"
    elif (step := slips.amiss(host)) is not None:
        words, do = "a host name or address before the port", step[1]
    if do:
        yield document.problem(path, words, got, near=near, do=do)


def _port(document: Document, bus: Entry) -> Iterator[Problem]:
    port = bus.text("port")
    if not port.isprintable() or not port or bus.text("protocol") not in PROTOCOLS:
        return
    path, got = (*bus.path, "port"), document.written((*bus.path, "port"))
    words, do = "", "ls -l /dev/serial/by-id shows the paths that stay"
    if not port.startswith("/"):
        words = "a path that begins with /: this one is relative to the file"
    elif not port.startswith("/dev/"):
        words = "a port under /dev"
    elif _SLEEPY_NAME.match(port):
        words = "a stable path (/dev/serial/by-id/...): this one may be another port after a restart"
    if words:
        yield document.problem(path, words, got, do=do, level=Level.HINT)


def _foreign(document: Document, bus: Entry, entry: Entry) -> Iterator[Problem]:
    """Keys that only a bus or meter of another protocol has."""
    kind = bus.text("protocol")
    if kind not in KEYS:
        return
    for key in entry.table:
        owners = [each for each in KEYS if key in KEYS[each].bus | KEYS[each].device]
        if owners and kind not in owners:
            path, mine = (*entry.path, key), KEYS[kind]
            whose = " and ".join(KEYS[each].called for each in owners)
            do = f"{key} is of {whose}; {mine.has_bus if KEYS[owners[0]].bus & {key} else mine.has_device}"
            words = f'a key of a bus with protocol = "{kind}"' if entry is bus else f"a key of {mine.meter}"
            yield document.problem(path, words, repr(key), do=do)


def _cadence(document: Document, device: Entry) -> Iterator[Problem]:
    do = 'write cadence_s = 900, or cadence = "daily at 00:10, until 06:00"'
    yield from one_of(document, device, ("cadence_s", "cadence"), "cadence_s or cadence", do)
    number = device.table.get("cadence")
    if type(number) is int:
        path, words = (*device.path, "cadence"), 'a text, as "15 min" or "daily at 00:10"; seconds are cadence_s'
        yield document.problem(path, words, str(number), do=f"of seconds write cadence_s = {number}")
    cadence = device.table.get("cadence_s")
    if type(cadence) is int and 0 < cadence <= DAY_S and DAY_S % cadence:
        near = min((each for each in range(1, DAY_S + 1) if DAY_S % each == 0), key=lambda each: abs(each - cadence))
        do = "otherwise the slots of one day lie elsewhere than those of the next"
        words = "a cadence that divides the day evenly"
        path = (*device.path, "cadence_s")
        yield document.problem(path, words, str(cadence), near=str(near), do=do, level=Level.HINT)


def _zone(document: Document, entry: Entry) -> Iterator[Problem]:
    name = entry.text("timezone")
    if name and not is_zone(name):
        path, near = (*entry.path, "timezone"), nearest(name, tuple(sorted(available_timezones())))
        do = "'timedatectl list-timezones' shows all; where none is known install the system's tzdata"
        words = 'a time zone that this machine knows, as "Europe/Prague"'
        yield document.problem(path, words, document.written(path), near=near, do=do)


def _zoneless(document: Document, top: Entry, device: Entry) -> Iterator[Problem]:
    """Times of a calendar whose zone nobody said."""
    key = next((each for each in ("cadence", "billing") if " at " in device.text(each)), None)
    if key is not None and "timezone" not in top.table and "timezone" not in device.table:
        path = (*device.path, key)
        do = 'add timezone = "Europe/Prague" (yours) to the meter, or above all tables for all meters'
        got = f"{document.written(path)}, which is UTC"
        yield document.problem(path, "a time whose zone is said", got, do=do, level=Level.HINT)


def _names(document: Document, device: Entry) -> Iterator[Problem]:
    """OBIS names with numbers over 255, and profiles that are none."""
    named = [((*device.path, "profile"), device.table.get("profile"))]
    for key in ("registers", "further_profiles", "logs"):
        listed = device.table.get(key)
        if isinstance(listed, tuple):
            named += [((*device.path, key, at), each) for at, each in enumerate(listed)]
    for path, name in named:
        numbers = [int(each) for each in re.findall(r"[0-9]{1,4}", name)] if isinstance(name, str) else []
        if len(numbers) != obis.OBIS:
            continue  # the class says so
        if max(numbers) > obis.ANY_F:
            do = f"{max(numbers)} is too large for one of its six numbers"
            words = 'an OBIS name of six numbers up to 255, as "1-0:1.8.0.255"'
            yield document.problem(path, words, document.written(path), do=do)
        elif path[-1] == "profile" and numbers[2] not in _PROFILES:
            words = "a profile: x-y:99.* (load) or x-y:98.* (monthly)"
            do = "a register belongs into registers = [...]"
            yield document.problem(path, words, document.written(path), do=do, level=Level.HINT)


def _registers(document: Document, device: Entry) -> Iterator[Problem]:
    """Registers that are there twice."""
    registers = device.table.get("registers")
    seen: dict[str, int] = {}
    for at, name in enumerate(registers if isinstance(registers, tuple) else ()):
        if isinstance(name, str) and seen.setdefault(name, at) != at:
            path = (*device.path, "registers", at)
            got = f"{document.written(path)} a second time"
            yield document.problem(path, "each register once", got, do="remove it, or write the one that was meant")


def _physical(document: Document, bus: Entry, device: Entry) -> Iterator[Problem]:
    if "physical" in device.table and bus.text("url").startswith("tcp://"):
        path = (*device.path, "physical")
        do = "remove it, or write tcp+hdlc:// where a serial server stands in front of the meter"
        got = document.written(path)
        yield document.problem(path, "no physical address behind tcp://", got, do=do, level=Level.HINT)


def _model(document: Document, device: Entry, models: tuple[str, ...]) -> Iterator[Problem]:
    name = device.text("model")
    if not name or name in models:
        return
    path = (*device.path, "model")
    do = f"models that this version knows: {', '.join(models)}"
    yield document.problem(path, "a known model", document.written(path), near=nearest(name, models), do=do)
