"""Which rows of an answer are handed on: the new ones, and the last one where it is not what it was."""

from __future__ import annotations

import pytest

from gateway.dlms_rows import fresh, remembered
from protocols.dlms.profile import Row
from protocols.reading import MeterTime, NativeKey, Precision, Scaled, State, Value

ENERGY = NativeKey.dlms(3, bytes((1, 0, 1, 8, 0, 255)), 2)
TIME = MeterTime(839_000_000, Precision.SECOND)
ALIKE = 2**61 - 1  # Python's hash of an integer is what is left of it by this


def row(mantissa: int) -> Row:
    return Row(None, TIME, False, False, None, (Value(ENERGY, "Wh", Scaled(mantissa), State.OK),))


@pytest.mark.parametrize(("before", "after"), [(-1, -2), (0, ALIKE), (5, 5 + ALIKE), (5, 6)])
def test_a_row_that_changed_is_handed_on_again(before: int, after: int) -> None:
    """Whatever its values were: some share what Python calls their hash."""
    handed = remembered({}, [(row(before), 0)])
    assert fresh([row(before), row(before)], TIME, {**handed, (TIME, 1): handed[TIME, 0]}) == []
    assert fresh([row(after), row(before)], TIME, {**handed, (TIME, 1): handed[TIME, 0]}) == [(row(after), 0)]
