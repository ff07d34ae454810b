"""Pushes: how they come, how they are protected, what they say; by captures of real meters and another's cipher."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocols.dlms import unasked
from protocols.dlms.arrival import MAX_APDU, Arrivals, datagram
from protocols.dlms.blocks import split
from protocols.dlms.breaches import KeyUnknown, NotAuthentic, PushDedicated, TitleRefused, WeakProtection
from protocols.dlms.ciphering import BOTH, Control, Keys, Suite
from protocols.dlms.data import Data, Tag, array, octet_string, structure
from protocols.dlms.faults import CutShort, Malformed, NotSupported, TooMuch
from protocols.dlms.notification import DataNotification
from protocols.dlms.objects import CLOCK_TIME, REGISTER, Attribute, ScalerUnit
from protocols.dlms.profile import Column
from protocols.dlms.pushed import PUSH_LIST, Kept, from_text, items, name_of, time_of, unknown, values
from protocols.dlms.unasked import confirm, confirm_from_bytes, general, read
from protocols.dlms.wrapper import Message
from protocols.errors import MeterError
from protocols.reading import Scaled, State

KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(0xD0, 0xE0)))
TITLE, OURS = b"ISK\x10\x50\x01\x23\x45", b"PLB\0\0\0\0\x01"
ENERGY = Attribute.of(REGISTER, "1-0:1.8.0.255")
PLAIN = bytes.fromhex("0f4000000100") + bytes.fromhex("020106000000ff")
# name of the capture: how many values it has, the first of them with a number, and that number with its unit
CAPTURES = {
    "hdlc_iskra550": (16, "3/1-0:1.7.0.255/2", "182", "W"),
    "hdlc_norway_han_1phase": (9, "3/1-0:1.7.0.255/2", "1362", "W"),
    "hdlc_kamstrup_omnipower": (32, "0/1-1:1.8.0.255/2", "6307498", ""),
    "hdlc_lgz_e450_2": (16, "0/1-0:1.8.0.255/2", "12048950", ""),
    "raw_salzburg_netz": (15, "3/1-0:32.7.0.255/2", "229.2", "V"),
    "raw_egd_example": (26, "70/0-0:96.3.10.255/3", "1", ""),
    "raw_energomera": (6, "1/0-0:96.5.134.255/2", "1", ""),
}


def octets_of(path: Path) -> bytes:
    return bytes.fromhex(re.sub(r"[^0-9A-Fa-f]", "", path.read_text("utf-8-sig")))


def keys_beside(path: Path) -> Keys:
    found = [bytes.fromhex(path.with_suffix(f".{kind}").read_text()) for kind in ("key", "gak")]
    return Keys(Suite.AES_128, *found)


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("piece", [1, 7, 4_096])
def test_pushes_of_real_meters(captures: Path, name: str, piece: int) -> None:
    """From the bytes on the line to values, in whatever pieces they come; no scaler is guessed."""
    path = captures / f"{name}.log"
    octets, arrivals = octets_of(path), Arrivals()
    if name.startswith("raw"):
        octets = Message(1, 1, octets).to_bytes()
    found = [each for at in range(0, len(octets), piece) for each in arrivals.feed(octets[at : at + piece])]
    assert not arrivals.inside
    push = read(found[0].apdu)
    plain = push.octets if push.ciphered is None else push.opened(keys_beside(path), BOTH, push.title)
    said = values(items(DataNotification.from_bytes(plain).body, Kept()), Kept())
    count, key, number, unit = CAPTURES[name]
    first = next(each for each in said if isinstance(each.number, Scaled))
    assert (len(said), str(first.key), str(first.number), first.unit) == (count, f"dlms:{key}", number, unit)
    assert (first.state is State.OK) == (not key.startswith("0/"))


def test_a_push_over_udp_is_one_whole_message() -> None:
    """More or less than one is refused by name."""
    whole = Message(1, 103, PLAIN).to_bytes()
    assert datagram(whole).apdu == PLAIN
    assert datagram(whole).answer(b"\x10") == Message(103, 1, b"\x10").to_bytes()
    for octets, error in (
        (whole[:-1], CutShort),
        (whole + whole, Malformed),
        (whole + b"\0", Malformed),
        (b"", CutShort),
    ):
        with pytest.raises(error):
            datagram(octets)


def test_what_is_too_long_ends_before_it_is_there() -> None:
    """By the wrapper's header, by the frames of one APDU, by general blocks."""
    with pytest.raises(TooMuch):
        Arrivals().feed(Message(1, 1, bytes(MAX_APDU + 1)).to_bytes()[:12])
    blocks = [Message(1, 1, each.to_bytes()).to_bytes() for each in split(bytes(MAX_APDU + 1), 1_000, 1)]
    with pytest.raises(TooMuch):
        Arrivals().feed(b"".join(blocks))


