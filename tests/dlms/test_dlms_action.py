"""What proves that one holds the secret, and the action that bears it."""

from __future__ import annotations

import hashlib

import pytest

from protocols.dlms import action, hls
from protocols.dlms import data as axdr
from protocols.dlms.access import Auth
from protocols.dlms.action import Acted, ActionNormal, ActionRefused, Method
from protocols.dlms.ciphering import Keys, Suite, gmac, nonce
from protocols.dlms.counters import Block
from protocols.dlms.hls import Challenge
from protocols.errors import MeterError

KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(0xD0, 0xE0)))
CLIENT, METER = b"PLB\0\0\0\0\1", b"KAM\0\0\0\0\2"
SECRET = b"hls-secret-5301"
HIGH = [Auth.HLS_MD5, Auth.HLS_SHA1, Auth.HLS_GMAC, Auth.HLS_SHA256]


@pytest.mark.parametrize("auth", HIGH)
def test_proofs_hold_what_the_standard_says(auth: Auth) -> None:
    """Each by its formula, written out here a second time."""
    asked, own = b"server-challenge", b"client-challenge"
    found = hls.proof(auth, Challenge(asked, CLIENT, METER, own), SECRET, KEYS, Block(7, 1))
    wanted = {
        Auth.HLS_MD5: hashlib.md5(asked + SECRET).digest(),  # noqa: S324 - the standard's
        Auth.HLS_SHA1: hashlib.sha1(asked + SECRET).digest(),  # noqa: S324 - the standard's
        Auth.HLS_SHA256: hashlib.sha256(SECRET + CLIENT + METER + asked + own).digest(),
        Auth.HLS_GMAC: bytes.fromhex("1000000007")
        + gmac(0x10, KEYS.encryption, KEYS.authentication, nonce(CLIENT, 7), asked),
    }[auth]
    assert found == wanted


def test_actions_are_written_and_read() -> None:
    """Request and response, with and without data; the rest is named."""
    method = Method(15, bytes((0, 0, 40, 0, 0, 255)), 1)
    for request in (ActionNormal(3, method), ActionNormal(3, method, axdr.octet_string(b"abc"))):
        assert action.request_from_bytes(request.to_bytes()) == request
    assert ActionNormal(1, method, axdr.octet_string(b"\1")).to_bytes().hex() == "c30141000f0000280000ff0101090101"
    for response in (Acted(3), Acted(3, axdr.octet_string(b"abc")), Acted(3, None, 3), ActionRefused(3, 12)):
        assert action.response_from_bytes(response.to_bytes()) == response
    assert action.response_from_bytes(bytes.fromhex("c7014100")) == Acted(1)
    assert "read write denied" in str(ActionRefused(1, 3).error("x"))
    assert "action-result 99" in str(ActionRefused(1, 99).error("x"))
    for wrong in ("c7", "c40141", "c702410000", "c70141000102", "c7014100010305", "c30141000f"):
        octets = bytes.fromhex(wrong)
        with pytest.raises(MeterError):
            (action.request_from_bytes if octets[0] == 0xC3 else action.response_from_bytes)(octets)
