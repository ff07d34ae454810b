"""Who asks which server of a meter, and how it proves who it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum


class Auth(IntEnum):
    """The authentication mechanisms, by the number at the end of their names."""

    NONE = 0
    LLS = 1  # a password, as it is


class Framing(Enum):
    """What carries the APDUs: over TCP the wrapper or HDLC, on a serial line HDLC, whose frames are lost more often."""

    WRAPPER = "wrapper"
    HDLC = "hdlc"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Access:
    """One client's way into a meter: `client` is its address (SAP), `server` the logical device.

    `physical` is the lower HDLC address where the meter shares its line with others; the wrapper has none.
    """

    client: int = 16
    server: int = 1
    physical: int | None = None
    auth: Auth = Auth.NONE
    password: bytes = field(default=b"", repr=False)
    address_bytes: int | None = None  # length of the server's HDLC address; None: the shortest that holds it
