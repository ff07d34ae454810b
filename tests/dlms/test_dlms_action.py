"""What proves that one holds the secret, and the action that bears it."""

from __future__ import annotations

import hashlib

import pytest

from protocols.dlms import action, hls
from protocols.dlms import data as axdr
from protocols.dlms.access import Auth
from protocols.dlms.action import (
    Acted,
    ActedBlock,
    ActionBlock,
    ActionNext,
    ActionNormal,
    ActionRefused,
    ActionTaken,
    Method,
)
from protocols.dlms.ciphering import Keys, Suite, gmac, nonce
from protocols.dlms.counters import Block
from protocols.dlms.data import Data, Tag
from protocols.dlms.datablock import DataBlock
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
    in_blocks = ("c70441000001", "c70241000000000105", "c70541")
    for wrong in (*in_blocks, "c7", "c40141", "c702410000", "c70141000102", "c7014100010305", "c30141000f"):
        octets = bytes.fromhex(wrong)
        with pytest.raises(MeterError):
            (action.request_from_bytes if octets[0] == 0xC3 else action.response_from_bytes)(octets)


def test_actions_in_blocks_have_the_standards_bytes() -> None:
    """The first block behind the method, without the flag of a parameter; the others alone; what asks for the next."""
    method = Method(15, bytes((0, 0, 40, 0, 0, 255)), 1)
    for asked, octets in (
        (ActionBlock(1, DataBlock(1, False, b"\x09\x02"), method), "c30441000f0000280000ff010000000001020902"),
        (ActionBlock(1, DataBlock(2, True, b"ab")), "c306410100000002026162"),
        (ActionNext(1, 7), "c3024100000007"),
    ):
        assert asked.to_bytes().hex() == octets
        assert action.request_from_bytes(bytes.fromhex(octets)) == asked
    for answer, octets in (
        (ActedBlock(1, DataBlock(1, False, b"\x09\x02")), "c702410000000001020902"),
        (ActionTaken(1, 7), "c7044100000007"),
    ):
        assert answer.to_bytes().hex() == octets
        assert action.response_from_bytes(bytes.fromhex(octets)) == answer


SMALL = (axdr.NULL, axdr.array(), axdr.array(axdr.NULL), axdr.array(axdr.array()), Data(Tag.BOOLEAN, 1))


@pytest.mark.parametrize("found", [*SMALL, axdr.structure(*SMALL), axdr.octet_string(bytes(300))])
def test_what_blocks_of_an_answer_hold_is_read_in_each_of_the_three_ways(found: Data) -> None:
    """Bare data, data behind their choice, and the result in front of both: none is taken for another."""
    encoded = axdr.to_bytes(found)
    for lead in ("", "00", "000100"):
        assert action.joined(bytes.fromhex(lead) + encoded, 1) == Acted(1, found), lead


def test_blocks_that_hold_a_reason_are_read_too() -> None:
    """Nothing is given back, and why; and what is none of the ways is named."""
    for octets in ("0103", "00010103"):
        assert action.joined(bytes.fromhex(octets), 1) == Acted(1, None, 3)
    for octets in ("", "0001", "09", "1105ff", "00110511"):
        with pytest.raises(MeterError):
            action.joined(bytes.fromhex(octets), 1)
