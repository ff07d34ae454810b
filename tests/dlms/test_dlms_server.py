"""The server half answers as the standard says, also to what no client of ours sends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from protocols.dlms import ber, get, profile
from protocols.dlms import data as axdr
from protocols.dlms.access import Access
from protocols.dlms.association import AARQ, ACCEPTED, NO_REASON, REJECTED, AssociationRequest, AssociationResponse
from protocols.dlms.data import Data, Tag
from protocols.dlms.get import GetNormal, Got, Selection
from protocols.dlms.initiate import InitiateRequest
from protocols.dlms.listing import ASSOCIATION, CURRENT
from protocols.dlms.objects import CLOCK, CLOCK_TIME, LOGICAL_DEVICE_NAME, Attribute
from protocols.dlms.profile import RANGE
from protocols.dlms.server import Server, WrapperServer
from protocols.dlms.set import split
from protocols.dlms.wrapper import Message
from simulators.dlms.meter import LOAD_PROFILE, OWNER_ID, Meter
from simulators.dlms.plates import plates
from simulators.record import Record

NOW_MS = 1_795_310_000_000  # 2026-11-22T01:13:20Z, not at a quarter of an hour
PUBLIC = 16
DAY_ROWS = 96


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """The meter behind the wrapper, nobody associated; its clock is an hour ahead of UTC."""
    meter = Meter(plates(b"")[0], Record(tmp_path / "record"), lambda: NOW_MS, 3, NOW_MS // 900_000 - 300, None)
    return Server(meter, (Access(PUBLIC),), 0xFFFF, settable=meter)


@pytest.fixture
def entered(server: Server) -> Server:
    """An association with it."""
    found = AssociationResponse.from_bytes(server.answer(AssociationRequest(InitiateRequest()).to_bytes(), PUBLIC))
    found.check()
    return server


def got(server: Server, attribute: Attribute, selection: Selection | None = None) -> Data:
    """What an attribute holds."""
    answer = get.response_from_bytes(server.answer(GetNormal(1, attribute, selection).to_bytes(), PUBLIC))
    assert isinstance(answer, Got), answer
    return answer.data


def test_an_old_version_of_dlms_is_refused_with_an_initiate_error(server: Server) -> None:
    """The Green Book's example of this failure, byte by byte; there is no association then."""
    answer = server.answer(AssociationRequest(InitiateRequest(version=5)).to_bytes(), PUBLIC)
    assert answer.hex() == "611fa109060760857405080101a203020101a305a103020101be0604040e010601"
    assert server.answer(GetNormal(1, CLOCK_TIME).to_bytes(), PUBLIC)[0] == 0xD8


def test_an_aarq_without_user_information_is_refused_by_an_aare(server: Server) -> None:
    """No exception: the client hears that it has no association."""
    asked = replace(AssociationRequest(InitiateRequest()), initiate=None).to_bytes()
    assert asked[0] == AARQ
    found = AssociationResponse.from_bytes(server.answer(asked, PUBLIC))
    assert (found.result, found.diagnostic) == (REJECTED, NO_REASON)


VERSIONS = 0x80  # field of an AARQ
PLAIN_AARQ = AssociationRequest(InitiateRequest()).to_bytes()


def asked_with(*fields: bytes) -> bytes:
    """An AARQ with further fields in front of its user-information."""
    context, user = (ber.wrap(tag, found) for tag, found in ber.fields(ber.field(PLAIN_AARQ, AARQ, "") or b"", ""))
    versions = (each for each in fields if each[0] == VERSIONS)
    others = (each for each in fields if each[0] != VERSIONS)
    return ber.wrap(AARQ, *versions, context, *others, user)


@pytest.mark.parametrize("tag", [0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xBD])
@pytest.mark.parametrize("content", ["", "00", "020100", "04084d4d4d0000000001", "0605608574050a", "0102"])
def test_names_of_who_calls_and_is_called_are_no_reason_to_refuse(server: Server, tag: int, content: str) -> None:
    """An AARQ may have them all, in forms that mean nothing without authentication."""
    found = AssociationResponse.from_bytes(server.answer(asked_with(ber.wrap(tag, bytes.fromhex(content))), PUBLIC))
    found.check()


@pytest.mark.parametrize(("bits", "taken"), [("0780", True), ("0284", True), ("0244", False), ("0740", False)])
def test_a_client_without_version_1_of_acse_is_refused_by_the_provider(server: Server, bits: str, taken: bool) -> None:
    """The answers of a meter that passed the conformance test to the same bit-strings (gurux.fi, node 34756)."""
    answer = server.answer(asked_with(ber.wrap(VERSIONS, bytes.fromhex(bits))), PUBLIC)
    found = AssociationResponse.from_bytes(answer)
    assert (found.result == ACCEPTED) is taken
    refusal = "6117a109060760857405080101a203020101a305a203020102"
    assert taken or answer.hex() == refusal


def test_a_request_of_the_unconfirmed_class_is_done_and_not_answered(entered: Server) -> None:
    """Nothing leaves, neither a wrapper nor an APDU."""
    asked = GetNormal(1, LOGICAL_DEVICE_NAME).to_bytes()
    unconfirmed = bytes((*asked[:2], asked[2] & ~0x40, *asked[3:]))
    assert entered.answers(asked, PUBLIC)
    assert entered.answers(unconfirmed, PUBLIC) == []
    assert WrapperServer(entered, 1).received(Message(PUBLIC, 1, unconfirmed).to_bytes()) == b""
    (given,) = split(OWNER_ID, axdr.octet_string(b"seen"), 1, 0)
    assert entered.answers(bytes((*given[:2], 0x81, *given[3:])), PUBLIC) == []
    assert got(entered, OWNER_ID) == axdr.octet_string(b"seen")


def test_the_clock_says_its_zone_and_its_status(entered: Server) -> None:
    """Minutes from standard time to UTC, and the last byte of its time."""
    assert got(entered, Attribute(CLOCK, CLOCK_TIME.name, 3)) == Data(Tag.LONG, -60)
    assert got(entered, Attribute(CLOCK, CLOCK_TIME.name, 4)) == Data(Tag.UNSIGNED, 0)


def test_the_association_says_its_name_and_that_it_stands(entered: Server) -> None:
    """Attributes 1 and 8."""
    assert got(entered, Attribute(ASSOCIATION, CURRENT, 1)) == axdr.octet_string(CURRENT)
    assert got(entered, Attribute(ASSOCIATION, CURRENT, 8)) == Data(Tag.ENUM, 2)


def test_a_range_that_leaves_the_time_of_day_open_is_of_whole_days(entered: Server) -> None:
    """From the day's first moment to its last."""
    end = axdr.octet_string(bytes.fromhex("07ea0b1507 ffffff 00 8000 ff"))
    asked = Selection(RANGE, axdr.structure(profile.Column(CLOCK_TIME).to_data(), end, end, axdr.array()))
    rows = axdr.members_of(got(entered, profile.buffer_of(LOAD_PROFILE), asked), "buffer")
    assert len(rows) == DAY_ROWS
