"""Pushes of real meters: frames, segments and data against their published decoding."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from protocols.dlms import data
from protocols.dlms.blocks import GeneralBlock, Joiner
from protocols.dlms.data import Data, Tag
from protocols.dlms.hdlc import Frame, FrameReader
from protocols.dlms.notification import DataNotification, EventNotification
from protocols.dlms.objects import Attribute
from protocols.errors import MeterError

TAGS = {
    "STRUCTURE": Tag.STRUCTURE,
    "ARRAY": Tag.ARRAY,
    "UINT32": Tag.DOUBLE_LONG_UNSIGNED,
    "UINT16": Tag.LONG_UNSIGNED,
    "INT16": Tag.LONG,
    "INT8": Tag.INTEGER,
    "ENUM": Tag.ENUM,
    "VISIBLESTRING": Tag.VISIBLE_STRING,
    "OCTETSTRING": Tag.OCTET_STRING,
    "NullData": Tag.NULL,
}
PLAIN = ["hdlc_iskra550", "hdlc_norway_han_1phase", "raw_egd_example", "raw_energomera", "raw_salzburg_netz"]
CIPHERED = ["hdlc_kamstrup_omnipower", "hdlc_lgz_e450_2"]
TAG_SIZE = 12  # bytes of the authentication tag of security suite 0
FRAMES = {"hdlc_iskra550": 3, "hdlc_kamstrup_omnipower": 1, "hdlc_lgz_e450_2": 3, "hdlc_norway_han_1phase": 1}


def octets_of(path: Path) -> bytes:
    return bytes.fromhex(re.sub(r"[^0-9A-Fa-f]", "", path.read_text("utf-8-sig")))


def frames_of(path: Path) -> list[Frame]:
    return FrameReader().feed(octets_of(path))


def apdu_of(path: Path) -> bytes:
    """The APDU: of HDLC the joined segments without their LLC header."""
    if path.name.startswith("raw"):
        return octets_of(path)
    return b"".join(frame.information for frame in frames_of(path))[3:]


def notified(apdu: bytes) -> DataNotification:
    return DataNotification.from_bytes(apdu)


def deciphered(apdu: bytes, key: bytes, authentication: bytes) -> bytes:
    """The APDU inside a general-glo-ciphering one (AES-128-GCM), done without any code of ours."""
    title, at = apdu[2:10], 10
    at += 1 + (apdu[at] & 0x7F if apdu[at] & 0x80 else 0)
    control, counter, text = apdu[at : at + 1], apdu[at + 1 : at + 5], apdu[at + 5 :]
    authenticated = bool(control[0] & 0x10)
    tag = text[-TAG_SIZE:] if authenticated else None
    cipher = Cipher(AES(key), GCM(title + counter, tag, min_tag_length=TAG_SIZE)).decryptor()
    if authenticated:
        cipher.authenticate_additional_data(control + authentication)
    return cipher.update(text[: -TAG_SIZE if authenticated else None]) + (cipher.finalize() if authenticated else b"")


def joined(apdu: bytes) -> bytes:
    """The APDU inside general blocks, one behind the other; another one as it is."""
    joiner, at = Joiner(), 0
    while apdu[at : at + 1] == b"\xe0":
        size, start = data.read_length(apdu, at + 6)
        joiner.take(GeneralBlock.from_bytes(apdu[at : start + size]))
        at = start + size
    return joiner.whole or apdu


def agree(found: Data, published: ElementTree.Element) -> None:
    if published.tag == "AttributeDescriptor":
        number, name, attribute = data.members_of(found, "descriptor", 3)
        assert [f"{data.whole(number, 'class'):04X}", f"{data.whole(attribute, 'attribute'):02X}"] == [
            published[0].get("Value"),
            published[2].get("Value"),
        ]
        assert ".".join(map(str, data.octets_of(name, "name"))) == published[1].get("Value")
        return
    assert found.tag is TAGS[published.tag]
    shown = published.get("Value", "")
    if isinstance(found.content, tuple):
        assert len(found.content) == len(published) == int(published.get("Qty", "-1"))
        for inner, expected in zip(found.content, published, strict=True):
            agree(inner, expected)
    elif isinstance(found.content, bytes):
        dotted = ".".join(str(each) for each in found.content)
        assert shown in {dotted, found.content.decode("latin-1").rstrip("\0")} or shown.startswith(date(found.content))
    elif found.content is not None:
        assert found.content == int(shown)


def date(octets: bytes) -> str:
    return f"{int.from_bytes(octets[:2], 'big')}-{octets[2]:02}-{octets[3]:02} {octets[5]:02}:{octets[6]:02}"


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_real_meters(captures: Path, name: str) -> None:
    """Every byte belongs to a frame that holds; what is encoded again is the same."""
    octets = octets_of(captures / f"{name}.log")
    reader = FrameReader()
    frames = reader.feed(octets)
    assert reader.noise == 0
    assert len(frames) == FRAMES[name]
    assert b"".join(each.to_bytes() for each in frames) == octets
    assert [earlier.segmented for earlier, _ in pairwise(frames)] == [each.segmented for each in frames[:-1]]
    assert frames[0].information[:3] == bytes.fromhex("e6e700")


def same(found: DataNotification, published: ElementTree.Element) -> None:
    """Invoke-id, time and values."""
    assert f"{found.invoke:08X}" == published.get("LongInvokeId")
    moment, body = published
    said = moment.get("Value", "")
    assert bool(said) == bool(found.moment)
    assert not said or said.startswith(date(found.moment))
    agree(found.body, body)


@pytest.mark.parametrize("name", PLAIN)
def test_values_of_real_meters(captures: Path, name: str) -> None:
    """Every value with its type is what was published, as are invoke-id and time; one meter writes descriptors."""
    published = ElementTree.parse(captures / f"{name}_decoded.xml").getroot()  # noqa: S314
    found = notified(apdu_of(captures / f"{name}.log"))
    same(found, published)
    assert found.described == (name == "raw_egd_example")
    if not found.described:
        assert found.to_bytes() == apdu_of(captures / f"{name}.log")


@pytest.mark.parametrize("name", CIPHERED)
def test_values_of_real_meters_behind_a_cipher(captures: Path, name: str) -> None:
    """Deciphered by another's code; one of them comes in general blocks over several frames."""
    published = ElementTree.parse(captures / f"{name}_decoded.xml").getroot()  # noqa: S314
    keys = [bytes.fromhex((captures / f"{name}.{kind}").read_text()) for kind in ("key", "gak")]
    same(notified(deciphered(joined(apdu_of(captures / f"{name}.log")), *keys)), published[0])


