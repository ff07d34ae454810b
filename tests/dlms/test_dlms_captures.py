"""Pushes of real meters: frames, segments and data against their published decoding."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from protocols.dlms import data
from protocols.dlms.data import Data, Tag
from protocols.dlms.hdlc import Frame, FrameReader
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
PLAIN = ["hdlc_iskra550", "hdlc_norway_han_1phase", "raw_energomera", "raw_salzburg_netz"]
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


def notified(apdu: bytes) -> Data:
    """The body of a data-notification: tag, invoke-id of 4 bytes, date-time, data."""
    assert apdu[0] == 0x0F
    return data.from_bytes(apdu[6 + apdu[5] :])


def agree(found: Data, published: ElementTree.Element) -> None:
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


@pytest.mark.parametrize("name", PLAIN)
def test_values_of_real_meters(captures: Path, name: str) -> None:
    """Every value with its type is what was published."""
    published = ElementTree.parse(captures / f"{name}_decoded.xml").getroot()  # noqa: S314
    agree(notified(apdu_of(captures / f"{name}.log")), list(published)[-1])


def test_a_notification_that_is_no_data_is_named(captures: Path) -> None:
    """One meter writes attribute descriptors where data should be: an error, not a value."""
    with pytest.raises(MeterError):
        notified(apdu_of(captures / "raw_egd_example.log"))
