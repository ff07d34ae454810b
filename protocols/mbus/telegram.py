"""A meter's data telegram: the header of EN 13757-3 and what follows it.

CI 72 (long header, low byte first), 76 (the same, high byte first), 7A (short header) and 78 (none) carry records; 73
and 77 the two counters of the fixed structure. CI 70 is an application error, 71 an alarm. Everything else is refused
by name. A record that does not end makes the telegram partial: the earlier ones are kept.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from protocols.mbus import fixed, secrecy
from protocols.mbus.faults import AlarmReport, ApplicationFault, Encrypted, HeaderCutShort, NotSupported
from protocols.mbus.link import Frame
from protocols.mbus.records import Record, Split, split
from protocols.reading import Identity, Protocol, Status

LONG_LOW, LONG_HIGH, SHORT_HEADER, NO_HEADER = 0x72, 0x76, 0x7A, 0x78
FIXED = (fixed.LOW, fixed.HIGH)
LONG_SIZE, SHORT_SIZE = 12, 4
HEADER_SIZES = {LONG_LOW: LONG_SIZE, LONG_HIGH: LONG_SIZE, SHORT_HEADER: SHORT_SIZE}
APPLICATION_ERROR, ALARM = 0x70, 0x71
APPLICATION_ERRORS = (
    "unspecified error",
    "unimplemented CI field",
    "buffer too long",
    "too many records",
    "premature end of record",
    "more than 10 DIFEs",
    "more than 10 VIFEs",
    "reserved",
    "application busy",
    "too many readouts",
)
APPLICATION_STATUS = {0: Status.NONE, 1: Status.BUSY, 2: Status.APPLICATION_ERROR, 3: Status.ABNORMAL}
STATUS_BITS = ((0x04, Status.POWER_LOW), (0x08, Status.PERMANENT_ERROR), (0x10, Status.TEMPORARY_ERROR))
MANUFACTURER_STATUS = 0xE0
RECALLED = 16  # telegrams: as many as one answer may have


@dataclass(frozen=True, slots=True)
class Telegram:
    """One decoded answer; `access` and `status_raw` are None where its header has none (CI 78).

    `more` says that further records come with the next question, `partial` that the last record did not end.
    """

    identity: Identity
    access: int | None
    status_raw: int | None
    status: Status
    records: tuple[Record, ...]
    manufacturer_data: bytes
    more: bool
    partial: bool


@dataclass(frozen=True, slots=True)
class _Header:
    identity: Identity
    access: int | None
    status: int | None
    signature: int
    size: int
    status_mask: int = 0xFF  # the bits that say how the meter is


def decode(frame: Frame) -> Telegram:
    """The telegram inside a long frame that `link.check_reply` let pass.

    Raises:
        ApplicationFault: the meter answers with an application error.
        AlarmReport: the meter reports an alarm.
        HeaderCutShort: shorter than its header.
        NotSupported: another CI.
        Encrypted: it says so, and its records do not decode.
    """
    header = _header(frame)
    if frame.ci in FIXED:
        return _telegram(header, fixed.split(frame.body, frame.ci == fixed.HIGH))
    body = frame.body[header.size :]
    found = split(body, frame.ci == LONG_HIGH)
    if secrecy.hides(header.signature, body, found):
        raise Encrypted("records", f"encryption mode {secrecy.mode(header.signature)}", _where(frame))
    return _telegram(header, found)


def header_size(frame: Frame) -> int:
    """How many bytes of a long frame's body stand before its records; of a fixed structure none count."""
    return HEADER_SIZES.get(frame.ci, 0)


recall = functools.lru_cache(RECALLED)(decode)  # for who asks again what another has just asked; faults are not kept


def status(word: int) -> Status:
    """A status byte, mapped to what all meters have in common."""
    mapped = APPLICATION_STATUS[word & 3]
    for bit, meaning in STATUS_BITS:
        if word & bit:
            mapped |= meaning
    return mapped | Status.MANUFACTURER if word & MANUFACTURER_STATUS else mapped


def manufacturer(code: int) -> str:
    """The three letters of a manufacturer code, five bits each (EN 62056-21 flag association)."""
    return "".join(chr((code >> shift & 0x1F) + 64) for shift in (10, 5, 0))


def manufacturer_code(letters: str) -> int:
    """The code of three capital letters."""
    return sum(ord(letter) - 64 << shift for letter, shift in zip(letters, (10, 5, 0), strict=True))


def _telegram(header: _Header, found: Split) -> Telegram:
    mapped = Status.NONE if header.status is None else status(header.status & header.status_mask)
    return Telegram(
        header.identity,
        header.access,
        header.status,
        mapped,
        found.records,
        found.manufacturer_data,
        found.more,
        found.partial,
    )


def _header(frame: Frame) -> _Header:
    if frame.ci == APPLICATION_ERROR:
        code = frame.body[0] if frame.body else 0
        name = APPLICATION_ERRORS[code] if code < len(APPLICATION_ERRORS) else "unknown error"
        raise ApplicationFault("values", f"application error {code} ({name})", _where(frame))
    if frame.ci == ALARM:
        raise AlarmReport("values", f"alarm {frame.body[:1].hex() or 'without a byte'}", _where(frame))
    if frame.ci in FIXED:
        return _fixed_header(frame)
    if frame.ci in (LONG_LOW, LONG_HIGH):
        return _long_header(frame)
    if frame.ci == SHORT_HEADER:
        _demand(frame, SHORT_SIZE)
        access, word = frame.body[0], frame.body[1]
        signature = int.from_bytes(frame.body[2:4], "little")
        return _Header(Identity(Protocol.MBUS), access, word, signature, SHORT_SIZE)
    if frame.ci == NO_HEADER:
        return _Header(Identity(Protocol.MBUS), None, None, 0, 0)
    raise NotSupported("CI 72, 73, 76, 77, 78 or 7a", f"CI {frame.ci:02x}", _where(frame))


def _fixed_header(frame: Frame) -> _Header:
    _demand(frame, fixed.HEADER_SIZE)
    body, order = frame.body, -1 if frame.ci == fixed.LOW else 1
    number, medium = body[0:4][::order].hex().upper(), fixed.medium(body[6], body[7])
    mask = 0xFF & ~(fixed.BINARY | fixed.STORED)
    return _Header(Identity(Protocol.MBUS, id=number, medium=medium), body[4], body[5], 0, fixed.HEADER_SIZE, mask)


def _long_header(frame: Frame) -> _Header:
    _demand(frame, LONG_SIZE)
    body, order = frame.body, -1 if frame.ci == LONG_LOW else 1
    code = int.from_bytes(body[4:6][::order], "big")
    identity = Identity(Protocol.MBUS, manufacturer(code), body[0:4][::order].hex().upper(), body[6], body[7])
    return _Header(identity, body[8], body[9], int.from_bytes(body[10:12][::order], "big"), LONG_SIZE)


def _demand(frame: Frame, size: int) -> None:
    if len(frame.body) < size:
        raise HeaderCutShort(f"a header of {size} bytes", str(len(frame.body)), _where(frame))


def _where(frame: Frame) -> str:
    return f"telegram of address {frame.address}"
