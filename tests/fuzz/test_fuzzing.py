"""The harness itself: planted faults are found, shrunk, and shown with a command that does them again."""

from __future__ import annotations

import random
import shlex
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import mutators
import pytest
from fuzz_targets import BY_NAME, ROOT, decoders, excepted, reached
from fuzzing import (
    REPLAY,
    Outcome,
    Result,
    Target,
    Work,
    examine,
    hunt,
    inputs,
    shrink,
)

from protocols.errors import MeterError, OwnBug, PlombaError

GOOD = BY_NAME["dlms-answer"]
SEEDS = 3


class PlantedBug(OwnBug):
    """A mishap that was made an error of ours."""

    code = "PLB-B999"
    do = "nothing"


def planted(octets: bytes) -> bool:
    """Whether a decoder has its fault here: about one input in a thousand has these two bytes."""
    return any(one >= 0xC0 and other == 0xC3 for one, other in pairwise(octets[4:]))


def raising(octets: bytes) -> object:
    """A decoder with a fault."""
    if planted(octets):
        raise KeyError(octets[:1])
    return GOOD.decode(octets)


def looping(octets: bytes) -> object:
    """A decoder that does not end."""
    while 0xC3 in octets[4:]:
        octets += b""
    return GOOD.decode(octets)


def quadratic(octets: bytes) -> object:
    """A decoder that looks at each byte for each byte."""
    return sum(1 for one in octets for other in octets if one == other)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_decoder_that_raises_something_else_is_found_and_shrunk(seed: int) -> None:
    """In ten thousand inputs, with any seed; what is left is the two bytes that matter, where they matter."""
    assert 1 <= sum(map(planted, inputs(GOOD, 10_000, f"planted/{seed}"))) <= 40
    tally = hunt(replace(GOOD, decode=raising), 10_000, f"planted/{seed}", most=1)
    (finding,) = tally.findings
    assert finding.result.outcome is Outcome.OTHER
    assert finding.result.what.startswith("KeyError")
    assert planted(finding.octets)
    assert finding.octets[:4] == bytes(4)
    assert len(finding.octets) == 6


def test_a_decoder_that_does_not_end_is_found_by_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lines are counted; an input that is not counted is ended by its processor time, and then counted."""
    monkeypatch.setattr("fuzzing.COUNTED_EVERY", 1)
    tally = hunt(replace(GOOD, decode=looping), 10_000, most=1)
    (finding,) = tally.findings
    assert (finding.result.outcome, finding.octets) == (Outcome.WORK, b"\0\0\0\0\xc3")


def test_an_endless_input_that_is_not_counted_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """By ticks of processor time without an input in between."""
    monkeypatch.setattr("fuzzing.STUCK_S", 1)
    monkeypatch.setattr("fuzzing.COUNTED_EVERY", 10**9)
    tally = hunt(replace(GOOD, corpus=GOOD.corpus[:1], decode=looping), 10_000, most=1)
    assert [each.result.outcome for each in tally.findings] == [Outcome.WORK]


def test_more_than_linear_work_is_found() -> None:
    """Small inputs cost little; a long one tells."""
    target = Target("planted", (bytes(200),), quadratic, work=Work(1_000, 40))
    assert examine(target, bytes(8), counted=True).outcome is Outcome.VALUE
    assert examine(target, bytes(200), counted=True).outcome is Outcome.WORK


def test_memory_beyond_the_limit_is_found() -> None:
    """A bomb: what it inflates to is never all there in a decoder that holds."""
    bomb = Target("planted", (b"\xff",), lambda octets: bytearray(10_000_000 * len(octets)))
    assert [each.result.outcome for each in hunt(bomb, 1).findings] == [Outcome.MEMORY]


@pytest.mark.parametrize(
    ("error", "errors"),
    [
        (PlantedBug("it", "not"), PlombaError),
        (MeterError("a code", "none"), PlombaError),
        (PlantedBug("it", "x" * 5_000), PlombaError),
    ],
    ids=["own bug", "no code", "long message"],
)
def test_an_error_of_ours_may_be_a_fault_too(error: PlombaError, errors: type[PlombaError]) -> None:
    """Our own bug, a branch without a code, a message that quotes everything."""

    def decode(_: bytes) -> object:
        raise error

    assert examine(Target("planted", (b"",), decode, errors=errors), b"").outcome is Outcome.OTHER


def test_shrinking_leaves_what_is_needed() -> None:
    """Two bytes, in order, anywhere; and no more tries than allowed."""
    asked = []

    def fails(octets: bytes) -> bool:
        asked.append(octets)
        return octets.find(7) >= 0 and 9 in octets[octets.find(7) :]

    noise = random.Random(1).randbytes(300).replace(b"\x07", b"").replace(b"\x09", b"")
    assert shrink(noise[:100] + b"\x07" + noise[100:200] + b"\x09" + noise[200:], fails) == b"\x07\x09"
    asked.clear()
    shrink(bytes(1_000) + b"\x07\x09", fails, tries=50)
    assert len(asked) <= 100


def test_what_is_endless_shrinks_to_what_is_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that shrinking takes is not that of the input in hand."""
    monkeypatch.setattr("fuzzing.STUCK_S", 1)

    def decode(octets: bytes) -> None:
        for _ in range(100_000):
            pass
        while octets.count(7) >= 20:
            pass

    target = Target("planted", (b"\x07\x00" * 20,), decode, work=Work(400_000, 0))
    found = hunt(replace(target, corpus=(bytes(3),), mutate=lambda *_: target.corpus[0]), 4, most=1).findings
    assert [each.octets for each in found] == [b"\x07" * 20]


def test_the_same_seed_makes_the_same_inputs() -> None:
    """Another one makes others; each mutator changes what it is given."""
    for name in ("mbus-records", "body", "gateway-configuration"):
        target = BY_NAME[name]
        first, again, other = (list(inputs(target, 200, seed)) for seed in ("a", "a", "b"))
        assert first == again != other
        assert len(set(first)) > 150
    assert mutators.edits(random.Random(1), [bytes(8)])


def test_a_finding_is_done_again_by_its_command() -> None:
    """From a checkout, with the exit code of a failure; a good input ends with 0."""
    for octets, code in ((b"", 0), (bytes.fromhex("9500"), 0)):
        command = REPLAY.format("proof-file", octets.hex() or "''")
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "named error" in done.stdout


def test_a_decoder_that_no_target_reaches_is_missed() -> None:
    """Without the target of the request, its reader runs nowhere else."""
    found = ("collector/keys.py", "WorkerPublic.from_bytes")
    assert found in set(decoders())
    assert excepted(*found) is None
    assert found in reached((BY_NAME["worker-public"],))
    assert found not in reached((BY_NAME["key"],))


def test_a_result_says_what_it_is() -> None:
    """Value, steps and all."""
    result = examine(BY_NAME["topic"], b"plomba/v1/00/x/up/batch", counted=True)
    assert isinstance(result, Result)
    assert (result.outcome, result.what) == (Outcome.NAMED, "PLB-P102")
    assert result.steps > 0
