"""Ciphering: the Green Book's own answer, real pushes, an independent implementation, and all that must be refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from dlms_cosem import security as witness

from protocols.dlms import data as axdr
from protocols.dlms.breaches import (
    Compressed,
    CounterNotGrown,
    CountersSpent,
    KeyUnknown,
    NotAuthentic,
    PlainAnswer,
    TitleRefused,
    WeakProtection,
)
from protocols.dlms.ciphering import (
    BOTH,
    DED,
    GENERAL_DED,
    GENERAL_GLO,
    GLO,
    MAX_COUNTER,
    Ciphered,
    Control,
    Keys,
    Suite,
    gmac,
    nonce,
    sealed,
    unsealed,
)
from protocols.dlms.counters import Block
from protocols.dlms.faults import CutShort, Malformed
from protocols.dlms.hdlc import FrameReader
from protocols.dlms.initiate import InitiateRequest
from protocols.dlms.protection import Protection, Security, push_opened
from protocols.errors import MeterError

KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(0xD0, 0xE0)))
LONG_KEYS = Keys(Suite.AES_256, bytes(range(32)), bytes(range(0xC0, 0xE0)))
BOOK_TITLE = bytes.fromhex("4D4D4D0000BC614E")
BOOK_COUNTER = 0x01234567
BOOK_PLAIN = bytes.fromhex("01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0")
BOOK_CIPHERED = bytes.fromhex(
    "21303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D39EE6FDB8E356855"
)
CLIENT, METER = b"PLB\0\0\0\0\1", b"KAM\0\0\0\0\2"
GET_RESPONSE = bytes.fromhex("c401410006075bcd15")
CONTROLS = [Control.AUTHENTICATED, Control.ENCRYPTED, BOTH]


def pair(security: Security, theirs: Security | None = None) -> tuple[Protection, Protection]:
    """A client's and a meter's protection who know each other."""
    client = Protection(security, CLIENT, Block(100, 1_000))
    meter = Protection(theirs or security, METER, Block(5_000, 1_000), mirrors=True)
    client.peer, meter.peer = METER, CLIENT
    return client, meter


def changed(octets: bytes, at: int, bits: int) -> bytes:
    return octets[:at] + bytes((octets[at] ^ bits,)) + octets[at + 1 :]


def test_the_green_books_initiate_request_is_ciphered_as_it_says() -> None:
    """Both ways, with its dedicated key inside."""
    body = sealed(BOTH, KEYS.encryption, KEYS.authentication, nonce(BOOK_TITLE, BOOK_COUNTER), BOOK_PLAIN)
    assert Ciphered(0x21, BOTH, BOOK_COUNTER, body).to_bytes() == BOOK_CIPHERED
    found = Ciphered.from_bytes(BOOK_CIPHERED)
    assert (found.suite, found.bits, found.counter) == (0, BOTH, BOOK_COUNTER)
    plain = found.opened(KEYS.encryption, KEYS.authentication, BOOK_TITLE)
    assert plain == BOOK_PLAIN
    assert InitiateRequest.from_bytes(plain).dedicated_key == bytes.fromhex("00112233445566778899AABBCCDDEEFF")


@pytest.mark.parametrize("keys", [KEYS, LONG_KEYS], ids=["128", "256"])
@pytest.mark.parametrize("bits", CONTROLS)
def test_the_witness_opens_ours_and_we_its(keys: Keys, bits: Control) -> None:
    """dlms-cosem, authenticated and encrypted; the other two kinds, which it does not know, both ways by ourselves."""
    control = bits | keys.suite
    iv = nonce(CLIENT, 77)
    body = sealed(control, keys.encryption, keys.authentication, iv, GET_RESPONSE)
    assert unsealed(control, keys.encryption, keys.authentication, iv, body) == GET_RESPONSE
    assert len(body) == len(GET_RESPONSE) + (12 if bits & Control.AUTHENTICATED else 0)
    assert (GET_RESPONSE in body) == (bits == Control.AUTHENTICATED)
    field = witness.SecurityControlField.from_bytes(bytes((control,)))
    if bits == BOTH:
        assert witness.decrypt(field, CLIENT, 77, keys.encryption, body, keys.authentication) == GET_RESPONSE
        theirs = witness.encrypt(field, CLIENT, 77, keys.encryption, GET_RESPONSE, keys.authentication)
        assert theirs == body
    if bits == Control.AUTHENTICATED:  # its GMAC over the same octets is our tag
        theirs = witness.gmac(field, CLIENT, 77, keys.encryption, keys.authentication, GET_RESPONSE)
        assert body == GET_RESPONSE + theirs
        assert gmac(control, keys.encryption, keys.authentication, iv, GET_RESPONSE) == theirs


def octets_of(path: Path) -> bytes:
    return bytes.fromhex(re.sub(r"[^0-9A-Fa-f]", "", path.read_text("utf-8-sig")))


def ciphered_push(path: Path) -> bytes:
    """The ciphered APDU of a capture; one meter sends it in general blocks."""
    whole = b"".join(frame.information for frame in FrameReader().feed(octets_of(path)))[3:]
    found = b""
    while whole[:1] == b"\xe0":
        size = whole[6]
        if size > 0x80:
            extra = size - 0x80
            size, whole = int.from_bytes(whole[7 : 7 + extra], "big"), whole[extra:]
        found, whole = found + whole[7 : 7 + size], whole[7 + size :]
    return found + whole


@pytest.mark.parametrize("name", ["hdlc_kamstrup_omnipower", "hdlc_lgz_e450_2"])
def test_pushes_of_real_meters_open_with_their_keys(captures: Path, name: str) -> None:
    """General-glo with the published title, counter and number of values; altered or with another key they do not."""
    keys = Keys(Suite.AES_128, *(octets_of(captures / f"{name}.{kind}") for kind in ("key", "gak")))
    octets = ciphered_push(captures / f"{name}.log")
    published = ElementTree.parse(captures / f"{name}_decoded.xml").getroot()  # noqa: S314
    found = Ciphered.from_bytes(octets)
    assert found.title.hex().upper() == published.get("SystemTitle")
    assert str(found.counter) == published.get("FrameCounter")
    plain = push_opened(octets, keys)
    assert plain[0] == 0x0F
    body = axdr.from_bytes(plain[6 + plain[5] :])
    (structure,) = published.iter("STRUCTURE")
    assert len(axdr.members_of(body, "push")) == int(structure.get("Qty", "-1"))
    if found.bits & Control.AUTHENTICATED:
        with pytest.raises(NotAuthentic):
            push_opened(changed(octets, len(octets) - 1, 1), keys)
        with pytest.raises(NotAuthentic):
            push_opened(octets, Keys(Suite.AES_128, keys.encryption, bytes(16)))


@pytest.mark.parametrize("bits", CONTROLS)
@pytest.mark.parametrize("keys", [KEYS, LONG_KEYS], ids=["128", "256"])
@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("dedicated", [False, True])
def test_what_one_side_seals_the_other_opens(keys: Keys, bits: Control, general: bool, dedicated: bool) -> None:
    """In each form, with each amount of protection; the answer has the question's form."""
    client, meter = pair(Security(keys, bits, dedicated, general), Security(keys, bits))
    if dedicated:
        key = bytes(reversed(range(keys.suite.key_bytes)))
        for side in (client, meter):
            side.set_dedicated_key(key)
        client.use_dedicated_key()
    asked = bytes.fromhex("c001410003010001080000ff0200")
    sent = client.protect(asked)
    assert sent[0] == ((GENERAL_DED if dedicated else GENERAL_GLO) if general else (DED if dedicated else GLO)[0xC0])
    assert meter.open(sent) == asked
    answered = meter.protect(GET_RESPONSE)
    assert answered[0] == (sent[0] if general else sent[0] + 4)
    assert client.open(answered) == GET_RESPONSE


