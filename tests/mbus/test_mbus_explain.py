"""Telegrams explained: hex as people write it, the JSON form of real and constructed ones, each byte, the command."""

from __future__ import annotations

import html
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from protocols.errors import MeterError
from protocols.mbus import explain, layout, link, telegram
from protocols.mbus.faults import NotHex
from protocols.mbus.meaning import values
from simulators.mbus import encoding

ROOT = Path(__file__).resolve().parents[2]
FIELDS = [
    "protocol",
    "frame",
    "address",
    "manufacturer",
    "id",
    "version",
    "medium",
    "medium_name",
    "access",
    "status",
    "status_raw",
    "more",
    "partial",
    "manufacturer_data",
    "records",
]
RECORD_FIELDS = [
    "function",
    "storage",
    "tariff",
    "subunit",
    "quantity",
    "unit",
    "value",
    "state",
    "qualifiers",
    "raw",
    "obis",
]
STATES = {"ok", "invalid", "recurring", "error-state", "unknown"}
PLAIN = re.compile(r"-?\d+(\.\d+)?")
E5_LINE = "     0  e5                                   acknowledgement: the meter has understood"
RANDOM_BODIES = 10_000


def shown(records: str, ci: int = 0x78) -> list[dict[str, Any]]:
    """The records of a telegram in the JSON form."""
    frame = link.parse(encoding.long_frame(1, ci, bytes.fromhex(records)))
    found: list[dict[str, Any]] = json.loads(json.dumps(asdict(explain.explain(frame))))["records"]
    return found


def only(record: str) -> dict[str, Any]:
    (found,) = shown(record)
    return found


@pytest.mark.parametrize(
    "written",
    [
        "1040014116",
        "10 40 01 41 16",
        "10:40:01:41:16",
        "0x10 0x40 0X01 0x41 0x16",
        "0x1040014116",
        "  10 40\r\n 01\t41:16\n",
    ],
)
def test_hex_may_have_blanks_colons_line_ends_and_0x(written: str) -> None:
    assert explain.octets_of(written) == bytes.fromhex("1040014116")


def test_upper_and_lower_case_are_one() -> None:
    assert explain.octets_of("aBcDeF") == b"\xab\xcd\xef"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("68 0g", "expected hexadecimal digits, got 'g' in telegram at character 5"),
        ("0x68,0x15", "got ',0x15' in telegram at character 5"),
        ("68 1", "expected hexadecimal digits in pairs, got '1' in telegram at character 4"),
        ("0x", "expected hexadecimal digits in pairs, got '0x' in telegram at character 1"),
        ("", "expected the bytes of a telegram, got nothing"),
        (" : ", "got nothing"),
        ("6\u0668", "at character 2"),  # a digit of another script
    ],
)
def test_what_is_not_hex_is_said_with_its_place(written: str, message: str) -> None:
    with pytest.raises(NotHex, match=re.escape(message)):
        explain.octets_of(written)


def test_a_telegram_has_these_fields() -> None:
    """The contract of --json."""
    frame = link.parse(encoding.long_frame(5, 0x72, bytes.fromhex("785634122d2c08042a140000 0406 39300000 0f aabb")))
    found = asdict(explain.explain(frame))
    assert list(found) == FIELDS
    assert list(found["records"][0]) == RECORD_FIELDS
    assert (found["protocol"], found["address"]) == ("mbus", 5)
    assert (found["manufacturer"], found["id"], found["version"]) == ("KAM", "12345678", 8)
    assert (found["medium"], found["medium_name"], found["access"]) == (4, "heat, outlet", 42)
    assert (found["status"], found["status_raw"]) == (("power low", "temporary error"), 0x14)
    assert (found["more"], found["partial"], found["manufacturer_data"]) == (False, False, "aabb")
    assert found["records"][0] == {
        "function": "instantaneous value",
        "storage": 0,
        "tariff": 0,
        "subunit": 0,
        "quantity": "energy",
        "unit": "Wh",
        "value": "12345000",
        "state": "ok",
        "qualifiers": (),
        "raw": "040639300000",
        "obis": "6-0:1.0.0.255",
    }


