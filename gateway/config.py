"""The configuration: one TOML file, read once into frozen values, all its faults named at once.

What changes a sealed value or its attribution (bus, device, address, identity, protocol, decoder) has one canonical
form, `configuration_content`, whose SHA-256 stands in every sealed header. Broker, buffer and cadence do not: they
change when and where readings travel, not what they say. What the classes cannot say of a file, `gateway/rules` does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway import rules
from gateway.cadence import UTC, ZoneText
from gateway.config_device import Polled
from gateway.config_line import ModbusWay, Name
from gateway.config_newcomers import Lookout
from gateway.config_push import Address, Push, PushObject
from gateway.config_words import Credential, Folder, LogicalName, Obis, SecretFile, Serial, Title
from gateway.faults import BadConfiguration, ConfigurationUnreadable
from protocols.dlms.timing import SLOWEST_ANSWER_MS
from protocols.reading import Identity, Protocol
from protocols.settings import document as documents
from protocols.settings import mend, reading
from protocols.settings.problems import Level, Problem
from protocols.settings.words import Wanted
from protocols.uplink.pack import pack

CONTENT_VERSION = 1  # of the canonical form
MBUS_DECODER = 2  # raised when the M-Bus decoder gives the same telegram another value
DLMS_DECODER = 2  # ... the DLMS one: the time of a maximum is a time, a null time may be that of the row above
MODBUS_DECODER = 1  # ... the Modbus one, or when a model's registers change
SMALLEST_BUFFER = 4 * 1024 * 1024  # bytes: room for one batch of full size, its index and work space
GATEWAY = r"^[a-z0-9-]{3,32}$"
METER_SECRETS = ("password_file", "encryption_key_file", "authentication_key_file")  # paths of a DLMS meter


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Broker(_Table):
    """Where the broker is."""

    host: Annotated[str, Field(min_length=1, max_length=253), Wanted("a host name or address in quotes")] = Field(
        description="Host name or address of the broker.", examples=["broker.example"]
    )
    port: int = Field(ge=1, le=65_535, description="TCP port of the broker; TLS is always used.", examples=[8883])
    server_name: Annotated[str, Wanted("a host name in quotes")] | None = Field(
        default=None,
        description="The name in the broker's certificate, where it is not `host`.",
        examples=["broker.example"],
    )


class BufferSize(_Table):
    """How large the buffer may become, and the file that is given up when the disk is full."""

    max_bytes: int = Field(
        default=64 * 1024 * 1024, ge=SMALLEST_BUFFER, description="Largest size of the buffer, in bytes."
    )
    reserve_bytes: int = Field(
        default=256 * 1024,
        ge=0,
        le=64 * 1024 * 1024,
        description="Size, in bytes, of a file that is given up when the disk is full, so that room to work is left.",
    )


class Sealing(_Table):
    """What goes under the seal beside values and hashes."""

    keep_telegrams: bool = Field(
        default=True,
        description="Keep the raw telegrams of M-Bus meters; the hash of every answer is sealed in any case.",
    )


class MbusDevice(Polled):
    """A meter on an M-Bus line; what is given of its identity is checked at every visit.

    It is reached by `address`, or selected by `secondary` with manufacturer, version and medium as far as given.
    """

    address: int | None = Field(default=None, ge=1, le=250, description="Primary address on the line.", examples=[1])
    secondary: (
        Annotated[
            str,
            Field(pattern=r"^[0-9A-Ea-e]{8}$"),
            Wanted(
                '8 digits (0-9, A-E) in quotes, as "12345678"',
                "copy it from the plate, zeros at the front included; F would stand for any digit: that is for scans",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="In place of address: the meter is selected by its identification number, and by manufacturer, "
        "version and medium as far as they are given.",
        examples=["12345678"],
    )
    id: (
        Annotated[
            str,
            Field(pattern=r"^[0-9A-Fa-f]{8}$"),
            Wanted(
                '8 digits (0-9, A-F) in quotes, as "12345678"', "copy it from the plate, zeros at the front included"
            ),
        ]
        | None
    ) = Field(default=None, description="Identification number as the meter sends it.", examples=["1A7F2044"])
    manufacturer: (
        Annotated[
            str,
            Field(pattern=r"^[A-Z]{3}$"),
            Wanted('three capital letters in quotes, as "KAM"', "'check --online' shows what the meter sends"),
        ]
        | None
    ) = Field(default=None, description="The manufacturer's three letters.", examples=["KAM"])
    version: int | None = Field(
        default=None, ge=0, le=255, description="The meter's version (generation).", examples=[8]
    )
    medium: int | None = Field(
        default=None,
        ge=0,
        le=255,
        description="The medium in the meter's header: 4 heat, 6 hot water, 7 water, 2 electricity, 3 gas.",
        examples=[4],
    )

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given."""
        written = self.id if self.secondary is None else self.secondary
        number = None if written is None else written.upper()
        return Identity(Protocol.MBUS, self.manufacturer, number, self.version, self.medium)


