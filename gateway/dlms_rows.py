"""How a row of a DLMS profile becomes a reading: its place, its doubts, and what was null-data in it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from protocols import obis
from protocols.dlms import clock as clocks
from protocols.dlms.objects import CLOCK_TIME, PROFILE
from protocols.dlms.profile import Column, Row
from protocols.reading import (
    Exchange,
    How,
    Identity,
    MeterTime,
    NativeKey,
    Raw,
    Reading,
    Scaled,
    State,
    Status,
    Text,
    Value,
)

# The status word of a profile (0-x:96.10.x) as IDIS meters write it: the time of the row, or its data, are not valid.
# What the bits of other meters mean is the manufacturer's to say: they make no value INVALID, and are never overlooked.
CLOCK_INVALID, DATA_INVALID = 0x02, 0x04
FILLED = 1  # status of a value that was null-data and is that of the row above (of the time: that and a period)
EVENT_NAME = 0  # no attribute of the log: the name that the model has for the code in this row
HOUR_S = 3_600
REMEMBERED_S = 4 * 3_600  # of rows that were handed on: twice an hour that comes twice, and as much again
DIGEST = 16  # bytes
Numbered = tuple[Row, int]  # a row, and how many rows before it bear the same time
Key = tuple[MeterTime, int]
Handed = Mapping[Key, bytes]  # of each row a hash of its values


def numbered(found: Sequence[Row]) -> list[Numbered]:
    """The rows, each with its number among those that bear the same time."""
    before: dict[MeterTime | None, int] = {}
    rows = []
    for row in found:
        part = before.get(row.time, 0)
        before[row.time] = part + 1
        rows.append((row, part))
    return rows


def fresh(found: Sequence[Row], last: MeterTime | None, handed: Handed, *, is_certain: bool = True) -> list[Numbered]:
    """The rows of an answer that were not `handed` on: those behind the `last` one, and that one where it has changed.

    Where the order of the rows is not certain, or says nothing of what was read, rows are told apart by time, number
    within that time, and values: a process that has just started hands on those of that hour again.

    Where nothing is known of what was handed on, and the meter leaves out what is as before, the first row cannot be
    compared: it was sealed as what stood below another row.
    """
    rows = numbered(found)
    places = [place for place, (row, _) in enumerate(rows) if row.time == last] if last is not None else []
    if places:
        known = is_certain and len(places) == 1 and tells_order(found)
        rows = rows[places[0] :] if known else rows
        filled = not handed and any(row.repeated or row.status_repeated or any(row.nulls) for row in found)
        if filled or (known and len(rows) == 1):
            rows = rows[1:]
    return [(row, part) for row, part in rows if not _is_handed(row, part, handed)]


def digest(row: Row) -> bytes:
    """What stands for a row's values: two rows of other values have other digests (those of `hash` do not: -1, -2)."""
    return hashlib.blake2b("".join(map(_written, row.values)).encode(), digest_size=DIGEST).digest()


def tells_order(found: Sequence[Row]) -> bool:
    """Whether all rows above one were captured before it.

    So it is by their instants. A clock that shows neither offset nor summer time may go back; but two rows with the
    same time beside each other are of a buffer that is sorted, or that was read in pieces.
    """
    times = [row.time for row in found if row.time is not None]
    pairs = list(itertools.pairwise(times))
    if all(moment(earlier) < moment(later) for earlier, later in pairs):
        return True
    return all(each.deviation_min is None and not each.summer for each in times) and all(
        one != two for one, two in pairs
    )


def moment(time: MeterTime) -> int:
    """Seconds to order the times of one meter by: its instant, else its calendar without the hour of summer time."""
    return time.seconds - HOUR_S * time.summer if time.deviation_min is None else instant(time)


def remembered(handed: Handed, rows: Sequence[Numbered]) -> dict[Key, bytes]:
    """What is handed on with these `rows`, as far back as a clock that is set back lets it come again."""
    known = dict(handed)
    known.update({(row.time, part): digest(row) for row, part in rows if row.time is not None})
    oldest = max((instant(row.time) for row, _ in rows if row.time is not None), default=0) - REMEMBERED_S
    return {key: mark for key, mark in known.items() if instant(key[0]) >= oldest}


