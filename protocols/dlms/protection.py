"""The protection of one ciphered association, both ways: what is sent is sealed, what comes is opened or refused.

Rules. An APDU that carries data is taken only under a key of the association, with at least the protection that we use
ourselves, and with an invocation counter higher than any before under the same key. What is told plainly is never
taken, but for the association's own APDUs (they carry ciphered content) and for errors, which only end a question.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms.breaches import (
    Compressed,
    CounterNotGrown,
    KeyUnknown,
    PlainAnswer,
    TitleRefused,
    WeakProtection,
)
from protocols.dlms.ciphering import (
    BOTH,
    COUNTER,
    DED,
    DEDICATED,
    GENERAL_DED,
    GENERAL_GLO,
    GLO,
    PLAIN,
    TAG,
    TAGS,
    TITLE,
    Ciphered,
    Control,
    Keys,
    nonce,
    sealed,
)
from protocols.dlms.counters import Counters
from protocols.dlms.faults import Malformed

# Bytes around an APDU at most: tag, title, two lengths, security header, authentication tag.
OVERHEAD = 1 + 1 + TITLE + 5 + 1 + COUNTER + TAG
INITIATE = frozenset({0x01, 0x08})  # under the global key in any case: the dedicated one is inside
# AARQ, AARE, RLRQ, RLRE; exception-response and confirmed-service-error, which meters send where they cannot decipher.
ALWAYS_PLAIN = frozenset({0x60, 0x61, 0x62, 0x63, 0xD8, 0x0E})


@dataclass(frozen=True, slots=True)
class Security:
    """How an association is protected: keys, and with `ciphering` how much; NEITHER leaves the keys to the HLS proof.

    `dedicated` asks for a key of the association's own, `general` for the general forms with the title in each APDU.
    """

    keys: Keys
    ciphering: Control = BOTH
    dedicated: bool = False
    general: bool = False


@dataclass(slots=True)
class _Form:
    """How the next APDU is sent."""

    general: bool
    dedicated: bool = False


class Protection:
    """One side of a ciphered association; `peer` is the other's title.

    `floor` is the highest counter that came in earlier associations; `mirrors`: answers are in the form of the question
    (the meter's side).
    """

    def __init__(
        self, security: Security, title: bytes, counters: Counters, *, floor: int | None = None, mirrors: bool = False
    ) -> None:
        self._security, self._keys = security, security.keys
        self._title, self._counters, self._mirrors = checked_title(title, "our own system title"), counters, mirrors
        self._form = _Form(security.general)
        # The highest counter that came: under the global (False) and under the dedicated key (True).
        self._seen: dict[bool, int] = {} if floor is None else {False: floor}
        self.peer = b""
        self._dedicated_key = b""

    @property
    def seen(self) -> int | None:
        """The highest counter that came under the global key."""
        return self._seen.get(False)

    def set_dedicated_key(self, key: bytes) -> None:
        """The association has a key of its own.

        Raises:
            Malformed: it is not as long as the suite says.
        """
        if len(key) != self._keys.suite.key_bytes:
            raise Malformed(f"a dedicated key of {self._keys.suite.key_bytes} bytes", str(len(key)), "initiate")
        self._dedicated_key = key

    def use_dedicated_key(self) -> None:
        """From now on, where there is one."""
        self._form.dedicated = bool(self._dedicated_key)

    def protect(self, apdu: bytes) -> bytes:
        """The APDU as it travels.

        Raises:
            CountersSpent: no invocation counter is left.
        """
        tag = apdu[0]
        if tag in ALWAYS_PLAIN:
            return apdu
        dedicated = self._form.dedicated and tag not in INITIATE
        key = self._dedicated_key if dedicated else self._keys.encryption
        control, counter = self._security.ciphering | self._keys.suite, self._counters.take()
        body = sealed(control, key, self._keys.authentication, nonce(self._title, counter), apdu)
        own = None if self._form.general and tag not in INITIATE else (DED if dedicated else GLO).get(tag)
        if own is not None:
            return Ciphered(own, control, counter, body).to_bytes()
        return Ciphered(GENERAL_DED if dedicated else GENERAL_GLO, control, counter, body, self._title).to_bytes()

    def open(self, octets: bytes) -> bytes:
        """The APDU as it was meant.

        Raises:
            MeterError: a named one for each reason not to take it.
        """
        if not octets or octets[0] in ALWAYS_PLAIN:
            return octets
        if octets[0] not in TAGS:
            raise PlainAnswer("a ciphered APDU", f"tag {octets[0]:02x}", "ciphered association")
        return self.opened(Ciphered.from_bytes(octets))

    def opened(self, ciphered: Ciphered) -> bytes:
        """As `open`, of a ciphered APDU."""
        self._check_control(ciphered)
        if not self.peer or ciphered.title not in {b"", self.peer}:
            wanted = self.peer.hex() or "a system title in the association"
            raise TitleRefused(wanted, ciphered.title.hex() or "none", "ciphered APDU")
        plain = ciphered.opened(self._key(ciphered), self._keys.authentication, self.peer)
        seen = self._seen.get(ciphered.is_dedicated, -1)
        if ciphered.counter <= seen:
            raise CounterNotGrown(f"an invocation counter above {seen}", str(ciphered.counter), "ciphered APDU")
        expected = PLAIN.get(ciphered.tag)
        if not plain or (expected is not None and plain[0] != expected):
            wanted = "an APDU" if expected is None else f"tag {expected:02x}"
            raise Malformed(wanted, plain[:1].hex() or "nothing", "ciphered APDU")
        self._seen[ciphered.is_dedicated] = ciphered.counter
        if self._mirrors:
            self._form = _Form(ciphered.tag in {GENERAL_GLO, GENERAL_DED}, ciphered.tag in DEDICATED)
        return plain

    def _check_control(self, ciphered: Ciphered) -> None:
        bits, wanted = ciphered.bits, self._security.ciphering
        if bits & Control.COMPRESSED:
            raise Compressed("an APDU that is not compressed", f"control {ciphered.control:02x}", "ciphered APDU")
        if bits & Control.BROADCAST:
            raise KeyUnknown("the unicast key", "the broadcast key", "ciphered APDU")
        if ciphered.suite != self._keys.suite or wanted & ~bits:
            lead = f"control {wanted | self._keys.suite:02x}"
            raise WeakProtection(lead, f"{ciphered.control:02x}", "ciphered APDU")

    def _key(self, ciphered: Ciphered) -> bytes:
        if not ciphered.is_dedicated:
            return self._keys.encryption
        if not self._dedicated_key:
            raise KeyUnknown("the global key", f"the dedicated key (tag {ciphered.tag:02x})", "ciphered APDU")
        return self._dedicated_key


def checked_title(title: bytes, where: str) -> bytes:
    """The system title.

    Raises:
        TitleRefused: it has not 8 bytes.
    """
    if len(title) != TITLE:
        raise TitleRefused(f"{TITLE} bytes", title.hex() or "none", where)
    return title


def push_opened(octets: bytes, keys: Keys) -> bytes:
    """The plain APDU of a push that says its sender in itself; the broadcast key is taken where one is held.

    Raises:
        MeterError: a named one for each reason not to take it.
    """
    ciphered = Ciphered.from_bytes(octets)
    title = checked_title(ciphered.title, "push")
    if ciphered.bits & Control.COMPRESSED:
        raise Compressed("an APDU that is not compressed", f"control {ciphered.control:02x}", "push")
    if ciphered.suite != keys.suite or not ciphered.bits & BOTH:
        raise WeakProtection(f"suite {int(keys.suite)}, ciphered", f"control {ciphered.control:02x}", "push")
    shared = bool(ciphered.bits & Control.BROADCAST)
    key = keys.broadcast if shared else keys.encryption
    if ciphered.is_dedicated or not key:
        raise KeyUnknown("a key that is held", f"tag {ciphered.tag:02x}, control {ciphered.control:02x}", "push")
    return ciphered.opened(key, keys.authentication, title)