class DlmsDevice(Polled):
    """A DLMS/COSEM meter; `client` and `server` are its addresses in the association.

    `registers` are read at every visit, `profile` from where the last stored row ended; when nothing was ever stored,
    from `history_days` before the meter's clock. Password and keys are in files or credentials.
    """

    client: int = Field(default=16, ge=1, le=0x3FFF, description="Client address: 16 is the public one.")
    server: int = Field(default=1, ge=0, le=0x3FFF, description="Logical device: 1 is the management one.")
    physical: int | None = Field(
        default=None,
        ge=0,
        le=0x3FFF,
        description="Physical address, with HDLC only: it tells the meters of one line apart.",
        examples=[17],
    )
    address_bytes: Literal[1, 2, 4] | None = Field(
        default=None,
        description="Length of the meter's HDLC address, where it takes one length only; by itself the shortest.",
        examples=[4],
    )
    opening_address: Annotated[
        str,
        Field(pattern=r"^[0-9A-Za-z ]{0,32}$"),
        Wanted("up to 32 digits, letters and blanks in quotes", "it is mostly the number on the meter's plate"),
    ] = Field(
        default="", description="With mode-e, where several meters hear one head: the device address of this one."
    )
    auth: Literal["none", "lls", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256"] = Field(
        default="none",
        description="Authentication: none, lls (low-level, by password), or high-level: hls-gmac with the keys, the "
        "others with the password as their secret.",
    )
    password_file: SecretFile | None = Field(
        default=None,
        description="File that holds the password, readable by the daemon alone (chmod 600).",
        examples=["secrets/main-meter"],
    )
    password_credential: Credential | None = Field(
        default=None,
        description="systemd credential that holds the password, in place of a file.",
        examples=["main-meter"],
    )
    ciphering: Literal["none", "authenticated", "encrypted", "both"] = Field(
        default="none", description="How what is said is protected, as the meter's security policy wants it."
    )
    suite: Literal[0, 1, 2] = Field(
        default=0, description="Security suite: 0 and 1 have keys of 16 bytes, 2 of 32 bytes."
    )
    encryption_key_file: SecretFile | None = Field(
        default=None,
        description="File that holds the global unicast encryption key in hex digits (chmod 600).",
        examples=["secrets/main-meter.encryption"],
    )
    encryption_key_credential: Credential | None = Field(
        default=None, description="systemd credential in place of that file.", examples=["main-meter.encryption"]
    )
    authentication_key_file: SecretFile | None = Field(
        default=None,
        description="File that holds the global authentication key in hex digits (chmod 600).",
        examples=["secrets/main-meter.authentication"],
    )
    authentication_key_credential: Credential | None = Field(
        default=None, description="systemd credential in place of that file.", examples=["main-meter.authentication"]
    )
    system_title: Title | None = Field(
        default=None,
        description="Our system title, with keys and with hls-sha256: another one for each gateway.",
        examples=["504C420000000001"],
    )
    meter_title: Title | None = Field(
        default=None,
        description="The meter's system title: checked, and used where the meter sends none.",
        examples=["4B414D0000000002"],
    )
    dedicated: bool = Field(default=False, description="Use a key of its own for each association.")
    general_ciphering: bool = Field(
        default=False, description="Use the general form of ciphering instead of that of each service."
    )
    challenge_bytes: int = Field(
        default=16, ge=8, le=64, description="Length of our challenge; some meters fail above 16."
    )
    registers: Annotated[tuple[Obis, ...], Field(max_length=63, strict=False)] = Field(
        default=("1-0:1.8.0.255", "1-0:2.8.0.255"), description="Registers that are read at every visit."
    )
    profile: Obis | None = Field(
        default="1-0:99.1.0.255", description="Load profile that is read from where the last stored row ended."
    )
    history_days: int = Field(
        default=10, ge=0, le=1_000, description="Days of the profile that are read when nothing was ever stored."
    )
    model: Annotated[str, Field(min_length=1, max_length=64), Wanted("a meter model's name in quotes")] | None = Field(
        default=None,
        description="The meter's model: it says which profiles and logs there are, and how its clock is adjusted.",
        examples=["idis"],
    )
    further_profiles: Annotated[tuple[Obis, ...], Field(max_length=16, strict=False)] | None = Field(
        default=None,
        description="Profiles of registers beside the load profile, as the monthly billing profile; by itself the "
        "model's.",
        examples=[["0-0:98.1.0.255"]],
    )
    logs: Annotated[tuple[Obis, ...], Field(max_length=16, strict=False)] | None = Field(
        default=None, description="Event logs; by itself the model's.", examples=[["0-0:99.98.0.255"]]
    )
    further_cadence_s: int = Field(
        default=86_400, ge=900, le=31 * 86_400, description="How often those profiles are read, in seconds."
    )
    logs_cadence_s: int = Field(
        default=86_400, ge=900, le=31 * 86_400, description="How often the event logs are read, in seconds."
    )
    further_days: int = Field(
        default=400,
        ge=0,
        le=3_700,
        description="Days of them that are read when nothing was ever stored.",
    )
    compressed: bool | None = Field(
        default=None,
        description="Whether a null in a profile stands for the value of the row above; without it a null is no value. "
        "By itself as the model says.",
        examples=[True],
    )
    range_ends: Literal["offset", "local"] | None = Field(
        default=None,
        description="What a range of rows is asked for by: offset (times with their offset from UTC), or local, of a "
        "meter that refuses or ignores the offset. By itself as the model says, else offset.",
        examples=["local"],
    )
    offset_sign: Literal["standard", "reversed"] | None = Field(
        default=None,
        description="Sign of the offset from UTC in the meter's times: reversed where it says +60 for an hour ahead of "
        "UTC. By itself as the model says, else standard.",
        examples=["reversed"],
    )
    association: Obis | None = Field(
        default=None,
        description="Name of the association's object, of a meter that does not take 0-0:40.0.0.255 for its current "
        "one. By itself as the model says.",
        examples=["0-0:40.0.1.255"],
    )
    answer_ms: int | None = Field(
        default=None,
        ge=100,
        le=SLOWEST_ANSWER_MS,
        description="Milliseconds that this meter may take for an answer, on any way to it. By itself as the model "
        "says, else the bus's on a serial line, and 2500 (HDLC) or 5000 over TCP.",
        examples=[8000],
    )
    pause_ms: int | None = Field(
        default=None,
        ge=0,
        le=SLOWEST_ANSWER_MS,
        description="Milliseconds that this meter may be silent within an answer, as behind a slow modem. By itself as "
        "the model says.",
        examples=[4000],
    )
    adjust_clock: bool = Field(
        default=False, description="Adjust the meter's clock, within the limits of its model, with an event each time."
    )
    serial: Serial | None = Field(
        default=None, description="Device id (0-0:96.1.0.255) as the meter shows it; checked.", examples=["1234567890"]
    )
    logical_name: LogicalName = None
    push: bool = Field(
        default=False, description="Take what this meter sends unasked; the table [push] says where is listened."
    )
    push_from: Address | None = Field(
        default=None,
        description="The IP address that its pushes come from: others are refused. An unciphered push proves nothing "
        "else.",
        examples=["192.0.2.10"],
    )
    push_objects: Annotated[tuple[PushObject, ...], Field(max_length=64, strict=False)] = Field(
        default=(),
        description="What its pushes hold, in order, where they do not say it themselves: CLASS/OBIS/ATTRIBUTE each.",
        examples=[["8/0-0:1.0.0.255/2", "3/1-0:1.8.0.255/2"]],
    )

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given: its device id (0-0:96.1.0.255)."""
        return Identity(Protocol.DLMS, fabrication=self.serial)


class ModbusDevice(Polled):
    """A Modbus meter: its unit, and the model that names its registers."""

    unit: int = Field(default=1, ge=0, le=255, description="Unit (slave) number.")
    model: Annotated[str, Field(min_length=1, max_length=64), Wanted("a meter model's name in quotes")] = Field(
        description="The meter's model, which names its registers.", examples=["eastron-sdm630-modbus"]
    )
    serial: Serial | None = Field(
        default=None, description="Serial number, where the model has one; checked.", examples=["20123456"]
    )

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given."""
        return Identity(Protocol.MODBUS, fabrication=self.serial)


