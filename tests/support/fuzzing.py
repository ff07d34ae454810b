"""The harness that every decoder of outside bytes goes through: an input gives a value or a named error, nothing else.

Work is counted, never timed: lines of Python executed, for a sample of the inputs, against a limit that is linear in
the input's size; and the peak of memory, for a smaller sample. An input that never ends is ended by the processor time
that it took, and then counted like the others. What fails is shrunk, and shown with the command that does it again.
"""

from __future__ import annotations

import itertools
import random
import signal
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import FrameType
from typing import Any

import mutators
from mutators import Mutator

from protocols.errors import OwnBug, PlombaError

TEST_INPUTS, SOAK_INPUTS = 10_000, 100_000
COUNTED_EVERY = 100  # inputs: counting lines costs about ten times the decoding
WEIGHED_EVERY = 500  # inputs: following memory costs more
MIB = 1024 * 1024
STUCK_S = 10  # of processor time for one input, before it is taken for endless
SHRINKS = 3_000  # tries to make a failing input smaller
# Characters of an error, where a target says no other: a message that quotes all of a hostile input is a fault too.
MESSAGE = 4_000
REPLAY = "python tests/soak/fuzz.py --target {} --input {}"


@dataclass(frozen=True, slots=True)
class Work:
    """The most lines of Python for an input: so many for any, and so many more for each of its bytes."""

    base: int = 2_000
    per_byte: int = 40

    def limit(self, size: int) -> int:
        """For an input of `size` bytes."""
        return self.base + self.per_byte * size


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder: good inputs, what is done with one, and what it may cost.

    `decode` also puts an input into what it travels in (checksums, signatures, boxes), so that what lies behind them is
    reached. `inputs` are those of `make test`; where they are fewer than 10^4, `why` says it.
    """

    name: str
    corpus: tuple[bytes, ...]
    decode: Callable[[bytes], object]
    mutate: Mutator = mutators.octets
    errors: type[PlombaError] = PlombaError
    work: Work = field(default_factory=Work)
    memory: int = 2 * MIB
    message: int = MESSAGE
    inputs: int = TEST_INPUTS
    soak_inputs: int = SOAK_INPUTS
    why: str = ""
    only_values: bool = False  # it answers whatever comes
    cost: int = 1  # what takes longest begins first


class Outcome(StrEnum):
    """How a decoder ended."""

    VALUE = "value"
    NAMED = "named error"
    OTHER = "other exception"
    WORK = "too much work"
    MEMORY = "too much memory"


GOOD = (Outcome.VALUE, Outcome.NAMED)


@dataclass(frozen=True, slots=True)
class Result:
    """One input's end; `what` is the code of the error, or what went wrong; `steps` where they were counted."""

    outcome: Outcome
    what: str = ""
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that fails, as small as it could be made."""

    target: str
    octets: bytes
    result: Result

    def __str__(self) -> str:
        command = REPLAY.format(self.target, self.octets.hex() or "''")
        return f"{self.target}: {self.result.outcome}: {self.result.what}\n  {command}"


@dataclass(slots=True)
class Tally:
    """What came out of many inputs."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    most_steps: int = 0
    most_memory: int = 0
    findings: list[Finding] = field(default_factory=list)

    def took(self, result: Result) -> None:
        """Count a result."""
        self.inputs += 1
        self.outcomes[result.outcome] += 1
        self.codes[result.what] += result.outcome is Outcome.NAMED
        self.most_steps = max(self.most_steps, result.steps)


class Endless(BaseException):  # not an Exception: no decoder may take it for one of its own
    """More work than an input is worth."""


def inputs(target: Target, count: int, seed: str) -> Iterator[bytes]:
    """The corpus, then hostile inputs, `count` in all."""
    dice = random.Random(f"{seed}/{target.name}")
    made = (target.mutate(dice, target.corpus) for _ in itertools.count())
    return itertools.islice(itertools.chain(target.corpus, made), count)


def hunt(target: Target, count: int, seed: str = "plomba", most: int = 3) -> Tally:
    """Put `count` inputs into a decoder; ends early with `most` findings."""
    tally = Tally()
    for octets in target.corpus:  # libraries are imported and caches filled when first needed
        examine(target, octets)
    with _watched():
        for number, octets in enumerate(inputs(target, count, seed)):
            result = examine(target, octets, counted=number % COUNTED_EVERY == 0)
            if result.outcome in GOOD and number % WEIGHED_EVERY == 0:
                result = _weighed(target, octets, result, tally)
            tally.took(result)
            if result.outcome not in GOOD:
                tally.findings.append(_smallest(target, octets, result))
                if len(tally.findings) >= most:
                    break
    return tally


