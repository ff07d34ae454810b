"""docs/dlms.md names a test for each rule; and the rules that no other file's tests are about."""

from __future__ import annotations

import hmac
import re
from dataclasses import replace
from pathlib import Path

import pytest
from dlms_wire import ACCESS, LONG, Conversation, Shelf, half_of

from protocols.dlms import data, profile
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.counters import Block
from protocols.dlms.data import Data, Tag
from protocols.dlms.guard import Vault
from protocols.dlms.hdlc import Frame, FrameReader
from protocols.dlms.link import OUR_SIZE
from protocols.dlms.objects import CLOCK_TIME, Attribute, ScalerUnit
from protocols.dlms.profile import Column
from protocols.dlms.server import HdlcServer, Server
from protocols.dlms.session import Done, Session
from protocols.reading import MeterTime, Precision, Scaled, State

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"T": "tests/dlms", "G": "tests/gateway"}
COMMAND, RESPONSE = bytes.fromhex("e6e600"), bytes.fromhex("e6e700")  # LLC headers
NAMED = re.compile(r"`([TG]) (test_\w+)::(test_\w+)`")


def test_every_test_that_the_page_names_is_there() -> None:
    """Rules a to j and every line of the breadth name one at least."""
    page = (ROOT / "docs" / "dlms.md").read_text("utf-8")
    lines = [each for each in page.splitlines() if each.startswith("| ") and not each.startswith(("| rule", "| what"))]
    assert [each[2] for each in lines[:10]] == list("abcdefghij")
    assert len(lines) > 20
    for line in lines:
        named = NAMED.findall(line)
        assert named, line
        for folder, module, name in named:
            source = (ROOT / FOLDERS[folder] / f"{module}.py").read_text("utf-8")
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), (module, name)


def frames(octets: bytes) -> list[Frame]:
    return FrameReader().feed(octets)


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords and the answers to challenges, on both sides: where they differ early as where they differ late."""
    compared: list[tuple[bytes, bytes]] = []
    plain = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return plain(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    for auth, least in ((Auth.LLS, 1), (Auth.HLS_SHA256, 3)):
        access = Access(client=32, auth=auth, password=b"secret-of-16-oct", title=b"PLB\0\0\0\0\1")
        compared.clear()
        server = Server(Shelf(), (access,), vault=Vault(b"KAM\0\0\0\0\2", Block(1, 1_000)))
        found = Conversation(Session(access, Framing.WRAPPER), half_of(server, Framing.WRAPPER))
        assert isinstance(found.associate(), Done)
        assert len(compared) >= least
        assert all(one != b"" for one, _ in compared)


def test_a_meter_that_writes_a_commands_llc_header_is_read() -> None:
    """E6 E6 00 before an answer."""

    def other_header(_: int, octets: bytes) -> list[bytes]:
        made = [
            replace(each, information=COMMAND + each.information[3:]) if each.information[:3] == RESPONSE else each
            for each in frames(octets)
        ]
        assert made
        return [b"".join(each.to_bytes() for each in made)]

    server = Server(Shelf(), (ACCESS,))
    found = Conversation(Session(ACCESS, Framing.HDLC), half_of(server, Framing.HDLC), down=other_header)
    found.associate()
    step = found.get(LONG)
    assert isinstance(step, Done)
    assert step.data == Shelf().values[LONG]
    assert not any(COMMAND in octets for octets in found.heard)


@pytest.mark.parametrize("size", [20, 128, 300, OUR_SIZE, 2_030])
def test_no_frame_is_larger_than_both_sides_take(size: int) -> None:
    """What we offer, or what the meter takes; both ways."""
    shelf = Shelf()
    shelf.values[LONG] = data.octet_string(bytes(5_000))
    half = HdlcServer(Server(shelf, (ACCESS,), 6_000, settable=shelf), 1, size=size)
    found = Conversation(Session(ACCESS, Framing.HDLC), half)
    found.associate()
    step = found.get(LONG)
    assert isinstance(step, Done)
    assert step.data == shelf.values[LONG]
    for said in (found.sent, found.heard):
        told = [len(each.information) for octets in said for each in frames(octets) if not each.control & 1]
        assert max(told) <= min(size, OUR_SIZE)
    assert max(told) == min(size, OUR_SIZE)


def test_a_row_keeps_all_that_its_clock_says() -> None:
    """Raw bytes, the instant, deviation, summer time, whether the meter calls it invalid; and an exact number."""
    energy = Attribute.of(3, "1-0:1.8.0")
    octets = bytes.fromhex("07ea07010302000000ff8881")
    row = data.structure(data.octet_string(octets), Data(Tag.DOUBLE_LONG_UNSIGNED, 4_294_967_295))
    [found] = profile.rows(data.array(row), (Column(CLOCK_TIME), Column(energy)), {energy: ScalerUnit(-3, "Wh")}, 900)
    assert found.clock is not None
    assert found.clock.octets == octets
    assert found.time == MeterTime(found.time.seconds if found.time else 0, Precision.SECOND, True, 120)
    assert found.utc_ms == 1_782_864_000_000
    assert (found.invalid, found.repeated) == (True, False)
    assert (found.values[0].number, found.values[0].state) == (Scaled(4_294_967_295, -3), State.OK)
