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
