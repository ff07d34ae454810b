"""High-level security (Green Book 9.2.2.2): what proves to the other side that one holds the secret.

Four passes: both challenges travel in AARQ and AARE, then each side answers the other's. Rules: a challenge that is
our own is refused (its answer would be ours, to play back), answers are compared in constant time, and what GMAC takes
for its counter is taken like any other.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from protocols.dlms.access import Auth
from protocols.dlms.breaches import ChallengeRefused, MeterNotProven
from protocols.dlms.ciphering import COUNTER, TAG, Control, Keys, gmac, nonce
from protocols.dlms.counters import Counters

CHALLENGE_MIN, CHALLENGE_MAX = 8, 64  # bytes
GMAC_PROOF = 1 + COUNTER + TAG  # bytes: security control, invocation counter, tag


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge and who answers it: his title and the asker's, and the answerer's own challenge."""

    asked: bytes
    answerer: bytes
    asker: bytes
    own: bytes


def _md5(challenge: Challenge, secret: bytes) -> bytes:
    return hashlib.md5(challenge.asked + secret).digest()  # noqa: S324 - the mechanism of meters that know no better


def _sha1(challenge: Challenge, secret: bytes) -> bytes:
    return hashlib.sha1(challenge.asked + secret).digest()  # noqa: S324 - the mechanism of meters that know no better


def _sha256(challenge: Challenge, secret: bytes) -> bytes:
    titles = challenge.answerer + challenge.asker
    return hashlib.sha256(secret + titles + challenge.asked + challenge.own).digest()


_HASHES: dict[Auth, Callable[[Challenge, bytes], bytes]] = {
    Auth.HLS_MD5: _md5,
    Auth.HLS_SHA1: _sha1,
    Auth.HLS_SHA256: _sha256,
}


def proof(auth: Auth, challenge: Challenge, secret: bytes, keys: Keys | None, counters: Counters) -> bytes:
    """The answer to a challenge; `keys` and a counter are for GMAC.

    Raises:
        CountersSpent: no invocation counter is left.
    """
    if auth is Auth.HLS_GMAC and keys is not None:
        return _gmac_proof(challenge, keys, counters.take())
    return _HASHES[auth](challenge, secret)


def check_proof(auth: Auth, challenge: Challenge, secret: bytes, keys: Keys | None, answer: bytes) -> None:
    """Refuse an answer that the holder of the secret would not give.

    Raises:
        MeterNotProven: another answer.
    """
    if auth is Auth.HLS_GMAC and keys is not None:
        counter = int.from_bytes(answer[1 : 1 + COUNTER], "big")
        expected = _gmac_proof(challenge, keys, counter)
    else:
        expected = _HASHES[auth](challenge, secret)
    if not hmac.compare_digest(expected, answer):
        raise MeterNotProven("the answer to the challenge", f"another one ({len(answer)} bytes)", "authentication")


def check_challenge(theirs: bytes, own: bytes) -> None:
    """Refuse what is no challenge.

    Raises:
        ChallengeRefused: missing, too short, too long, or our own.
    """
    if not CHALLENGE_MIN <= len(theirs) <= CHALLENGE_MAX:
        raise ChallengeRefused(f"{CHALLENGE_MIN} to {CHALLENGE_MAX} bytes", str(len(theirs)), "challenge")
    if hmac.compare_digest(theirs, own):
        raise ChallengeRefused("a challenge of its own", "ours sent back", "challenge")


def _gmac_proof(challenge: Challenge, keys: Keys, counter: int) -> bytes:
    control = int(Control.AUTHENTICATED) | keys.suite
    iv = nonce(challenge.answerer, counter)
    tag = gmac(control, keys.encryption, keys.authentication, iv, challenge.asked)
    return bytes((control,)) + iv[-COUNTER:] + tag
