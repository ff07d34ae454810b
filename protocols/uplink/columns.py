"""A column: the integers of one field over the rows of a block, as differences, plain or in runs.

`[0, d1, d2, ...]` has one difference a row; `[1, d1, n1, d2, n2, ...]` says that each difference holds for n rows. The
first row's difference is to zero. The sum of the runs, or the count of the differences, is exactly the declared count,
which is checked before anything is expanded; every running sum stays within 64 signed bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from protocols.uplink import limits
from protocols.uplink.faults import CountError, FieldError, LimitError
from protocols.uplink.pack import Wire

PLAIN = 0
RUNS = 1


def encode(values: Sequence[int]) -> list[Wire]:
    """The shorter of the two forms."""
    steps = [value - before for value, before in zip(values, [0, *values], strict=False)]
    if any(not limits.INT64_MIN <= each <= limits.INT64_MAX for each in (*values, *steps)):
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
    if not isinstance(column, list) or not column or any(type(each) is not int for each in column):
        raise FieldError("a column: an array of integers that begins with its form", "something else", where)
    form, *numbers = [each for each in column if isinstance(each, int)]
    if form == PLAIN:
        return _sums(_exactly(numbers, count, where), where)
    if form != RUNS or len(numbers) % 2:
        raise FieldError("form 0 (plain), or form 1 (runs) with pairs", f"form {form}, {len(numbers)} numbers", where)
    steps, lengths = numbers[::2], numbers[1::2]
    if any(not 1 <= length <= count for length in lengths) or sum(lengths) != count:
        raise CountError(f"runs of {count} rows in all", f"{sum(lengths)}", where)
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
    total, sums = 0, []
    for step in steps:
        total += step
        if not limits.INT64_MIN <= total <= limits.INT64_MAX:
            raise LimitError("running sums within 64 signed bits", f"{total}", where)
        sums.append(total)
    return sums
