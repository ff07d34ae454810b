"""A column: the integers of one field over the rows of a block, as differences, plain or in runs.

`[0, d1, d2, ...]` has one difference a row; `[1, d1, n1, d2, n2, ...]` says that each difference holds for n rows. The
first row's difference is to zero. The sum of the runs, or the count of the differences, is exactly the declared count,
which is checked before anything is expanded; every running sum stays within 64 signed bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import cast

from protocols.uplink import limits
from protocols.uplink.faults import CountError, FieldError, LimitError
from protocols.uplink.pack import Wire

PLAIN = 0
RUNS = 1
_INTEGERS = {int}
_EMPTY = [PLAIN]


def encode(values: Sequence[int]) -> list[Wire]:
    """The shorter of the two forms."""
    if not values:
        return [PLAIN]
    if len(values) == 1 and _within(values):  # most columns of a round of spot readings
        return [PLAIN, values[0]]
    steps = [value - before for value, before in zip(values, [0, *values], strict=False)]
    if not (_within(values) and _within(steps)):
        raise LimitError("values and their differences within 64 signed bits", "a wider one", "column")
    runs = [(step, sum(1 for _ in group)) for step, group in groupby(steps)]
    if 2 * len(runs) < len(steps):
        return [RUNS, *(number for run in runs for number in run)]
    return [PLAIN, *steps]


def decode(column: Wire, count: int, where: str) -> list[int]:
    """The `count` integers of a column.

    Raises:
        FieldError: not a column.
        CountError: not exactly `count` rows.
        LimitError: a running sum leaves 64 signed bits.
    """
    if count == 0 and column == _EMPTY and type(column[0]) is int:
        return []
    if count == 1 and isinstance(column, list) and len(column) == 2 and column[0] == PLAIN:
        _, only = column
        if type(only) is int and type(column[0]) is int and limits.INT64_MIN <= only <= limits.INT64_MAX:
            return [only]
    if not isinstance(column, list) or not column or set(map(type, column)) != _INTEGERS:
        raise FieldError("a column: an array of integers that begins with its form", "something else", where)
    form, *numbers = cast("list[int]", column)
    if form == PLAIN:
        return _sums(_exactly(numbers, count, where), where)
    if form != RUNS or len(numbers) % 2:
        raise FieldError("form 0 (plain), or form 1 (runs) with pairs", f"form {form}, {len(numbers)} numbers", where)
    steps, lengths = numbers[::2], numbers[1::2]
    if sum(lengths) != count or min(lengths, default=1) < 1:
        raise CountError(f"runs of {count} rows in all", f"{sum(lengths)}", where)
    if len(steps) == 1:
        return _sums(steps * count, where)
    return _sums([step for step, length in zip(steps, lengths, strict=True) for _ in range(length)], where)


def decode_within(column: Wire, count: int, low: int, high: int, where: str) -> list[int]:
    """The `count` integers of a column, all of them from `low` to `high`."""
    values = decode(column, count, where)
    if values and not low <= min(values) <= max(values) <= high:
        raise FieldError(f"values from {low} to {high}", f"{min(values)} to {max(values)}", where)
    return values


def _exactly(numbers: list[int], count: int, where: str) -> list[int]:
    if len(numbers) != count:
        raise CountError(f"{count} rows", f"{len(numbers)}", where)
    return numbers


def _sums(steps: list[int], where: str) -> list[int]:
    sums = list(accumulate(steps))
    if not _within(sums):
        wide = next(each for each in sums if not _within([each]))
        raise LimitError("running sums within 64 signed bits", f"{wide}", where)
    return sums


def _within(values: Sequence[int]) -> bool:
    return not values or (min(values) >= limits.INT64_MIN and max(values) <= limits.INT64_MAX)