def examine(target: Target, octets: bytes, *, counted: bool = False) -> Result:
    """What a decoder makes of one input."""
    _examined[0] += 1
    counter = _Lines(target.work.limit(len(octets)))
    try:
        with counter if counted else _uncounted():
            target.decode(octets)
    except Endless:
        return Result(Outcome.WORK, f"more than {counter.limit} lines for {len(octets)} bytes", counter.steps)
    except PlombaError as error:
        return replace(_judged(target, error), steps=counter.steps)
    except Exception as error:  # noqa: BLE001 - this is what the harness looks for
        return Result(Outcome.OTHER, _described(error), counter.steps)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of a library in Rust
            raise
        return Result(Outcome.OTHER, _described(error), counter.steps)
    return Result(Outcome.VALUE, steps=counter.steps)


def shrink(octets: bytes, fails: Callable[[bytes], bool], tries: int = SHRINKS) -> bytes:
    """The smallest input found that still fails: pieces left out, halving their size, then bytes made zero."""
    size = max(1, len(octets) // 2)
    while size and tries > 0:
        at, before = 0, len(octets)
        while at < len(octets) and tries > 0:
            tries -= 1
            shorter = octets[:at] + octets[at + size :]
            if fails(shorter):
                octets = shorter
            else:
                at += size
        size = 1 if size == 1 and len(octets) < before else size // 2
    for at in range(min(len(octets), tries)):
        plain = octets[:at] + b"\0" + octets[at + 1 :]
        octets = plain if octets[at] and fails(plain) else octets
    return octets


def _smallest(target: Target, octets: bytes, result: Result) -> Finding:
    """Shrunk by the same failure; work is counted, so that an endless input costs no more than its limit."""
    kind = result.what.split(":", maxsplit=1)[0]
    if result.outcome is Outcome.MEMORY:
        return Finding(target.name, octets, result)

    def fails(candidate: bytes) -> bool:
        found = examine(target, candidate, counted=result.outcome is Outcome.WORK)
        same = found.what.split(":", maxsplit=1)[0] == kind or result.outcome is Outcome.WORK
        return found.outcome is result.outcome and same

    if not fails(octets):  # it depends on what was decoded before it
        return Finding(target.name, octets, replace(result, what=f"{result.what} (only after others)"))
    small = shrink(octets, fails)
    return Finding(target.name, small, examine(target, small, counted=result.outcome is Outcome.WORK))


def _weighed(target: Target, octets: bytes, result: Result, tally: Tally) -> Result:
    tracemalloc.start()
    try:
        examine(target, octets)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    tally.most_memory = max(tally.most_memory, peak)
    if peak <= target.memory:
        return result
    return Result(Outcome.MEMORY, f"{peak} bytes for {len(octets)}, more than {target.memory}")


def _judged(target: Target, error: PlombaError) -> Result:
    """A named error: of the branch that the decoder promises, with a code, and with a message of some lines at most."""
    text = str(error)
    if isinstance(error, OwnBug) or not isinstance(error, target.errors) or not error.code:
        return Result(Outcome.OTHER, f"{type(error).__name__}: {text[:300]}")
    if len(text) > target.message:
        return Result(Outcome.OTHER, f"long message: {len(text)} characters of {error.code}")
    return Result(Outcome.NAMED, error.code)


def _described(error: BaseException) -> str:
    trace, where = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        where = f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error} ({where})"


class _Lines:
    """Counts the lines that run inside, and ends them at the limit."""

    def __init__(self, limit: int) -> None:
        self.steps, self.limit = 0, limit

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def __call__(self, frame: FrameType, event: str, arg: Any) -> _Lines:
        if event == "line":
            self.steps += 1
            if self.steps > self.limit:
                raise Endless
        return self


@contextmanager
def _uncounted() -> Iterator[None]:
    yield


_examined = [0]  # inputs, those of shrinking too


@contextmanager
def _watched() -> Iterator[None]:
    """End an input that takes too long: judged by processor time, so that a busy machine changes nothing."""
    seen = [-1, 0]

    def tick(_: int, __: FrameType | None) -> None:
        seen[:] = [_examined[0], seen[1] + 1 if seen[0] == _examined[0] else 0]
        if seen[1] >= STUCK_S:
            seen[1] = 0
            raise Endless

    before = signal.signal(signal.SIGVTALRM, tick)
    signal.setitimer(signal.ITIMER_VIRTUAL, 1, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def summary(tallies: Sequence[tuple[Target, Tally]]) -> dict[str, Any]:
    """What a soak reports: per target, and in all."""
    targets = {
        target.name: {
            "inputs": tally.inputs,
            "values": tally.outcomes[Outcome.VALUE],
            "named_errors": tally.outcomes[Outcome.NAMED],
            "other": sum(count for outcome, count in tally.outcomes.items() if outcome not in GOOD),
            "most_lines": tally.most_steps,
            "most_memory": tally.most_memory,
        }
        for target, tally in tallies
    }
    other = sum(each["other"] for each in targets.values())
    total = sum(each["inputs"] for each in targets.values())
    return {"result": "failed" if other else "held", "targets": len(targets), "inputs": total, "by_target": targets}
