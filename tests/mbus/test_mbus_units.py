"""Unit and power of ten of every primary value information code, written down from EN 13757-3 table 10 by hand."""

from __future__ import annotations

import pytest

from protocols.mbus.vif import PRIMARY

# first code, number of codes, unit, power of ten of the first code
RANGES = [
    (0x00, 8, "Wh", -3),
    (0x08, 8, "J", 0),
    (0x10, 8, "m3", -6),
    (0x18, 8, "kg", -3),
    (0x28, 8, "W", -3),
    (0x30, 8, "J/h", 0),
    (0x38, 8, "m3/h", -6),
    (0x40, 8, "m3/min", -7),
    (0x48, 8, "m3/s", -9),
    (0x50, 8, "kg/h", -3),
    (0x58, 4, "Cel", -3),
    (0x5C, 4, "Cel", -3),
    (0x60, 4, "K", -3),
    (0x64, 4, "Cel", -3),
    (0x68, 4, "bar", -3),
]


@pytest.mark.parametrize(("first", "count", "unit", "exponent"), RANGES)
def test_each_code_is_ten_times_the_one_before(first: int, count: int, unit: str, exponent: int) -> None:
    """A meter is billed by these: 0E is 10^6 J, 06 is 10^3 Wh, 13 is 10^-3 m3."""
    for step in range(count):
        meaning = PRIMARY[first + step]
        assert (meaning.unit, meaning.exponent) == (unit, exponent + step), f"VIF {first + step:02x}"


def test_times_and_counts_have_their_own_unit_and_no_power() -> None:
    """On time, operating time, averaging and actuality duration: s, min, h, d."""
    for first in (0x20, 0x24, 0x70, 0x74):
        assert [PRIMARY[first + step].unit for step in range(4)] == ["s", "min", "h", "d"]
        assert {PRIMARY[first + step].exponent for step in range(4)} == {0}