@pytest.mark.parametrize(
    ("word", "names"),
    [
        (0x00, ()),
        (0x01, ("application busy",)),
        (0x02, ("any application error",)),
        (0x03, ("abnormal condition",)),
        (0x1C, ("power low", "permanent error", "temporary error")),
        (0xE0, tuple(f"manufacturer specific bit {bit}" for bit in (5, 6, 7))),
    ],
)
def test_the_bits_of_the_status_are_named(word: int, names: tuple[str, ...]) -> None:
    assert explain.status_names(word) == names


def test_the_counters_bits_of_a_fixed_structure_are_named() -> None:
    found = explain.status_names(0x07, True)
    assert found == ("counters are signed binary", "counters are stored at a fixed date", "power low")


@pytest.mark.parametrize(
    ("record", "value"),
    [
        ("05 5b 713dac41", "21.53"),  # a float32 with 7 digits
        ("05 3b 5ccfb243", "0.35762"),
        ("05 13 cdcccc3d", "0.0001"),
        ("05 16 20bcbe4c", "100000000"),
        ("05 2b 00000000", "0"),
        ("04 fd50 39300000", "0.000000012345"),
        ("04 fd4e 39300000", "1234500000"),
        ("0a 5a 0510", "100.5"),
        ("0b 13 4523f1", "-12.345"),
        ("0d fd11 04 e9666163", "café"),
        ("04 6d 1a0ecd13", "2014-03-13T14:26"),
        ("02 6c 1f3c", "2024-12-31"),
        ("0c 78 17320905", "05093217"),  # as on the plate
        ("0a 79 0100", "0001"),
        ("04 78 11000000", "17"),  # binary: no digits are lost
    ],
)
def test_a_value_is_plain(record: str, value: str) -> None:
    found = only(record)
    assert (found["state"], found["value"]) == ("ok", value)


@pytest.mark.parametrize(
    ("record", "pattern"),
    [
        ("42 6c 003c", "2024-12-*"),
        ("02 6c fffc", "*-12-31"),
        ("02 6c 1f3f", "2024-*-31"),
        ("04 6d 3f0ecd13", "2014-03-13T14:*"),
        ("04 6d 1a1fcd13", "2014-03-13T*:26"),
        ("03 6d 1e2d0c", "*-*-*T12:45:30"),
        ("06 6d 3f3b171f3c00", "2024-12-31T23:59:*"),
    ],
)
def test_a_recurring_date_is_a_pattern(record: str, pattern: str) -> None:
    found = only(record)
    assert (found["state"], found["value"], found["unit"]) == ("recurring", pattern, "")


@pytest.mark.parametrize(
    ("record", "state", "value", "unit"),
    [
        ("34 13 39300000", "error-state", "12.345", "m3"),  # shown, and never a reading
        ("3b 2d bdebdd", "error-state", None, "W"),
        ("04 9303 39300000", "invalid", "12.345", "m3"),  # a record error stands beside its number
        ("04 9315 39300000", "invalid", None, "m3"),  # ... but "no data available" has none
        ("0c 13 ffffffff", "invalid", None, "m3"),
        ("44 13 ffffffff", "invalid", None, "m3"),
        ("00 13", "invalid", None, "m3"),
        ("02 6c ffff", "invalid", None, ""),
        ("04 7b 39300000", "unknown", "12345", ""),
        ("04 933d 39300000", "unknown", "12345", ""),  # never m3
        ("04 fdfd04 39300000", "unknown", "12345", ""),
        ("0c 7b 39300a00", "unknown", None, ""),  # no digits
        ("02 fdc8ff01 d108", "unknown", "225.7", "V"),  # what stands before the manufacturer's VIFE is defined
        ("04 ed7f 1a0ecd13", "unknown", "2014-03-13T14:26", ""),
        ("02 ff52 f401", "unknown", "500", ""),
        ("0d 13 e1 ff", "unknown", "ff", ""),
        ("0d 7f f0 000102030405060708090a0b0c0d0e0f", "unknown", "000102030405060708090a0b0c0d0e0f", ""),
    ],
)
def test_what_is_no_reading_shows_what_can_be_shown(record: str, state: str, value: str | None, unit: str) -> None:
    found = only(record)
    assert (found["state"], found["value"], found["unit"]) == (state, value, unit)
    assert found["raw"] == bytes.fromhex(record).hex()


