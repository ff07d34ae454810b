"""Who asks which server of a meter, and how it proves who it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

from protocols.dlms.link import OUR_WINDOW
from protocols.dlms.protection import Security
from protocols.dlms.ways import STANDARD, Ways

CHALLENGE = 16  # bytes of ours where nothing else is configured: some meters fail above


class Auth(IntEnum):
    """The authentication mechanisms, by the number at the end of their names."""

    NONE = 0
    LLS = 1  # a password, as it is
    HLS = 2  # the manufacturer's own: named, not supported
    HLS_MD5 = 3
    HLS_SHA1 = 4
    HLS_GMAC = 5
    HLS_SHA256 = 6
    HLS_ECDSA = 7  # named, not supported

    @property
    def is_high(self) -> bool:
        """Whether both sides answer each other's challenge."""
        return self > Auth.LLS


class Framing(Enum):
    """What carries the APDUs: over TCP the wrapper or HDLC, on a serial line HDLC, whose frames are lost more often."""

    WRAPPER = "wrapper"
    HDLC = "hdlc"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Access:
    """One client's way into a meter: `client` is its address (SAP), `server` the logical device.

    `physical` is the lower HDLC address where the meter shares its line with others; the wrapper has none. `password`
    is that of LLS, or the secret of HLS with a hash. `title` is the client's system title; the meter's is in the AARE,
    and must be `meter_title` where that is given.
    """

    client: int = 16
    server: int = 1
    physical: int | None = None
    auth: Auth = Auth.NONE
    password: bytes = field(default=b"", repr=False)
    title: bytes = b""
    meter_title: bytes = b""
    security: Security | None = None
    challenge_bytes: int = CHALLENGE
    address_bytes: int | None = None  # length of the server's HDLC address; None: the shortest that holds it
    window: int = OUR_WINDOW  # HDLC frames that either side may send before the other has to say something; 1 to 7
    ways: Ways = STANDARD  # what is otherwise with this meter than the standard says
    acts: bool = False  # the meter is to do something: ACTION is proposed without high-level authentication, too
