"""Ciphered APDUs of an explained telegram, opened with keys that somebody holds: offline, for people.

Nothing is trusted here that a session would not trust: a wrong tag is told and nothing is shown of what stands behind
it. What was only encrypted has no tag; that is said too. Counters are not judged: a telegram may be an old one.

The system title of the sender is in the general forms, in AARQ and AARE; for the forms of a service it is one of those
that were given, or that an AARQ or AARE before them had. A dedicated key comes with the initiate-request that bore it.
Of general-ciphering what is under an identified key opens, and with the master key what is under a wrapped one; an
agreed key needs the private key of a side, and those are not taken.
"""

from __future__ import annotations

from dataclasses import replace

from protocols.dlms import association, explain
from protocols.dlms.association import AssociationRequest, AssociationResponse
from protocols.dlms.breaches import Compressed, KeyUnknown, NotAuthentic, TitleRefused, WeakProtection
from protocols.dlms.ciphering import PLAIN, TAG, TAGS, TITLE, Ciphered, Control, Keys
from protocols.dlms.explain import ShownApdu
from protocols.dlms.frames import Explained, Section
from protocols.dlms.general import BROADCAST, GENERAL_CIPHERING, General, KeyKind, unwrapped
from protocols.dlms.initiate import REQUEST, InitiateRequest
from protocols.dlms.parts import Walk
from protocols.errors import MeterError

MAX_APDUS = 4_096  # of one telegram, with those that were in others
WHERE = "ciphered APDU"


class Opener:
    """Opens what comes, telegram after telegram; `titles` are those that senders may have, `master` wraps keys."""

    def __init__(self, keys: Keys, titles: tuple[bytes, ...] = (), dedicated: bytes = b"", master: bytes = b"") -> None:
        self._keys, self._titles, self._dedicated, self._master = keys, list(titles), dedicated, master

    def open(self, found: Explained) -> None:
        """Add what was deciphered to an explanation, and why something was not."""
        number = 0
        while number < min(len(found.apdus), MAX_APDUS):  # what is opened is looked at, too
            each = found.apdus[number]
            number += 1
            try:
                ciphered = self._ciphered(each)
                if ciphered is not None:
                    self._add(found, each, ciphered)
            except MeterError as error:
                found.fault(error)
                found.apdus[number - 1] = replace(each, error=each.error or error)

    def _ciphered(self, shown: ShownApdu) -> Ciphered | General | None:
        """What of an APDU is ciphered; the title of its sender is noted on the way."""
        octets = shown.octets
        if shown.error is not None or not octets:
            return None
        if octets[0] in TAGS:
            return Ciphered.from_bytes(octets)
        if octets[0] == GENERAL_CIPHERING:
            return General.from_bytes(octets)
        if octets[0] == REQUEST:
            key = InitiateRequest.from_bytes(octets).dedicated_key
            self._dedicated = key if len(key) == self._keys.suite.key_bytes else self._dedicated
        if octets[0] not in {association.AARQ, association.AARE}:
            return None
        side = AssociationRequest if octets[0] == association.AARQ else AssociationResponse
        begun = side.from_bytes(octets)
        if len(begun.title) == TITLE and begun.title not in self._titles:
            self._titles.insert(0, begun.title)
        return replace(begun.initiate, title=begun.title) if isinstance(begun.initiate, Ciphered) else None

    def _add(self, found: Explained, shown: ShownApdu, sealed: Ciphered | General) -> None:
        ciphered = sealed.ciphered if isinstance(sealed, General) else sealed
        beside = sealed.header if isinstance(sealed, General) else b""
        self._check(ciphered)
        key = self._general_key(sealed) if isinstance(sealed, General) else self._key(ciphered)
        plain = self._opened(ciphered, key, self._keys.authentication + beside)
        steps = Walk(plain)
        inside = explain.apdu(steps)
        inside.fields["deciphered_from"] = shown.name
        found.apdus.append(inside)
        found.fault(inside.error)
        found.sections.append(Section(f"deciphered from {shown.name}", tuple(steps.parts)))
        if not ciphered.bits & Control.AUTHENTICATED:
            found.remarks.append(f"{shown.name} has no authentication tag: a wrong key shows only in what it says")

    def _check(self, ciphered: Ciphered) -> None:
        if ciphered.bits & Control.COMPRESSED:
            raise Compressed("an APDU that is not compressed", f"control {ciphered.control:02x}", WHERE)
        if (ciphered.suite > 1) != (self._keys.suite > 1):  # of the first two what is symmetric is the same
            raise WeakProtection(f"suite {int(self._keys.suite)}, as the keys are", f"suite {ciphered.suite}", WHERE)

    def _opened(self, ciphered: Ciphered, key: bytes, beside: bytes) -> bytes:
        titles = [ciphered.title] if ciphered.title else self._titles
        if any(len(each) != TITLE for each in titles):
            raise TitleRefused(f"a system title of {TITLE} bytes", ciphered.title.hex(), WHERE)
        if not titles:
            form = f"tag {ciphered.tag:02x} without one"
            raise TitleRefused("the sender's system title, given or in an AARQ or AARE before", form, WHERE)
        first: bytes | None = None
        for title in titles:
            try:
                plain = ciphered.opened(key, beside, title)
            except NotAuthentic:
                continue
            wanted = PLAIN.get(ciphered.tag)
            if ciphered.bits & Control.AUTHENTICATED or wanted is None or plain[:1] == bytes((wanted,)):
                return plain
            first = first or plain
        if first is not None:
            return first
        tried = ", ".join(each.hex() for each in titles)
        got = f"the tag {ciphered.body[-TAG:].hex()}, WRONG with these keys and the system title {tried}"
        raise NotAuthentic("an authentication tag that holds", got, WHERE)

    def _key(self, ciphered: Ciphered) -> bytes:
        if ciphered.is_dedicated and not self._dedicated:
            words = "the dedicated key, given or in an initiate-request before"
            raise KeyUnknown(words, f"tag {ciphered.tag:02x} without it", WHERE)
        if ciphered.is_dedicated:
            return self._dedicated
        if ciphered.bits & Control.BROADCAST and self._keys.broadcast:
            return self._keys.broadcast
        return self._keys.encryption

    def _general_key(self, sealed: General) -> bytes:
        """The key that general-ciphering names; the broadcast key may be given in the place of the unicast one."""
        key = sealed.key
        if key.kind is KeyKind.IDENTIFIED:
            shared = key.number == BROADCAST or sealed.ciphered.bits & Control.BROADCAST
            return (self._keys.broadcast if shared else b"") or self._keys.encryption
        if key.kind is KeyKind.AGREED:
            raise KeyUnknown("an identified or wrapped key", "an agreed one, which needs a private key", WHERE)
        if not self._master:
            raise KeyUnknown("the master key, for the key is a wrapped one", "none", WHERE)
        return unwrapped(key, self._master, self._keys.suite)
