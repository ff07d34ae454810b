"""xDLMS InitiateRequest and InitiateResponse: what both sides can, and how long an APDU may be (Green Book 9.4.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag

from protocols.dlms.data import length, read_length, take
from protocols.dlms.faults import CutShort, Malformed

REQUEST, RESPONSE = 0x01, 0x08
VERSION = 6  # of DLMS
LN_OBJECT = 7  # the name of the association object where objects are called by logical names
INITIATE_ERROR = bytes.fromhex("0e0106")  # confirmed-service-error, initiateError, of the initiate service
VERSION_TOO_LOW = 1  # its reasons: the DLMS version
CONFORMANCE = bytes.fromhex("5f1f0400")  # application tag 31, 4 bytes, no unused bits; then the 24 bits
SHORT_CONFORMANCE = bytes.fromhex("5f0400")  # the tag as some old meters write it


class Conformance(IntFlag):
    """The conformance block: the first bit of the standard is the highest of 24."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    PRIORITY = 1 << 14
    BLOCK_TRANSFER_WITH_GET = 1 << 12
    BLOCK_TRANSFER_WITH_SET = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0


# What is decoded here, and no more: a meter that is told otherwise may answer what cannot be read.
OURS = (
    Conformance.GENERAL_BLOCK_TRANSFER
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
)
ACTING = Conformance.ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION  # ... where something is to be done, too


@dataclass(frozen=True, slots=True)
class InitiateRequest:
    """What the client proposes; `max_pdu` is the longest APDU in bytes it takes (0: no limit)."""

    conformance: Conformance = OURS
    max_pdu: int = 0xFFFF
    version: int = VERSION
    dedicated_key: bytes = field(default=b"", repr=False)
    response_allowed: bool = True
    quality: int | None = None

    def to_bytes(self) -> bytes:
        """The APDU, unciphered."""
        key = b"\x01" + length(len(self.dedicated_key)) + self.dedicated_key if self.dedicated_key else b"\x00"
        allowed = b"\x00" if self.response_allowed else b"\x01\x00"  # TRUE is the default and not written
        quality = b"\x00" if self.quality is None else bytes((1, self.quality))
        tail = _conformance(self.conformance) + self.max_pdu.to_bytes(2, "big")
        return bytes((REQUEST,)) + key + allowed + quality + bytes((self.version,)) + tail

    @classmethod
    def from_bytes(cls, octets: bytes) -> InitiateRequest:
        """The request that `octets` are.

        Raises:
            MeterError: a named one for each thing that is wrong.
        """
        _expect(octets, REQUEST)
        key, at = _optional_octets(octets, 1)
        allowed, at = _optional_byte(octets, at)
        quality, at = _optional_byte(octets, at)
        version, at = _byte(octets, at)
        conformance, at = _read_conformance(octets, at)
        pdu, _ = take(octets, at, 2, "initiate request")
        return cls(conformance, int.from_bytes(pdu, "big"), version, key, allowed is None or bool(allowed), quality)


@dataclass(frozen=True, slots=True)
class InitiateError:
    """Why a meter agrees to nothing: confirmed-service-error of the initiate service (Green Book 9.5)."""

    reason: int

    def to_bytes(self) -> bytes:
        """The APDU."""
        return INITIATE_ERROR + bytes((self.reason,))


@dataclass(frozen=True, slots=True)
class InitiateResponse:
    """What the meter agrees to; `max_pdu` is the longest APDU in bytes it takes (0: no limit)."""

    conformance: Conformance = OURS
    max_pdu: int = 0xFFFF
    version: int = VERSION
    quality: int | None = None

    def to_bytes(self) -> bytes:
        """The APDU, unciphered."""
        quality = b"\x00" if self.quality is None else bytes((1, self.quality))
        tail = _conformance(self.conformance) + self.max_pdu.to_bytes(2, "big") + LN_OBJECT.to_bytes(2, "big")
        return bytes((RESPONSE,)) + quality + bytes((self.version,)) + tail

    @classmethod
    def from_bytes(cls, octets: bytes) -> InitiateResponse:
        """The response that `octets` are; the name of the association object at its end may be missing.

        Raises:
            MeterError: a named one for each thing that is wrong.
        """
        _expect(octets, RESPONSE)
        quality, at = _optional_byte(octets, 1)
        version, at = _byte(octets, at)
        conformance, at = _read_conformance(octets, at)
        pdu, _ = take(octets, at, 2, "initiate response")
        return cls(conformance, int.from_bytes(pdu, "big"), version, quality)


def _conformance(bits: Conformance) -> bytes:
    return CONFORMANCE + int(bits).to_bytes(3, "big")


def _read_conformance(octets: bytes, at: int) -> tuple[Conformance, int]:
    for lead in (CONFORMANCE, SHORT_CONFORMANCE):
        if octets[at : at + len(lead)] == lead:
            bits, end = take(octets, at + len(lead), 3, "conformance")
            return Conformance(int.from_bytes(bits, "big")), end
    raise Malformed(f"conformance {CONFORMANCE.hex()}", octets[at : at + 4].hex(), "initiate")


def _expect(octets: bytes, tag: int) -> None:
    if octets[:1] != bytes((tag,)):
        raise Malformed(f"tag {tag:02x}", octets[:1].hex(), "initiate")


def _byte(octets: bytes, at: int) -> tuple[int, int]:
    if at >= len(octets):
        raise CutShort("a byte", "the end", "initiate")
    return octets[at], at + 1


def _optional_byte(octets: bytes, at: int) -> tuple[int | None, int]:
    present, at = _byte(octets, at)
    return _byte(octets, at) if present else (None, at)


def _optional_octets(octets: bytes, at: int) -> tuple[bytes, int]:
    present, at = _byte(octets, at)
    if not present:
        return b"", at
    size, at = read_length(octets, at)
    return take(octets, at, size, "dedicated key")