@pytest.mark.parametrize(
    ("record", "value", "unit"),
    [
        ("02 fdd070 0a00", "0.00000000000000001", "A"),
        ("05 fdd070 0000803f", "0.000000000000000001", "A"),
        ("07 13 0000000000000080", "-9223372036854775.808", "m3"),
        ("07 fd1c ffffffffffffffff", "18446744073709551615", "Bd"),
        ("0d 13 f0" + "01" * 16, "1334440654591915542993625911497130.241", "m3"),
        ("0d fd10 bf" + "41" * 0xBF, "A" * 0xBF, ""),
        ("07 fb89fd7d ffffffffffffff7f", "9223372036854775807" + "0" * 15, "J"),
    ],
)
def test_what_no_reading_holds_is_shown_whole_and_said_so(record: str, value: str, unit: str) -> None:
    """64 bits, 10^-12 and 128 bytes of text are the limits of a sealed value."""
    found = only(record)
    assert (found["state"], found["value"], found["unit"]) == ("unknown", value, unit)
    assert found["qualifiers"] == ["beyond what a reading holds"]


@pytest.mark.parametrize(
    ("record", "unit"), [("04 fb02", "varh"), ("04 fb04", "VAh"), ("04 fb8222", "varh/h"), ("04 fb843b", "VAh")]
)
def test_reactive_and_apparent_energy_have_the_units_of_public_lists(record: str, unit: str) -> None:
    """UCUM, and so every reading, has var.h and VA.h."""
    assert only(f"{record} 39300000")["unit"] == unit


def test_a_telegram_without_a_header_proposes_no_names() -> None:
    """Nobody says what its energy is of."""
    assert only("0406 39300000")["obis"] is None


def test_a_stored_value_without_a_valid_date_says_so() -> None:
    energy, date = shown("4406 39300000 426c ffff")
    assert (energy["state"], energy["value"]) == ("invalid", None)
    assert energy["qualifiers"] == ["the date of this storage is invalid"]
    assert date["state"] == "invalid"


def test_summer_time_is_said() -> None:
    assert only("04 6d 1a8ecd13")["qualifiers"] == ["summer time"]


def test_fillers_more_and_manufacturer_data_are_no_records() -> None:
    frame = link.parse(encoding.long_frame(1, 0x78, bytes.fromhex("2f 025b1600 2f2f 1f aabbcc")))
    found = explain.explain(frame)
    assert [record.value for record in found.records] == ["22"]
    assert (found.more, found.manufacturer_data) == (True, "aabbcc")


def covered(octets: bytes) -> list[str]:
    """The words of each part; all bytes are in exactly one, in order."""
    frame = link.parse(octets)
    answer = telegram.decode(frame) if frame.kind is link.Kind.LONG else None
    parts = layout.parts(frame, answer)
    assert b"".join(part.octets for part in parts) == octets
    assert [part.offset for part in parts] == [sum(len(each.octets) for each in parts[:at]) for at in range(len(parts))]
    assert all(part.words for part in parts)
    return [part.words for part in parts]


def test_each_byte_of_a_record_has_words() -> None:
    records = "2f 84c140 fdc9fc01 39300000 0d 93bb74 02 3132 0c 7c 02 6162 11223344 04 13 39"
    words = covered(encoding.long_frame(1, 0x78, bytes.fromhex(records)))[6:-2]
    assert words == [
        "filler",
        "DIF, 32-bit integer, instantaneous value, more follows",
        "DIFE, storage 2, tariff 0, subunit 3",
        "VIF, voltage, V",
        "VIFE, at phase L1",
        "data, 12345 V",
        "DIF, variable length, instantaneous value",
        "VIF, volume, 10^-3 m3",
        "VIFE, accumulation of positive contributions",
        "VIFE, times 10^-2",
        "LVAR, 2 bytes of text",
        "data, 21 (unknown)",
        "DIF, 8 digits BCD, instantaneous value",
        "VIF, value in the meter's own unit, {ba}",
        "data, 44332211 {ba}",
        "a record that does not end: expected 4 bytes of data, got 1",
    ]


