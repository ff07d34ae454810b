"""How a meter writes its bytes (EN 13757-2 and -3), on its own: a mistake shared with the reader would not show."""

from __future__ import annotations

import datetime
import struct

ACKNOWLEDGEMENT = b"\xe5"
RSP_UD = 0x08


def long_frame(address: int, ci: int, body: bytes) -> bytes:
    """An RSP_UD frame of the meter at `address`."""
    inner = bytes([RSP_UD, address, ci]) + body
    return bytes([0x68, len(inner), len(inner), 0x68]) + inner + bytes([sum(inner) % 256, 0x16])


def header(number: str, letters: str, version: int, medium: int, *, access: int, status: int) -> bytes:
    """The long header of CI 72: `number` is 8 hex digits, `letters` the manufacturer."""
    return address_of(number, letters, version, medium) + bytes([access, status]) + b"\x00\x00"


def address_of(number: str, letters: str, version: int, medium: int) -> bytes:
    """The secondary address, low byte first."""
    code = sum((ord(letter) - ord("A") + 1) << shift for letter, shift in zip(letters, (10, 5, 0), strict=True))
    return bytes.fromhex(number)[::-1] + struct.pack("<H", code) + bytes([version, medium])


def fits(wanted: bytes, own: bytes) -> bool:
    """Whether a selection by `wanted` means the meter with the secondary address `own`: digits F, then bytes FF."""
    if len(wanted) != len(own):
        return False
    digits = zip(wanted[:4].hex(), own[:4].hex(), strict=True)
    rest = [(wanted[4:6], own[4:6]), (wanted[6:7], own[6:7]), (wanted[7:], own[7:])]
    return all(w in ("f", o) for w, o in digits) and all(w in (b"\xff" * len(w), o) for w, o in rest)


def bcd(value: int, size: int) -> bytes:
    """`value` in two decimal digits a byte, low byte first."""
    return bytes.fromhex(f"{value:0{2 * size}d}")[::-1]


def integer(value: int, size: int) -> bytes:
    """`value` as a signed integer, low byte first."""
    return value.to_bytes(size, "little", signed=True)


def real(value: float) -> bytes:
    """`value` as IEEE 754 single, low byte first."""
    return struct.pack("<f", value)


def text(shown: str) -> bytes:
    """The length byte and the characters, last one first."""
    octets = shown.encode("latin-1")
    return bytes([len(octets)]) + octets[::-1]


def day(shown: datetime.date) -> bytes:
    """Type G."""
    year = shown.year % 100
    return bytes([(year % 8) * 32 + shown.day, (year // 8) * 16 + shown.month])


def minute(shown: datetime.datetime) -> bytes:
    """Type F, with the hundred years since 1900."""
    hundreds = (shown.year - 1900) // 100
    return bytes([shown.minute, hundreds * 32 + shown.hour]) + day(shown.date())


def datetime_of(octets: bytes) -> datetime.datetime:
    """What type F (4 bytes, no seconds) or type I (6 bytes) says."""
    second = 0 if len(octets) == 4 else octets[0] % 64
    at, hour, low, high = octets[:4] if len(octets) == 4 else octets[1:5]
    century = 1900 + 100 * (hour // 32 % 4) if len(octets) == 4 else 2000
    year = century + low // 32 + high // 16 * 8
    return datetime.datetime(year, high % 16, low % 32, hour % 32, at % 64, second)  # noqa: DTZ001 - a meter's own
