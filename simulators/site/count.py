"""The count: what the meters answered against what the collector holds. Pure; truth is the simulators' own record.

Of what a meter shows now, produced is one reading per (meter, slot) in which the meter answered and that stayed open at
least 3 s after any restart of gateway or meters; a slot that did not may be missing, but not wrong. Slots in which
everything ran and nobody asked are missing too. Of a load profile every row is produced, whatever was down: only one
of the last moments before the freeze may be missing.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Context, Decimal

from simulators.record import Answered
from simulators.site.parts import Down

FLOAT_DIGITS = 7  # a float32 is shown with so many significant digits
OPEN_MS = 3_000  # a slot that stays open so long after a restart must be read

BORDER_MS = 500  # between a meter's answer and the middle of the exchange, where a busy machine lets the meter wait
ROW_MS = 12_000  # a row must be read so long after it was made: two visits

Value = dict[str, str]  # one value as it is shown: kind, value and unit, or text, time, or state and raw
Pair = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """One reading as the collector shows it: meter id, slot (ms UTC), the telegram's SHA-256, values by native key.

    A row of a load profile has no slot but the meter's own `time`; `whole` says that the telegram holds all values.
    `at_ms` is the gateway's time of it, by which it chose the slot.
    """

    meter: str
    slot_ms: int | None
    raw_hash: str
    values: dict[str, Value]
    time: str | None = None
    whole: bool = True
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What the supervisor knows of a run: the cadence, when reading began and ended, and what was down when.

    `seen` are readings that the collector already showed during the run: nothing excuses their loss. `cadences` (ms)
    are of meters that have another one.
    """

    cadence_ms: int
    began_ms: int
    frozen_ms: int
    downs: tuple[Down, ...]
    seen: frozenset[Pair] = frozenset()
    cadences: Mapping[str, int] = field(default_factory=dict)

    def cadence_of(self, meter: str) -> int:
        """The cadence of a meter (ms)."""
        return self.cadences.get(meter, self.cadence_ms)

    def slot(self, meter: str, at_ms: int) -> int:
        """The slot of a meter in which an instant lies."""
        cadence_ms = self.cadence_of(meter)
        return at_ms // cadence_ms * cadence_ms


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
    rows_produced: int
    rows_stored: int
    missing: tuple[str, ...]

    def holds(self) -> bool:
        """Whether the promise was kept, and there was something to keep."""
        return self.readings_produced > 0 and not (self.lost or self.twice or self.altered)

    def to_dict(self) -> dict[str, object]:
        """As JSON shows it."""
        return asdict(self)


