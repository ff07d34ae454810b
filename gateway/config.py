"""The configuration, as frozen values; `config_file` reads them from one TOML file.

What changes a sealed value or its attribution (bus, device, address, identity, protocol, decoder) has one canonical
form, `configuration_content`, whose SHA-256 stands in every sealed header. Broker, buffer and cadence do not: they
change when and where readings travel, not what they say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from gateway.cadence import UTC, ZoneText
from gateway.config_device import Polled
from gateway.config_line import ModbusWay, Name
from gateway.config_newcomers import Lookout
from gateway.config_push import Address, Push, PushObject
from gateway.config_words import Credential, Folder, LogicalName, Obis, SecretFile, Serial, Title
from protocols.dlms.timing import SLOWEST_ANSWER_MS
from protocols.reading import Identity, Protocol
from protocols.settings.table import Key, Limits, Wanted
from protocols.uplink.pack import pack

CONTENT_VERSION = 1  # of the canonical form
MBUS_DECODER = 2  # raised when the M-Bus decoder gives the same telegram another value
DLMS_DECODER = 2  # ... the DLMS one: the time of a maximum is a time, a null time may be that of the row above
MODBUS_DECODER = 1  # ... the Modbus one, or when a model's registers change
SMALLEST_BUFFER = 4 * 1024 * 1024  # bytes: room for one batch of full size, its index and work space
GATEWAY = r"^[a-z0-9-]{3,32}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is."""

    host: Annotated[
        str,
        Limits(min_length=1, max_length=253),
        Wanted("a host name or address in quotes"),
        Key("Host name or address of the broker.", examples=("broker.example",)),
    ]
    port: Annotated[int, Limits(ge=1, le=65_535), Key("TCP port of the broker; TLS is always used.", examples=(8883,))]
    server_name: Annotated[
        Annotated[str, Wanted("a host name in quotes")] | None,
        Key("The name in the broker's certificate, where it is not `host`.", examples=("broker.example",)),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSize:
    """How large the buffer may become, and the file that is given up when the disk is full."""

    max_bytes: Annotated[int, Limits(ge=SMALLEST_BUFFER), Key("Largest size of the buffer, in bytes.")] = (
        64 * 1024 * 1024
    )
    reserve_bytes: Annotated[
        int,
        Limits(ge=0, le=64 * 1024 * 1024),
        Key("Size, in bytes, of a file that is given up when the disk is full, so that room to work is left."),
    ] = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What goes under the seal beside values and hashes."""

    keep_telegrams: Annotated[
        bool, Key("Keep the raw telegrams of M-Bus meters; the hash of every answer is sealed in any case.")
    ] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MbusDevice(Polled):
    """A meter on an M-Bus line; what is given of its identity is checked at every visit.

    It is reached by `address`, or selected by `secondary` with manufacturer, version and medium as far as given.
    """

    address: Annotated[int | None, Limits(ge=1, le=250), Key("Primary address on the line.", examples=(1,))] = None
    secondary: Annotated[
        Annotated[
            str,
            Limits(pattern=r"^[0-9A-Ea-e]{8}$"),
            Wanted(
                '8 digits (0-9, A-E) in quotes, as "12345678"',
                "copy it from the plate, zeros at the front included; F would stand for any digit: that is for scans",
            ),
        ]
        | None,
        Key(
            "In place of address: the meter is selected by its identification number, and by manufacturer, "
            "version and medium as far as they are given.",
            examples=("12345678",),
        ),
    ] = None
    id: Annotated[
        Annotated[
            str,
            Limits(pattern=r"^[0-9A-Fa-f]{8}$"),
            Wanted(
                '8 digits (0-9, A-F) in quotes, as "12345678"', "copy it from the plate, zeros at the front included"
            ),
        ]
        | None,
        Key("Identification number as the meter sends it.", examples=("1A7F2044",)),
    ] = None
    manufacturer: Annotated[
        Annotated[
            str,
            Limits(pattern=r"^[A-Z]{3}$"),
            Wanted('three capital letters in quotes, as "KAM"', "'check --online' shows what the meter sends"),
        ]
        | None,
        Key("The manufacturer's three letters.", examples=("KAM",)),
    ] = None
    version: Annotated[int | None, Limits(ge=0, le=255), Key("The meter's version (generation).", examples=(8,))] = None
    medium: Annotated[
        int | None,
        Limits(ge=0, le=255),
        Key("The medium in the meter's header: 4 heat, 6 hot water, 7 water, 2 electricity, 3 gas.", examples=(4,)),
    ] = None

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given."""
        written = self.id if self.secondary is None else self.secondary
        number = None if written is None else written.upper()
        return Identity(Protocol.MBUS, self.manufacturer, number, self.version, self.medium)


@dataclass(frozen=True, slots=True, kw_only=True)
class DlmsDevice(Polled):
    """A DLMS/COSEM meter; `client` and `server` are its addresses in the association.

    `registers` are read at every visit, `profile` from where the last stored row ended; when nothing was ever stored,
    from `history_days` before the meter's clock. Password and keys are in files or credentials.
    """

    client: Annotated[int, Limits(ge=1, le=0x3FFF), Key("Client address: 16 is the public one.")] = 16
    server: Annotated[int, Limits(ge=0, le=0x3FFF), Key("Logical device: 1 is the management one.")] = 1
    physical: Annotated[
        int | None,
        Limits(ge=0, le=0x3FFF),
        Key("Physical address, with HDLC only: it tells the meters of one line apart.", examples=(17,)),
    ] = None
    address_bytes: Annotated[
        Literal[1, 2, 4] | None,
        Key(
            "Length of the meter's HDLC address, where it takes one length only; by itself the shortest.", examples=(4,)
        ),
    ] = None
    opening_address: Annotated[
        str,
        Limits(pattern=r"^[0-9A-Za-z ]{0,32}$"),
        Wanted("up to 32 digits, letters and blanks in quotes", "it is mostly the number on the meter's plate"),
        Key("With mode-e, where several meters hear one head: the device address of this one."),
    ] = ""
    auth: Annotated[
        Literal["none", "lls", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256"],
        Key(
            "Authentication: none, lls (low-level, by password), or high-level: hls-gmac with the keys, the "
            "others with the password as their secret."
        ),
    ] = "none"
    password_file: Annotated[
        SecretFile | None,
        Key(
            "File that holds the password, readable by the daemon alone (chmod 600).", examples=("secrets/main-meter",)
        ),
    ] = None
    password_credential: Annotated[
        Credential | None,
        Key("systemd credential that holds the password, in place of a file.", examples=("main-meter",)),
    ] = None
    ciphering: Annotated[
        Literal["none", "authenticated", "encrypted", "both"],
        Key("How what is said is protected, as the meter's security policy wants it."),
    ] = "none"
    suite: Annotated[Literal[0, 1, 2], Key("Security suite: 0 and 1 have keys of 16 bytes, 2 of 32 bytes.")] = 0
    encryption_key_file: Annotated[
        SecretFile | None,
        Key(
            "File that holds the global unicast encryption key in hex digits (chmod 600).",
            examples=("secrets/main-meter.encryption",),
        ),
    ] = None
    encryption_key_credential: Annotated[
        Credential | None, Key("systemd credential in place of that file.", examples=("main-meter.encryption",))
    ] = None
    authentication_key_file: Annotated[
        SecretFile | None,
        Key(
            "File that holds the global authentication key in hex digits (chmod 600).",
            examples=("secrets/main-meter.authentication",),
        ),
    ] = None
    authentication_key_credential: Annotated[
        Credential | None, Key("systemd credential in place of that file.", examples=("main-meter.authentication",))
    ] = None
    system_title: Annotated[
        Title | None,
        Key(
            "Our system title, with keys and with hls-sha256: another one for each gateway.",
            examples=("504C420000000001",),
        ),
    ] = None
    meter_title: Annotated[
        Title | None,
        Key("The meter's system title: checked, and used where the meter sends none.", examples=("4B414D0000000002",)),
    ] = None
    dedicated: Annotated[bool, Key("Use a key of its own for each association.")] = False
    general_ciphering: Annotated[bool, Key("Use the general form of ciphering instead of that of each service.")] = (
        False
    )
    challenge_bytes: Annotated[int, Limits(ge=8, le=64), Key("Length of our challenge; some meters fail above 16.")] = (
        16
    )
    registers: Annotated[
        tuple[Obis, ...], Limits(max_length=63, strict=False), Key("Registers that are read at every visit.")
    ] = ("1-0:1.8.0.255", "1-0:2.8.0.255")
    profile: Annotated[Obis | None, Key("Load profile that is read from where the last stored row ended.")] = (
        "1-0:99.1.0.255"
    )
    history_days: Annotated[
        int, Limits(ge=0, le=1_000), Key("Days of the profile that are read when nothing was ever stored.")
    ] = 10
    model: Annotated[
        Annotated[str, Limits(min_length=1, max_length=64), Wanted("a meter model's name in quotes")] | None,
        Key(
            "The meter's model: it says which profiles and logs there are, and how its clock is adjusted.",
            examples=("idis",),
        ),
    ] = None
    further_profiles: Annotated[
        Annotated[tuple[Obis, ...], Limits(max_length=16, strict=False)] | None,
        Key(
            "Profiles of registers beside the load profile, as the monthly billing profile; by itself the model's.",
            examples=(["0-0:98.1.0.255"],),
        ),
    ] = None
    logs: Annotated[
        Annotated[tuple[Obis, ...], Limits(max_length=16, strict=False)] | None,
        Key("Event logs; by itself the model's.", examples=(["0-0:99.98.0.255"],)),
    ] = None
    further_cadence_s: Annotated[
        int, Limits(ge=900, le=31 * 86_400), Key("How often those profiles are read, in seconds.")
    ] = 86_400
    logs_cadence_s: Annotated[
        int, Limits(ge=900, le=31 * 86_400), Key("How often the event logs are read, in seconds.")
    ] = 86_400
    further_days: Annotated[
        int, Limits(ge=0, le=3_700), Key("Days of them that are read when nothing was ever stored.")
    ] = 400
    compressed: Annotated[
        bool | None,
        Key(
            "Whether a null in a profile stands for the value of the row above; without it a null is no value. "
            "By itself as the model says.",
            examples=(True,),
        ),
    ] = None
    range_ends: Annotated[
        Literal["offset", "local"] | None,
        Key(
            "What a range of rows is asked for by: offset (times with their offset from UTC), or local, of a "
            "meter that refuses or ignores the offset. By itself as the model says, else offset.",
            examples=("local",),
        ),
    ] = None
    offset_sign: Annotated[
        Literal["standard", "reversed"] | None,
        Key(
            "Sign of the offset from UTC in the meter's times: reversed where it says +60 for an hour ahead of "
            "UTC. By itself as the model says, else standard.",
            examples=("reversed",),
        ),
    ] = None
    association: Annotated[
        Obis | None,
        Key(
            "Name of the association's object, of a meter that does not take 0-0:40.0.0.255 for its current "
            "one. By itself as the model says.",
            examples=("0-0:40.0.1.255",),
        ),
    ] = None
    answer_ms: Annotated[
        int | None,
        Limits(ge=100, le=SLOWEST_ANSWER_MS),
        Key(
            "Milliseconds that this meter may take for an answer, on any way to it. By itself as the model "
            "says, else the bus's on a serial line, and 2500 (HDLC) or 5000 over TCP.",
            examples=(8000,),
        ),
    ] = None
    pause_ms: Annotated[
        int | None,
        Limits(ge=0, le=SLOWEST_ANSWER_MS),
        Key(
            "Milliseconds that this meter may be silent within an answer, as behind a slow modem. By itself as "
            "the model says.",
            examples=(4000,),
        ),
    ] = None
    adjust_clock: Annotated[
        bool, Key("Adjust the meter's clock, within the limits of its model, with an event each time.")
    ] = False
    serial: Annotated[
        Serial | None, Key("Device id (0-0:96.1.0.255) as the meter shows it; checked.", examples=("1234567890",))
    ] = None
    logical_name: Annotated[
        LogicalName | None,
        Key(
            "Logical device name (0-0:42.0.0.255) as the meter shows it; checked. For a meter that does not tell its "
            "device id, or beside that.",
            examples=("ISK1050012345678",),
        ),
    ] = None

    push: Annotated[bool, Key("Take what this meter sends unasked; the table [push] says where is listened.")] = False
    push_from: Annotated[
        Address | None,
        Key(
            "The IP address that its pushes come from: others are refused. An unciphered push proves nothing else.",
            examples=("192.0.2.10",),
        ),
    ] = None
    push_objects: Annotated[
        tuple[PushObject, ...],
        Limits(max_length=64, strict=False),
        Key(
            "What its pushes hold, in order, where they do not say it themselves: CLASS/OBIS/ATTRIBUTE each.",
            examples=(["8/0-0:1.0.0.255/2", "3/1-0:1.8.0.255/2"],),
        ),
    ] = ()

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given: its device id (0-0:96.1.0.255)."""
        return Identity(Protocol.DLMS, fabrication=self.serial)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusDevice(Polled):
    """A Modbus meter: its unit, and the model that names its registers."""

    unit: Annotated[int, Limits(ge=0, le=255), Key("Unit (slave) number.")] = 1
    model: Annotated[
        str,
        Limits(min_length=1, max_length=64),
        Wanted("a meter model's name in quotes"),
        Key("The meter's model, which names its registers.", examples=("eastron-sdm630-modbus",)),
    ]
    serial: Annotated[
        Serial | None, Key("Serial number, where the model has one; checked.", examples=("20123456",))
    ] = None

    @property
    def identity(self) -> Identity:
        """What the meter must say it is, as far as it was given."""
        return Identity(Protocol.MODBUS, fabrication=self.serial)


@dataclass(frozen=True, slots=True, kw_only=True)
class MbusBus:
    """One M-Bus line and the meters on it."""

    protocol: Annotated[Literal["mbus"], Key("What is spoken on this bus.", examples=("mbus",))]
    name: Annotated[Name, Key("Our name of the line.", examples=("riser",))]
    port: Annotated[
        Annotated[str, Limits(min_length=1, max_length=4096), Wanted("a port's path in quotes")] | None,
        Key(
            "Serial port by its stable path; ls -l /dev/serial/by-id shows it.",
            examples=("/dev/serial/by-id/usb-FTDI_FT232R-if00-port0",),
        ),
    ] = None
    url: Annotated[
        Annotated[
            str,
            Limits(pattern=r"^(tcp|rfc2217)://[^/:\s]+:[0-9]{1,5}$"),
            Wanted("tcp://HOST:PORT or rfc2217://HOST:PORT in quotes"),
        ]
        | None,
        Key(
            "In place of port: a converter in the network. tcp://HOST:PORT where it passes every byte on (it "
            "has settings of its own for speed and parity), rfc2217://HOST:PORT where it takes them from here.",
            examples=("tcp://192.0.2.30:10001",),
        ),
    ] = None
    baud: Annotated[Literal[300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400], Key("Speed of the line, in baud.")] = (
        2400
    )
    parity: Annotated[Literal["even", "odd", "none"], Key("Parity; M-Bus has even.")] = "even"
    device: Annotated[tuple[MbusDevice, ...], Limits(min_length=1, max_length=250), Key("The meters on the line.")]

    @property
    def mode(self) -> str:
        """Data bits, parity and stop bits, as `SerialLine.open` takes them."""
        return f"8{self.parity[0].upper()}1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DlmsBus:
    """DLMS/COSEM meters behind one TCP address, or on one serial line."""

    protocol: Annotated[Literal["dlms"], Key("What is spoken on this bus.", examples=("dlms",))]
    name: Annotated[Name, Key("Our name of the bus.", examples=("main supply",))]
    url: Annotated[
        Annotated[
            str,
            Limits(pattern=r"^(tcp(\+hdlc)?|rfc2217)://[^/:\s]+:[0-9]{1,5}$"),
            Wanted("tcp://HOST:PORT, tcp+hdlc://HOST:PORT or rfc2217://HOST:PORT in quotes"),
        ]
        | None,
        Key(
            "tcp://HOST:PORT for the TCP wrapper, tcp+hdlc://HOST:PORT for HDLC frames (serial servers with "
            "settings of their own), rfc2217://HOST:PORT where the server takes speed and parity from here.",
            examples=("tcp://192.0.2.10:4059",),
        ),
    ] = None
    port: Annotated[
        Annotated[str, Limits(min_length=1, max_length=4096), Wanted("a port's path in quotes")] | None,
        Key(
            "In place of url: the serial port of an RS-485 line, by its stable path "
            "(ls -l /dev/serial/by-id shows it).",
            examples=("/dev/serial/by-id/usb-FTDI_FT232R-if00-port1",),
        ),
    ] = None
    baud: Annotated[
        Literal[300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200],
        Key("Speed of the serial line, in baud."),
    ] = 9600
    parity: Annotated[Literal["none", "even", "odd"], Key("Parity of the serial line.")] = "none"
    answer_ms: Annotated[
        int,
        Limits(ge=100, le=10_000),
        Key("Milliseconds that a meter on the serial line may take from our frame to its own; some take 4000."),
    ] = 2_000
    opening: Annotated[
        Literal["none", "mode-e"],
        Key(
            "How HDLC begins on the serial line: at once (RS-485), or mode-e: an optical head, opened at 300 "
            "baud (IEC 62056-21); baud is then the highest speed of the head."
        ),
    ] = "none"
    device: Annotated[
        tuple[DlmsDevice, ...], Limits(min_length=1, max_length=32), Key("The meters behind the address.")
    ]

    @property
    def mode(self) -> str:
        """Data bits, parity and stop bits, as `SerialLine.open` takes them."""
        return f"8{self.parity[0].upper()}1"

    @property
    def on_line(self) -> bool:
        """Whether its meters share a serial line whose speed is set here."""
        return self.url is None or self.url.startswith("rfc2217:")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusBus(ModbusWay):
    """Modbus meters behind one TCP address, or on one serial line."""

    device: Annotated[
        tuple[ModbusDevice, ...], Limits(min_length=1, max_length=247), Key("The meters behind the address.")
    ]


Device = MbusDevice | DlmsDevice | ModbusDevice
Bus = MbusBus | DlmsBus | ModbusBus


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One gateway; paths are absolute once it is read."""

    gateway: Annotated[
        str,
        Limits(pattern=GATEWAY),
        Wanted(
            "3 to 32 small letters, digits or -, in quotes",
            "choose a name like boiler-room-7: the collector knows the gateway by it",
        ),
        Key("The gateway's id, unique at the collector.", examples=("boiler-room-7",)),
    ]
    state_folder: Annotated[
        Folder, Key("Folder of the buffer, on a local disk; relative to this file.", examples=("state",))
    ]
    keys_folder: Annotated[
        Folder,
        Key("Folder of the keys, the trust document and the certificate; relative to this file.", examples=("keys",)),
    ]
    broker: Annotated[Broker, Key("Where the broker is.")]
    buffer: Annotated[BufferSize, Key("How large the buffer may become.")] = BufferSize()
    seal: Annotated[Sealing, Key("What goes under the seal beside values and hashes.")] = Sealing()
    timezone: Annotated[
        ZoneText,
        Key(
            "The zone of all metering points without a timezone of their own, for cadence and billing.",
            examples=("Europe/Prague",),
        ),
    ] = UTC
    newcomers: Annotated[Lookout, Key("The search for meters in the place of silent ones.")] = Lookout()  # noqa: RUF009 - it is frozen
    push: Annotated[Push | None, Key("Where DLMS meters may send what nobody asked for.")] = None
    bus: Annotated[
        tuple[Annotated[Bus, Limits(discriminator="protocol")], ...],
        Limits(min_length=1, max_length=64),
        Key("The lines and addresses at which meters are read."),
    ]


def with_devices(bus: Bus, devices: Iterable[Device]) -> Bus:
    """The bus with these devices in the place of its own; they are of its protocol."""
    changed: dict[str, Any] = {"device": tuple(devices)}
    return replace(bus, **changed)


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
