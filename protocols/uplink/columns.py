"""A column: the integers of one field over the rows of a block, as differences, plain or in runs.

`[0, d1, d2, ...]` has one difference a row; `[1, d1, n1, d2, n2, ...]` says that each difference holds for n rows. The
first row's difference is to zero. The sum of the runs, or the count of the differences, is exactly the declared count,
which is checked before anything is expanded; every running sum stays within 64 signed bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby
from operator import ne, sub
from typing import cast

from protocols.uplink import limits
from protocols.uplink.faults import CountError, FieldError, FormError, LimitError
from protocols.uplink.pack import Wire

PLAIN = 0
RUNS = 1
_INTEGERS = {int}
_EMPTY = [PLAIN]


def encode(values: Sequence[int]) -> list[Wire]:
    """The shorter of the two forms.

    Raises:
        FormError: one of them is no integer.
        LimitError: a value or a difference is wider than 64 signed bits.
    """
    if len(values) == 1 and type(values[0]) is int and limits.INT64_MIN <= values[0] <= limits.INT64_MAX:
        return [PLAIN, values[0]]  # most columns of a round of spot readings
    if not values:
        return [PLAIN]
    if set(map(type, values)) != _INTEGERS:
        raise FormError("integers", "something else", "column")
    steps = [values[0], *map(sub, values[1:], values)]
    if not (_within(values) and _within(steps)):
        raise LimitError("values and their differences within 64 signed bits", "a wider one", "column")
    changes = sum(map(ne, steps[1:], steps))
    if 2 * (changes + 1) < len(steps):
        return [RUNS, *(number for step, group in groupby(steps) for number in (step, sum(1 for _ in group)))]
    return [PLAIN, *steps]


def encode_within(values: Sequence[int], low: int, high: int, where: str) -> list[Wire]:
    """As `encode`; what the other side would refuse is refused here.

    Raises:
        FieldError: one of them is not from `low` to `high`.
    """
    if len(values) == 1 and type(values[0]) is int and low <= values[0] <= high:
        return [PLAIN, values[0]]  # as in `encode`: the bounds are narrower than 64 bits
    check_within(values, low, high, where)
    return encode(values)


def check_within(values: Sequence[int], low: int, high: int, where: str) -> None:
    """Check that all values are from `low` to `high`.

    Raises:
        FieldError: one is not.
    """
    if values and not low <= min(values) <= max(values) <= high:
        raise FieldError(f"values from {low} to {high}", f"{min(values)} to {max(values)}", where)


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
    if len(numbers) == 4 and numbers[1:] == [1, 0, count - 1] and count > 1:
        return _sums(numbers[:1], where) * count  # one value in all rows: most columns of a load profile
    steps, lengths = numbers[::2], numbers[1::2]
    if sum(lengths) != count or min(lengths, default=1) < 1:
        raise CountError(f"runs of {count} rows in all", f"{sum(lengths)}", where)
    if len(steps) == 1:
        return _sums(steps * count, where)
    return _sums([step for step, length in zip(steps, lengths, strict=True) for _ in range(length)], where)


def maybe_same(column: Wire, count: int) -> int | None:
    """What all rows have, where their column says so in runs, as most columns of a load profile do; None: decode it."""
    if not isinstance(column, list) or set(map(type, column)) != _INTEGERS:
        return None  # a bool is no integer
    match cast("list[int]", column):
        case [form, 0, length] if form == RUNS and length == count > 0:
            return 0
        case [form, only, 1, 0, length] if form == RUNS and length == count - 1 > 0:
            return only
    return None


def decode_within(column: Wire, count: int, low: int, high: int, where: str) -> list[int]:
    """The `count` integers of a column, all of them from `low` to `high`."""
    only = maybe_same(column, count)
    if only is not None and low <= only <= high:
        return [only] * count  # what all rows have is looked at once
    values = decode(column, count, where)
    check_within(values, low, high, where)
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
