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
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.faults import BadConfiguration, ConfigurationUnreadable, Problem
from protocols.reading import Identity, Protocol
from protocols.uplink import limits
from protocols.uplink.pack import pack

CONTENT_VERSION = 1  # of the canonical form
MBUS_DECODER = 1  # raised when the M-Bus decoder gives the same telegram another value
DLMS_DECODER = 1  # ... the DLMS one
MODBUS_DECODER = 1  # ... the Modbus one, or when a model's registers change
SMALLEST_BUFFER = 4 * 1024 * 1024  # bytes: room for one batch of full size, its index and work space
TAG_AT = 2  # where an error of a bus bears the protocol: bus, its number, protocol, ...
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")  # of buses and devices; they go under the seal

Name = Annotated[str, Field(pattern=NAME.pattern.join("^$"), max_length=64)]
Obis = Annotated[str, Field(pattern=r"^\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}$")]


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


class _Device(_Table):
    """What all meters on a bus have."""

    name: Name
    cadence_s: int = Field(ge=1, le=86_400)

    @property
    def cadence_ms(self) -> int:
        """Milliseconds from one slot to the next."""
        return self.cadence_s * 1000


class MbusDevice(_Device):
    """A meter on an M-Bus line; what is given of its identity is checked at every visit."""

    address: int = Field(ge=1, le=250)
    id: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{8}$")] | None = None
    manufacturer: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    version: int | None = Field(default=None, ge=0, le=255)
    medium: int | None = Field(default=None, ge=0, le=255)

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given."""
        number = None if self.id is None else self.id.upper()
        return Identity(Protocol.MBUS, self.manufacturer, number, self.version, self.medium)


class DlmsDevice(_Device):
    """A DLMS/COSEM meter; `client` and `server` are its addresses in the association.

    `registers` are read at every visit, `profile` from where the last stored row ended; when nothing was ever stored,
    from `history_days` before the meter's clock. The password of low-level authentication is in a file or a credential.
    """

    client: int = Field(default=16, ge=1, le=0x3FFF)
    server: int = Field(default=1, ge=0, le=0x3FFF)
    physical: int | None = Field(default=None, ge=0, le=0x3FFF)
    auth: Literal["none", "lls"] = "none"
    password_file: Annotated[Path, Field(strict=False)] | None = None
    password_credential: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    registers: Annotated[tuple[Obis, ...], Field(max_length=63, strict=False)] = (
        "1-0:1.8.0.255",
        "1-0:2.8.0.255",
    )
    profile: Obis | None = "1-0:99.1.0.255"
    history_days: int = Field(default=10, ge=0, le=1_000)
    serial: Annotated[str, Field(min_length=1, max_length=32)] | None = None

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given: its device id (0-0:96.1.0.255)."""
        return Identity(Protocol.DLMS, fabrication=self.serial)


class ModbusDevice(_Device):
    """A Modbus meter: its unit, and the model that names its registers."""

    unit: int = Field(default=1, ge=0, le=255)
    model: Annotated[str, Field(min_length=1, max_length=64)]
    serial: Annotated[str, Field(min_length=1, max_length=32)] | None = None

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given."""
        return Identity(Protocol.MODBUS, fabrication=self.serial)


class MbusBus(_Table):
    """One M-Bus line and the meters on it; `port` is a stable path (/dev/serial/by-id/...)."""

    protocol: Literal["mbus"]
    name: Name
    port: str = Field(min_length=1, max_length=4096)
    baud: Literal[300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400] = 2400
    parity: Literal["even", "odd", "none"] = "even"
    device: tuple[MbusDevice, ...] = Field(min_length=1, max_length=250)

    @property
    def mode(self) -> str:
        """Data bits, parity and stop bits, as `SerialLine.open` takes them."""
        return f"8{self.parity[0].upper()}1"


class DlmsBus(_Table):
    """DLMS/COSEM meters behind one TCP address: `tcp://` with the wrapper, `tcp+hdlc://` with HDLC frames."""

    protocol: Literal["dlms"]
    name: Name
    url: Annotated[str, Field(pattern=r"^tcp(\+hdlc)?://[^/:\s]+:[0-9]{1,5}$")]
    device: tuple[DlmsDevice, ...] = Field(min_length=1, max_length=32)


class ModbusBus(_Table):
    """Modbus meters behind one TCP address."""

    protocol: Literal["modbus"]
    name: Name
    url: Annotated[str, Field(pattern=r"^tcp://[^/:\s]+:[0-9]{1,5}$")]
    device: tuple[ModbusDevice, ...] = Field(min_length=1, max_length=247)


Device = MbusDevice | DlmsDevice | ModbusDevice
Bus = MbusBus | DlmsBus | ModbusBus


class Configuration(_Table):
    """One gateway; paths are absolute."""

    gateway: Annotated[str, Field(pattern=r"^[a-z0-9-]{3,32}$")]
    state_folder: Path
    keys_folder: Path
    broker: Broker
    buffer: BufferSize = BufferSize()
    seal: Sealing = Sealing()
    bus: tuple[Annotated[Bus, Field(discriminator="protocol")], ...] = Field(min_length=1, max_length=64)


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
    return found.model_copy(update={"bus": tuple(_placed(bus, folder) for bus in found.bus)})


def _placed(bus: Bus, folder: Path) -> Bus:
    """The bus with its paths relative to the file's folder: a port is one too, but of a device."""
    if isinstance(bus, MbusBus):
        return bus.model_copy(update={"port": str(folder / bus.port)})
    if isinstance(bus, ModbusBus):
        return bus
    devices = tuple(
        each if each.password_file is None else each.model_copy(update={"password_file": folder / each.password_file})
        for each in bus.device
    )
    return bus.model_copy(update={"device": devices})


def configuration_content(configuration: Configuration) -> bytes:
    """The canonical form of what changes a sealed value or its attribution."""
    buses = [
        [bus.name, sorted(_device_content(bus, device) for device in bus.device)]
        for bus in sorted(configuration.bus, key=lambda each: each.name)
    ]
    return pack([CONTENT_VERSION, configuration.gateway, buses])


def configuration_hash(configuration: Configuration) -> bytes:
    """SHA-256 over the content."""
    return hashlib.sha256(configuration_content(configuration)).digest()


def _device_content(bus: Bus, device: Device) -> list[Any]:
    wanted = device.identity
    if isinstance(device, MbusDevice):
        identity = [wanted.manufacturer, wanted.id, wanted.version, wanted.medium]
        return [device.name, int(Protocol.MBUS), device.address, identity, MBUS_DECODER]
    url = "" if isinstance(bus, MbusBus) else bus.url
    if isinstance(device, DlmsDevice):
        at = [url, device.client, device.server, device.physical]
        return [device.name, int(Protocol.DLMS), at, [wanted.fabrication], DLMS_DECODER]
    at = [url, device.unit]
    return [device.name, int(Protocol.MODBUS), at, [wanted.fabrication], device.model, MODBUS_DECODER]


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
    tables = (
        Configuration,
        Broker,
        BufferSize,
        Sealing,
        MbusDevice,
        DlmsDevice,
        ModbusDevice,
        MbusBus,
        DlmsBus,
        ModbusBus,
    )
    return [name for table in tables for name in table.model_fields]


def _path(place: tuple[int | str, ...]) -> str:
    text = ""
    for number, each in enumerate(place):
        if number == TAG_AT and place[0] == "bus":
            continue  # the protocol, by which the kind of bus was chosen, is not in the file's path
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
