"""The command decode on DLMS/COSEM: frames, messages, APDUs and data; every byte named, what is wrong named too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from protocols.dlms import blocks, data, get, hdlc, layout
from protocols.dlms.access import Auth
from protocols.dlms.association import AssociationRequest, AssociationResponse
from protocols.dlms.data import Data, Tag
from protocols.dlms.get import GetNormal, Got
from protocols.dlms.hdlc import Frame
from protocols.dlms.initiate import InitiateRequest
from protocols.dlms.objects import Attribute
from protocols.dlms.profile import between
from protocols.dlms.wrapper import Message
from protocols.reading import MeterTime, Precision

ENERGY = Attribute.of(3, "1-0:1.8.0")
NAMES = [
    "hdlc_iskra550",
    "hdlc_kamstrup_omnipower",
    "hdlc_lgz_e450_2",
    "hdlc_norway_han_1phase",
    "raw_egd_example",
    "raw_energomera",
    "raw_salzburg_netz",
]
ROWS = data.array(*(data.structure(data.octet_string(bytes(range(12))), Data(Tag.LONG, n)) for n in range(20)))


def octets_of(path: Path) -> bytes:
    return bytes.fromhex(re.sub(r"[^0-9A-Fa-f]", "", path.read_text("utf-8-sig")))


def decode(octets: bytes, *options: str) -> Result:
    return CliRunner().invoke(main, ["decode", *options, octets.hex()])


def people(octets: bytes) -> list[str]:
    done = decode(octets)
    assert done.exit_code == 0, done.output
    return [line.rstrip() for line in done.stdout.splitlines()]


def program(octets: bytes) -> Any:
    done = decode(octets, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_of_a_capture_is_named_also_where_it_is_cut_off(captures: Path, name: str) -> None:
    """Whole it holds; cut off anywhere the beginning is explained, and an error or a note says that more is missing."""
    octets = octets_of(captures / f"{name}.log")
    assert layout.explained(octets).error is None
    for end in range(1, len(octets), 7):
        found = layout.explained(octets[:end])
        assert b"".join(part.octets for part in found.sections[0].parts) == octets[:end]
        assert layout.lines(found)


def test_a_push_over_three_frames_is_joined(captures: Path) -> None:
    """Frames with their addresses and checks, the time with its deviation and status, registers with units."""
    found = people(octets_of(captures / "hdlc_iskra550.log"))
    assert found[:3] == [
        "DLMS/COSEM, HDLC",
        *["  from 1, physical 17 to 103, UI: information without numbers, check sequences right"] * 2,
    ]
    for line in (
        "  time                      2023-04-01 Sat 21:32:35, deviation -120 min (UTC+02:00), status 80 (summer time)",
        "  1-0:1.8.0.255             261927 Wh",
        "  1-0:32.7.0.255            236.4 V",
        "     1  a8 a4                                frame format, 164 bytes, segmented: more follows",
        "     7  99 96                                HCS, right",
        "the APDU in 3 frames:",
    ):
        assert line in found


def test_a_ciphered_push_in_general_blocks_is_named(captures: Path) -> None:
    """Who sent it, how it is secured, its counter; as one object too."""
    found = program(octets_of(captures / "hdlc_lgz_e450_2.log"))
    assert [apdu["name"] for apdu in found["apdus"]] == ["general-block-transfer"] * 3 + ["general-glo-ciphering"]
    last = found["apdus"][-1]
    assert (last["system_title"], last["counter"]) == ("4c475a67735dd3a9", 707_715)
    assert last["security"] == "suite 0, authenticated, encrypted"


def test_registers_of_a_push_are_what_was_published(captures: Path) -> None:
    """Names, numbers and texts in their order."""
    published = (captures / "raw_egd_example_decoded.xml").read_text()
    names = re.findall(r'InstanceId Value="([\d.]+)"', published)
    found = program(octets_of(captures / "raw_egd_example.log"))["apdus"][0]
    assert [".".join(re.split("[-:.]", each["obis"])) for each in found["registers"]] == names
    assert found["registers"][20] == {"obis": "1-0:1.8.0.255", "value": "8", "unit": ""}
    assert found["descriptors"] == "without tags"


def test_a_wrong_check_sequence_says_what_it_should_be() -> None:
    """Each of the two, with the expected bytes; the rest is explained all the same, and the command fails."""
    information = b"\xe6\xe7\x00" + Got(1, Data(Tag.UNSIGNED, 5)).to_bytes()
    right = Frame(b"\x21", b"\x03", 0x30, information).to_bytes()
    for at, name in ((6, "HCS"), (len(right) - 2, "FCS")):
        damaged = bytearray(right)
        damaged[at] ^= 1
        done = decode(bytes(damaged))
        assert done.exit_code == 1
        assert done.stderr.startswith("PLB-M310: expected ")
        start, end = (1, 6) if name == "HCS" else (1, len(right) - 3)
        wanted = hdlc.check_sequence(bytes(damaged[start:end])).hex(" ")
        assert f"{name}, WRONG: expected {wanted}" in done.stdout
        assert "unsigned, 5" in done.stdout
        assert "check sequence WRONG" in done.stdout
    assert people(right)[1].endswith("I: information, N(S) 0, N(R) 1, poll/final, check sequences right")


@pytest.mark.parametrize("context", [0x60, 0x01])
def test_no_secret_is_printed(context: int) -> None:
    """A password, alone, in a frame, in pieces, or in an AARQ that does not hold; a dedicated key."""
    apdu = AssociationRequest(InitiateRequest(), int(Auth.LLS), b"12345678").to_bytes()
    secret = b"12345678"
    if context == 0x01:
        secret = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
        apdu = bytes.fromhex("01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0")
    frames = [
        Frame(b"\x03", b"\x21", 0x10, b"\xe6\xe6\x00" + apdu[:20], True).to_bytes(),
        Frame(b"\x03", b"\x21", 0x12, apdu[20:]).to_bytes(),
    ]
    for octets in (apdu, apdu[:-3], apdu + b"\0", Message(16, 1, apdu).to_bytes(), b"".join(frames), frames[0]):
        for options in ((), ("--json",)):
            shown = re.sub(r"\s+", "", decode(octets, *options).output).lower()
            assert secret.hex()[:8] not in shown, shown
            assert "12345678" not in shown


def test_a_refused_association_says_why() -> None:
    """Result and diagnostic in words."""
    found = program(AssociationResponse(1, diagnostic=13).to_bytes())["apdus"][0]
    assert (found["name"], found["result"], found["diagnostic"]) == ("AARE", "rejected", "wrong password")


def test_what_an_association_proposes_is_named() -> None:
    """Context, mechanism, conformance and the longest APDU."""
    found = program(AssociationRequest(InitiateRequest(), int(Auth.LLS), b"12345678").to_bytes())["apdus"][0]
    assert found["application_context"] == "logical names"
    assert found["authentication_mechanism"] == "LLS (password)"
    assert {"get", "selective-access"} <= set(found["conformance"].split(", "))
    assert found["max_pdu"] == 65_535


def test_a_question_for_rows_is_explained() -> None:
    """Class, name, attribute; the selector and its parameters."""
    asked = between(MeterTime(0, Precision.SECOND, False, 60), MeterTime(900, Precision.SECOND, False, 60))
    octets = Message(16, 1, GetNormal(3, Attribute.of(7, "1-0:99.1.0"), asked).to_bytes()).to_bytes()
    found = program(octets)
    assert found["framing"] == "wrapper"
    assert found["frames"][0]["source"] == "16"
    [apdu] = found["apdus"]
    assert (apdu["attribute"], apdu["selector"]) == ("class 7 (profile), 1-0:99.1.0.255, attribute 2", 1)
    assert "2000-01-01 Sat 00:15:00, deviation -60 min (UTC+01:00), status 00" in str(apdu["data"])


def test_general_blocks_over_the_wrapper_are_joined_once_each() -> None:
    """One that came twice is left out with a note; where one is missing nothing is joined."""
    whole = Got(1, ROWS).to_bytes()
    made = [Message(1, 16, each.to_bytes()).to_bytes() for each in blocks.split(whole, 60, 4)]
    found = program(b"".join([*made[:2], made[1], *made[2:]]))
    assert found["apdus"][-1]["name"] == "get-response"
    assert len(found["apdus"][-1]["data"][0]["members"]) == 20
    assert "general block left out: PLB-M316" in found["notes"][0]
    found = program(b"".join([made[0], *made[2:]]))
    assert {apdu["name"] for apdu in found["apdus"]} == {"general-block-transfer"}


def test_a_compact_array_shows_its_type_and_its_elements() -> None:
    """What each element is, and the first of them."""
    found = people(bytes.fromhex("13 02 03 12 09 01 0002 0f 0c  0102 02 6162 ff01  0304 00 7f80"))
    assert any(
        line.endswith("each element: structure of long-unsigned, octet-string, array of 2 integer") for line in found
    )
    assert any(line.endswith("elements, the first: [258; ab; [-1; 1]]") for line in found)


@pytest.mark.parametrize(
    ("octets", "name", "note"),
    [
        ("0600000155", "data", "they begin like the APDU write-request"),
        ("01020f010f02", "data", "they begin like the APDU initiate-request"),
        ("0f05", "data", "they begin like the APDU data-notification"),
        ("c0", "get-request", None),
        ("02020f011101", "data", None),
    ],
)
def test_what_may_be_an_apdu_or_data_is_told(octets: str, name: str, note: str | None) -> None:
    """Some tags are both: what holds to its end counts."""
    done = layout.explained(bytes.fromhex(octets))
    assert done.apdus[0].name == name
    assert note is None or note in done.remarks[0]


def test_an_apdu_that_is_also_data_is_called_ambiguous() -> None:
    """An error of a service, and data: 0E is no type of data, a notification of a null may be an integer and more."""
    octets = bytes.fromhex("0f00000000" + "00" + "00")
    assert layout.explained(octets).remarks == []
    both = bytes.fromhex("010109" + "14" + "0102030405060708" + "0000065f1f0400007e1f04b0")
    assert data.from_bytes(both).tag is Tag.ARRAY
    found = layout.explained(both)
    assert found.apdus[0].name == "initiate-request"
    assert "ambiguous: these bytes are also data" in found.remarks[0]
    assert data.from_bytes(b"\x10\x00\x01").content == 1  # which begins an M-Bus frame, and is taken for one
    assert decode(b"\x10\x00\x01").stderr.startswith("PLB-M109")


def test_an_apdu_in_mbus_frames_is_joined() -> None:
    """Long frames with a CI below 20 carry DLMS/COSEM, in segments; a wrong checksum is told with the right one."""

    def carried(ci: int, piece: bytes) -> bytes:
        inner = bytes((0x53, 0xFF, ci, 1, 0x67)) + piece
        return bytes((0x68, len(inner), len(inner), 0x68)) + inner + bytes((sum(inner) & 0xFF, 0x16))

    whole = Got(1, ROWS).to_bytes()
    found = program(carried(0, whole[:200]) + carried(0x11, whole[200:]))
    assert (found["framing"], found["apdus"][0]["name"]) == ("mbus", "get-response")
    assert len(found["apdus"][0]["data"][0]["members"]) == 20
    single = program(carried(0x10, Got(1, Data(Tag.UNSIGNED, 5)).to_bytes()))
    assert single["apdus"][0]["data"] == [{"type": "unsigned", "value": "5"}]
    damaged = bytearray(carried(0x10, Got(1, Data(Tag.UNSIGNED, 5)).to_bytes()))
    damaged[-2] ^= 1
    done = decode(bytes(damaged))
    assert done.exit_code == 1
    assert f"checksum, WRONG: expected {damaged[-2] ^ 1:02x}" in done.stdout


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("07ea0b1607003a1e00ffc400", "2026-11-22 Sun 00:58:30, deviation -60 min (UTC+01:00), status 00"),
        ("ffff03fe0702ffffff800000"[:-2] + "ff", "*-03-the last day Sun 02:*:*, no deviation, no status"),
        (
            "07eafefd0102030405800085",
            "2026-begin of summer time-the last day but one Mon 02:03:04.05, no deviation, "
            "status 85 (invalid, different clock base, summer time)",
        ),
    ],
)
def test_times_are_shown_with_their_wildcards(moment: str, said: str) -> None:
    """Deviation and status bits in words."""
    assert program(bytes.fromhex("090c" + moment))["apdus"][0]["data"] == [
        {"type": "octet-string", "value": said, "raw": moment}
    ]
    assert program(bytes.fromhex("19" + moment))["apdus"][0]["data"][0]["value"] == said


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        ("1a07ea0b16ff", "2026-11-22"),
        ("1bff1e0000", "*:30:00"),
        ("0403a0", "101"),
        ("0d42", "42"),
        ("0d4a", "4a, no digits"),
        ("0301", "true"),
        ("1743661999", "230.1"),
        ("0906312d303a3131", "1-0:11"),
        ("0c04c3a4c3b6", "äö"),
        ("09060100010800ff", "1-0:1.8.0.255"),
        ("00", None),
    ],
)
def test_each_type_is_shown_as_people_write_it(octets: str, said: str | None) -> None:
    """Dates, times, bits, digits, texts, names."""
    assert program(bytes.fromhex(octets))["apdus"][0]["data"][0].get("value") == said


def test_lines_of_both_protocols_are_answered_one_by_one() -> None:
    """M-Bus and DLMS in one stream; an error is an answer too."""
    given = "E5\n0F0000000100020111 05\n7EA0070321930F017E\n7EA00703219300017E\nFE\n"
    done = CliRunner().invoke(main, ["decode", "--json", "-"], input=given)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["error"][:8] if "error" in row else row["protocol"] for row in rows] == [
        "mbus",
        "dlms",
        "dlms",
        "PLB-M310",
        "PLB-M102",
    ]


def test_answers_of_every_service_are_explained() -> None:
    """GET with list, SET and ACTION, blocks, exceptions: no byte is left over."""
    for octets in (
        "c0034202" + "00030100010800ff0200" + "00080000010000ff0200",
        "c4034202" + "0006000001020104",
        "c40242010000000100" + "03010203",
        "c402420100000001010f",
        "c101410003010001080 0ff02001105".replace(" ", ""),
        "c50141 00".replace(" ", ""),
        "c10241" + "00030100010800ff0200" + "0000000001" + "021105",
        "c10341" + "0100000002" + "0105",
        "c5024100000001",
        "c503410000000002",
        "c30141" + "00460000600a03ff01" + "010f00",
        "c7014100" + "00",
        "c7014100" + "01" + "00" + "1105",
        "d80203",
        "d8020600000123",
        "6200",
        "6303800100",
        "cc18300000000111223344556677889900112233445566778899",
        "dd" + "0000000000" + "00" + "0630000000014401",
    ):
        found = layout.explained(bytes.fromhex(octets))
        assert found.error is None, (octets, found.error)


def test_a_response_with_a_list_says_which_is_refused() -> None:
    """Data and reason."""
    [apdu] = program(bytes.fromhex("c403420200060000010201 04".replace(" ", "")))["apdus"]
    assert apdu["result"] == get.result_name(4)
    assert apdu["data"] == [{"type": "double-long-unsigned", "value": "258"}]


@pytest.mark.parametrize(
    ("octet", "service_class", "priority"),
    [(0xC1, "confirmed", "high"), (0x41, "confirmed", "normal"), (0x81, "unconfirmed", "high")],
)
def test_class_and_priority_of_a_service_are_fields(octet: int, service_class: str, priority: str) -> None:
    """Of a GET and of a SET."""
    asked = GetNormal(1, Attribute.of(1, "0-0:42.0.0.255")).to_bytes()
    for apdu in (asked, b"\xc1" + asked[1:] + b"\x09\x00"):
        found = program(bytes((*apdu[:2], octet, *apdu[3:])))["apdus"][0]
        assert (found["invoke_id"], found["service_class"], found["priority"]) == (1, service_class, priority)
