"""The two simulated electricity meters as data: names, accesses, zones and registers with their scalers and widths."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from zoneinfo import ZoneInfo

from protocols import obis
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.ciphering import Keys
from protocols.dlms.data import Tag
from protocols.dlms.initiate import OURS, Conformance
from protocols.dlms.objects import REGISTER, VALUE, Attribute
from protocols.dlms.protection import Security
from protocols.dlms.ways import STANDARD, Ways
from simulators.dlms.going import RIGHT, Going

PERIOD_S = 900
DEPTH = 8_640  # rows that the load profile holds: 90 days
PUBLIC, GMAC_CLIENT, HASH_CLIENT, LLS_CLIENT = 16, 17, 18, 19  # clients of a meter that has keys
STANDARD_TIME_MIN = 60  # minutes east of UTC of a clock that knows no summer time


class Kind(Enum):
    """What a register shows."""

    ENERGY = auto()
    POWER = auto()
    VOLTAGE = auto()


@dataclass(frozen=True, slots=True)
class Register:
    """One register: `curve` and `mean_wh` say what it counts, `tag`, `exponent` and `unit` how it shows that.

    `code` is the Blue Book's code of `unit`.
    """

    name: str
    kind: Kind
    curve: str
    mean_wh: int
    tag: Tag
    exponent: int
    unit: str
    code: int

    @property
    def attribute(self) -> Attribute:
        """Its value."""
        return Attribute(REGISTER, obis.from_text(self.name), VALUE)


@dataclass(frozen=True, slots=True)
class Plate:
    """One meter; `zone` is None where its clock keeps standard time all year.

    `secured` are the accesses that it has beside `access` where it was given keys; `title` is its system title.
    """

    serial: str
    logical_name: bytes
    framing: Framing
    access: Access
    zone: ZoneInfo | None
    registers: tuple[Register, ...]
    max_pdu: int  # bytes of an APDU
    frame_size: int = 0  # bytes of information of an HDLC frame
    window: int = 1  # HDLC frames that it takes and sends before the other side has to say something
    title: bytes = b""
    secured: tuple[Access, ...] = ()
    block_size: int = 0  # octets of a general block; 0: long answers come in the data blocks of GET
    offered: Conformance = OURS  # what it can
    nulls: bool = False  # rows say null-data for what is as in the row before (the time: that and a period)
    compact: bool = False  # the buffer is a compact array
    doubtful_every: int = 0  # every so many rows of the load profile have a status that makes them doubtful; 0: none
    going: Going = RIGHT  # of its clock
    deviation: bool = True  # its stamps say the offset from UTC
    clock_status: bool = True  # ... and whether it is summer time
    local_search: bool = False  # rows are sought by what the clock showed, whatever the offset from UTC
    lifo: bool = False  # load profile and event logs give the newest row first
    most_rows: int = 0  # of one answer: a question for more is refused; 0: any
    shifts: bool = True  # its clock can be shifted; else set alone
    adjustable: bool = True  # its clock can be adjusted at all
    ways: Ways = STANDARD  # it takes ranges without an offset alone, says offsets with the other sign, ...
    pause_ms: int = 0  # over TCP it is silent for so long in the middle of each answer
    firmware: str = ""  # what it says of its firmware; empty: nothing

    @property
    def energies(self) -> tuple[Register, ...]:
        """What the load profile captures."""
        return tuple(each for each in self.registers if each.kind is Kind.ENERGY)


def secured(password: bytes, keys: Keys | None) -> tuple[Access, ...]:
    """The ciphered accesses of a meter that has keys, and its public client, who may read and knows no secret."""
    if keys is None:
        return ()
    security = Security(keys)
    return (
        Access(PUBLIC),
        Access(GMAC_CLIENT, auth=Auth.HLS_GMAC, security=security),
        Access(HASH_CLIENT, auth=Auth.HLS_SHA256, password=password, security=security),
        Access(LLS_CLIENT, auth=Auth.LLS, password=password, security=security),
    )


def plates(password: bytes, keys: Keys | None = None) -> tuple[Plate, Plate]:
    """The wrapper meter and the HDLC meter; `password` is that of the latter, and of both where they have `keys`."""
    return (
        Plate(
            serial="50012345",
            logical_name=b"ISK1050012345678",
            framing=Framing.WRAPPER,
            access=Access(client=16),
            zone=None,
            registers=(
                Register("1-0:1.8.0.255", Kind.ENERGY, "A+", 250, Tag.DOUBLE_LONG_UNSIGNED, 0, "Wh", 30),
                Register("1-0:2.8.0.255", Kind.ENERGY, "A-", 90, Tag.LONG64_UNSIGNED, 0, "Wh", 30),
                Register("1-0:3.8.0.255", Kind.ENERGY, "R+", 60, Tag.DOUBLE_LONG, 0, "var.h", 32),
                Register("1-0:4.8.0.255", Kind.ENERGY, "R-", 20, Tag.DOUBLE_LONG_UNSIGNED, 0, "var.h", 32),
                Register("1-0:1.7.0.255", Kind.POWER, "A+", 250, Tag.LONG_UNSIGNED, 0, "W", 27),
                Register("1-0:32.7.0.255", Kind.VOLTAGE, "U1", 600, Tag.LONG_UNSIGNED, -1, "V", 35),
            ),
            max_pdu=1_024,
            title=b"ISK\x10\x50\x01\x23\x45",
            secured=secured(password, keys),
        ),
        Plate(
            serial="70098765",
            logical_name=b"LGZ1070098765432",
            framing=Framing.HDLC,
            access=Access(client=32, auth=Auth.LLS, password=password),
            zone=ZoneInfo("Europe/Budapest"),
            registers=(
                Register("1-0:1.8.0.255", Kind.ENERGY, "A+", 1_800, Tag.DOUBLE_LONG_UNSIGNED, 3, "Wh", 30),
                Register("1-0:2.8.0.255", Kind.ENERGY, "A-", 4, Tag.LONG64, -1, "Wh", 30),
                Register("1-0:3.8.0.255", Kind.ENERGY, "R+", 420, Tag.LONG64_UNSIGNED, 1, "var.h", 32),
                Register("1-0:4.8.0.255", Kind.ENERGY, "R-", 30, Tag.DOUBLE_LONG, 0, "var.h", 32),
                Register("1-0:1.7.0.255", Kind.POWER, "A+", 1_800, Tag.DOUBLE_LONG, -1, "W", 27),
                Register("1-0:32.7.0.255", Kind.VOLTAGE, "U1", 600, Tag.LONG, -1, "V", 35),
            ),
            max_pdu=600,
            frame_size=248,
            title=b"LGZ\x10\x70\x09\x87\x65",
            secured=secured(password, keys),
        ),
    )
