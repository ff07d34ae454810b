"""Fuzz targets: what DLMS/COSEM meters send unasked or in pieces, services beside GET, and what explains it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

from fuzz_meters import (
    CLIENT_SIDE,
    DATA,
    ENERGY,
    HDLC_REPLIES,
    NUMBERS,
    ROWS,
    SEGMENTS,
    SERVER_SIDE,
    SHOWN_TIMES,
    TIMES,
    framed,
    joined,
    pieces,
)
from fuzzing import Target, Work

from protocols.dlms import blocks, data, get, layout, notification
from protocols.dlms.faults import WrongBlock
from protocols.dlms.wrapper import Message
from protocols.errors import MeterError


def dlms_notification(octets: bytes) -> None:
    """A push or an event; what holds is encoded again and holds again."""
    if octets[:1] == bytes((notification.EVENT_NOTIFICATION,)):
        event = notification.EventNotification.from_bytes(octets)
        assert notification.EventNotification.from_bytes(event.to_bytes()) == event
        return
    found = notification.DataNotification.from_bytes(octets)
    assert found.number < 1 << 24
    assert found.confirmed in {True, False}
    again = notification.DataNotification.from_bytes(found.to_bytes())
    assert (again.body, again.moment) == (found.body, found.moment)


def dlms_explained(octets: bytes) -> None:
    """Every byte is in one part, in order, whatever is wrong; the explanation and the codec agree on what holds."""
    assert layout.is_dlms(octets) or octets[:1] not in {b"\x7e", b"\x0f", b"\xc4"}
    found = layout.explained(octets)
    assert b"".join(part.octets for part in found.sections[0].parts) == octets
    assert layout.lines(found)
    json.dumps(layout.as_json(found))
    decode: dict[tuple[str, int], Callable[[bytes], object]] = {
        ("none", 0x0F): notification.DataNotification.from_bytes,
        ("none", 0xC2): notification.EventNotification.from_bytes,
    }
    if found.carrier == "data":
        decode["data", octets[0]] = data.from_bytes
    if (found.carrier, octets[0]) in decode:
        try:
            decode[found.carrier, octets[0]](octets)
        except MeterError:
            assert found.error is not None
        else:
            assert found.error is None
    if found.error is not None:
        raise found.error


def dlms_blocks(octets: bytes) -> None:
    """Octets in general blocks come back; and general blocks, one after the other, of one transfer."""
    joiner = blocks.Joiner()
    for block in blocks.split(octets, 1 + len(octets) // 8, 3):
        joiner.take(block)
    assert (joiner.whole or b"") == octets
    joiner = blocks.Joiner()
    for each in pieces(octets):
        block = blocks.GeneralBlock.from_bytes(each)
        assert blocks.GeneralBlock.from_bytes(block.to_bytes()) == block
        with suppress(WrongBlock):
            joiner.take(block)
        blocks.GeneralBlock.from_bytes(joiner.acknowledgement().to_bytes())


TARGETS = (
    Target(
        "dlms-notification",
        (
            notification.DataNotification(0x4000_0001, SHOWN_TIMES[0], ROWS).to_bytes(),
            notification.EventNotification(SHOWN_TIMES[0], ENERGY, NUMBERS[0]).to_bytes(),
            bytes.fromhex("0f000000010002021601010102020001 00002a0000ff02 0903414243".replace(" ", "")),
        ),
        dlms_notification,
        work=Work(4_000, 80),
    ),
    Target(
        "dlms-explained",
        (
            *SERVER_SIDE,
            *CLIENT_SIDE,
            *DATA,
            notification.DataNotification(0x4000_0001, SHOWN_TIMES[0], ROWS).to_bytes(),
            bytes.fromhex("db084c475a67735dd3a912300000000011223344112233441122334411"),
        ),
        dlms_explained,
        work=Work(20_000, 800),
        errors=MeterError,
    ),
    Target(
        "dlms-carried",
        (
            framed(b"\x52\xe6\xe7\x00" + get.Got(1, TIMES[0]).to_bytes(), to_meter=False),
            b"".join(framed(each, to_meter=False) for each in SEGMENTS[1:] + HDLC_REPLIES[:1]),
            Message(1, 16, get.Got(1, ROWS).to_bytes()).to_bytes(),
            bytes.fromhex("680b0b6853ff100167c401c1001105 a516".replace(" ", "")),
            b"".join(Message(1, 16, each.to_bytes()).to_bytes() for each in blocks.split(CLIENT_SIDE[1], 40, 3)),
        ),
        dlms_explained,
        work=Work(20_000, 800),
        errors=MeterError,
    ),
    Target(
        "dlms-blocks",
        (joined(*(each.to_bytes() for each in blocks.split(get.Got(1, ROWS).to_bytes(), 40, 3))),),
        dlms_blocks,
    ),
)
