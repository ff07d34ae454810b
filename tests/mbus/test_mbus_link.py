"""Link frames: each thing that can be wrong has its own error, and a stream may come in any pieces."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from corruptions import Tally, spoil
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import MeterError, PlombaError
from protocols.mbus import faults, link
from protocols.mbus.link import FrameReader, Kind
from protocols.mbus.pymeterbus import req_ud2, snd_nke
from protocols.mbus.timing import Timing

GOOD = bytes.fromhex("68151568080172785634122d2c080455000000040239300000b816")
LONG = frozenset({Kind.LONG})


def changed(at: int, octet: int) -> bytes:
    return GOOD[:at] + bytes([octet]) + GOOD[at + 1 :]


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"", faults.CutShort),
        (changed(0, 0x67), faults.BadStart),
        (changed(1, 0x16), faults.LengthsDiffer),
        (changed(2, 0x14), faults.LengthsDiffer),
        (changed(3, 0x69), faults.BadSecondStart),
        (changed(20, 0xFF), faults.BadChecksum),
        (changed(len(GOOD) - 2, 0xB9), faults.BadChecksum),
        (changed(len(GOOD) - 1, 0x17), faults.BadStop),
        (GOOD[:-1], faults.CutShort),
        (GOOD[:3], faults.CutShort),
        (GOOD + b"\x00", faults.BadLength),
        (bytes.fromhex("680202680801" + "0916"), faults.BadLength),
        (b"\xe5\xe5", faults.BadLength),
        (bytes.fromhex("105b015d16"), faults.BadChecksum),
        (bytes.fromhex("105b015c17"), faults.BadStop),
    ],
)
def test_each_thing_wrong_with_a_frame_has_its_own_name(octets: bytes, error: type[MeterError]) -> None:
    with pytest.raises(error):
        link.parse(octets)


def test_every_error_has_a_code_of_its_own_and_says_what_to_do() -> None:
    ours = [error for error in PlombaError.registry.values() if error.__module__ == faults.__name__]
    assert len(ours) == 26  # and AnotherMeter, which all protocols share
    assert all(error.code.startswith("PLB-M1") and error.do for error in ours)


def test_a_whole_frame_gives_its_fields() -> None:
    frame = link.parse(GOOD)
    assert (frame.kind, frame.control, frame.address, frame.ci) == (Kind.LONG, 0x08, 1, 0x72)
    assert frame.body == GOOD[7:-2]
    assert frame.octets == GOOD


@pytest.mark.parametrize(
    ("control", "asked", "error"),
    [(0x48, 1, faults.WrongDirection), (0x09, 1, faults.NotAnAnswer), (0x08, 2, faults.WrongAddress)],
)
def test_a_reply_must_come_from_the_meter_that_was_asked(control: int, asked: int, error: type[MeterError]) -> None:
    inner = bytes([control]) + GOOD[5:-2]
    frame = link.parse(GOOD[:4] + inner + bytes([sum(inner) & 0xFF, 0x16]))
    with pytest.raises(error):
        link.check_reply(frame, asked)


def test_an_acknowledgement_is_not_a_data_reply() -> None:
    with pytest.raises(faults.NotAnAnswer):
        link.check_reply(link.parse(b"\xe5"), 1)


@pytest.mark.parametrize("asked", [1, 253, 254, 255])
def test_the_selected_meter_and_broadcasts_answer_with_their_own_address(asked: int) -> None:
    link.check_reply(link.parse(GOOD), asked)


@pytest.mark.parametrize("size", [1, 2, 7, len(GOOD)])
def test_a_frame_is_found_in_pieces_of_any_size(size: int) -> None:
    reader = FrameReader(LONG)
    found = [frame for at in range(0, len(GOOD), size) for frame in reader.feed(GOOD[at : at + size])]
    assert [frame.octets for frame in found] == [GOOD]
    assert reader.noise == 0


def test_the_reader_says_how_many_bytes_are_missing() -> None:
    reader = FrameReader(LONG)
    assert reader.needs() == 1
    reader.feed(GOOD[:1])
    assert reader.needs() == 3
    reader.feed(GOOD[1:4])
    assert reader.needs() == len(GOOD) - 4


@settings(derandomize=True, max_examples=300, deadline=None)
@given(noise=st.binary(max_size=60), cut=st.integers(1, 20))
def test_a_frame_is_found_behind_noise(noise: bytes, cut: int) -> None:
    """Also where the noise begins like a frame: then at the latest when the line is silent."""
    reader = FrameReader(LONG)
    stream = noise + GOOD
    found = [frame for at in range(0, len(stream), cut) for frame in reader.feed(stream[at : at + cut])]
    found += reader.finish()
    assert GOOD in [frame.octets for frame in found]


def test_an_acknowledgement_inside_noise_is_noise_where_data_were_asked() -> None:
    reader = FrameReader(LONG)
    assert reader.feed(b"\xe5\xe5" + GOOD)[0].octets == GOOD
    assert reader.noise == 2


def test_two_frames_in_one_piece_are_two_frames() -> None:
    assert len(FrameReader(LONG).feed(GOOD + GOOD)) == 2


def test_a_babbling_line_is_cut_off_within_bounded_memory() -> None:
    reader = FrameReader(LONG)
    with pytest.raises(faults.Babble):
        reader.feed(b"\x55" * 1_000_000)
    assert reader.noise == link.MAX_NOISE + 1


@pytest.mark.parametrize(
    ("octets", "error"),
    [(GOOD[:-1], faults.CutShort), (changed(9, 0), faults.BadChecksum), (b"\x01\x02", faults.OnlyNoise)],
)
def test_what_was_not_a_frame_is_named_when_the_line_is_silent(octets: bytes, error: type[MeterError]) -> None:
    reader = FrameReader(LONG)
    assert reader.feed(octets) == []
    assert reader.finish() == []
    assert isinstance(reader.fault(), error)


def test_silence_is_not_a_fault_of_the_reader() -> None:
    reader = FrameReader(LONG)
    assert reader.finish() == []
    assert reader.fault() is None


def test_a_corruption_of_one_byte_is_refused_at_every_place_of_every_telegram(telegrams: dict[str, bytes]) -> None:
    """Each bit of each byte, and four drawn octets; `make soak` tries all 255 (tests/soak/corrupt.py)."""
    tally, dice = Tally(), random.Random("one byte")
    for name, octets in telegrams.items():
        flips = [{each ^ 1 << bit for bit in range(8)} for each in octets]
        spoil(name, octets, lambda at, flips=flips: flips[at] | set(dice.sample(range(256), 4)), tally)  # type: ignore[misc]
    assert tally.passed == []
    assert tally.tried > 10 * sum(map(len, telegrams.values()))


def test_requests_are_built_with_address_and_frame_count_bit() -> None:
    assert snd_nke(1).hex() == "1040014116"
    assert req_ud2(1, fcb=False).hex() == "105b015c16"
    assert req_ud2(1, fcb=True).hex() == "107b017c16"
    assert all(link.parse(req_ud2(address, fcb=True)).address == address for address in range(251))


@pytest.mark.parametrize("address", [-1, 251, 252, 255, 256])
def test_addresses_that_no_meter_has_are_refused(address: int) -> None:
    with pytest.raises(ValueError, match="expected a primary address"):
        snd_nke(address)


ALONE = """
import logging, sys
from protocols.mbus.pymeterbus import req_ud2, snd_nke
assert (snd_nke(1).hex(), req_ud2(5, True).hex()) == ("1040014116", "107b058016")
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"meterbus", "Crypto", "cffi", "pycparser"}))
print(*logging.getLogger().handlers)
import meterbus
print(meterbus.load([0xE5]).__class__.__name__, req_ud2(5, False).hex())
"""


def test_of_the_library_only_what_builds_frames_stays_in_memory() -> None:
    """Neither its wireless half nor its handlers of the root logger; whoever imports all of it gets it."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["", "", "TelegramACK 105b056016"], done.stderr


def test_waits_follow_the_bits_of_the_line() -> None:
    timing = Timing(2400, slack_ms=100)
    assert timing.minimum_ms(98) == 477
    assert timing.minimum_ms(98, reset=True) == 509
    assert timing.minimum_ms(98, reset=True, select=True) == 596
    assert timing.first_byte_ms() == 143 + 50 + 100
    assert timing.between_ms() == 14 + 100
    assert timing.slowest_ms(98) == 477 + 138 + 50


def test_slower_lines_wait_longer() -> None:
    waits = [Timing(baud).first_byte_ms(5) for baud in (300, 2400, 9600, 38400)]
    assert waits == sorted(waits, reverse=True)
