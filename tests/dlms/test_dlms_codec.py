"""Known answers and limits; hostile inputs in great numbers are in tests/fuzz."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from protocols.dlms import ber, clock, data, get, hdlc, profile
from protocols.dlms.access import Access, Auth
from protocols.dlms.apdu import ConfirmedServiceError, ExceptionResponse, Released, answer_from_bytes
from protocols.dlms.association import AssociationRequest, AssociationResponse
from protocols.dlms.counters import Block
from protocols.dlms.data import NUMBERS, OCTETS, Data, Tag
from protocols.dlms.entry import Entry
from protocols.dlms.faults import (
    Babble,
    BadChecksum,
    CutShort,
    Malformed,
    PasswordRefused,
    ServiceError,
    TooMuch,
)
from protocols.dlms.hdlc import Frame, FrameReader
from protocols.dlms.initiate import Conformance, InitiateRequest, InitiateResponse
from protocols.dlms.link import Parameters
from protocols.dlms.objects import Attribute
from protocols.dlms.wrapper import Message, MessageReader
from protocols.errors import PlombaError
from protocols.reading import MeterTime, Precision

# The Green Book's initiateRequest with a dedicated key, and its AARQ and AARE without and with a password.
INITIATE = bytes.fromhex("01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0")
AARQ = bytes.fromhex("601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0")
AARQ_LLS = bytes.fromhex(
    "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738BE10040E01000000065F1F0400007E1F04B0"
)
AARE = bytes.fromhex("6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F0400007C1F04000007")
SNRM = bytes.fromhex("7EA0070321930F017E")
UA = bytes.fromhex("7EA01E210373C37A8180120501800601800704000000010804000000 01533B7E".replace(" ", ""))
ROWS = data.array(*(data.structure(data.octet_string(clock.to_bytes(MeterTime(n, Precision.SECOND)))) for n in (1, 2)))


def of_tag(tag: Tag, contents: st.SearchStrategy[int] | st.SearchStrategy[bytes]) -> st.SearchStrategy[Data]:
    return st.builds(Data, st.just(tag), contents, st.just(0))


def numbers(width: int, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (8 * width - 1)) if signed else 0, 2 ** (8 * width - signed) - 1)


def leaves() -> st.SearchStrategy[Data]:
    whole = [of_tag(tag, numbers(*kind)) for tag, kind in NUMBERS.items()]
    fixed = [of_tag(tag, st.binary(min_size=size, max_size=size)) for tag, size in OCTETS.items()]
    strings = [of_tag(tag, st.binary(max_size=300)) for tag in data.STRINGS]
    bits = st.binary(max_size=20).map(lambda octets: Data(Tag.BIT_STRING, octets, 8 * len(octets)))
    return st.one_of(st.just(data.NULL), bits, *whole, *fixed, *strings)


def trees() -> st.SearchStrategy[Data]:
    lists = st.sampled_from(sorted(data.LISTS))
    return st.recursive(
        leaves(),
        lambda inner: st.builds(lambda tag, members: Data(tag, tuple(members)), lists, st.lists(inner, max_size=5)),
        max_leaves=20,
    )


@seed(1)
@settings(max_examples=300, deadline=None, database=None)
@given(trees())
def test_data_of_all_types_come_back_with_their_tags(tree: Data) -> None:
    """Encoded and decoded it is the same, tags included."""
    assert data.from_bytes(data.to_bytes(tree)) == tree


def test_the_green_books_initiate_request() -> None:
    """Its dedicated key, conformance and size; our encoding gives the same bytes; the key is not shown."""
    found = InitiateRequest.from_bytes(INITIATE)
    assert found.dedicated_key.hex() == "00112233445566778899aabbccddeeff"
    assert (found.version, found.max_pdu, int(found.conformance)) == (6, 1200, 0x007E1F)
    assert found.to_bytes() == INITIATE
    assert "2233" not in repr(found)


@pytest.mark.parametrize("octets", [AARQ, AARQ_LLS])
def test_the_green_books_aarq(octets: bytes) -> None:
    """With and without a password: decoded, and the same bytes encoded."""
    found = AssociationRequest.from_bytes(octets)
    assert found.password == (b"12345678" if octets is AARQ_LLS else b"")
    assert found.mechanism == (Auth.LLS if octets is AARQ_LLS else None)
    assert isinstance(found.initiate, InitiateRequest)
    assert found.initiate.max_pdu == 1200
    assert found.to_bytes() == octets
    assert "12345678" not in repr(found)


def test_the_green_books_aare() -> None:
    """Accepted, with what was negotiated."""
    found = AssociationResponse.from_bytes(AARE)
    found.check()
    assert found.initiate == InitiateResponse(Conformance(0x007C1F), 0x0400)
    assert found.to_bytes() == AARE


def test_only_what_is_decoded_is_proposed() -> None:
    """GET with blocks, lists and selective access, SET with blocks, general blocks; ACTION with blocks if it acts."""
    assert int(InitiateRequest().conformance) == 0x201A1C
    for acts, bits in ((False, 0x201A1C), (True, 0x201E1D)):
        proposed = Entry(Access(acts=acts), Block(), bytes).request().initiate
        assert isinstance(proposed, InitiateRequest)
        assert int(proposed.conformance) == bits


@pytest.mark.parametrize(
    "octets",
    [
        AARE,
        bytes.fromhex("6117A109060760857405080101A203020100A305A103020100"),
        bytes.fromhex("612BA109060760857405080101A203020100A305A103020100A4020500BE0E040C") + AARE[-14:-2],
    ],
)
def test_an_aare_is_read_with_what_meters_add_and_leave_out(octets: bytes) -> None:
    """Extra fields, no user-information, no name of the association object."""
    AssociationResponse.from_bytes(octets).check()


def test_a_refusal_names_its_reason() -> None:
    """Result and diagnostic in words."""
    with pytest.raises(PasswordRefused, match="rejected: wrong password"):
        AssociationResponse(1, diagnostic=13).check()


def test_a_release_is_known_by_its_tag() -> None:
    """Some meters write a wrong length."""
    assert answer_from_bytes(bytes.fromhex("6303800100")) == Released()
    assert answer_from_bytes(bytes.fromhex("6305")) == Released()


def test_a_get_is_written_as_in_the_green_book() -> None:
    """Class, name, attribute, no selection; and the answers to it."""
    asked = get.GetNormal(1, Attribute.of(3, "1-0:1.8.0"))
    assert asked.to_bytes().hex() == "c00141" + "0003" + "0100010800ff" + "02" + "00"
    assert get.request_from_bytes(asked.to_bytes()) == asked
    found = answer_from_bytes(bytes.fromhex("C401C1000600000102"))
    assert found == get.Got(1, Data(Tag.DOUBLE_LONG_UNSIGNED, 258))
    assert answer_from_bytes(bytes.fromhex("C401C10104")) == get.Refused(1, get.AccessResult.OBJECT_UNDEFINED)
    assert answer_from_bytes(bytes.fromhex("C402C1010000000200020000")) == get.Block(1, 2, True, b"\0\0")


def test_errors_of_the_service_are_named() -> None:
    """exception-response and confirmed-service-error."""
    exception = answer_from_bytes(bytes.fromhex("D80102"))
    assert isinstance(exception, ExceptionResponse)
    assert "service not allowed, service not supported" in str(exception.error(""))
    error = answer_from_bytes(bytes.fromhex("0E010601"))
    assert isinstance(error, ConfirmedServiceError)
    assert isinstance(error.error(""), ServiceError)


def test_known_frames() -> None:
    """A SNRM and a UA with parameters, as they are on many a line."""
    [snrm] = FrameReader().feed(SNRM)
    assert snrm == Frame(b"\x03", b"\x21", 0x93)
    assert snrm.to_bytes() == SNRM
    [ua] = FrameReader().feed(UA)
    assert Parameters.from_bytes(ua.information) == Parameters(128, 128, 1, 1)
    assert ua.to_bytes() == UA


@pytest.mark.parametrize(
    ("logical", "physical", "octets"),
    [(1, None, "03"), (1, 17, "0223"), (1, 0x1234, "00024869"), (0x3FFF, 0x3FFF, "fefefeff")],
)
def test_addresses_take_one_two_or_four_bytes(logical: int, physical: int | None, octets: str) -> None:
    """The shortest form that holds both."""
    address = hdlc.server_address(logical, physical)
    assert address.hex() == octets
    frame = Frame(b"\x41", address, 0x73, b"x")
    assert FrameReader().feed(frame.to_bytes()) == [frame]


def frames_ending_in_a_flag() -> list[Frame]:
    made = (Frame(b"\x03", b"\x21", 0x10, bytes((n >> 8, n & 0xFF))) for n in range(4_000))
    return [each for each in made if each.to_bytes()[-2] == hdlc.FLAG]


def test_a_check_sequence_that_ends_like_a_flag() -> None:
    """The frame ends where its length says: in any pieces, with shared and doubled flags."""
    frames = frames_ending_in_a_flag()
    assert len(frames) > 5
    octets = b"".join(each.to_bytes() for each in frames)
    shared = b"\x7e" + b"".join(each.to_bytes()[1:] for each in frames)
    for stream in (octets, shared, octets.replace(b"\x7e\x7e\xa0", b"\x7e\x7e\x7e\x7e\xa0"), b"\x00\x55" + octets):
        reader = FrameReader()
        assert [frame for octet in stream for frame in reader.feed(bytes((octet,)))] == frames
        assert FrameReader().feed(stream) == frames


def test_a_frame_behind_a_false_start_is_found() -> None:
    """A start that announces more than comes holds the next frame back only until the line falls silent."""
    reader = FrameReader()
    assert reader.feed(bytes.fromhex("7ea7ff") + SNRM) == []
    assert [each.to_bytes() for each in reader.finish()] == [SNRM]


def test_a_damaged_frame_is_named() -> None:
    """The check sequence of the header is looked at before the length is believed."""
    reader = FrameReader()
    damaged = bytearray(Frame(b"\x03", b"\x21", 0x10, b"0123456789").to_bytes())
    damaged[1] |= 7
    assert reader.feed(bytes(damaged)) == []
    assert isinstance(reader.fault, BadChecksum)


def test_noise_is_bounded() -> None:
    """Two frames' worth is skipped, then the line is called babbling."""
    with pytest.raises(Babble):
        FrameReader().feed(bytes(hdlc.MAX_NOISE + 10))


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        ("0184FFFFFFFF", CutShort),
        ("0984FFFFFFFF00", CutShort),
        ("0484FFFFFFFF00", CutShort),
        ("0980", Malformed),
        ("0985FFFFFFFFFF", Malformed),
        ("0600", CutShort),
        ("", CutShort),
        ("0000", Malformed),
        ("07", Malformed),
        ("13060401", CutShort),
        ("1384FFFFFFFF", Malformed),
        ("130284FFFFFFFF", CutShort),
        ("131300", Malformed),
        ("13000101", Malformed),
        ("1301FFFF00020000", Malformed),
        ("130203" + "11" + "01FFFF00" + "11" + "0401020304", TooMuch),
        ("1301FFFF1101FF", CutShort),
        ("130984" + "FFFFFFFF", CutShort),
        ("130905" + "05" + "61626364", CutShort),
        ("13" + "0201" * 5_000, TooMuch),
        ("13" + "01FFFF" * 5_000, TooMuch),
        ("0201" * 5_000, TooMuch),
        ("0101" * 17 + "00", TooMuch),
    ],
)
def test_hostile_data_cost_nothing_and_are_named(octets: str, error: type[PlombaError]) -> None:
    """Counts and lengths beyond the bytes, depth beyond the limit, tags that are none."""
    with pytest.raises(error):
        data.from_bytes(bytes.fromhex(octets))


