"""Which rows of an answer are handed on: the new ones, and the last one where it is not what it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dlms_rows import digest, fresh, remembered
from gateway.passes import Passes
from gateway.pieces import _new
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms.objects import CLOCK_TIME
from protocols.dlms.profile import Column, Row, rows
from protocols.reading import Float32, MeterTime, NativeKey, Precision, Scaled, State, Text, Value

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


OTHERWISE: tuple[dict[str, object], ...] = (
    {"key": NativeKey.dlms(3, bytes((1, 0, 2, 8, 0, 255)), 2)},
    {"unit": "var.h"},
    {"number": Scaled(7, 1)},
    {"number": Float32(7)},
    {"number": Text("7e0")},
    {"state": State.UNKNOWN},
    {"status": 0},
    {"time": TIME},
    {"time": replace(TIME, summer=True)},
    {"time": replace(TIME, deviation_min=0)},
)


def test_all_that_a_value_says_counts_for_whether_its_row_changed() -> None:
    """Number, how it is written, unit, register, state, status and time."""
    values = [row(7).values[0], *(replace(row(7).values[0], **each) for each in OTHERWISE)]  # type: ignore[arg-type]
    assert len({digest(replace(row(7), values=(each,))) for each in values}) == len(values)


def test_a_row_that_two_pieces_have_is_one_whatever_is_null_in_it() -> None:
    """The last one of a piece may be null where the first one of the next says its values."""
    null = Row(None, TIME, True, False, None, (Value(ENERGY, "", Scaled(0), State.INVALID),))
    assert _new([row(7), row(8)], [null], TIME) == [1]  # the second is of the hour that comes twice
    assert _new([row(7)], [row(7)], TIME) == []


def test_rows_of_an_hour_that_comes_twice_are_not_those_of_the_piece_before() -> None:
    """Nothing tells the two hours apart, and nothing was used meanwhile: each row is there twice all the same."""
    quarters = [replace(row(7), time=replace(TIME, seconds=TIME.seconds + 900 * number)) for number in range(4)]
    border = quarters[2].time
    assert border is not None
    assert _new([*quarters[2:], *quarters], quarters[:3], border) == [1, 2, 3, 4, 5]


def test_a_null_in_the_place_of_a_time_is_none_where_the_newest_row_comes_first() -> None:
    """Below a row stands an older one then: a period later would be wrong, and nobody says a period earlier."""
    stamp = axdr.octet_string(clocks.to_bytes(TIME))
    buffer = axdr.array(axdr.structure(stamp), axdr.structure(axdr.NULL))
    up, down = (rows(buffer, (Column(CLOCK_TIME),), {}, 900, True, newest_first) for newest_first in (False, True))
    assert [each.time and each.time.seconds - TIME.seconds for each in up] == [0, 900]
    assert [each.time and each.time.seconds - TIME.seconds for each in down] == [0, None]


def test_events_of_one_second_are_no_hour_that_comes_twice() -> None:
    """Several rows may bear one time where nothing is captured regularly: they stay in the order of their pieces."""
    times = [[0, 0, 0, 60], [1_200, 1_200], [1_500]]
    pieces = [[replace(row(7), time=replace(TIME, seconds=TIME.seconds + each)) for each in piece] for piece in times]
    log = Passes(regular=False)
    for piece in pieces:
        log.take(piece, range(len(piece)))
    assert log.rows == [each for piece in pieces for each in piece]
    assert log.again_s is None
    assert log.is_certain
