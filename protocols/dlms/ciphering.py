"""AES-GCM as DLMS/COSEM uses it (Green Book 9.2.3): security control, invocation counter, and what they protect.

The nonce is the sender's system title and its invocation counter: a counter that is used twice with one key gives both
plain texts and the authentication away. What is authenticated beside the cipher text:

* authenticated only: security control, authentication key and the plain text, which travels as it is;
* authenticated and encrypted: security control and authentication key;
* encrypted only: nothing, and there is no tag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocols.dlms.breaches import NotAuthentic
from protocols.dlms.data import length, read_length, take
from protocols.dlms.faults import CutShort, Malformed, NotSupported

TITLE, COUNTER, TAG = 8, 4, 12  # bytes: system title, invocation counter, authentication tag
MAX_COUNTER = 0xFFFF_FFFF
SUITE = 0x0F  # bits of the security control
GENERAL_GLO, GENERAL_DED = 0xDB, 0xDC
# Plain tag: the tag of the same service under the global key, and under the dedicated one.
GLO = {
    0x01: 0x21,  # initiate request
    0x08: 0x28,  # ... response
    0x0E: 0x2E,  # confirmed-service-error
    0xC0: 0xC8,  # GET request
    0xC1: 0xC9,  # SET
    0xC2: 0xCA,  # event-notification
    0xC3: 0xCB,  # ACTION
    0xC4: 0xCC,  # GET response
    0xC5: 0xCD,
    0xC7: 0xCF,
}
DED = {0xC0: 0xD0, 0xC1: 0xD1, 0xC2: 0xD2, 0xC3: 0xD3, 0xC4: 0xD4, 0xC5: 0xD5, 0xC7: 0xD7}
PLAIN = {theirs: plain for table in (GLO, DED) for plain, theirs in table.items()}
DEDICATED = frozenset({*DED.values(), GENERAL_DED})
TAGS = frozenset({*PLAIN, GENERAL_GLO, GENERAL_DED})


class Suite(IntEnum):
    """The security suites; of the second and third only what is symmetric."""

    AES_128 = 0
    AES_128_SIGNED = 1
    AES_256 = 2

    @property
    def key_bytes(self) -> int:
        """How long each key is."""
        return 32 if self is Suite.AES_256 else 16


class Control(IntFlag):
    """The bits of the security control beside the suite."""

    AUTHENTICATED = 0x10
    ENCRYPTED = 0x20
    BROADCAST = 0x40  # the encryption key is the one that many meters share
    COMPRESSED = 0x80


BOTH = Control.AUTHENTICATED | Control.ENCRYPTED
NEITHER = Control(0)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that both sides hold; `broadcast` is empty where none is held.

    Raises:
        ValueError: a key is not as long as the suite says.
    """

    suite: Suite
    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)
    broadcast: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        size = self.suite.key_bytes
        given = (self.encryption, self.authentication, *filter(None, (self.broadcast,)))
        if any(len(each) != size for each in given):
            raise ValueError(f"expected keys of {size} bytes, got another length")


@dataclass(frozen=True, slots=True)
class Ciphered:
    """A ciphered APDU as it travels: `title` is there in the general forms only, and may be empty there too."""

    tag: int
    control: int
    counter: int
    body: bytes
    title: bytes = b""

    @property
    def suite(self) -> int:
        """The number of the security suite."""
        return self.control & SUITE

    @property
    def bits(self) -> Control:
        """How it is protected."""
        return Control(self.control & ~SUITE)

    @property
    def is_dedicated(self) -> bool:
        """Whether the key is that of one association."""
        return self.tag in DEDICATED

    def to_bytes(self) -> bytes:
        """The APDU."""
        head = bytes((self.tag,))
        if self.tag not in PLAIN:
            head += length(len(self.title)) + self.title
        content = bytes((self.control,)) + self.counter.to_bytes(COUNTER, "big") + self.body
        return head + length(len(content)) + content

    @classmethod
    def from_bytes(cls, octets: bytes) -> Ciphered:
        """The ciphered APDU that `octets` are.

        Raises:
            MeterError: a named one for each thing that is wrong.
        """
        if not octets or octets[0] not in TAGS:
            raise NotSupported("a ciphered APDU", octets[:1].hex() or "nothing", "ciphered APDU")
        title, at = b"", 1
        if octets[0] not in PLAIN:
            size, at = read_length(octets, at)
            title, at = take(octets, at, size, "system title")
        size, at = read_length(octets, at)
        content, end = take(octets, at, size, "ciphered APDU")
        if end != len(octets):
            raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", "ciphered APDU")
        head, begin = take(content, 0, 1 + COUNTER, "security header")
        return cls(octets[0], head[0], int.from_bytes(head[1:], "big"), content[begin:], title)

    def opened(self, key: bytes, authentication: bytes, title: bytes) -> bytes:
        """The plain APDU; `title` is the sender's.

        Raises:
            NotAuthentic: the tag does not hold.
            CutShort: there is no room for one.
        """
        return unsealed(self.control, key, authentication, nonce(title, self.counter), self.body)


def nonce(title: bytes, counter: int) -> bytes:
    """What makes each use of a key another one.

    Raises:
        OverflowError: the counter is none.
    """
    return title + counter.to_bytes(COUNTER, "big")


def sealed(control: int, key: bytes, authentication: bytes, iv: bytes, plain: bytes) -> bytes:
    """What travels behind the security header: plain or cipher text, and the tag where it is authenticated."""
    travels, secret, beside = _parts(control, authentication, plain)
    encryptor = Cipher(algorithms.AES(key), modes.GCM(iv)).encryptor()
    encryptor.authenticate_additional_data(beside)
    body = travels + encryptor.update(secret) + encryptor.finalize()
    return body + encryptor.tag[:TAG] if control & Control.AUTHENTICATED else body


def unsealed(control: int, key: bytes, authentication: bytes, iv: bytes, body: bytes) -> bytes:
    """The plain text; the library compares tags in constant time.

    Raises:
        NotAuthentic: the tag does not hold.
        CutShort: there is no room for one.
    """
    if not control & Control.AUTHENTICATED:
        if not control & Control.ENCRYPTED:
            return body
        return Cipher(algorithms.AES(key), modes.GCM(iv)).decryptor().update(body)
    if len(body) < TAG:
        raise CutShort(f"a tag of {TAG} bytes", str(len(body)), "ciphered APDU")
    body, tag = body[:-TAG], body[-TAG:]
    travels, secret, beside = _parts(control, authentication, body)
    decryptor = Cipher(algorithms.AES(key), modes.GCM(iv, tag, TAG)).decryptor()
    decryptor.authenticate_additional_data(beside)
    try:
        return travels + decryptor.update(secret) + decryptor.finalize()
    except InvalidTag:
        raise NotAuthentic("a tag that holds", tag.hex(), "ciphered APDU") from None


def gmac(control: int, key: bytes, authentication: bytes, iv: bytes, message: bytes) -> bytes:
    """The tag over `message` alone, as high-level authentication uses it."""
    return sealed(control, key, authentication, iv, message)[-TAG:]


def _parts(control: int, authentication: bytes, octets: bytes) -> tuple[bytes, bytes, bytes]:
    """Of a text: what travels as it is, what is enciphered, and what is authenticated beside it."""
    lead = bytes((control,)) + authentication
    if not control & Control.ENCRYPTED:
        return octets, b"", lead + octets
    return b"", octets, lead if control & Control.AUTHENTICATED else b""
