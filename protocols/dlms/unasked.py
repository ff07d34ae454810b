"""APDUs that a meter sends unasked, as they travel: who says to have sent one, how it is protected, what is inside.

Plain (data-notification, event-notification), under the global key with the sender's title (general-glo-ciphering), as
glo-event-notification (whose sender must be known otherwise), or general-ciphering with an identified key. A dedicated
key belongs to an association: there is none here, so it is refused by name. Wrapped and agreed keys are not supported.

General-ciphering authenticates its header, too (`general`).
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms.breaches import Compressed, KeyUnknown, PushDedicated, TitleRefused, WeakProtection
from protocols.dlms.ciphering import (
    COUNTER,
    DEDICATED,
    GENERAL_GLO,
    GLO,
    TITLE,
    Ciphered,
    Control,
    Keys,
    nonce,
    sealed,
    unsealed,
)
from protocols.dlms.data import length
from protocols.dlms.faults import Malformed, NotSupported
from protocols.dlms.general import BROADCAST, GENERAL_CIPHERING, UNICAST, General, KeyKind
from protocols.dlms.notification import DATA_NOTIFICATION, EVENT_NOTIFICATION, INVOKE

GLO_EVENT = GLO[EVENT_NOTIFICATION]
CONFIRM = 0x10  # data-notification-confirm
PLAIN = frozenset({DATA_NOTIFICATION, EVENT_NOTIFICATION})
WHERE = "push"


@dataclass(frozen=True, slots=True)
class Unasked:
    """One APDU: `title` is its sender's where it says one; a plain one has no `ciphered` part.

    `recipient` is who it says it is for, `header` what general-ciphering authenticates beside the rest.
    """

    octets: bytes
    title: bytes = b""
    ciphered: Ciphered | None = None
    recipient: bytes = b""
    header: bytes = b""

    @property
    def counter(self) -> int:
        """The sender's invocation counter; -1 of a plain one."""
        return -1 if self.ciphered is None else self.ciphered.counter

    def opened(self, keys: Keys, wanted: Control, title: bytes, ours: bytes = b"") -> bytes:
        """The plain APDU, from the meter with this title and at least `wanted`; `ours` is our title where we have one.

        Raises:
            MeterError: a named one for each reason not to take it.
        """
        ciphered = self.ciphered
        if ciphered is None:
            return self.octets
        if len(title) != TITLE or self.title not in {b"", title}:
            raise TitleRefused(title.hex() or f"a title of {TITLE} bytes", self.title.hex() or "none", WHERE)
        if self.recipient and ours and self.recipient != ours:
            raise TitleRefused(f"our own title {ours.hex()}", f"recipient {self.recipient.hex()}", WHERE)
        if ciphered.bits & Control.COMPRESSED:
            raise Compressed("an APDU that is not compressed", f"control {ciphered.control:02x}", WHERE)
        if ciphered.suite != keys.suite or wanted & ~ciphered.bits:
            raise WeakProtection(f"control {wanted | keys.suite:02x}", f"{ciphered.control:02x}", WHERE)
        if ciphered.is_dedicated:
            raise PushDedicated("a push under a global key", f"tag {ciphered.tag:02x}, under a dedicated one", WHERE)
        key = keys.broadcast if ciphered.bits & Control.BROADCAST else keys.encryption
        if not key:
            raise KeyUnknown("a key that is held", f"tag {ciphered.tag:02x}, control {ciphered.control:02x}", WHERE)
        iv = nonce(title, ciphered.counter)
        plain = unsealed(ciphered.control, key, keys.authentication + self.header, iv, ciphered.body)
        if plain[:1] not in {bytes((each,)) for each in PLAIN}:
            raise Malformed("a notification", plain[:1].hex() or "nothing", WHERE)
        return plain


def read(octets: bytes) -> Unasked:
    """The APDU that `octets` are.

    Raises:
        NotSupported: nothing that is sent unasked.
        MeterError: a named one for each other thing that is wrong.
    """
    tag = octets[0] if octets else None
    if tag in PLAIN:
        return Unasked(octets)
    if tag == GENERAL_CIPHERING:
        return _general(octets)
    if tag in {GENERAL_GLO, GLO_EVENT} or tag in DEDICATED:
        ciphered = Ciphered.from_bytes(octets)
        return Unasked(octets, ciphered.title, ciphered)
    wanted = "a data-notification or event-notification, plain or ciphered"
    raise NotSupported(wanted, octets[:1].hex() or "nothing", WHERE)


def confirm(invoke: int) -> bytes:
    """The answer to a data-notification that wants one (its long-invoke-id, and no time)."""
    return bytes((CONFIRM,)) + invoke.to_bytes(INVOKE, "big") + b"\x00"


def confirm_from_bytes(octets: bytes) -> int:
    """The long-invoke-id that an answer confirms.

    Raises:
        Malformed: it is no such answer.
    """
    if len(octets) < 1 + INVOKE or octets[0] != CONFIRM:
        raise Malformed(f"tag {CONFIRM:02x} and {INVOKE} bytes", octets[: 1 + INVOKE].hex(), "confirmation")
    return int.from_bytes(octets[1 : 1 + INVOKE], "big")


def general(plain: bytes, keys: Keys, control: Control, counter: int, title: bytes, recipient: bytes) -> bytes:
    """A plain APDU under general-ciphering with the identified unicast key."""
    transaction = counter.to_bytes(8, "big")
    header = b"".join(length(len(each)) + each for each in (transaction, title, recipient, b"", b""))
    number = control | keys.suite
    body = sealed(number, keys.encryption, keys.authentication + header, nonce(title, counter), plain)
    content = bytes((number,)) + counter.to_bytes(COUNTER, "big") + body
    return (
        bytes((GENERAL_CIPHERING,)) + header + bytes((1, KeyKind.IDENTIFIED, UNICAST)) + length(len(content)) + content
    )


def _general(octets: bytes) -> Unasked:
    found = General.from_bytes(octets)
    key, ciphered = found.key, found.ciphered
    if key.kind is not KeyKind.IDENTIFIED or key.number not in {UNICAST, BROADCAST}:
        got = f"key information {int(key.kind):02x}{key.number:02x}"
        raise NotSupported("an identified key", got, "general-ciphering")
    if key.number == BROADCAST and not ciphered.bits & Control.BROADCAST:
        raise KeyUnknown("the unicast key, as the security header says", "the broadcast key", "general-ciphering")
    return Unasked(octets, found.originator, ciphered, found.recipient, found.header)