def test_an_event_notification_is_read_with_and_without_its_time() -> None:
    """As the Green Book writes it; encoded again it is the same."""
    for time in ("00", "010c07ea0b1607003a1e00ffc400"):
        octets = bytes.fromhex("c2" + time + "0001" + "0000600b00ff" + "02" + "1104")
        found = EventNotification.from_bytes(octets)
        assert found.attribute == Attribute.of(1, "0-0:96.11.0")
        assert (found.value, len(found.moment)) == (Data(Tag.UNSIGNED, 4), 0 if time == "00" else 12)
        assert found.to_bytes() == octets


def test_a_descriptor_stands_in_a_structure_of_two_alone() -> None:
    """A null first of three is a null, whatever else in the notification has descriptors."""
    pair, three = "0202" + "000100002a0000ff02" + "1101", "0203" + "00" + "1101" + "1102"
    found = DataNotification.from_bytes(bytes.fromhex("0f0000000100" + "0202" + pair + three))
    assert found.described
    first, second = data.members_of(found.body, "body")
    assert data.members_of(second, "three") == (data.NULL, Data(Tag.UNSIGNED, 1), Data(Tag.UNSIGNED, 2))
    assert data.members_of(first, "pair")[1] == Data(Tag.UNSIGNED, 1)


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "0f",
        "0f00000001",
        "0f0000000100",
        "0f00000001050000000000" + "1101",
        "0f0000000100" + "110101",
        "0f0000000100" + "0184ffffffff",
        "0f0000000100" + "0201" * 5_000,
        "0f0000000100" + "0202" + "0001" * 3_000,
        "0f0000000100" + "0202" + "000100002a0000ff02" + "1101" + "00",
        "c2",
        "c202000000",
        "c200000100006001",
        "c200" + "0001" + "0000600b00ff" + "02" + "110405",
    ],
)
def test_a_damaged_notification_is_named(octets: str) -> None:
    """Cut short, too long, of the wrong size, nested without end."""
    with pytest.raises(MeterError):
        (EventNotification if octets[:2] == "c2" else DataNotification).from_bytes(bytes.fromhex(octets))