def test_real_telegrams_are_covered_byte_by_byte(telegrams: dict[str, bytes]) -> None:
    for octets in telegrams.values():
        assert "reserved" not in covered(octets)[:6]


def test_a_telegram_that_does_not_decode_is_laid_out_as_far_as_it_goes() -> None:
    frame = link.parse(encoding.long_frame(1, 0x70, b"\x08"))
    assert [part.words for part in layout.parts(frame, None)][5:7] == [
        "CI, application error",
        "what follows, not decoded",
    ]


def published(path: Path) -> list[dict[str, str]]:
    """The published records of a telegram."""
    blocks = re.findall(r"<DataRecord.*?</DataRecord>", path.read_text("utf-8"), re.DOTALL)
    rows = [{name: html.unescape(text) for name, text in re.findall(r"<(\w+)>(.*?)</\1>", each)} for each in blocks]
    return [row for row in rows if row["Function"] not in ("Manufacturer specific", "More records follow")]


def test_real_telegrams_show_what_their_readings_have(corpus: Path, telegrams: dict[str, bytes]) -> None:
    """51 telegrams through the JSON form: as many records as are published, in the states that a reading seals."""
    states: Counter[str] = Counter()
    for name, octets in telegrams.items():
        found = json.loads(json.dumps(asdict(explain.explain(link.parse(octets)))))
        sealed = values(telegram.decode(link.parse(octets)))
        rows = published(corpus / "frames" / f"{name}.norm.xml")
        assert len(found["records"]) == len(sealed) == len(rows), name
        for record, value in zip(found["records"], sealed, strict=True):
            assert record["state"] == value.state.name.lower().replace("_", "-")
            assert record["storage"] == value.key.parts[1]
            assert record["state"] == "unknown" or record["unit"] == value.unit
            assert record["state"] != "ok" or record["value"] is not None
            assert bytes.fromhex(record["raw"]) in octets
            states[record["state"]] += 1
    assert states == {"ok": 471, "unknown": 66, "error-state": 22, "invalid": 3, "recurring": 1}


# Constructed cases that the publisher shows in the value's own unit: a count and two durations.
DROPPED = {"VIFE 93 41", "VIFE 93 58", "VIFE 93 60"}


def agrees(record: dict[str, Any], expected: str) -> bool:
    value = record["value"]
    if expected in ("invalid", "nodata"):
        return value is None and record["state"] == "invalid"
    if value == expected:
        return True
    if not PLAIN.fullmatch(value or ""):
        return False
    wanted = Decimal(expected)
    if record["raw"].startswith("05"):  # float32: 7 digits of the exact number that is published
        return f"{Decimal(value):.6e}" == f"{wanted:.6e}"
    return wanted == Decimal(value)


def test_constructed_cases_show_the_expected_value(corpus: Path) -> None:
    """All 209: value, place, and qualifiers where the case has some; what differs is named above."""
    outcome: Counter[str] = Counter()
    for line in (corpus / "synthetic-cases.tsv").read_text("utf-8").splitlines()[1:]:
        name, octets, expected = line.split("\t")
        shown = explain.in_seconds(explain.explain(link.parse(bytes.fromhex(octets))))
        found = json.loads(json.dumps(asdict(shown)))
        covered(bytes.fromhex(octets))
        wanted = [part.split("|") for part in expected.split(" ; ")]
        if wanted[-1][0] == "more":
            assert found["more"]
            del wanted[-1]
        for record, row in zip(found["records"], wanted, strict=True):
            place = [f"st{record['storage']}", f"t{record['tariff']}", f"s{record['subunit']}"]
            assert place == row[3].split()[:3], name
            assert record["qualifiers"] or not row[3].split()[3:] or row[3].endswith("mfrvif"), name
            assert name in DROPPED or agrees(record, row[0]), (name, record)
            outcome[record["state"]] += 1
        outcome["cases"] += 1
    assert outcome == {"cases": 209, "ok": 163, "unknown": 31, "invalid": 19, "error-state": 1, "recurring": 1}


