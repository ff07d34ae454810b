"""Every decoder of outside bytes, with hostile inputs: a value or a named error, bounded work, never another exception.

What fails is shown with the command that does it again, shrunk; it becomes a file in cases/ (`<target>.<what>.hex`).
The full counts are `make soak`'s.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_targets import BY_NAME, EXCEPTIONS, TARGETS, decoders, excepted, reached
from fuzzing import GOOD, SOAK_INPUTS, TEST_INPUTS, Outcome, Target, examine, hunt

CASES = sorted((Path(__file__).parent / "cases").glob("*.hex"))


@pytest.mark.timeout(500)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_hostile_inputs_are_a_value_or_a_named_error(target: Target) -> None:
    """As many as the table says; both ends are met, so what lies behind the first check is reached."""
    tally = hunt(target, target.inputs)
    assert not tally.findings, "\n".join(map(str, tally.findings))
    assert tally.inputs == target.inputs
    assert tally.outcomes[Outcome.VALUE]
    assert tally.outcomes[Outcome.NAMED] or target.only_values
    assert tally.most_steps > 0


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_good_input_of_each_decoder_is_a_value(target: Target) -> None:
    """Without one, hostile inputs would all end at the first check."""
    assert Outcome.VALUE in {examine(target, octets).outcome for octets in target.corpus}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_was_found_once_stays_a_value_or_a_named_error(path: Path) -> None:
    """Inputs that ended otherwise, before they were mended."""
    result = examine(BY_NAME[path.name.split(".")[0]], bytes.fromhex(path.read_text()), counted=True)
    assert result.outcome in GOOD, result


HOSTILE = {
    "a count beyond all bytes": bytes.fromhex("0184ffffffff"),
    "a length beyond all bytes": bytes.fromhex("0984ffffffff"),
    "5,000 structures in each other": b"\x02\x01" * 5_000,
    "5,000 arrays in each other": b"\x01\x01" * 5_000,
    "5,000 types in each other": b"\x13" + b"\x02\x01" * 5_000,
    "a type of arrays that multiply": b"\x13" + b"\x01\xff\xff" * 14 + b"\x11\x01\x00",
}
OBJECT = bytes.fromhex("000301000108 00ff02")
# Where data of a meter, or of a client, begin: what stands before them, for every decoder that reads such.
BEFORE_DATA = [
    *(("dlms-" + name, b"") for name in ("value", "rows", "columns", "table", "listing", "explained")),
    ("dlms-answer", bytes.fromhex("c401c100")),
    ("dlms-explained", bytes.fromhex("c401c100")),
    ("dlms-services-answer", bytes.fromhex("c403c10100")),
    ("dlms-request", bytes.fromhex("c001c1") + OBJECT + b"\x01\x01"),
    ("dlms-services-request", bytes.fromhex("c101c1") + OBJECT + b"\x00"),
    ("dlms-services-request", bytes.fromhex("c104c101") + OBJECT + b"\x00\x01"),
    *(("dlms-joined", bytes.fromhex(lead)) for lead in ("", "00", "000100")),
    ("dlms-action", bytes.fromhex("c301c1") + OBJECT + b"\x01"),
    ("dlms-action", bytes.fromhex("c701c1000100")),
    ("dlms-notification", bytes.fromhex("0f0000000100")),
    ("dlms-explained", bytes.fromhex("0f0000000100")),
]


@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(
    ("name", "before"), BEFORE_DATA, ids=lambda each: each if isinstance(each, str) else each.hex()
)
def test_counts_and_depths_beyond_reason_cost_nothing(name: str, before: bytes, octets: bytes) -> None:
    """Wherever data may stand: a named error, within the lines that an input of its length may take."""
    result = examine(BY_NAME[name], before + octets, counted=True)
    assert result.outcome is Outcome.NAMED, result


def test_every_function_that_takes_outside_bytes_is_reached_or_excepted_with_a_reason() -> None:
    """The table is complete; an exception that is no longer needed goes."""
    ran, used = reached(), set()
    missing = []
    for file, name in decoders():
        entry = excepted(file, name)
        used |= {entry} - {None}
        if entry is None and (file, name) not in ran:
            missing.append(f"{file} {name}")
    assert missing == []
    assert used == set(EXCEPTIONS)


def test_fewer_inputs_than_ten_thousand_have_a_reason() -> None:
    """And names are each given once."""
    assert len(BY_NAME) == len(TARGETS)
    for target in TARGETS:
        fewer = target.inputs < TEST_INPUTS or target.soak_inputs < SOAK_INPUTS
        assert fewer == bool(target.why), target.name
