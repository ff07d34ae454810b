"""What a configuration names on this machine, as far as it can be told: also of a file that has faults.

A technician looks for what is wrong just when the file is broken: folders, ports and files that it names plainly are
looked at all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.config import BufferSize, Configuration, DlmsBus, DlmsDevice, MbusBus
from gateway.config_file import METER_SECRETS, check_configuration
from protocols.settings import mend
from protocols.settings.model import model_of
from protocols.settings.problems import Problem, ReportedError


@dataclass(frozen=True, slots=True)
class Secret:
    """A file with a meter's password or key, and whose it is."""

    what: str
    path: Path


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port, and the bus that it is for."""

    bus: str
    path: Path


@dataclass(frozen=True, slots=True)
class Named:
    """What the file at `path` names; None where it is silent; `configuration` is None where it has faults."""

    path: Path
    problems: tuple[Problem, ...]
    configuration: Configuration | None
    state_folder: Path | None
    keys_folder: Path | None
    broker: tuple[str, int] | None
    buffer: BufferSize
    ports: tuple[Port, ...]
    secrets: tuple[Secret, ...]


def named_in(path: Path) -> Named:
    """What the file names; one that is not there names nothing."""
    try:
        checked = check_configuration(path)
        problems = checked.problems
    except ReportedError as error:
        return _guessed(path, error.problems)
    found = checked.configuration
    if found is None:
        return _guessed(path, problems)
    ports = [Port(bus.name, Path(bus.port)) for bus in found.bus if isinstance(bus, MbusBus | DlmsBus) and bus.port]
    devices = [device for bus in found.bus for device in bus.device if isinstance(device, DlmsDevice)]
    secrets = tuple(secret for device in devices for secret in _secrets(device.name, asdict(device), path))
    at = (found.broker.host, found.broker.port)
    folders = (found.state_folder, found.keys_folder)
    return Named(path, problems, found, *folders, at, found.buffer, tuple(ports), secrets)


def _guessed(path: Path, problems: tuple[Problem, ...]) -> Named:
    read = mend.load(path, model_of(Configuration))
    table = {} if isinstance(read, tuple) else read.table
    folder = path.absolute().parent
    buses = list(_tables(table.get("bus")))
    ports = tuple(
        Port(str(bus.get("name", "?")), folder / bus["port"]) for bus in buses if isinstance(bus.get("port"), str)
    )
    devices = [device for bus in buses for device in _tables(bus.get("device"))]
    secrets = tuple(secret for each in devices for secret in _secrets(str(each.get("name", "?")), each, path))
    at = table.get("broker")
    host, port = (at.get("host"), at.get("port")) if isinstance(at, dict) else (None, None)
    broker = (host, port) if isinstance(host, str) and isinstance(port, int) else None
    folders = (_folder(table, "state_folder", folder), _folder(table, "keys_folder", folder))
    return Named(path, problems, None, *folders, broker, BufferSize(), ports, secrets)


def _folder(table: dict[str, Any], key: str, folder: Path) -> Path | None:
    found = table.get(key)
    return folder / found if isinstance(found, str) and found else None


def _tables(found: object) -> Iterator[dict[str, Any]]:
    if isinstance(found, list | tuple):
        yield from (each for each in found if isinstance(each, dict))


def _secrets(name: str, device: dict[str, Any], path: Path) -> Iterator[Secret]:
    for key in METER_SECRETS:
        found = device.get(key)
        if isinstance(found, str | Path) and "\0" not in str(found):
            what = key.removesuffix("_file").replace("_", " ")
            yield Secret(f"{what} of {name}", path.absolute().parent / found)