def test_general_ciphering_authenticates_its_header() -> None:
    """Sealed by another's AES-GCM: transaction, titles, date-time and other information stand behind the key."""
    header = bytes.fromhex("08" + "0102030405060708" + "08") + TITLE + b"\x08" + OURS + b"\0\0"
    control, counter = bytes((0x30,)), (7).to_bytes(4, "big")
    beside = control + KEYS.authentication + header
    sealed = AESGCM(KEYS.encryption).encrypt(TITLE + counter, PLAIN, beside)[:-4]  # a tag of 12 bytes
    content = control + counter + sealed
    octets = b"\xdd" + header + b"\x01\x00\x00" + bytes((len(content),)) + content
    found = read(octets)
    assert (found.title, found.recipient, found.counter) == (TITLE, OURS, 7)
    assert found.opened(KEYS, BOTH, TITLE, OURS) == PLAIN
    with pytest.raises(NotAuthentic):
        read(octets.replace(bytes.fromhex("0102030405060708"), bytes(8))).opened(KEYS, BOTH, TITLE)
    with pytest.raises(TitleRefused):
        found.opened(KEYS, BOTH, TITLE, b"another!")
    assert read(general(PLAIN, KEYS, BOTH, 9, TITLE, OURS)).opened(KEYS, BOTH, TITLE, OURS) == PLAIN


def test_what_proves_too_little_is_refused() -> None:
    """Less protection than configured, another suite or title, a key of an association, the broadcast key."""
    good = read(general(PLAIN, KEYS, BOTH, 9, TITLE, b""))
    with pytest.raises(WeakProtection):
        read(general(PLAIN, KEYS, Control.ENCRYPTED, 9, TITLE, b"")).opened(KEYS, BOTH, TITLE)
    with pytest.raises(WeakProtection):
        good.opened(Keys(Suite.AES_128_SIGNED, KEYS.encryption, KEYS.authentication), BOTH, TITLE)
    with pytest.raises(TitleRefused):
        good.opened(KEYS, BOTH, b"another!")
    assert good.ciphered is not None
    for changed, error in (
        (replace(good.ciphered, tag=0xDC), PushDedicated),
        (replace(good.ciphered, control=0x70), KeyUnknown),
    ):
        with pytest.raises(error):
            replace(good, ciphered=changed).opened(KEYS, BOTH, TITLE)
    with pytest.raises(NotSupported):
        read(b"\xc4\x01\x00")
    with pytest.raises(Malformed, match="a notification"):
        read(general(b"\xc4\x01\x00", KEYS, BOTH, 9, TITLE, b"")).opened(KEYS, BOTH, TITLE)


@pytest.mark.parametrize("info", ["010202", "01010100", "02"])
def test_a_key_that_is_wrapped_or_agreed_is_not_supported(info: str) -> None:
    octets = general(PLAIN, KEYS, BOTH, 9, TITLE, b"").replace(b"\0\0\x01\0\0", b"\0\0" + bytes.fromhex(info))
    with pytest.raises(MeterError):
        read(octets)


def test_a_confirmation_names_the_push() -> None:
    assert confirm(0x4000_0001) == bytes.fromhex("104000000100")
    assert confirm_from_bytes(confirm(0x4000_0001)) == 0x4000_0001
    with pytest.raises(Malformed):
        confirm_from_bytes(b"\x0f\0\0\0\0")
    assert unasked.CONFIRM == 0x10


SEVEN = Data(Tag.DOUBLE_LONG_UNSIGNED, 7)
MOMENT = octet_string(bytes.fromhex("07ea0b160716000000ffc400"))
SCALE = structure(Data(Tag.INTEGER, 3), Data(Tag.ENUM, 30))


def test_a_push_that_lists_its_objects_needs_nothing_else() -> None:
    """One definition for each member, its own first; the list itself is no value."""
    listed = array(*(Column(each).to_data() for each in (PUSH_LIST, CLOCK_TIME, ENERGY)))
    found = items(structure(listed, MOMENT, SEVEN), Kept())
    assert [each.attribute for each in found] == [CLOCK_TIME, ENERGY]
    assert str(time_of(found)) == "2026-11-22T22:00:00"
    assert unknown(found, Kept()) == {ENERGY.name}
    kept = Kept(scales={ENERGY: ScalerUnit(3, "Wh")})
    assert [(str(each.number), each.unit) for each in values(found, kept)][1] == ("7000", "Wh")
    assert unknown(found, kept) == set()


def test_values_alone_are_taken_by_a_list_of_their_number_only() -> None:
    kept = Kept((CLOCK_TIME, ENERGY))
    assert [each.attribute for each in items(structure(MOMENT, SEVEN), kept)] == [CLOCK_TIME, ENERGY]
    for body in (structure(MOMENT), structure(MOMENT, SEVEN, SEVEN), structure(), SEVEN):
        with pytest.raises(Malformed):
            items(body, kept)


def test_a_name_says_a_class_only_where_something_does() -> None:
    """A scaler makes a register; what is known of the meter says more; else the class is 0 and no number counts."""
    named = structure(octet_string(ENERGY.name), SEVEN)
    (bare,) = values(items(named, Kept()), Kept())
    assert (bare.key.parts[0], bare.state) == (0, State.UNKNOWN)
    (scaled,) = values(items(structure(octet_string(ENERGY.name), SEVEN, SCALE), Kept()), Kept())
    assert (scaled.key, str(scaled.number), scaled.state) == (ENERGY.key, "7000", State.OK)
    kept = Kept(scales={ENERGY: ScalerUnit(0, "Wh")})
    (known,) = values(items(named, kept), kept)
    assert (known.key, known.unit, known.state) == (ENERGY.key, "Wh", State.OK)
    assert name_of(items(named, kept)) is None


def test_a_push_list_is_written_as_attributes_are_shown() -> None:
    assert from_text(str(ENERGY)) == ENERGY
    with pytest.raises(ValueError, match="unpack"):
        from_text("1-0:1.8.0.255")