class MbusBus(_Table):
    """One M-Bus line and the meters on it."""

    protocol: Literal["mbus"] = Field(description="What is spoken on this bus.", examples=["mbus"])
    name: Name = Field(description="Our name of the line.", examples=["riser"])
    port: Annotated[str, Field(min_length=1, max_length=4096), Wanted("a port's path in quotes")] | None = Field(
        default=None,
        description="Serial port by its stable path; ls -l /dev/serial/by-id shows it.",
        examples=["/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"],
    )
    url: (
        Annotated[
            str,
            Field(pattern=r"^(tcp|rfc2217)://[^/:\s]+:[0-9]{1,5}$"),
            Wanted("tcp://HOST:PORT or rfc2217://HOST:PORT in quotes"),
        ]
        | None
    ) = Field(
        default=None,
        description="In place of port: a converter in the network. tcp://HOST:PORT where it passes every byte on (it "
        "has settings of its own for speed and parity), rfc2217://HOST:PORT where it takes them from here.",
        examples=["tcp://192.0.2.30:10001"],
    )
    baud: Literal[300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400] = Field(
        default=2400, description="Speed of the line, in baud."
    )
    parity: Literal["even", "odd", "none"] = Field(default="even", description="Parity; M-Bus has even.")
    device: tuple[MbusDevice, ...] = Field(min_length=1, max_length=250, description="The meters on the line.")

    @property
    def mode(self) -> str:
        """Data bits, parity and stop bits, as `SerialLine.open` takes them."""
        return f"8{self.parity[0].upper()}1"


