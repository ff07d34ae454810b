"""Which rows of an answer are handed on: the new ones, and the last one where it is not what it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dlms_rows import digest, fresh, remembered, row_reading
from gateway.passes import Passes
from gateway.pieces import _new
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms import table
from protocols.dlms.data import Data, Tag
from protocols.dlms.objects import CLOCK_TIME, Attribute, ScalerUnit
from protocols.dlms.profile import Column, Row, rows
from protocols.reading import (
    Exchange,
    Float32,
    Identity,
    MeterTime,
    NativeKey,
    Precision,
    Protocol,
    Raw,
    Scaled,
    State,
    Status,
    Text,
    TimeQuality,
    Value,
)
from protocols.uplink.body import encode, expand

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


STATUS = Column(Attribute.of(1, "0-0:96.10.1"))
WORDS = [
    (Data(Tag.UNSIGNED, 7), 7, b""),
    (Data(Tag.DOUBLE_LONG, -1), 0xFFFF_FFFF, b""),
    (Data(Tag.LONG, -2), 0xFFFE, b""),
    (Data(Tag.OCTET_STRING, b"\x80\x00"), 0x8000, b""),
    (Data(Tag.LONG64_UNSIGNED, 2**62), 2**62, b""),
    (Data(Tag.LONG64_UNSIGNED, 2**63), None, b"\x15\x80" + bytes(7)),
    (Data(Tag.LONG64, -1), None, b"\x14" + b"\xff" * 8),
    (Data(Tag.OCTET_STRING, b"\xff" * 8), None, b"\x09\x08" + b"\xff" * 8),
    (Data(Tag.OCTET_STRING, b"\x01" * 9), None, b"\x09\x09" + b"\x01" * 9),
]


@pytest.mark.parametrize(("word", "number", "wide"), WORDS, ids=lambda each: str(each)[:24])
@pytest.mark.parametrize("idis", [False, True])
def test_a_row_with_any_status_word_is_sealed(word: Data, number: int | None, wide: bytes, idis: bool) -> None:
    """What is no number of the contract is kept as it came, and marked; the values of the row are as good as before."""
    captured = (Column(CLOCK_TIME), STATUS, Column(Attribute.of(3, "1-0:1.8.0")))
    times = [replace(TIME, seconds=TIME.seconds + 900 * n) for n in range(3)]
    cells = [axdr.octet_string(clocks.to_bytes(each)) for each in times]
    whole = axdr.array(*(axdr.structure(each, word, Data(Tag.DOUBLE_LONG_UNSIGNED, 5)) for each in cells))
    for buffer in (table.value(axdr.to_bytes(whole)), whole):
        for found in rows(buffer, captured, {captured[2].attribute: ScalerUnit(0, "Wh")}, 900):
            assert (found.status, found.wide) == (number, wide)
            exchange = Exchange(1_790_000_000_000, 1, 1, TimeQuality(True, 1), b"telegram", keep=False)
            made = row_reading(found, Identity(Protocol.DLMS), "m", exchange, captured, idis=idis)
            (sealed,) = expand(encode([made], [], bytes(32))).readings
            assert sealed.status_raw == number
            assert (sealed.status == Status.MANUFACTURER) == (bool(wide) or (not idis and bool(number)))
            doubt = idis and (bool(wide) or bool((number or 0) & 6))
            assert (sealed.values[0].state is State.OK) == (not doubt)
            assert [each.number for each in sealed.values[1:]] == ([Raw(wide)] if wide else [])
