"""What counts as the answer to a question: to the byte, or a named error."""

from __future__ import annotations

import pytest

from protocols.errors import PlombaError
from protocols.modbus import faults
from protocols.modbus.adu import MAX_FOREIGN, Question, judge

QUESTION = Question(1, "input", 52, 2)
GOOD = bytes.fromhex("0007 0000 0007 01 04 04 e240 0001")
SEVEN = 7


def test_the_answer_is_taken_when_it_is_whole() -> None:
    """Byte by byte: nothing before the last one."""
    for length in range(len(GOOD)):
        assert judge(QUESTION, SEVEN, GOOD[:length]) is None
    found = judge(QUESTION, SEVEN, GOOD)
    assert found is not None
    assert (found.octets, found.words) == (GOOD, GOOD[9:])


def test_answers_to_other_questions_are_stepped_over() -> None:
    """Late ones and doubled ones; transaction 0 is no wildcard."""
    others = bytes.fromhex("0006 0000 0003 02 84 02") + bytes.fromhex("0000 0000 0007 01 04 04 ffff ffff")
    found = judge(QUESTION, SEVEN, others + GOOD + GOOD)
    assert found is not None
    assert found.octets == GOOD


def test_a_stream_of_others_ends_in_an_error() -> None:
    other = b"\x00\x06" + GOOD[2:]
    assert judge(QUESTION, SEVEN, other * MAX_FOREIGN) is None
    with pytest.raises(faults.AnotherTransaction):
        judge(QUESTION, SEVEN, other * (MAX_FOREIGN + 1))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("0007 0000 0007 02 04 04 e240 0001", faults.AnotherUnit),
        ("0007 0000 0007 01 03 04 e240 0001", faults.AnotherFunction),
        ("0007 0000 0005 01 04 02 e240", faults.WrongLength),
        ("0007 0000 0009 01 04 06 e240 0001 0000", faults.WrongLength),
        ("0007 0000 0007 01 04 02 e240 0001", faults.WrongLength),
        ("0007 0000 0005 01 04 04 e240", faults.WrongLength),
        ("0007 0000 0004 01 84 02 00", faults.WrongLength),
        ("0007 0001 0007 01 04 04 e240 0001", faults.NotModbus),
        ("0007 0000 0002 01 04", faults.NotModbus),
        ("0007 0000 ffff 01 04", faults.NotModbus),
        ("0007 0000 0003 01 84 01", faults.IllegalFunction),
        ("0007 0000 0003 01 84 02", faults.IllegalAddress),
        ("0007 0000 0003 01 84 03", faults.IllegalValue),
        ("0007 0000 0003 01 84 04", faults.DeviceFailure),
        ("0007 0000 0003 01 84 05", faults.Acknowledged),
        ("0007 0000 0003 01 84 06", faults.DeviceBusy),
        ("0007 0000 0003 01 84 07", faults.NegativeAcknowledge),
        ("0007 0000 0003 01 84 08", faults.MemoryParity),
        ("0007 0000 0003 01 84 0a", faults.GatewayPath),
        ("0007 0000 0003 01 84 0b", faults.GatewayTarget),
        ("0007 0000 0003 01 84 63", faults.RefusedError),
        ("0007 0000 0003 01 83 02", faults.AnotherFunction),
    ],
)
def test_every_wrong_answer_has_its_name(answer: str, error: type[PlombaError]) -> None:
    with pytest.raises(error) as caught:
        judge(QUESTION, SEVEN, bytes.fromhex(answer))
    assert type(caught.value) is error
