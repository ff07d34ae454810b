"""Packets in a file: every whole one comes out, and what is no such file is named."""

from __future__ import annotations

import io

import pytest

from protocols.uplink import carried, limits
from protocols.uplink.carried import MAGIC, NotCarried, frame
from protocols.uplink.pack import pack

PACKETS = [b"", b"a", bytes(300), b"last"]
WHOLE = carried.head("boiler-room-1", "batch") + b"".join(map(frame, PACKETS))


def taken(octets: bytes) -> tuple[list[bytes], bool]:
    """The packets that come out, and whether the end was a clean one."""
    packets: list[bytes] = []
    try:
        packets.extend(carried.read(io.BytesIO(octets), "stick").packets)
    except NotCarried:
        return packets, False
    return packets, True


def test_what_goes_in_comes_out() -> None:
    """With whose and which they are."""
    found = carried.read(io.BytesIO(WHOLE), "stick")
    assert (found.gateway, found.kind) == ("boiler-room-1", "batch")
    assert list(found.packets) == PACKETS


def test_a_file_that_is_cut_off_gives_every_whole_packet() -> None:
    """At any byte; it is taken for complete only where a packet ends."""
    head = len(carried.head("boiler-room-1", "batch"))
    ends = {head: 0}
    for count, packet in enumerate(PACKETS, 1):
        ends[max(ends) + 4 + len(packet)] = count
    for size in range(len(WHOLE) + 1):
        packets, clean = taken(WHOLE[:size])
        assert packets == PACKETS[: max((count for end, count in ends.items() if end <= size), default=0)]
        assert clean == (size in ends)


@pytest.mark.parametrize(
    ("octets", "named"),
    [
        (b"", "PLOMBA-CARRIED-1"),
        (b"PK\x03\x04" + bytes(100), "PLOMBA-CARRIED-1"),
        (MAGIC, "got"),
        (MAGIC + (129).to_bytes(4, "big") + bytes(129), "at most 128"),
        (MAGIC + frame(pack([2, "boiler-room-1", "batch"])), "from 1 to 1"),
        (MAGIC + frame(pack([1, "../etc", "batch"])), "a-z0-9-"),
        (MAGIC + frame(pack([1, "boiler-room-1", "command"])), "batch or ack"),
        (MAGIC + frame(pack([1, 7, "batch"])), "a str"),
        (MAGIC + frame(b"\xc1"), "msgpack"),
    ],
)
def test_what_is_no_such_file_is_named(octets: bytes, named: str) -> None:
    with pytest.raises(NotCarried, match="PLB-C103") as caught:
        carried.read(io.BytesIO(octets), "stick")
    assert named in str(caught.value)
    assert "stick" in str(caught.value)


def test_a_length_that_no_packet_has_allocates_nothing() -> None:
    """It ends the file: what follows cannot be told apart any more."""
    size = (limits.PACKET + 1).to_bytes(4, "big")
    found = carried.read(io.BytesIO(WHOLE + size + bytes(100)), "stick")
    for packet in PACKETS:
        assert next(found.packets) == packet
    with pytest.raises(NotCarried, match="at most 327680"):
        next(found.packets)
