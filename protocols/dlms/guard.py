"""How a meter lets clients in: passwords, challenges, and the protection of what follows; the server's half of `entry`.

A vault outlives associations and connections: the meter's own counter never goes back, and what a client sent once is
not taken again.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from protocols.dlms import action
from protocols.dlms.access import Access, Auth
from protocols.dlms.action import Acted, ActionNormal, ActionRefused, ActionResult
from protocols.dlms.apdu import (
    COUNTER_ERROR,
    DECIPHERING_ERROR,
    SERVICE_NOT_ALLOWED,
    SERVICE_NOT_SUPPORTED,
    SERVICE_UNKNOWN,
    ExceptionResponse,
)
from protocols.dlms.association import (
    CONTEXT_CIPHERED,
    CONTEXT_LN,
    NO_REASON,
    NO_SUCH_CLIENT,
    PASSWORD_REQUIRED,
    REJECTED,
    WRONG_CONTEXT,
    WRONG_MECHANISM,
    WRONG_PASSWORD,
    AssociationRequest,
    AssociationResponse,
)
from protocols.dlms.breaches import (
    ChallengeRefused,
    Compressed,
    CounterNotGrown,
    KeyUnknown,
    MeterNotProven,
    NotAuthentic,
    PlainAnswer,
    TitleRefused,
    WeakProtection,
)
from protocols.dlms.ciphering import TITLE, Ciphered, Keys
from protocols.dlms.counters import Block, Counters
from protocols.dlms.data import octet_string
from protocols.dlms.entry import TITLED, Random, reply_to_hls
from protocols.dlms.faults import NotSupported
from protocols.dlms.hls import Challenge, check_challenge, check_proof, proof
from protocols.dlms.initiate import InitiateRequest, InitiateResponse
from protocols.dlms.protection import OVERHEAD, Protection
from protocols.errors import MeterError

BREACHES = (
    Compressed,
    CounterNotGrown,
    KeyUnknown,
    NotAuthentic,
    PlainAnswer,
    TitleRefused,
    WeakProtection,
)


@dataclass(slots=True)
class Vault:
    """What a meter keeps: its title, its own counters, and by client the highest counter that ever came."""

    title: bytes = b""
    counters: Counters = field(default_factory=Block)
    seen: dict[int, int] = field(default_factory=dict)
    random: Random = secrets.token_bytes


class Guard:
    """One association at a time."""

    def __init__(self, accesses: tuple[Access, ...], vault: Vault) -> None:
        self._accesses = {access.client: access for access in accesses}
        self._vault = vault
        self.forget()

    def forget(self) -> None:
        """The association is gone."""
        self._access: Access | None = None
        self._protection: Protection | None = None
        self._mine = self._theirs = Challenge(b"", b"", b"", b"")
        self.pending = False  # accepted, and not proven yet

    @property
    def overhead(self) -> int:
        """Bytes that protection adds to an APDU, at most."""
        return 0 if self._protection is None else OVERHEAD

    def open(self, octets: bytes) -> bytes:
        """The APDU as it was meant.

        Raises:
            MeterError: a named one for each reason not to take it.
        """
        if self._protection is None or self._access is None:
            return octets
        apdu = self._protection.open(octets)
        self._remember(self._access.client, self._protection)
        return apdu

    def protect(self, apdu: bytes) -> bytes:
        """The APDU as it travels."""
        return apdu if self._protection is None else self._protection.protect(apdu)

    def refusal(self, error: MeterError) -> bytes:
        """What is answered, plainly, to an APDU that is not taken."""
        if isinstance(error, CounterNotGrown):
            access = self._access
            next_one = (0 if access is None else self._vault.seen.get(access.client, -1)) + 1
            return ExceptionResponse(SERVICE_NOT_ALLOWED, COUNTER_ERROR).to_bytes() + next_one.to_bytes(4, "big")
        if isinstance(error, BREACHES):
            return ExceptionResponse(SERVICE_NOT_ALLOWED, DECIPHERING_ERROR).to_bytes()
        return ExceptionResponse(SERVICE_UNKNOWN, SERVICE_NOT_SUPPORTED).to_bytes()

    def admitted(self, request: AssociationRequest, client: int) -> InitiateRequest | AssociationResponse:
        """What the client proposes; or the refusal.

        Raises:
            MeterError: what it proposes cannot be deciphered, or does not decode.
        """
        self.forget()
        access = self._accesses.get(client)
        why = NO_SUCH_CLIENT if access is None else NO_REASON
        if access is not None and request.initiate is not None:
            why = self._refused(access, request)
        if access is None or why:
            return AssociationResponse(REJECTED, diagnostic=why)
        self._access = access
        initiate = self._opened(access, request)
        if access.auth.is_high:
            title, challenge = self._vault.title, self._vault.random(access.challenge_bytes)
            self._theirs = Challenge(challenge, request.title, title, request.password)
            self._mine = Challenge(request.password, title, request.title, challenge)
            self.pending = True
        return initiate

    def response(self, initiate: InitiateResponse) -> AssociationResponse:
        """The AARE to who was admitted."""
        user: InitiateResponse | Ciphered = initiate
        if self._protection is not None:
            user = Ciphered.from_bytes(self._protection.protect(initiate.to_bytes()))
        context = CONTEXT_LN if self._protection is None else CONTEXT_CIPHERED
        if self._access is None or not self._access.auth.is_high:
            return AssociationResponse(initiate=user, context=context, title=self._vault.title)
        mechanism, challenge = int(self._access.auth), self._theirs.asked
        return AssociationResponse(
            initiate=user,
            diagnostic=PASSWORD_REQUIRED,
            context=context,
            title=self._vault.title,
            mechanism=mechanism,
            challenge=challenge,
        )

    def prove(self, apdu: bytes) -> bytes:
        """The answer to the third pass; `pending` afterwards where the proof was not good.

        Raises:
            MeterError: it is no such APDU.
        """
        request = action.request_from_bytes(apdu)
        if not isinstance(request, ActionNormal):
            raise NotSupported("ACTION request normal", "another form", "authentication")
        access = self._access
        found = None if request.parameter is None else request.parameter.content
        if access is None or request.method != reply_to_hls(access) or not isinstance(found, bytes):
            return ActionRefused(request.invoke, ActionResult.OBJECT_UNAVAILABLE).to_bytes()
        keys = _keys(access)
        try:
            check_proof(access.auth, self._theirs, access.password, keys, found)
        except MeterNotProven:
            return ActionRefused(request.invoke, ActionResult.OTHER_REASON).to_bytes()
        self.pending = False
        answer = proof(access.auth, self._mine, access.password, keys, self._vault.counters)
        return Acted(request.invoke, octet_string(answer)).to_bytes()

    def _refused(self, access: Access, request: AssociationRequest) -> int:
        """The diagnostic of a refusal; 0 where nothing stands against it."""
        ciphered = access.security is not None and bool(access.security.ciphering)
        if request.context != (CONTEXT_CIPHERED if ciphered else CONTEXT_LN):
            return WRONG_CONTEXT
        if isinstance(request.initiate, Ciphered) != ciphered:
            return WRONG_CONTEXT
        mechanism = request.mechanism or 0
        if access.auth and not mechanism:
            return PASSWORD_REQUIRED
        if mechanism != access.auth:
            return WRONG_MECHANISM
        if (ciphered or access.auth in TITLED) and len(request.title) != TITLE:
            return NO_SUCH_CLIENT
        return 0 if _is_known(access, request.password) else WRONG_PASSWORD

    def _opened(self, access: Access, request: AssociationRequest) -> InitiateRequest:
        if access.security is None or not isinstance(request.initiate, Ciphered):
            return request.initiate if isinstance(request.initiate, InitiateRequest) else InitiateRequest()
        vault = self._vault
        floor = vault.seen.get(access.client)
        protection = Protection(access.security, vault.title, vault.counters, floor=floor, mirrors=True)
        protection.peer = request.title
        plain = protection.opened(request.initiate)
        self._remember(access.client, protection)
        initiate = InitiateRequest.from_bytes(plain)
        if initiate.dedicated_key:
            protection.set_dedicated_key(initiate.dedicated_key)
        self._protection = protection
        return initiate

    def _remember(self, client: int, protection: Protection) -> None:
        if protection.seen is not None:
            self._vault.seen[client] = protection.seen


def _keys(access: Access) -> Keys | None:
    return None if access.security is None else access.security.keys


def _is_known(access: Access, value: bytes) -> bool:
    """Whether a password is right, or a challenge is one."""
    if access.auth is Auth.LLS:
        return hmac.compare_digest(value, access.password)
    if not access.auth.is_high:
        return True
    try:
        check_challenge(value, b"")
    except ChallengeRefused:
        return False
    return True
