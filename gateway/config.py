"""The configuration: one TOML file, read once into frozen values, all its faults named at once.

What changes a sealed value or its attribution (bus, device, address, identity, protocol, decoder) has one canonical
form, `configuration_content`, whose SHA-256 stands in every sealed header. Broker, buffer and cadence do not: they
change when and where readings travel, not what they say.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.faults import BadConfiguration, ConfigurationUnreadable, Problem
from protocols.reading import Identity, Protocol
from protocols.uplink import limits
from protocols.uplink.pack import pack

CONTENT_VERSION = 1  # of the canonical form
MBUS_DECODER = 1  # raised when the M-Bus decoder gives the same telegram another value
SMALLEST_BUFFER = 4 * 1024 * 1024  # bytes: room for one batch of full size, its index and work space
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")  # of buses and devices; they go under the seal

Name = Annotated[str, Field(pattern=NAME.pattern.join("^$"), max_length=64)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Broker(_Table):
    """Where the broker is; `server_name` is the name in its certificate where it is not `host`."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65_535)
    server_name: str | None = None


class BufferSize(_Table):
    """How large the buffer may become, and the file that is given up when the disk is full."""

    max_bytes: int = Field(default=64 * 1024 * 1024, ge=SMALLEST_BUFFER)
    reserve_bytes: int = Field(default=256 * 1024, ge=0, le=64 * 1024 * 1024)


class Sealing(_Table):
    """What goes under the seal beside values and hashes."""

    keep_telegrams: bool = True


class Device(_Table):
    """A meter on a bus; what is given of its identity is checked at every visit."""

    name: Name
    address: int = Field(ge=1, le=250)
    cadence_s: int = Field(ge=1, le=86_400)
    id: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{8}$")] | None = None
    manufacturer: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    version: int | None = Field(default=None, ge=0, le=255)
    medium: int | None = Field(default=None, ge=0, le=255)

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given."""
        number = None if self.id is None else self.id.upper()
        return Identity(Protocol.MBUS, self.manufacturer, number, self.version, self.medium)

    @property
    def cadence_ms(self) -> int:
        """Milliseconds from one slot to the next."""
        return self.cadence_s * 1000


class Bus(_Table):
    """One line and the meters on it; `port` is a stable path (/dev/serial/by-id/...)."""

    name: Name
    port: str = Field(min_length=1, max_length=4096)
    baud: Literal[300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400] = 2400
    parity: Literal["even", "odd", "none"] = "even"
    device: tuple[Device, ...] = Field(min_length=1, max_length=250)

    @property
    def mode(self) -> str:
        """Data bits, parity and stop bits, as `SerialLine.open` takes them."""
        return f"8{self.parity[0].upper()}1"


class Configuration(_Table):
    """One gateway; paths are absolute."""

    gateway: Annotated[str, Field(pattern=r"^[a-z0-9-]{3,32}$")]
    state_folder: Path
    keys_folder: Path
    broker: Broker
    buffer: BufferSize = BufferSize()
    seal: Sealing = Sealing()
    bus: tuple[Bus, ...] = Field(min_length=1, max_length=64)


def read_configuration(path: Path) -> Configuration:
    """The configuration in a file; relative paths in it are relative to it.

    Raises:
        ConfigurationUnreadable: no such file, or not TOML.
        BadConfiguration: every fault, with its key's path.
    """
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationUnreadable("a TOML file in UTF-8", str(error), str(path)) from None
    return configuration_from(table, path.absolute().parent, str(path))


def configuration_from(table: dict[str, Any], folder: Path, where: str) -> Configuration:
    """The configuration in a parsed table.

    Raises:
        BadConfiguration: every fault, with its key's path.
    """
    absolute = {
        key: folder / value if key in ("state_folder", "keys_folder") and isinstance(value, str) else value
        for key, value in _tuples(table).items()
    }
    problems = [Problem(*each) for each in _doubled(table)]
    try:
        found = Configuration.model_validate(absolute)
    except ValidationError as error:
        problems = [_problem(dict(each)) for each in error.errors() if not _follows(dict(each))] + problems
        raise BadConfiguration(tuple(problems), where) from None
    if problems:
        raise BadConfiguration(tuple(problems), where)
    # A bus's port is a path too, but one of devices: relative to the file like the others.
    buses = tuple(bus.model_copy(update={"port": str(folder / bus.port)}) for bus in found.bus)
    return found.model_copy(update={"bus": buses})


def configuration_content(configuration: Configuration) -> bytes:
    """The canonical form of what changes a sealed value or its attribution."""
    buses = [
        [bus.name, [_device_content(device) for device in sorted(bus.device, key=lambda each: each.name)]]
        for bus in sorted(configuration.bus, key=lambda each: each.name)
    ]
    return pack([CONTENT_VERSION, configuration.gateway, buses])


def configuration_hash(configuration: Configuration) -> bytes:
    """SHA-256 over the content."""
    return hashlib.sha256(configuration_content(configuration)).digest()


def _device_content(device: Device) -> list[object]:
    wanted = device.identity
    identity = [wanted.manufacturer, wanted.id, wanted.version, wanted.medium]
    return [device.name, int(Protocol.MBUS), device.address, identity, MBUS_DECODER]


def _tuples(value: Any) -> Any:
    """Arrays of TOML as tuples, which strict parsing demands."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _follows(error: dict[str, Any]) -> bool:
    """Whether an array is "too short" only because of the faults in its elements, which are named themselves."""
    return bool(error["type"] == "too_short" and error["input"])


def _problem(error: dict[str, Any]) -> Problem:
    key = _path(error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _known_keys(), 1)
        return Problem(key, f"a known key (perhaps {near[0]})" if near else "a known key", "an unknown one")
    if error["type"] == "missing":
        return Problem(key, "a value", "nothing")
    return Problem(key, str(error["msg"]).removeprefix("Input should be "), repr(error["input"])[: limits.TEXT])


def _known_keys() -> list[str]:
    tables = (Configuration, Broker, BufferSize, Sealing, Device, Bus)
    return [name for table in tables for name in table.model_fields]


def _path(place: Iterable[int | str]) -> str:
    text = ""
    for each in place:
        text += f"[{each}]" if isinstance(each, int) else f".{each}" if text else str(each)
    return text


def _doubled(table: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What must be there once: bus names, ports, device names, addresses on one bus, and meters."""
    found: list[tuple[str, str, str]] = []
    buses = [bus for bus in table.get("bus", []) if isinstance(bus, dict)] if isinstance(table.get("bus"), list) else []
    found += _twice("bus", "name", buses) + _twice("bus", "port", buses)
    everyone: list[dict[str, Any]] = []
    for number, bus in enumerate(buses):
        devices = bus.get("device")
        mine = [each for each in devices if isinstance(each, dict)] if isinstance(devices, list) else []
        found += _twice(f"bus[{number}].device", "address", mine)
        everyone += mine
    return found + _twice("bus.device", "name", everyone) + _same_meters(everyone)


def _same_meters(devices: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """One meter under two names would be billed twice; the same number of two manufacturers is two meters."""
    parts = ("manufacturer", "id", "version", "medium")
    known = [tuple(str(each.get(part, "")).upper() for part in parts) for each in devices if each.get("id")]
    doubled = [(meter, count) for meter, count in Counter(known).items() if count > 1]
    return [("bus.device.id", "each meter once", f"{meter[1]} {count} times") for meter, count in doubled]


def _twice(where: str, key: str, tables: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    values = Counter(repr(table[key]) for table in tables if key in table)
    return [(f"{where}.{key}", "each once", f"{value} {count} times") for value, count in values.items() if count > 1]
