"""The count: what the meters answered against what the collector holds. Pure; truth is the simulators' own record.

Produced (for meters without memory) is one reading per (meter, slot) in which the meter answered and that stayed open
at least 3 s after any restart of gateway or meters; a slot that did not may be missing, but not wrong. Slots in which
everything ran and nobody asked are missing too.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Context, Decimal

from simulators.record import Answered
from simulators.site.parts import Down

FLOAT_DIGITS = 7  # a float32 is shown with so many significant digits
OPEN_MS = 3_000  # a slot that stays open so long after a restart must be read

Value = dict[str, str]  # one value as it is shown: kind, value and unit, or text, time, or state and raw
Pair = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """One reading as the collector shows it: meter id, slot (ms UTC), the telegram's SHA-256, values by native key."""

    meter: str
    slot_ms: int
    raw_hash: str
    values: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Run:
    """What the supervisor knows of a run: the cadence, when reading began and ended, and what was down when.

    `seen` are readings that the collector already showed during the run: nothing excuses their loss.
    """

    cadence_ms: int
    began_ms: int
    frozen_ms: int
    downs: tuple[Down, ...]
    seen: frozenset[Pair] = frozenset()


@dataclass(frozen=True, slots=True)
class Count:
    """The result; `lost` = produced - stored - buffered; each one that is not stored is named in `missing`."""

    meters: int
    readings_produced: int
    readings_stored: int
    lost: int
    twice: int
    altered: int
    excused: int
    missing: tuple[str, ...]

    def holds(self) -> bool:
        """Whether the promise was kept, and there was something to keep."""
        return self.readings_produced > 0 and not (self.lost or self.twice or self.altered)

    def to_dict(self) -> dict[str, object]:
        """As JSON shows it."""
        return asdict(self)


def count(answers: Sequence[Answered], stored: Sequence[Stored], run: Run, buffered: int = 0) -> Count:
    """Compare what was answered with what is stored; `buffered` readings are sealed and still on their way."""
    meters = {answer.meter for answer in answers}
    answered = {(answer.meter, _slot(answer.at_ms, run)) for answer in answers if answer.damaged is None}
    expected = answered | run.seen | {(meter, slot) for meter in meters for slot in _whole_slots(run)}
    held = [(reading.meter, reading.slot_ms) for reading in stored]
    excused = {pair for pair in expected - set(held) - run.seen if _excused(pair[1], run)}
    produced = expected - excused
    lost = sorted(produced - set(held))
    return Count(
        len(meters),
        len(produced),
        len(produced & set(held)),
        max(0, len(lost) - buffered),
        len(held) - len(set(held)),
        _altered(answers, stored, run) + len(set(held) - answered),
        len(excused),
        tuple(_named(pair, pair in answered) for pair in lost),
    )


def _altered(answers: Sequence[Answered], stored: Iterable[Stored], run: Run) -> int:
    """How many stored readings do not show exactly what the meter showed in that slot."""
    truth = {(_hash(answer.telegram), answer.meter, _slot(answer.at_ms, run)): answer for answer in answers}
    return sum(_differs(truth.get((each.raw_hash, each.meter, each.slot_ms)), each) for each in stored)


def _differs(answer: Answered | None, reading: Stored) -> bool:
    return answer is None or {key: _display(each) for key, each in answer.values.items()} != reading.values


def _display(shown: dict[str, int | str]) -> Value:
    """What a display shows for a line of the record: the digits of an integer and a power of ten, or of a float32."""
    if "bits" in shown:
        (real,) = struct.unpack(">f", int(shown["bits"]).to_bytes(4, "big"))
        seven = Context(prec=FLOAT_DIGITS).create_decimal(Decimal(real)).scaleb(int(shown["e"]))
        return {"kind": "float32", "value": f"{seven:f}", "unit": str(shown["unit"])}
    if "m" in shown:
        exact = Decimal(int(shown["m"])).scaleb(int(shown["e"]))
        return {"kind": "number", "value": f"{exact:f}", "unit": str(shown["unit"])}
    return {name: str(value) for name, value in shown.items()}


def _slot(at_ms: int, run: Run) -> int:
    return at_ms // run.cadence_ms * run.cadence_ms


def _whole_slots(run: Run) -> range:
    """The slots that lie wholly between the begin and the freeze."""
    first = -(-run.began_ms // run.cadence_ms) * run.cadence_ms
    return range(first, run.frozen_ms - run.cadence_ms + 1, run.cadence_ms)


def _excused(slot_ms: int, run: Run) -> bool:
    """Whether gateway or meters came back too late in this slot, or not before its end."""
    end = min(slot_ms + run.cadence_ms, run.frozen_ms)
    return any(down.from_ms < end and down.to_ms > max(slot_ms, end - OPEN_MS) for down in run.downs)


def _hash(telegram: str) -> str:
    return hashlib.sha256(bytes.fromhex(telegram)).hexdigest()


def _named(pair: Pair, answered: bool) -> str:
    return f"meter {pair[0]}, slot {pair[1]}, {'answered' if answered else 'never asked'}"