def test_wrapper_messages_in_any_pieces() -> None:
    """And another version ends the stream."""
    messages = [Message(1, 16, bytes(n)) for n in (0, 1, 300)]
    stream = b"".join(each.to_bytes() for each in messages)
    reader = MessageReader()
    assert [found for octet in stream for found in reader.feed(bytes((octet,)))] == messages
    with pytest.raises(Malformed):
        MessageReader().feed(b"\x00\x02")


LONG = bytes(100_000)


@pytest.mark.parametrize(
    "decode",
    [
        lambda: clock.from_bytes(LONG),
        lambda: profile.columns(data.array(profile_column(LONG))),
        lambda: AssociationResponse.from_bytes(ber.wrap(0x61, ber.wrap(0xA2, ber.wrap(0x02, LONG + b"\x09")))),
        lambda: AssociationResponse.from_bytes(
            ber.wrap(0x61, ber.wrap(0xA2, ber.wrap(0x02, b"\0")), ber.wrap(0xBE, ber.wrap(0x04, b"\x0e" + LONG)))
        ),
    ],
)
def test_a_long_answer_makes_no_long_message(decode: Callable[[], object]) -> None:
    """The message goes into logs: of what a meter sent it shows the beginning."""
    with pytest.raises(PlombaError) as caught:
        decode()
    assert len(str(caught.value)) < 400


def profile_column(name: bytes) -> Data:
    whole = Data(Tag.LONG_UNSIGNED, 3)
    return data.structure(whole, data.octet_string(name), Data(Tag.INTEGER, 2), whole)