class DlmsBus(_Table):
    """DLMS/COSEM meters behind one TCP address, or on one serial line."""

    protocol: Literal["dlms"] = Field(description="What is spoken on this bus.", examples=["dlms"])
    name: Name = Field(description="Our name of the bus.", examples=["main supply"])
    url: (
        Annotated[
            str,
            Field(pattern=r"^(tcp(\+hdlc)?|rfc2217)://[^/:\s]+:[0-9]{1,5}$"),
            Wanted("tcp://HOST:PORT, tcp+hdlc://HOST:PORT or rfc2217://HOST:PORT in quotes"),
        ]
        | None
    ) = Field(
        default=None,
        description="tcp://HOST:PORT for the TCP wrapper, tcp+hdlc://HOST:PORT for HDLC frames (serial servers with "
        "settings of their own), rfc2217://HOST:PORT where the server takes speed and parity from here.",
        examples=["tcp://192.0.2.10:4059"],
    )
    port: Annotated[str, Field(min_length=1, max_length=4096), Wanted("a port's path in quotes")] | None = Field(
        default=None,
        description="In place of url: the serial port of an RS-485 line, by its stable path "
        "(ls -l /dev/serial/by-id shows it).",
        examples=["/dev/serial/by-id/usb-FTDI_FT232R-if00-port1"],
    )
    baud: Literal[300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200] = Field(
        default=9600, description="Speed of the serial line, in baud."
    )
    parity: Literal["none", "even", "odd"] = Field(default="none", description="Parity of the serial line.")
    answer_ms: int = Field(
        default=2_000,
        ge=100,
        le=10_000,
        description="Milliseconds that a meter on the serial line may take from our frame to its own; some take 4000.",
    )
    opening: Literal["none", "mode-e"] = Field(
        default="none",
        description="How HDLC begins on the serial line: at once (RS-485), or mode-e: an optical head, opened at 300 "
        "baud (IEC 62056-21); baud is then the highest speed of the head.",
    )
    device: tuple[DlmsDevice, ...] = Field(min_length=1, max_length=32, description="The meters behind the address.")

    @property
    def mode(self) -> str:
        """Data bits, parity and stop bits, as `SerialLine.open` takes them."""
        return f"8{self.parity[0].upper()}1"

    @property
    def on_line(self) -> bool:
        """Whether its meters share a serial line whose speed is set here."""
        return self.url is None or self.url.startswith("rfc2217:")