def count(answers: Sequence[Answered], stored: Sequence[Stored], run: Run, buffered: int = 0) -> Count:
    """Compare what was answered with what is stored; `buffered` readings are sealed and still on their way."""
    shown = [each for each in answers if each.kind == "answer"]
    spot = [each for each in stored if each.slot_ms is not None]
    meters = {answer.meter for answer in shown}
    answered = {(answer.meter, run.slot(answer.meter, answer.at_ms)) for answer in shown if answer.damaged is None}
    expected = answered | run.seen | {(meter, slot) for meter in meters for slot in _whole_slots(run, meter)}
    held = [(reading.meter, reading.slot_ms) for reading in spot if reading.slot_ms is not None]
    excused = {pair for pair in expected - set(held) - run.seen if _excused(pair, run)}
    produced = expected - excused
    lost = sorted(produced - set(held))
    rows = _count_rows(answers, stored, run)
    return Count(
        len(meters),
        len(produced),
        len(produced & set(held)),
        max(0, len(lost) + len(rows.lost) - buffered),
        len(held) - len(set(held)) + rows.twice,
        _altered(shown, spot, run) + rows.altered,
        len(excused),
        rows.produced,
        rows.stored,
        (
            *(_named(pair, pair in answered) for pair in lost),
            *(f"meter {each[0]}, row {each[1]}" for each in rows.lost),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    produced: int
    stored: int
    twice: int
    altered: int
    lost: tuple[tuple[str, str], ...]


def _count_rows(answers: Sequence[Answered], stored: Sequence[Stored], run: Run) -> _Rows:
    """The rows of load profiles: known by meter and the meter's own time."""
    truth = {(each.meter, each.time or ""): each for each in answers if each.kind == "row"}
    held = [(each.meter, each.time or "") for each in stored if each.slot_ms is None]
    produced = {pair for pair, row in truth.items() if row.at_ms <= run.frozen_ms - ROW_MS} | (set(held) & set(truth))
    altered = sum(
        (row := truth.get((each.meter, each.time or ""))) is None or displayed(row) != each.values
        for each in stored
        if each.slot_ms is None
    )
    lost = tuple(sorted(produced - set(held)))
    return _Rows(len(produced), len(produced & set(held)), len(held) - len(set(held)), altered, lost)


def _altered(answers: Sequence[Answered], stored: Sequence[Stored], run: Run) -> int:
    """How many stored readings do not show exactly what the meter showed in that slot, or are of one without answer."""
    by_slot: dict[Pair, list[Answered]] = {}
    keys: dict[str, set[str]] = {}
    for answer in answers:
        by_slot.setdefault((answer.meter, run.slot(answer.meter, answer.at_ms)), []).append(answer)
    for each in stored:
        keys.setdefault(each.meter, set()).update(each.values)
    wrong, unasked = 0, set()
    for each in stored:
        mine = _answers_to(each, by_slot, run)
        wrong += _differs(mine, each, keys[each.meter])
        if all(answer.damaged is not None for answer in mine):
            unasked.add((each.meter, each.slot_ms))
    return wrong + len(unasked)


def _answers_to(reading: Stored, by_slot: Mapping[Pair, list[Answered]], run: Run) -> list[Answered]:
    """What the meter answered in the slot of a reading, and right beside it where the gateway says that it was then.

    The gateway goes by the middle of the exchange. On the border of two slots that may be the one, and the instant at
    which the meter answered the other.
    """
    meter, slot_ms, at_ms = reading.meter, reading.slot_ms or 0, reading.at_ms
    found = list(by_slot.get((meter, slot_ms), ()))
    if at_ms is not None and run.slot(meter, at_ms) == slot_ms:
        cadence_ms = run.cadence_of(meter)
        for beside in (slot_ms - cadence_ms, slot_ms + cadence_ms):
            answers = by_slot.get((meter, beside), ())
            found += [answer for answer in answers if abs(answer.at_ms - at_ms) <= BORDER_MS]
    return found


def _differs(answers: Sequence[Answered], reading: Stored, keys: set[str]) -> bool:
    """Whether no answer of its slot was this one; what came in several answers is compared value by value."""
    if reading.whole:
        return not any(
            raw_hash(each.telegram) == reading.raw_hash and displayed(each) == reading.values for each in answers
        )
    shown = [displayed(each) for each in answers]
    known = all(any(each.get(key) == value for each in shown) for key, value in reading.values.items())
    return not known or set(reading.values) != keys


def displayed(answer: Answered) -> dict[str, Value]:
    """What the meter's display showed with an answer."""
    return {key: _display(each) for key, each in answer.values.items()}


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


def _whole_slots(run: Run, meter: str) -> range:
    """The slots of a meter that lie wholly between the begin and the freeze."""
    cadence_ms = run.cadence_of(meter)
    first = -(-run.began_ms // cadence_ms) * cadence_ms
    return range(first, run.frozen_ms - cadence_ms + 1, cadence_ms)


def _excused(pair: Pair, run: Run) -> bool:
    """Whether gateway or meters came back too late in this slot, or not before its end."""
    meter, slot_ms = pair
    end = min(slot_ms + run.cadence_of(meter), run.frozen_ms)
    return any(down.from_ms < end and down.to_ms > max(slot_ms, end - OPEN_MS) for down in run.downs)


def raw_hash(telegram: str) -> str:
    """The telegram's SHA-256, as the collector shows it."""
    return hashlib.sha256(bytes.fromhex(telegram)).hexdigest()


def _named(pair: Pair, answered: bool) -> str:
    return f"meter {pair[0]}, slot {pair[1]}, {'answered' if answered else 'never asked'}"
