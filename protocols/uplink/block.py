"""A block: the rows of one source as columns, made and read here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import TypeVar, cast

from protocols.reading import MeterTime, NativeKey, Reading, Scaled, State, Value
from protocols.uplink import limits
from protocols.uplink.columns import PLAIN, RUNS, decode, decode_within, encode, encode_within, maybe_same
from protocols.uplink.faults import CountError, FieldError, LimitError
from protocols.uplink.leaf import (
    FLOAT32,
    INTEGER,
    RAW,
    TEXT,
    TIME,
    number_from_wire,
    number_to_wire,
    time_code,
    time_of,
)
from protocols.uplink.pack import Fields, Wire, pack
from protocols.uplink.rows import Cell, Rows, Time
from protocols.uplink.source import ExchangeRow, Source, registers_of

NOTHING: list[Wire] = [PLAIN]  # the column of no rows
NEITHER: list[Wire] = [[PLAIN, 0], NOTHING]  # the columns of one row that has no such value
NO_TIME: list[Wire] = [*NEITHER, NOTHING]
ABSENT = 0  # in the column of kinds: this register is not in this row
COUNTS_KEPT = 128  # of rows in a block
STATUS_RAW = 2**62  # the highest status word as a meter shows it
# Of the column of one row that has a number without status and time: what is behind its four pairs, and their parts.
_REST: list[Wire] = [[], *NEITHER, *NO_TIME]
_EXACT = (INTEGER, FLOAT32, TIME)
_PAIRS, _FORMS = [2] * 4, [PLAIN] * 4
_LISTS, _INTEGERS = {list}, {int}
_T = TypeVar("_T")


def rows_of(readings: Sequence[Reading], exchanges: Sequence[ExchangeRow]) -> Rows:
    """Readings of one source, each with the exchange that it came from.

    Raises:
        FieldError, FormError, LimitError: a value has no form on the wire.
    """
    first = readings[0]
    numbers: dict[tuple[NativeKey, str], int] = {}  # of the source's registers, in the order in which they are seen
    used = [[numbers.setdefault((each.key, each.unit), len(numbers)) for each in row.values] for row in readings]
    source = Source(first.meter, first.device, first.sub, registers_of(tuple(numbers)))
    names = source.names()
    rows = [_row_of(row, mine, names) for row, mine in zip(readings, used, strict=True)]
    return Rows(
        source,
        exchanges,
        [int(each.how) for each in readings],
        [each.part for each in readings],
        [each.slot_ms for each in readings],
        [_time_of(each.meter_time) for each in readings],
        [each.status_raw for each in readings],
        [int(each.status) for each in readings],
        [[row.get(n) for row in rows] for n in range(len(numbers))],
        all(len(row) == len(numbers) for row in rows),
    )


def block_to_wire(rows: Rows, source: int, exchanges: Sequence[int]) -> list[Wire]:
    """The block of 14 elements (docs/uplink.md section 6.3): the source's number, and those of the exchanges.

    Raises:
        FieldError, FormError, LimitError: a value has no form on the wire.
    """
    return [
        source,
        len(rows.how),
        encode(exchanges),
        encode(rows.how),
        encode_within(rows.part, 0, limits.LEAVES, "block.part"),
        *_optional_to_wire(rows.slots, limits.PAST_MS, limits.FUTURE_MS - 1, "block.slot"),
        *_times_to_wire(rows.times),
        *_optional_to_wire(rows.raws, 0, STATUS_RAW, "block.status raw"),
        encode_within(rows.statuses, 0, limits.STATUS, "block.status"),
        [_column_of(column) for column in rows.columns],
    ]


def block_from_wire(wire: Wire, sources: Sequence[Source], exchanges: Sequence[ExchangeRow]) -> Rows:
    """Decode and check one block (its size was checked by the caller).

    Raises:
        CountError, FieldError, LimitError: which rule is broken, and in which column.
    """
    fields = Fields(wire, "block", 14)
    source = sources[fields.integer("source", 0, len(sources) - 1)]
    count = fields.integer("count", 1, limits.LEAVES)
    used = decode_within(fields.any(), count, 0, len(exchanges) - 1, "block.exchange")
    how = decode_within(fields.any(), count, 0, 4, "block.how")
    part = decode_within(fields.any(), count, 0, limits.LEAVES, "block.part")
    slots = _optional(fields, count, limits.PAST_MS, limits.FUTURE_MS - 1, "block.slot")
    times = _times(fields, count, "block.meter time")
    raws = _optional(fields, count, 0, STATUS_RAW, "block.status raw")
    statuses = decode_within(fields.any(), count, 0, limits.STATUS, "block.status")
    columns, whole = _columns(fields.array("registers", limits.ARRAY), source, count)
    shared = [exchanges[each] for each in used]
    return Rows(source, shared, how, part, slots, times, raws, statuses, columns, whole)


def _optional(fields: Fields, count: int, low: int, high: int, where: str) -> list[int | None]:
    """Two columns: which rows have it, and the values of those that have."""
    present = decode_within(fields.any(), count, 0, 1, f"{where}?")
    found = decode_within(fields.any(), sum(present), low, high, where)
    return _spread(found, present)


def _times(fields: Fields, count: int, where: str) -> list[Time | None]:
    """Three columns: which rows have a time, its seconds, its code."""
    present = decode_within(fields.any(), count, 0, 1, f"{where}?")
    seconds = decode(fields.any(), sum(present), f"{where} seconds")
    codes = decode(fields.any(), sum(present), f"{where} code")
    for code in set(codes):
        time_of(min(seconds), code)
        time_of(max(seconds), code)
    return _spread(list(zip(seconds, codes, strict=True)), present)


def _spread(found: list[_T], present: list[int]) -> list[_T | None]:
    """What was found, each in its row; None in the others."""
    if not found:
        return [None] * len(present)
    if len(found) == len(present):
        return [*found]
    values = iter(found)
    return [next(values) if each else None for each in present]


def _row_of(reading: Reading, used: Sequence[int], names: Sequence[tuple[Wire, str]]) -> dict[int, Cell]:
    """The cells of a reading by register; `used` are the registers' numbers in the order of the reading's values."""
    row = {n: _cell(*names[n], each) for n, each in zip(used, reading.values, strict=True)}
    if len(row) < len(used):
        twice = next(each.key for n, each in zip(used, reading.values, strict=True) if used.count(n) > 1)
        raise FieldError("each native key once in a reading", f"{twice} twice", reading.device)
    return row


def _cell(key: Wire, unit: str, value: Value) -> Cell:
    """The value as it stands in a leaf, checked as the other side checks it."""
    number = value.number
    if type(number) is Scaled and value.time is None and _is_usual(number):
        return key, unit, INTEGER, number.mantissa, number.exponent, int(value.state), value.status, None
    kind, shown, scale = number_to_wire(value.number)
    if type(shown) is not int or not limits.INT64_MIN <= shown <= limits.INT64_MAX:
        pack(shown)  # what has no form on the wire is refused there: a text with NUL, a wider integer
    number_from_wire(kind, shown, scale)
    return key, unit, kind, shown, scale, int(value.state), value.status, _time_of(value.time)


def _is_usual(number: Scaled) -> bool:
    mantissa, exponent = number.mantissa, number.exponent
    return (
        type(mantissa) is type(exponent) is int
        and limits.INT64_MIN <= mantissa <= limits.INT64_MAX
        and -limits.EXPONENT <= exponent <= limits.EXPONENT
    )


def _time_of(time: MeterTime | None) -> Time | None:
    if time is None:
        return None
    found = (time.seconds, time_code(time))
    time_of(*found)  # as the other side will
    return found


def _optional_to_wire(values: Sequence[int | None], low: int, high: int, where: str) -> list[Wire]:
    """Two columns: which rows have it, and the values of those that have."""
    if len(values) == 1 and values[0] is None:
        return NEITHER
    present = [each for each in values if each is not None]
    return [encode([int(each is not None) for each in values]), encode_within(present, low, high, where)]


def _times_to_wire(times: Sequence[Time | None]) -> list[Wire]:
    """Three columns: which rows have a time, its seconds, its code."""
    if len(times) == 1 and times[0] is None:
        return NO_TIME
    present = [each for each in times if each is not None]
    seconds, codes = [each[0] for each in present], [each[1] for each in present]
    return [encode([int(each is not None) for each in times]), encode(seconds), encode(codes)]


def _column_of(found: Sequence[Cell | None]) -> list[Wire]:
    """`[kinds, states, numbers, scales, others, status?, status, time?, seconds, code]` of one register."""
    if len(found) == 1 and found[0] is not None:
        return _column_of_one(*found[0])
    cells = [cell for cell in found if cell is not None]
    _, _, kinds, numbers, scales, states, owns, times = zip(*cells, strict=True)
    exact = [number for number, scale in zip(numbers, scales, strict=True) if scale is not None]
    return [
        encode(kinds if len(cells) == len(found) else [ABSENT if cell is None else cell[2] for cell in found]),
        encode(states),
        encode(exact),
        encode([scale for scale in scales if scale is not None]),
        [number for number, scale in zip(numbers, scales, strict=True) if scale is None],
        *_optional_to_wire(owns, 0, STATUS_RAW, "register column.status"),
        *_times_to_wire(times),
    ]


def _column_of_one(
    _key: Wire, _unit: str, kind: int, number: Wire, scale: int | None, state: int, own: int | None, time: Time | None
) -> list[Wire]:
    """The column of a block of one row, which is what a round of spot readings has: written out for speed."""
    if scale is not None and own is None and time is None:
        return [[PLAIN, kind], [PLAIN, state], [PLAIN, number], [PLAIN, scale], *_REST]
    return [
        [PLAIN, kind],
        [PLAIN, state],
        NOTHING if scale is None else [PLAIN, number],
        NOTHING if scale is None else [PLAIN, scale],
        [number] if scale is None else [],
        *_optional_to_wire([own], 0, STATUS_RAW, "register column.status"),
        *_times_to_wire([time]),
    ]


def _columns(wire: list[Wire], source: Source, count: int) -> tuple[list[Sequence[Cell | None]], bool]:
    """By register of the source its value in each row, and whether all are there."""
    if len(wire) != len(source.registers):
        raise CountError(f"{len(source.registers)} registers", f"{len(wire)}", "block.registers")
    found = [_expand(column, *name, count) for column, name in zip(wire, source.names(), strict=True)]
    columns = [column for column, _ in found]
    if len(columns) > limits.REGISTERS:
        most = max(sum(column[i] is not None for column in columns) for i in range(count))
        if most > limits.REGISTERS:
            raise LimitError(f"at most {limits.REGISTERS} registers in a leaf", f"{most}", "block.registers")
    return columns, all(whole for _, whole in found)


def _expand(wire: Wire, key: Wire, unit: str, count: int) -> tuple[Sequence[Cell | None], bool]:
    """The column of a register: its value in each row, None where it is not in it; whether it is in all."""
    if count == 1 and (only := _maybe_only(wire, key, unit)) is not None:
        return [only], True
    if count > 1 and (usual := _maybe_usual(wire, key, unit, count)) is not None:
        return usual, True
    where = "register column"
    fields = Fields(wire, where, 10)
    kinds = decode_within(fields.any(), count, ABSENT, RAW, f"{where}.kinds")
    present = [kind for kind in kinds if kind != ABSENT] if ABSENT in kinds else kinds
    apart = present.count(TEXT) + present.count(RAW)
    states = decode_within(fields.any(), len(present), 0, 4, f"{where}.states")
    exact = decode(fields.any(), len(present) - apart, f"{where}.numbers")
    scales = decode(fields.any(), len(present) - apart, f"{where}.scales")
    others = fields.array("others", limits.LEAVES)
    if len(others) != apart:
        raise CountError(f"{apart} texts and raws", f"{len(others)}", where)
    numbers = _numbers(present, exact, scales, others)
    status = _optional(fields, len(present), 0, STATUS_RAW, f"{where}.status")
    times = _times(fields, len(present), f"{where}.time")
    named = repeat(key, len(present)), repeat(unit, len(present))
    cells = list(zip(*named, present, *numbers, states, status, times, strict=True))
    return _spread(cells, kinds), len(cells) == count


def _maybe_only(wire: Wire, key: Wire, unit: str) -> Cell | None:
    """The value in a column of one row that has no text, raw, status or time; None: look at all of it.

    Most columns of a round of spot readings are such; what is taken here is what all checks would let pass.

    Raises:
        FieldError: the number is none of its kind.
    """
    if not isinstance(wire, list) or wire[4:] != _REST or set(map(type, wire)) != _LISTS:
        return None
    pairs = cast("list[list[int]]", wire)
    if list(map(len, pairs[:4])) != _PAIRS:
        return None
    numbers = [*chain.from_iterable(pairs)]
    if set(map(type, numbers)) != _INTEGERS or numbers[0:8:2] != _FORMS:
        return None  # a bool is no integer
    kind, state, number, scale = numbers[1:8:2]
    if kind not in _EXACT or not 0 <= state < len(State):
        return None
    if not (limits.INT64_MIN <= number <= limits.INT64_MAX and limits.INT64_MIN <= scale <= limits.INT64_MAX):
        return None
    number_from_wire(kind, number, scale)
    return key, unit, kind, number, scale, state, None, None


def _maybe_usual(wire: Wire, key: Wire, unit: str, count: int) -> list[Cell] | None:
    """The values in a column whose rows all have an integer of one scale and one state, and nothing beside; else None.

    Most columns of a load profile are such; what is taken here is what all checks would let pass.

    Raises:
        FieldError, CountError, LimitError: the numbers are no column of so many.
    """
    if not isinstance(wire, list) or wire[4:] != _nothing_beside(count):
        return None
    kinds, states, numbers, scales, *beside = wire
    if set(map(type, chain.from_iterable(cast("list[list[int]]", beside)))) != _INTEGERS:
        return None  # a bool is no integer
    kind, state, scale = (maybe_same(each, count) for each in (kinds, states, scales))
    if kind != INTEGER or state is None or scale is None:
        return None
    if not (0 <= state < len(State) and -limits.EXPONENT <= scale <= limits.EXPONENT):
        return None
    exact = decode(numbers, count, "register column.numbers")
    return [(key, unit, INTEGER, number, scale, state, None, None) for number in exact]


@lru_cache(COUNTS_KEPT)
def _nothing_beside(count: int) -> list[Wire]:
    """Of the column of so many rows, what is behind its four columns where no value has text, raw, status or time."""
    none: list[Wire] = [RUNS, 0, count]
    return [[], none, NOTHING, none, NOTHING, NOTHING]


def _numbers(
    kinds: Sequence[int], exact: Sequence[int], scales: Sequence[int], others: Sequence[Wire]
) -> tuple[Sequence[Wire], Sequence[int | None]]:
    """The numbers and the scales of the values, checked."""
    if kinds.count(INTEGER) == len(kinds) and (
        not scales or -limits.EXPONENT <= min(scales) <= max(scales) <= limits.EXPONENT
    ):
        return exact, scales
    pairs, apart = zip(exact, scales, strict=True), iter(others)
    found: list[tuple[Wire, int | None]] = [
        (next(apart), None) if kind in (TEXT, RAW) else next(pairs) for kind in kinds
    ]
    for kind, pair in zip(kinds, found, strict=True):
        number_from_wire(kind, *pair)
    return [number for number, _ in found], [scale for _, scale in found]