def test_random_bodies_are_explained_or_refused_by_name() -> None:
    """10^4 with right checksums: an object that is JSON, states and plain values, or a named error."""
    source = random.Random(7)
    seen: Counter[str] = Counter()
    for _ in range(RANDOM_BODIES):
        ci = source.choice([0x72, 0x76, 0x78, 0x78, 0x7A, 0x73, 0x77, 0x70, source.randrange(256)])
        frame = link.parse(encoding.long_frame(source.randrange(256), ci, source.randbytes(source.randrange(60))))
        try:
            found = json.loads(json.dumps(asdict(explain.explain(frame))))
            assert layout.lines(frame, telegram.decode(frame))
        except MeterError as error:
            seen[error.code] += 1
            continue
        seen["explained"] += 1
        assert list(found) == FIELDS
        for record in found["records"]:
            assert record["state"] in STATES
            assert record["value"] is not None or record["state"] in ("invalid", "error-state", "unknown")
            if record["state"] == "invalid" and record["value"] is not None:
                assert any(said.startswith("record error: ") for said in record["qualifiers"])
    assert seen["explained"] > RANDOM_BODIES // 2
    assert set(seen) <= {"explained", "PLB-M111", "PLB-M112", "PLB-M113", "PLB-M115", "PLB-M120"}


def command(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a technician runs it."""
    line = [sys.executable, "-m", "gateway.cli", "decode", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        line, cwd=ROOT, env=environment, input=given, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_explains_for_people() -> None:
    done = command(encoding.long_frame(5, 0x72, bytes.fromhex("785634122d2c080455000000 0406 39300000")).hex(" "))
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == (
        "KAM 12345678 version 8, medium 04 (heat, outlet), access number 85, status 00 (nothing to report), address 5"
    )
    assert lines[2].split() == ["1", "energy", "12345000", "Wh", "ok", "6-0:1.0.0.255"]
    assert "    21  39 30 00 00                          data, 12345000 Wh" in lines


def test_the_command_prints_one_object() -> None:
    done = command("--json", "0x68 0x07:07 0x68 08 01 78 02 5b 16 00 F4 16")
    assert (done.returncode, done.stderr) == (0, "")
    assert [record["value"] for record in json.loads(done.stdout)["records"]] == ["22"]


def test_the_command_answers_each_line_of_standard_input() -> None:
    done = command("--json", "-", given="68070768080178025b1600f416\n\n  \nE5\n68 zz\n6804046808017008 8116\r\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [row.get("frame") for row in rows] == ["long", None, None, "acknowledgement", None, None]
    assert [row["error"][:8] for row in rows if "error" in row] == ["PLB-M121"] * 3 + ["PLB-M111"]


def test_the_command_fails_with_the_error_on_stderr() -> None:
    done = command("D 04 04 68")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("PLB-M121: expected hexadecimal digits in pairs, got 'D' in telegram at character 1")


def test_a_telegram_may_be_given_in_several_arguments() -> None:
    done = CliRunner().invoke(main, ["decode", "10", "5B", "01", "5C", "16"])
    assert done.exit_code == 0
    assert "control field, REQ_UD2: ask for data" in done.stdout


def test_an_acknowledgement_is_explained_too() -> None:
    assert CliRunner().invoke(main, ["decode", "e5"]).stdout.splitlines()[1] == E5_LINE


def test_lines_for_people_have_their_errors_between_them() -> None:
    done = CliRunner().invoke(main, ["decode", "-"], input=b"\xef\xbb\xbfE5\n\xff\n6804046808017008 8116\n")
    assert done.exit_code == 0
    assert E5_LINE in done.stdout
    assert "PLB-M121: " in done.stdout
    assert "CI, application error" in done.stdout


def test_the_error_and_unsupported_telegrams_end_in_an_object_or_a_named_error(corpus: Path) -> None:
    """23 files, one of them not hex."""
    outcome: Counter[str] = Counter()
    for path in sorted([*corpus.glob("error-frames/*.hex"), *corpus.glob("unsupported-frames/*.hex")]):
        done = CliRunner().invoke(main, ["decode", "--json", path.read_text()])
        outcome["object" if done.exit_code == 0 else done.stderr[:8]] += 1
    assert outcome == {"object": 8, "PLB-M111": 9, "PLB-M112": 3, "PLB-M113": 1, "PLB-M118": 1, "PLB-M121": 1}