class ModbusBus(ModbusWay):
    """Modbus meters behind one TCP address, or on one serial line."""

    device: tuple[ModbusDevice, ...] = Field(min_length=1, max_length=247, description="The meters behind the address.")


Device = MbusDevice | DlmsDevice | ModbusDevice
Bus = MbusBus | DlmsBus | ModbusBus


class Configuration(_Table):
    """One gateway; paths are absolute once it is read."""

    gateway: Annotated[
        str,
        Field(pattern=GATEWAY),
        Wanted(
            "3 to 32 small letters, digits or -, in quotes",
            "choose a name like boiler-room-7: the collector knows the gateway by it",
        ),
    ] = Field(description="The gateway's id, unique at the collector.", examples=["boiler-room-7"])
    state_folder: Folder = Field(
        description="Folder of the buffer, on a local disk; relative to this file.", examples=["state"]
    )
    keys_folder: Folder = Field(
        description="Folder of the keys, the trust document and the certificate; relative to this file.",
        examples=["keys"],
    )
    broker: Broker = Field(description="Where the broker is.")
    buffer: BufferSize = Field(default=BufferSize(), description="How large the buffer may become.")
    seal: Sealing = Field(default=Sealing(), description="What goes under the seal beside values and hashes.")
    timezone: ZoneText = Field(
        default=UTC,
        description="The zone of all metering points without a timezone of their own, for cadence and billing.",
        examples=["Europe/Prague"],
    )
    newcomers: Lookout = Field(default=Lookout(), description="The search for meters in the place of silent ones.")
    push: Push | None = Field(default=None, description="Where DLMS meters may send what nobody asked for.")
    bus: tuple[Annotated[Bus, Field(discriminator="protocol")], ...] = Field(
        min_length=1, max_length=64, description="The lines and addresses at which meters are read."
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file says (None where it has faults), and all that was found in it, hints included."""

    configuration: Configuration | None
    problems: tuple[Problem, ...]

    @property
    def faults(self) -> tuple[Problem, ...]:
        """What stops the daemon."""
        return tuple(each for each in self.problems if each.level is Level.FAULT)


def read_configuration(path: Path) -> Configuration:
    """The configuration in a file; relative paths in it are relative to it.

    Raises:
        ConfigurationUnreadable: no such file, or not TOML.
        BadConfiguration: every fault, with its place.
    """
    return _good(check_configuration(path), str(path))


def check_configuration(path: Path) -> Checked:
    """The configuration in a file with every fault and hint.

    Raises:
        ConfigurationUnreadable: no such file, or not TOML.
    """
    found = mend.load(path, Configuration)
    if isinstance(found, tuple):
        raise ConfigurationUnreadable(found, str(path))
    checked = _checked(found, path.absolute().parent)
    if not found.toml:
        raise ConfigurationUnreadable(checked.problems, str(path))
    return checked


def configuration_from(table: dict[str, Any], folder: Path, where: str) -> Configuration:
    """The configuration in a parsed table.

    Raises:
        BadConfiguration: every fault, with its key's path.
    """
    return _good(_checked(documents.unlocated(where, table), folder), where)


def _good(checked: Checked, where: str) -> Configuration:
    if checked.configuration is None:
        raise BadConfiguration(checked.faults, where)
    return checked.configuration


def _checked(document: documents.Document, folder: Path) -> Checked:
    document, problems = rules.with_protocols(document)
    ruled = document.of_writer(problems + list(rules.problems(document)))
    found, more = reading.read(document, Configuration, rules.SECRETS)
    said = {each.key for each in ruled if each.level is Level.FAULT}  # a rule knows more than a class
    ruled += [each for each in more if each.key not in said]
    if found is None or any(each.level is Level.FAULT for each in ruled):
        return Checked(None, tuple(ruled))
    return Checked(_absolute(found, folder), tuple(ruled))


def _absolute(found: Configuration, folder: Path) -> Configuration:
    buses = tuple(_zoned(_placed(bus, folder), found.timezone) for bus in found.bus)
    folders = {"state_folder": folder / found.state_folder, "keys_folder": folder / found.keys_folder}
    return found.model_copy(update={"bus": buses, **folders})


def _zoned(bus: Bus, timezone: str) -> Bus:
    """The bus whose meters know the zone of their times."""
    devices = (
        each if each.timezone or not (each.cadence or each.billing) else each.model_copy(update={"timezone": timezone})
        for each in bus.device
    )
    return bus.model_copy(update={"device": tuple(devices)})


def _placed(bus: Bus, folder: Path) -> Bus:
    """The bus with its paths relative to the file's folder: a port is one too, but of a device."""
    if isinstance(bus, MbusBus | DlmsBus) and bus.port is not None:
        bus = bus.model_copy(update={"port": str(folder / bus.port)})
    if not isinstance(bus, DlmsBus):
        return bus
    return bus.model_copy(update={"device": tuple(_secrets_placed(each, folder) for each in bus.device)})


def _secrets_placed(device: DlmsDevice, folder: Path) -> DlmsDevice:
    given = {key: getattr(device, key) for key in METER_SECRETS}
    return device.model_copy(update={key: folder / path for key, path in given.items() if path is not None})


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
        reached = device.address if device.secondary is None else device.secondary.upper()
        return [device.name, int(Protocol.MBUS), reached, identity, MBUS_DECODER]
    url = "" if isinstance(bus, MbusBus) else bus.url or ""  # a port's path is the machine's, not the meter's
    if isinstance(device, DlmsDevice):
        at = [url, device.client, device.server, device.physical]
        content: list[Any] = [device.name, int(Protocol.DLMS), at, [wanted.fabrication], DLMS_DECODER]
        if device.push or device.model is not None or device.compressed is not None:
            content += [device.model, device.compressed]
        further = ["offset_sign", device.offset_sign], ["logical_name", device.logical_name]
        content += [each for each in further if each[1] is not None]
        if device.push:  # what a push is attributed and decoded by
            content.append([device.meter_title, device.push_from, *device.push_objects])
        return content
    at = [url, device.unit]
    return [device.name, int(Protocol.MODBUS), at, [wanted.fabrication], device.model, MODBUS_DECODER]
