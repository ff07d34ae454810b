"""AARQ, AARE, RLRQ and RLRE (ACSE in BER, Green Book 9.4.2): how an association begins and ends.

Tolerant in what comes: fields that are not known are passed over, user-information may be missing, a RLRE is known by
its tag alone. Strict in what decides: no association without a result that says "accepted". User-information is held
as it comes, plain or ciphered: who knows the keys opens it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocols.dlms import ber
from protocols.dlms.ciphering import TAGS as CIPHERED
from protocols.dlms.ciphering import Ciphered
from protocols.dlms.data import SHOWN
from protocols.dlms.faults import AssociationRefused, Malformed, PasswordRefused, ServiceError
from protocols.dlms.initiate import RESPONSE, InitiateError, InitiateRequest, InitiateResponse
from protocols.errors import MeterError

AARQ, AARE, RLRQ, RLRE = 0x60, 0x61, 0x62, 0x63
CONTEXT_LN = bytes.fromhex("60857405080101")  # logical names, no ciphering
CONTEXT_CIPHERED = bytes.fromhex("60857405080103")  # ... with ciphering
AUTHENTICATION = b"\x07\x80"  # ACSE requirements: bit 0, authentication
MECHANISM = bytes.fromhex("608574050802")  # ... and the number of the mechanism
CONFIRMED_SERVICE_ERROR = 0x0E
ACCEPTED, REJECTED, REJECTED_FOR_NOW = 0, 1, 2
USER, PROVIDER = 0xA1, 0xA2  # who says the diagnostic
RELEASE_REQUEST = bytes((RLRQ, 3, 0x80, 1, 0))  # reason: normal
RELEASE_RESPONSE = bytes((RLRE, 3, 0x80, 1, 0))

RESULTS = {ACCEPTED: "accepted", REJECTED: "rejected", REJECTED_FOR_NOW: "rejected for now"}
NO_REASON, WRONG_CONTEXT, NO_SUCH_CLIENT = 1, 2, 3
WRONG_MECHANISM, MECHANISM_REQUIRED, WRONG_PASSWORD, PASSWORD_REQUIRED = 11, 12, 13, 14
# acse-service-user diagnostics: the standard's name where there is no plainer one.
DIAGNOSTICS = {
    0: "no diagnostic",
    NO_REASON: "no reason given",
    WRONG_CONTEXT: "application context not supported",
    NO_SUCH_CLIENT: "no such client",
    4: "calling AP invocation identifier not recognised",
    5: "calling AE qualifier not recognised",
    6: "calling AE invocation identifier not recognised",
    7: "called AP title not recognised",
    8: "called AP invocation identifier not recognised",
    9: "called AE qualifier not recognised",
    10: "called AE invocation identifier not recognised",
    WRONG_MECHANISM: "authentication mechanism not recognised",
    MECHANISM_REQUIRED: "authentication mechanism required",
    WRONG_PASSWORD: "wrong password",
    PASSWORD_REQUIRED: "authentication required",
}
NO_COMMON_VERSION = 2
PROVIDER_DIAGNOSTICS = {0: "no diagnostic", 1: "no reason given", NO_COMMON_VERSION: "no common ACSE version"}
VERSION_1 = 0x80  # ACSE protocol version: the first bit of a bit-string, whatever stands behind it
ABOUT_PASSWORDS = frozenset({MECHANISM_REQUIRED, WRONG_PASSWORD, PASSWORD_REQUIRED})


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """An AARQ; `mechanism` is None where none is named; `password` is the challenge where authentication is high.

    `title` is the client's system title, empty where none is given; `initiate` is None without user-information.
    `version_1`: the client takes version 1 of ACSE, which is so where it names none. Whom it calls (fields A2 to A5) is
    passed over: the address says it.
    """

    initiate: InitiateRequest | Ciphered | None
    mechanism: int | None = None
    password: bytes = field(default=b"", repr=False)
    context: bytes = CONTEXT_LN
    title: bytes = b""
    version_1: bool = True

    def to_bytes(self) -> bytes:
        """The APDU."""
        parts = [ber.wrap(0xA1, ber.wrap(0x06, self.context))]
        if self.title:
            parts.append(ber.wrap(0xA6, ber.wrap(0x04, self.title)))
        if self.mechanism is not None:
            parts += [
                ber.wrap(0x8A, AUTHENTICATION),
                ber.wrap(0x8B, MECHANISM + bytes((self.mechanism,))),
                ber.wrap(0xAC, ber.wrap(0x80, self.password)),
            ]
        if self.initiate is not None:
            parts.append(ber.wrap(0xBE, ber.wrap(0x04, self.initiate.to_bytes())))
        return ber.wrap(AARQ, *parts)

    @classmethod
    def from_bytes(cls, octets: bytes) -> AssociationRequest:
        """The AARQ that `octets` are.

        Raises:
            MeterError: a named one for each thing that is wrong.
        """
        found = _fields(octets, AARQ, "AARQ")
        context = _inner(found, 0xA1, 0x06, "AARQ")
        user = _inner(found, 0xBE, 0x04, "AARQ")
        if context is None:
            raise Malformed("context name", "none", "AARQ")
        name = found.get(0x8B)
        password = _inner(found, 0xAC, 0x80, "AARQ") or b""
        title = _title(found.get(0xA6, b""))
        version_1 = 0x80 not in found or bool(found[0x80][1:2] and found[0x80][1] & VERSION_1)
        return cls(_proposal(user), name[-1] if name else None, password, context, title, version_1)


@dataclass(frozen=True, slots=True)
class AssociationResponse:
    """An AARE; `initiate` is None where the meter sent no user-information, or an error as such.

    `title` is the meter's system title and `challenge` its challenge, each empty where none is given.
    """

    result: int = ACCEPTED
    source: int = USER
    diagnostic: int = 0
    initiate: InitiateResponse | InitiateError | Ciphered | None = None
    context: bytes = CONTEXT_LN
    title: bytes = b""
    mechanism: int | None = None
    challenge: bytes = b""

    def to_bytes(self) -> bytes:
        """The APDU."""
        parts = [
            ber.wrap(0xA1, ber.wrap(0x06, self.context)),
            ber.wrap(0xA2, ber.wrap(0x02, bytes((self.result,)))),
            ber.wrap(0xA3, ber.wrap(self.source, ber.wrap(0x02, bytes((self.diagnostic,))))),
        ]
        if self.title:
            parts.append(ber.wrap(0xA4, ber.wrap(0x04, self.title)))
        if self.mechanism is not None:
            parts += [
                ber.wrap(0x88, AUTHENTICATION),
                ber.wrap(0x89, MECHANISM + bytes((self.mechanism,))),
                ber.wrap(0xAA, ber.wrap(0x80, self.challenge)),
            ]
        if self.initiate is not None:
            parts.append(ber.wrap(0xBE, ber.wrap(0x04, self.initiate.to_bytes())))
        return ber.wrap(AARE, *parts)

    @classmethod
    def from_bytes(cls, octets: bytes) -> AssociationResponse:
        """The AARE that `octets` are.

        Raises:
            ServiceError: the meter could not agree on the xDLMS context.
            MeterError: a named one for each other thing that is wrong.
        """
        found = _fields(octets, AARE, "AARE")
        result = _inner(found, 0xA2, 0x02, "AARE")
        if not result or result[-1] not in RESULTS:
            raise Malformed("a result", "none" if result is None else result[:SHOWN].hex(), "AARE")
        source, diagnostic = _diagnostic(found.get(0xA3, b""))
        user = _inner(found, 0xBE, 0x04, "AARE")
        context = _inner(found, 0xA1, 0x06, "AARE") or CONTEXT_LN
        title = _inner(found, 0xA4, 0x04, "AARE") or b""
        name = found.get(0x89)
        challenge = _inner(found, 0xAA, 0x80, "AARE") or b""
        mechanism = name[-1] if name else None
        return cls(result[-1], source, diagnostic, _initiate(user, result[-1]), context, title, mechanism, challenge)

    def check(self, high: bool = False) -> None:
        """Refuse what is not an association; with `high` authentication what is still wanted is the proof.

        Raises:
            PasswordRefused: the password is wrong, or one is wanted.
            AssociationRefused: refused for another reason.
        """
        wanted = (self.source, self.diagnostic) == (USER, PASSWORD_REQUIRED)
        if self.result == ACCEPTED and (high or not wanted):
            return
        names = PROVIDER_DIAGNOSTICS if self.source == PROVIDER else DIAGNOSTICS
        about_passwords = self.source == USER and self.diagnostic in ABOUT_PASSWORDS
        kind = PasswordRefused if about_passwords else AssociationRefused
        said = names.get(self.diagnostic, f"diagnostic {self.diagnostic}")
        raise kind("an association", f"{RESULTS[self.result]}: {said}", "AARE")


def release_request(user: bytes) -> bytes:
    """A RLRQ (reason: normal) with user-information, as a ciphered association wants it."""
    return ber.wrap(RLRQ, ber.wrap(0x80, b"\x00"), ber.wrap(0xBE, ber.wrap(0x04, user)))


def _fields(octets: bytes, tag: int, where: str) -> dict[int, bytes]:
    """The fields of an ACSE APDU, the first of each tag."""
    content = ber.field(octets, tag, where) if octets[:1] == bytes((tag,)) else None
    if content is None:
        raise Malformed(f"tag {tag:02x}", octets[:1].hex(), where)
    found: dict[int, bytes] = {}
    for name, inner in ber.fields(content, where):
        found.setdefault(name, inner)
    return found


def _inner(found: dict[int, bytes], outer: int, tag: int, where: str) -> bytes | None:
    content = found.get(outer)
    return None if content is None else ber.field(content, tag, where)


def _title(octets: bytes) -> bytes:
    """The system title in a calling AP title; empty where that has another form, which no association needs."""
    try:
        return ber.field(octets, 0x04, "AARQ") or b""
    except MeterError:
        return b""


def _diagnostic(octets: bytes) -> tuple[int, int]:
    """Who says why; (USER, 0) where nothing is said."""
    for source, content in ber.fields(octets, "AARE diagnostic"):
        said = ber.field(content, 0x02, "AARE diagnostic")
        if source in {USER, PROVIDER} and said:
            return source, said[-1]
    return USER, 0


def _proposal(user: bytes | None) -> InitiateRequest | Ciphered | None:
    """What a client proposes."""
    if user is None:
        return None
    return Ciphered.from_bytes(user) if user[:1] and user[0] in CIPHERED else InitiateRequest.from_bytes(user)


def _initiate(user: bytes | None, result: int) -> InitiateResponse | Ciphered | None:
    if not user:
        return None
    if user[0] == RESPONSE:
        return InitiateResponse.from_bytes(user)
    if user[0] == CONFIRMED_SERVICE_ERROR:
        if result == ACCEPTED:
            raise ServiceError("an association", f"confirmed-service-error {user[:SHOWN].hex()}", "AARE")
        return None  # result and diagnostic say the rest
    if result != ACCEPTED:
        return None
    if user[0] in CIPHERED:
        return Ciphered.from_bytes(user)
    raise Malformed("an InitiateResponse", f"tag {user[0]:02x}", "AARE")
