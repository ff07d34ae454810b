"""The records of a simulated meter: each with its bytes, where it belongs, and what the display shows for it."""

from __future__ import annotations

import datetime
import struct
from dataclasses import dataclass

from simulators.mbus import encoding as e
from simulators.mbus.registers import EPOCH, Registers

Shown = dict[str, int | str]
Place = tuple[int, int, int, int]  # storage, tariff, subunit, function
NOW: Place = (0, 0, 0, 0)
MAXIMUM: Place = (0, 0, 0, 1)
SET_DAY: Place = (1, 0, 0, 0)
ERROR: Place = (0, 0, 0, 3)
SIZES = {"1": 1, "2": 2, "4": 4, "9": 1, "a": 2, "b": 3, "c": 4}  # bytes of data by the second digit of a DIF


@dataclass(frozen=True, slots=True)
class Line:
    """One record: its bytes, where it belongs, and what the display shows for it."""

    dib: str
    vib: str
    place: Place
    octets: bytes
    shows: Shown

    def key(self) -> str:
        """The name of the value in a record of answers."""
        return "/".join([self.vib.lower(), *(str(part) for part in self.place)])


def whole(code: str, place: Place, value: int, exponent: int, unit: str) -> Line:
    """A signed integer; `code` is DIF with DIFEs, a blank, and VIF with VIFEs."""
    dib, vib = code.split()
    return Line(dib, vib, place, e.integer(value, SIZES[dib[1]]), {"m": value, "e": exponent, "unit": unit})


def digits(code: str, place: Place, value: int, exponent: int, unit: str) -> Line:
    """A number in BCD."""
    dib, vib = code.split()
    return Line(dib, vib, place, e.bcd(value, SIZES[dib[1]]), {"m": value, "e": exponent, "unit": unit})


def real(code: str, place: Place, value: float, exponent: int, unit: str) -> Line:
    """A float32."""
    dib, vib = code.split()
    octets = e.real(value)
    return Line(dib, vib, place, octets, {"bits": struct.unpack("<I", octets)[0], "e": exponent, "unit": unit})


def bare(dib: str, vib: str, place: Place, octets: bytes, state: str) -> Line:
    """Octets that have no value, and the state that they have."""
    return Line(dib, vib, place, octets, {"state": state, "raw": octets.hex()})


def set_day(r: Registers) -> Line:
    """The date of storage 1."""
    shown = (EPOCH + datetime.timedelta(days=r.set_day)).date()
    return Line("42", "6c", SET_DAY, e.day(shown), {"time": shown.isoformat()})


def clock(now: datetime.datetime) -> Line:
    """The meter's clock."""
    return Line("04", "6d", NOW, e.minute(now), {"time": now.strftime("%Y-%m-%dT%H:%M")})
