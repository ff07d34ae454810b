"""General-ciphering as it travels (tag DD, Green Book 9.2.7.2.4): a header, which key it is under, what is ciphered.

The header - transaction-id, both titles, date-time and other information, each with its length - is authenticated, too:
it stands behind the authentication key. The key is one that both sides hold (identified), one that travels under the
master key (wrapped, RFC 3394), or one that follows from both sides' public keys (agreed): that one is not opened here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from protocols.dlms.breaches import NotAuthentic
from protocols.dlms.ciphering import COUNTER, Ciphered, Suite
from protocols.dlms.data import read_length, take
from protocols.dlms.faults import Malformed, NotSupported

GENERAL_CIPHERING = 0xDD
FIELDS = 5  # of the header
UNICAST, BROADCAST = 0, 1  # which identified key
WHERE = "general-ciphering"


class KeyKind(IntEnum):
    """How the key is told."""

    IDENTIFIED = 0
    WRAPPED = 1
    AGREED = 2


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is said of the key: `number` is which identified key, or which key wraps; `octets` the wrapped key."""

    kind: KeyKind = KeyKind.IDENTIFIED
    number: int = UNICAST
    octets: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class General:
    """One APDU; `header` is its five fields, each with its length, and both titles may be empty."""

    header: bytes
    originator: bytes
    recipient: bytes
    key: KeyInfo
    ciphered: Ciphered

    @classmethod
    def from_bytes(cls, octets: bytes) -> General:
        """The APDU that `octets` are; without key information it is under the unicast key.

        Raises:
            MeterError: a named one for each thing that is wrong.
        """
        if octets[:1] != bytes((GENERAL_CIPHERING,)):
            raise Malformed(f"tag {GENERAL_CIPHERING:02x}", octets[:1].hex() or "nothing", WHERE)
        fields, at = [], 1
        for _ in range(FIELDS):
            size, at = read_length(octets, at)
            found, at = take(octets, at, size, WHERE)
            fields.append(found)
        header = octets[1:at]
        key, at = _key_info(octets, at)
        size, at = read_length(octets, at)
        content, end = take(octets, at, size, WHERE)
        if end != len(octets):
            raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", WHERE)
        head, begin = take(content, 0, 1 + COUNTER, "security header")
        counter = int.from_bytes(head[1:], "big")
        ciphered = Ciphered(GENERAL_CIPHERING, head[0], counter, content[begin:], fields[1])
        return cls(header, fields[1], fields[2], key, ciphered)


def unwrapped(key: KeyInfo, master: bytes, suite: Suite) -> bytes:
    """The key that travels under the master key.

    Raises:
        NotAuthentic: it is not under this one.
    """
    try:
        found = aes_key_unwrap(master, key.octets)
    except (InvalidUnwrap, ValueError):
        found = b""
    if len(found) != suite.key_bytes:
        raise NotAuthentic("a wrapped key that opens with the master key", "one that does not", WHERE)
    return found


def _key_info(octets: bytes, at: int) -> tuple[KeyInfo, int]:
    present, at = take(octets, at, 1, "key information")
    if not present[0]:
        return KeyInfo(), at
    found, at = take(octets, at, 1, "key information")
    if found[0] not in set(KeyKind):
        raise NotSupported("an identified, wrapped or agreed key", f"key information {found.hex()}", WHERE)
    kind, number = KeyKind(found[0]), 0
    if kind is KeyKind.AGREED:
        size, at = read_length(octets, at)
        _, at = take(octets, at, size, "key parameters")
    else:
        which, at = take(octets, at, 1, "key information")
        number = which[0]
    if kind is KeyKind.IDENTIFIED:
        return KeyInfo(kind, number), at
    size, at = read_length(octets, at)
    held, at = take(octets, at, size, "key data")
    return KeyInfo(kind, number, held), at
