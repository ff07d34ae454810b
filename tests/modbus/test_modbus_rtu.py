"""RTU frames: which bytes on a line are the answer; and which questions may be asked while answers are owed."""

from __future__ import annotations

import random

import pytest
from pymodbus.framer import FramerRTU

from protocols.modbus import crc, faults, rtu
from protocols.modbus.adu import Question
from protocols.modbus.debts import MOST, Debts
from protocols.modbus.timing import Timing
from simulators.modbus import rtu as simulated

ASKED = Question(1, "input", 52, 2)
WORDS = bytes.fromhex("0001e240")
ANSWER = simulated.frame(1, 4, b"\x04" + WORDS)
OTHERS = {
    "another unit": simulated.frame(2, 4, b"\x04" + WORDS),
    "another function": simulated.frame(1, 3, b"\x04" + WORDS),
    "another length": simulated.frame(1, 4, b"\x02" + WORDS[:2]),
    "a refusal of another unit": simulated.frame(2, 0x84, b"\x02"),
    "a question": simulated.frame(9, 3, bytes.fromhex("00000002")),
}


@pytest.mark.parametrize(
    ("octets", "check"),
    [("0207", "4112"), ("010402ffff", "b880"), ("1103006b0003", "7687"), ("01030000000a", "c5cd")],
)
def test_the_crc_is_that_of_published_frames(octets: str, check: str) -> None:
    """The first is the standard's own example (V1.02, annex B); the rest stand in many guides."""
    assert crc.crc(bytes.fromhex(octets)).hex() == check
    assert crc.holds(bytes.fromhex(octets + check))


def test_two_independent_programs_have_the_same_crc() -> None:
    dice = random.Random(1)
    for size in range(1, 254):
        octets = dice.randbytes(size)
        theirs = FramerRTU.compute_CRC(octets).to_bytes(2, "big")
        assert crc.crc(octets) == theirs == simulated.crc(octets)


def test_the_answer_is_taken_to_the_byte() -> None:
    found = rtu.judge(ASKED, ANSWER)
    assert found is not None
    assert (found.octets, found.words) == (ANSWER, WORDS)
    assert all(rtu.judge(ASKED, ANSWER[:size]) is None for size in range(len(ANSWER)))


@pytest.mark.parametrize("before", [*OTHERS, "echo", "noise", "all of them"])
def test_what_stands_in_front_of_the_answer_is_stepped_over(before: str) -> None:
    """Frames of others, our own question, noise of every length."""
    noise = random.Random(2).randbytes(40)
    known = {**OTHERS, "echo": rtu.to_bytes(ASKED), "noise": noise}
    octets = noise.join(known.values()) if before == "all of them" else known[before]
    found = rtu.judge(ASKED, octets + ANSWER)
    assert found is not None
    assert found.words == WORDS


@pytest.mark.parametrize(
    ("which", "named"),
    [
        ("another unit", faults.AnotherUnit),
        ("another function", faults.AnotherFunction),
        ("another length", faults.WrongLength),
    ],
)
def test_an_answer_of_others_is_never_taken_and_is_named(which: str, named: type[Exception]) -> None:
    assert rtu.judge(ASKED, OTHERS[which]) is None
    assert isinstance(rtu.missing(ASKED, OTHERS[which]), named)


def test_no_damaged_answer_is_taken() -> None:
    """Every bit of it."""
    for at in range(len(ANSWER)):
        for bit in range(8):
            damaged = ANSWER[:at] + bytes([ANSWER[at] ^ 1 << bit]) + ANSWER[at + 1 :]
            assert rtu.judge(ASKED, damaged) is None
    assert isinstance(rtu.missing(ASKED, damaged), faults.BadCheck)
    assert rtu.spoilt(ASKED, damaged)


def test_silence_and_our_own_echo_are_no_answer() -> None:
    for received in (b"", rtu.to_bytes(ASKED)):
        assert isinstance(rtu.missing(ASKED, received), faults.NoAnswer)
        assert not rtu.spoilt(ASKED, received)


def test_a_refusal_is_a_named_error() -> None:
    with pytest.raises(faults.IllegalAddress, match="PLB-M412"):
        rtu.judge(ASKED, b"\x00" + simulated.frame(1, 0x84, b"\x02"))
    assert rtu.judge(ASKED, simulated.frame(1, 0x83, b"\x02")) is None


def test_a_line_that_never_rests_is_named() -> None:
    with pytest.raises(faults.LineNeverRests, match="PLB-M421"):
        rtu.judge(ASKED, bytes(rtu.MAX_RECEIVED + 1))


def test_a_unit_that_owes_an_answer_is_first_asked_for_another_number_of_registers() -> None:
    """Until it has answered that, or refused; others are not held up."""
    debts = Debts()
    assert debts.fence(ASKED) is None
    debts.missed(ASKED)
    fence = debts.fence(ASKED)
    assert fence is not None
    assert (fence.unit, fence.table, fence.address) == (ASKED.unit, ASKED.table, ASKED.address)
    assert fence.count != ASKED.count
    assert debts.fence(Question(1, "input", 0, 24)) is None
    assert debts.fence(Question(2, "input", 52, 2)) is None
    debts.answered(fence)
    assert debts.fence(ASKED) is None


def test_a_refusal_settles_the_oldest_debt_only() -> None:
    """It may be late itself: what was asked last may still be answered."""
    debts, later = Debts(), Question(1, "input", 0, 24)
    debts.missed(ASKED)
    debts.missed(later)
    debts.refused(later)
    assert debts.fence(ASKED) is None
    assert debts.fence(later) is not None
    debts.refused(later)
    assert debts.fence(later) is None


def test_every_fence_differs_from_all_that_is_owed() -> None:
    """And what is remembered of a unit that is silent for days is bounded."""
    debts = Debts()
    owed: list[int] = []
    for _ in range(100):
        fence = debts.fence(ASKED) or ASKED
        assert fence.count not in owed[-MOST:]
        assert fence.count <= 2 * (MOST + 1)
        owed.append(fence.count)
        debts.missed(fence)


@pytest.mark.parametrize(("baud", "gap_ms"), [(300, 129), (9_600, 5), (19_200, 3), (38_400, 2), (115_200, 2)])
def test_the_silence_between_frames_is_the_standards(baud: int, gap_ms: int) -> None:
    """3.5 characters of 11 bits, rounded up; fixed above 19,200 baud."""
    assert Timing(baud).gap_ms() == gap_ms