def row_reading(
    row: Row,
    identity: Identity,
    device: str,
    made: Exchange,
    captured: tuple[Column, ...],
    part: int = 0,
    *,
    idis: bool = False,
) -> Reading:
    """A row of the load profile; `part` is its number among those with the same time.

    `idis` says that its status word is as IDIS meters write it; of any other one a bit that is set is marked as the
    manufacturer's.
    """
    values = _values(row, captured, idis)
    status = Status.MANUFACTURER if (row.status and not idis) or row.wide else Status.NONE
    return Reading(identity, device, None, How.PROFILE, None, row.time, made, row.status, status, values, part=part)


def named(found: Reading, profile: bytes, part: int, codes: Mapping[int, str] | None) -> Reading:
    """The reading of a row of another profile: under its name, and of an event log with the `codes` that have names."""
    how = How.PROFILE if codes is None else How.EVENT_LOG
    values = found.values
    event = next((codes[each] for each in _codes(values) if each in codes), None) if codes else None
    if event is not None:
        key = NativeKey.dlms(PROFILE, profile, EVENT_NAME)
        values = (*values, Value(key, "", Text(event), State.OK))
    return replace(found, sub=obis.shown(profile), how=how, part=part, values=values)


def instant(time: MeterTime) -> int:
    """Seconds to compare two times of one meter by: UTC where it shows its offset, else its own calendar."""
    utc_ms = clocks.utc_ms(time)
    return time.seconds if utc_ms is None else utc_ms // 1000


def later(time: MeterTime, seconds: int) -> MeterTime:
    """The time so many seconds later by the meter's calendar."""
    return replace(time, seconds=max(0, time.seconds + seconds))


def _is_handed(row: Row, part: int, handed: Handed) -> bool:
    """Whether a row was handed on as it is: most that have a time were not, and need no digest for that."""
    mark = None if row.time is None else handed.get((row.time, part))
    return mark is not None and mark == digest(row)


def _written(value: Value) -> str:
    """All that a value says; a number of digits in short, for there are many."""
    number = value.number
    said = f"{number.mantissa}e{number.exponent}" if type(number) is Scaled else repr(number)
    return f"{said} {value.unit} {value.key.parts} {value.state:d} {value.status} {value.time!r}\n"


def _values(row: Row, captured: tuple[Column, ...], idis: bool) -> tuple[Value, ...]:
    values = list(row.values)
    if row.nulls:
        values = [replace(each, status=FILLED) if null else each for each, null in zip(values, row.nulls, strict=True)]
    state = _state(row, idis)
    if state is not State.OK:
        values = [replace(each, state=state) if each.state is State.OK else each for each in values]
    values += _time_value(row)
    if row.status_repeated and row.status is not None:
        word = next(each.attribute.key for each in captured if each.is_status)
        values.append(Value(word, "", Scaled(row.status), State.OK, FILLED))
    if row.wide:
        word = next(each.attribute.key for each in captured if each.is_status)
        values.append(Value(word, "", Raw(row.wide), State.UNKNOWN))
    return tuple(values)


def _state(row: Row, idis: bool) -> State:
    """The best that a value of this row can be: what may stand at another time feeds no billing, and is no untruth."""
    if row.invalid or (idis and bool((row.status or 0) & (CLOCK_INVALID | DATA_INVALID))):
        return State.INVALID
    return State.UNKNOWN if row.doubtful or (idis and row.wide) else State.OK


def _time_value(row: Row) -> list[Value]:
    """The row's time where it was null, or where the meter doubts it: then with the status byte of the clock."""
    if row.time is None or not (row.repeated or row.doubtful):
        return []
    state = State.UNKNOWN if row.doubtful else State.OK
    said = FILLED if row.clock is None else row.clock.status
    return [Value(CLOCK_TIME.key, "", row.time, state, said)]


def _codes(values: Sequence[Value]) -> list[int]:
    """What may be the code of an event: a whole number."""
    return [each.number.mantissa for each in values if isinstance(each.number, Scaled) and not each.number.exponent]
