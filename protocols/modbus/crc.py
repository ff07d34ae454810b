"""The check of a Modbus RTU frame: CRC-16, polynomial 8005h reflected, begun with FFFFh, its low byte first.

Modbus over Serial Line, specification and implementation guide V1.02, 2.5.1.2 and annex B.
"""

from __future__ import annotations

SIZE = 2  # bytes at the end of a frame
_REFLECTED = 0xA001  # the polynomial x^16 + x^15 + x^2 + 1, lowest bit in front
_FIRST = 0xFFFF


def _row(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ (_REFLECTED if octet & 1 else 0)
    return octet


_TABLE = tuple(map(_row, range(256)))


def crc(octets: bytes) -> bytes:
    """The two bytes that stand behind `octets` on the line."""
    found = _FIRST
    for octet in octets:
        found = found >> 8 ^ _TABLE[(found ^ octet) & 0xFF]
    return found.to_bytes(SIZE, "little")


def holds(frame: bytes) -> bool:
    """Whether the last two bytes are those of the rest."""
    return len(frame) > SIZE and crc(frame[:-SIZE]) == frame[-SIZE:]
