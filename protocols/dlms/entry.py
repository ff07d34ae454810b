"""How a client enters: what its AARQ says, what it owes after the AARE, and whether the meter proved who it is.

Rules. An accepting AARE that is plain where it should be ciphered is refused. With high-level authentication nothing
else is asked before the meter has answered our challenge. A meter with our own system title is refused: what we seal
could be played back to us.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protocols.dlms.access import Access, Auth
from protocols.dlms.action import Acted, ActionRefused, Method, action_result_name
from protocols.dlms.association import (
    CONFIRMED_SERVICE_ERROR,
    CONTEXT_CIPHERED,
    CONTEXT_LN,
    RELEASE_REQUEST,
    AssociationRequest,
    AssociationResponse,
    release_request,
)
from protocols.dlms.breaches import (
    ChallengeRefused,
    MechanismUnsupported,
    MeterNotProven,
    PlainAnswer,
    ProofRefused,
    TitleRefused,
)
from protocols.dlms.carrier import Carrier
from protocols.dlms.ciphering import Ciphered, Keys
from protocols.dlms.counters import Counters
from protocols.dlms.data import SHOWN
from protocols.dlms.faults import NotSupported, ServiceError
from protocols.dlms.hls import CHALLENGE_MAX, CHALLENGE_MIN, Challenge, check_challenge, check_proof, proof
from protocols.dlms.initiate import ACTING, OURS, Conformance, InitiateError, InitiateRequest, InitiateResponse
from protocols.dlms.listing import ASSOCIATION, CURRENT
from protocols.dlms.protection import OVERHEAD, Protection, checked_title
from protocols.dlms.shield import Shield

Random = Callable[[int], bytes]  # so many bytes that nobody can foretell
# Of the association's own object: what answers the meter's challenge.
REPLY_TO_HLS = Method(ASSOCIATION, CURRENT, 1)
UNSUPPORTED = {Auth.HLS: "HLS of the manufacturer (2)", Auth.HLS_ECDSA: "HLS with ECDSA (7)"}
TITLED = frozenset({Auth.HLS_GMAC, Auth.HLS_SHA256})  # their proofs hold both system titles


class Entry:
    """One client's way in, for one association; `agreed` is what the meter said to our proposal, where it did."""

    def __init__(self, access: Access, counters: Counters, random: Random) -> None:
        self._access, self._counters, self._random = access, counters, random
        self._challenge = b""
        self._expected: Challenge | None = None  # what the meter has to answer
        self._initiate = InitiateRequest()
        self.agreed: InitiateResponse | None = None
        security = access.security
        self.protection: Protection | None = None
        if security is not None and security.ciphering:
            self.protection = Protection(security, access.title, counters)

    @property
    def method(self) -> Method:
        """What our answer to the meter's challenge is handed to."""
        return reply_to_hls(self._access)

    @property
    def overhead(self) -> int:
        """Bytes that protection adds to an APDU, at most."""
        return 0 if self.protection is None else OVERHEAD

    def carried(self, carrier: Carrier) -> Carrier:
        """The carrier, ciphering where the association is ciphered."""
        return carrier if self.protection is None else Shield(carrier, self.protection)

    def request(self) -> AssociationRequest:
        """The AARQ.

        Raises:
            MechanismUnsupported: the mechanism is known by its name alone.
            ChallengeRefused: no challenge may be as long as is configured.
            TitleRefused: a system title is needed, and none of 8 bytes is there.
            CountersSpent: no invocation counter is left.
        """
        access = self._access
        self._check()
        self._initiate = self._proposal()
        value = access.password
        if access.auth.is_high:
            self._challenge = value = self._random(access.challenge_bytes)
        mechanism = int(access.auth) or None
        user, context = self._user(), CONTEXT_LN if self.protection is None else CONTEXT_CIPHERED
        return AssociationRequest(user, mechanism, value if mechanism else b"", context, access.title)

    def answered(self, response: AssociationResponse) -> bytes | None:
        """What the meter's challenge is to be answered with; None where it wants nothing more.

        Raises:
            MeterError: a named one for each reason why there is no association.
        """
        auth = self._access.auth
        response.check(auth.is_high)
        if isinstance(response.initiate, InitiateError):
            raise ServiceError("an association", f"initiate error {response.initiate.reason}", "AARE")
        title = self._meter_title(response.title)
        if self.protection is not None:
            self.protection.peer = title
            self.agreed = self._opened(self.protection, response.initiate)
        elif isinstance(response.initiate, Ciphered):
            raise NotSupported("a plain InitiateResponse", f"tag {response.initiate.tag:02x} (ciphered)", "AARE")
        else:
            self.agreed = response.initiate
        if not auth.is_high:
            self._entered()
            return None
        check_challenge(response.challenge, self._challenge)
        ours = self._access.title
        self._expected = Challenge(self._challenge, title, ours, response.challenge)
        owed = Challenge(response.challenge, ours, title, self._challenge)
        return proof(auth, owed, self._access.password, self._keys, self._counters)

    def proven(self, answer: Acted | ActionRefused) -> None:
        """Take the meter's answer to our challenge.

        Raises:
            ProofRefused: it did not take ours.
            MeterNotProven: it gave none that proves anything.
        """
        if isinstance(answer, ActionRefused):
            raise ProofRefused("an association", action_result_name(answer.result), "authentication")
        found = None if answer.returned is None else answer.returned.content
        if self._expected is None or not isinstance(found, bytes):
            raise MeterNotProven("the answer to the challenge", "none", "authentication")
        check_proof(self._access.auth, self._expected, self._access.password, self._keys, found)
        self._entered()

    def release(self) -> bytes:
        """The RLRQ; in a ciphered association it bears the AARQ's proposal, sealed anew.

        Raises:
            CountersSpent: no invocation counter is left.
        """
        if self.protection is None:
            return RELEASE_REQUEST
        return release_request(self._user().to_bytes())

    @property
    def _keys(self) -> Keys | None:
        return None if self._access.security is None else self._access.security.keys

    def _check(self) -> None:
        access = self._access
        if access.auth in UNSUPPORTED:
            raise MechanismUnsupported("a mechanism that is known", UNSUPPORTED[access.auth], "authentication")
        if access.auth.is_high and not CHALLENGE_MIN <= access.challenge_bytes <= CHALLENGE_MAX:
            wanted = f"a challenge of {CHALLENGE_MIN} to {CHALLENGE_MAX} bytes"
            raise ChallengeRefused(wanted, str(access.challenge_bytes), "configuration")
        if access.auth in TITLED:
            checked_title(access.title, "our own system title")
        if access.auth is Auth.HLS_GMAC and access.security is None:
            raise MechanismUnsupported("keys for HLS with GMAC", "none", "authentication")

    def _proposal(self) -> InitiateRequest:
        """What we can, and with it the association's own key where one is wanted."""
        security, conformance = self._access.security, OURS
        if self._access.auth.is_high or self._access.acts:
            conformance |= ACTING
        if security is None or self.protection is None:
            return InitiateRequest(conformance)
        if security.general:
            conformance |= Conformance.GENERAL_PROTECTION
        key = self._random(security.keys.suite.key_bytes) if security.dedicated else b""
        if key:
            self.protection.set_dedicated_key(key)
        return InitiateRequest(conformance, dedicated_key=key)

    def _user(self) -> InitiateRequest | Ciphered:
        if self.protection is None:
            return self._initiate
        return Ciphered.from_bytes(self.protection.protect(self._initiate.to_bytes()))

    def _meter_title(self, given: bytes) -> bytes:
        """The meter's system title, as far as one is needed."""
        ours, configured = self._access.title, self._access.meter_title
        title = given or configured
        if configured and title != configured:
            raise TitleRefused(f"the meter's title {configured.hex()}", title.hex(), "AARE")
        if self.protection is None and self._access.auth not in TITLED:
            return title
        if checked_title(title, "AARE") == ours:
            raise TitleRefused("a title of the meter's own", f"ours, {ours.hex()}", "AARE")
        return title

    def _opened(self, protection: Protection, initiate: InitiateResponse | Ciphered | None) -> InitiateResponse | None:
        """What the meter agrees to; some send nothing."""
        if initiate is None:
            return None
        if not isinstance(initiate, Ciphered):
            raise PlainAnswer("a ciphered InitiateResponse", "a plain one", "AARE")
        plain = protection.opened(initiate)
        if plain[0] == CONFIRMED_SERVICE_ERROR:
            raise ServiceError("an association", f"confirmed-service-error {plain[:SHOWN].hex()}", "AARE")
        return InitiateResponse.from_bytes(plain)

    def _entered(self) -> None:
        if self.protection is not None:
            self.protection.use_dedicated_key()


def reply_to_hls(access: Access) -> Method:
    """What takes the answer to a challenge, under the name that the association has in this meter."""
    return replace(REPLY_TO_HLS, name=access.ways.association)