def test_every_bit_is_under_the_tag() -> None:
    """Whatever bit turns over on the way, nothing is taken, and the counter is as it was."""
    client, meter = pair(Security(KEYS))
    sent = meter.protect(GET_RESPONSE)
    for bit in range(8 * len(sent)):
        with pytest.raises(MeterError):
            client.open(changed(sent, bit // 8, 1 << bit % 8))
    assert client.seen is None
    assert client.open(sent) == GET_RESPONSE


@pytest.mark.parametrize("bits", [Control.AUTHENTICATED, BOTH])
def test_the_authentication_key_is_under_the_tag(bits: Control) -> None:
    """A side that holds the encryption key alone can neither make nor alter an APDU."""
    thief = Keys(Suite.AES_128, KEYS.encryption, bytes(16))
    client, meter = pair(Security(KEYS, bits), Security(thief, bits))
    with pytest.raises(NotAuthentic):
        client.open(meter.protect(GET_RESPONSE))


def test_a_repeated_or_lower_counter_is_refused() -> None:
    """Each answer is taken once, in order."""
    client, meter = pair(Security(KEYS))
    first, second, third = (meter.protect(GET_RESPONSE) for _ in range(3))
    assert client.open(second)
    for old in (second, first):
        with pytest.raises(CounterNotGrown):
            client.open(old)
    assert client.open(third)
    assert client.seen == 5_002


@pytest.mark.parametrize("plain", [GET_RESPONSE, b"\x0f\0\0\0\1\0\0", b"\xe0\x80\0\1\0\0\0", b"\xdd\0"])
def test_what_is_told_plainly_is_refused(plain: bytes) -> None:
    """Data, a push, general blocks, and a form of ciphering that was not agreed."""
    client, _ = pair(Security(KEYS))
    with pytest.raises(PlainAnswer):
        client.open(plain)


def test_errors_and_the_associations_own_apdus_are_heard_plainly() -> None:
    """They carry no data: at worst a question fails."""
    client, _ = pair(Security(KEYS))
    for each in (b"\xd8\1\2", b"\x0e\1\2\3", b"\x61\0", b"\x63\0"):
        assert client.open(each) == each == client.protect(each)


def test_less_protection_than_agreed_is_refused() -> None:
    """Each amount against each; another suite; a broadcast key; compression."""
    for ours in CONTROLS:
        for theirs in CONTROLS:
            client, meter = pair(Security(KEYS, ours), Security(KEYS, theirs))
            sent = meter.protect(GET_RESPONSE)
            if ours & ~theirs:
                with pytest.raises(WeakProtection):
                    client.open(sent)
            else:
                assert client.open(sent) == GET_RESPONSE
    client, meter = pair(Security(KEYS))
    sent = meter.protect(GET_RESPONSE)
    faults: dict[int, type[MeterError]] = {
        0x80: Compressed,
        0x40: KeyUnknown,
        0x01: WeakProtection,
        0x30: WeakProtection,
    }
    for bits, error in faults.items():
        with pytest.raises(error):
            client.open(changed(sent, 2, bits))


def test_a_service_tag_and_what_is_inside_agree() -> None:
    """A GET response does not travel as an answer to something else."""
    client, meter = pair(Security(KEYS))
    sent = meter.protect(GET_RESPONSE)
    with pytest.raises(Malformed):
        client.open(bytes((GLO[0xC5],)) + sent[1:])


def test_a_foreign_title_and_an_unknown_key_are_refused() -> None:
    """General form of another meter; dedicated where no such key was offered; and before titles were exchanged."""
    client, meter = pair(Security(KEYS, general=True))
    other = Protection(Security(KEYS, general=True), b"KAM\0\0\0\0\3", Block(1, 10))
    with pytest.raises(TitleRefused):
        client.open(other.protect(GET_RESPONSE))
    meter.set_dedicated_key(bytes(16))
    meter.use_dedicated_key()
    with pytest.raises(KeyUnknown):
        client.open(meter.protect(GET_RESPONSE))
    client.peer = b""
    with pytest.raises(TitleRefused):
        client.open(bytes.fromhex("cc0730000000010203"))


def test_counters_are_taken_once_and_end() -> None:
    """In order, through two blocks that follow each other, up to the last 32-bit number and not beyond."""
    block = Block(7, 2)
    assert [block.take(), block.left] == [7, 1]
    block.promised(9, 2)
    assert [block.take() for _ in range(3)] == [8, 9, 10]
    with pytest.raises(CountersSpent):
        block.take()
    block.promised(MAX_COUNTER, 100)
    assert [block.left, block.take(), block.left] == [1, MAX_COUNTER, 0]
    with pytest.raises(CountersSpent):
        block.take()
    block = Block(1, 10)
    block.promised(50, 2)  # somebody else took those between: what was left of the first is below
    assert block.take() == 50


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ciphered.from_bytes(b""),
        lambda: Ciphered.from_bytes(b"\xdd\0"),
        lambda: Ciphered.from_bytes(b"\xcc\x03\x30\0\0"),
        lambda: Ciphered.from_bytes(b"\xcc\x05\x30\0\0\0\1\2"),
        lambda: Ciphered.from_bytes(b"\xdb\x09KAM\0\0\0\0\2"),
        lambda: Ciphered.from_bytes(b"\xdb\x84\xff\xff\xff\xff"),
    ],
)
def test_what_is_no_ciphered_apdu_is_named(make: Callable[[], Ciphered]) -> None:
    """Empty, another tag, cut short, longer than it says."""
    with pytest.raises(MeterError):
        make()


def test_no_room_for_a_tag_is_cut_short() -> None:
    """Eleven bytes where a tag has twelve."""
    with pytest.raises(CutShort):
        unsealed(BOTH, KEYS.encryption, KEYS.authentication, nonce(METER, 1), bytes(11))


def test_keys_and_titles_have_their_lengths() -> None:
    """And none of them shows."""
    for wrong in (b"", bytes(15), bytes(32)):
        with pytest.raises(ValueError, match="16 bytes"):
            Keys(Suite.AES_128, wrong, KEYS.authentication)
        with pytest.raises(TitleRefused):
            Protection(Security(KEYS), wrong, Block())
    assert "00" not in repr(Keys(Suite.AES_128, bytes(16), bytes(16)))
