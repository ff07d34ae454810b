"""Rows of one layout, read by columns: the same as value by value, and what is not of one layout is no table."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from protocols.dlms import clock, data, profile, table
from protocols.dlms.data import NULL, OCTETS, Data, Tag
from protocols.dlms.faults import ColumnsDiffer, Malformed
from protocols.dlms.objects import CLOCK_TIME, Attribute, ScalerUnit
from protocols.dlms.profile import Column, TableRows
from protocols.dlms.table import Table
from protocols.errors import MeterError
from protocols.reading import MeterTime, Precision

ENERGY, OTHER = Attribute.of(3, "1-0:1.8.0"), Attribute.of(4, "1-0:1.6.0")
CAPTURED = (Column(CLOCK_TIME), Column(Attribute.of(1, "0-0:96.10.1")), Column(ENERGY), Column(OTHER))
SCALERS = {ENERGY: ScalerUnit(3, "Wh")}
START = MeterTime(846_000_000, Precision.SECOND, deviation_min=60)
TAGS = (*data.NUMBERS, *data.STRINGS, *OCTETS)


def moment(at: int) -> Data:
    return data.octet_string(clock.to_bytes(replace(START, seconds=START.seconds + 900 * at)))


def buffer(count: int = 5, *more: Data) -> Data:
    energies = (Data(Tag.DOUBLE_LONG_UNSIGNED, 7 * at) for at in range(count))
    rows = (
        data.structure(moment(at), Data(Tag.UNSIGNED, at), each, Data(Tag.LONG, -at))
        for at, each in enumerate(energies)
    )
    return data.array(*rows, *more)


def any_cell(tag: Tag, dice: random.Random) -> Data:
    """A value of this tag; of a string nine bytes."""
    if tag in data.NUMBERS:
        width, signed = data.NUMBERS[tag]
        return Data(tag, int.from_bytes(dice.randbytes(width), "big", signed=signed))
    return Data(tag, dice.randbytes(OCTETS.get(tag, 9)))


@pytest.mark.parametrize("seed", range(40))
def test_any_rows_of_one_layout_are_a_table_with_the_same_data(seed: int) -> None:
    """Of all types with a width of their own; each row and the whole say what they say value by value."""
    dice = random.Random(seed)
    tags = [dice.choice(TAGS) for _ in range(dice.randrange(1, 65))]
    count = dice.choice([2, 3, 127, 128, 300])
    whole = data.array(*(data.structure(*(any_cell(tag, dice) for tag in tags)) for _ in range(count)))
    found = table.value(data.to_bytes(whole))
    assert isinstance(found, Table)
    assert len(found) == count
    assert found.data() == whole
    assert found.row(count - 1) == data.members_of(data.members_of(whole, "array")[-1], "row")


ROW = data.structure(moment(9), Data(Tag.UNSIGNED, 0), Data(Tag.DOUBLE_LONG_UNSIGNED, 1), Data(Tag.LONG, 1))
CELLS = data.members_of(ROW, "row")
OTHERWISE = {
    "a null": data.structure(CELLS[0], NULL, *CELLS[2:]),
    "another tag of the same width": data.structure(CELLS[0], Data(Tag.INTEGER, 0), *CELLS[2:]),
    "a shorter string": data.structure(data.octet_string(bytes(11)), *CELLS[1:]),
    "a column more": data.structure(*CELLS, CELLS[1]),
    "an array for a structure": data.array(*CELLS),
    "a number": CELLS[2],
    "a structure inside": data.structure(*CELLS[:3], data.structure(CELLS[3])),
    "bits": data.structure(*CELLS[:3], Data(Tag.BIT_STRING, b"\x80\x00", 9)),
}


@pytest.mark.parametrize("last", OTHERWISE.values(), ids=OTHERWISE)
def test_rows_that_are_not_all_alike_are_no_table(last: Data) -> None:
    """Where one row is otherwise all are read value by value, whichever it is."""
    for whole in (buffer(5, last), data.array(last, *data.members_of(buffer(), "rows"))):
        assert table.value(data.to_bytes(whole)) == whole


@pytest.mark.parametrize("whole", [data.array(), buffer(1), data.array(NULL, NULL), Data(Tag.STRUCTURE, (ROW, ROW))])
def test_what_has_no_rows_to_compare_is_no_table(whole: Data) -> None:
    """None, one, none with columns, no array."""
    assert table.value(data.to_bytes(whole)) == whole


def test_every_damaged_byte_is_the_same_value_or_the_same_error() -> None:
    """As value by value: nothing is taken that is refused there, nor the other way round."""
    right = data.to_bytes(buffer())
    for at in range(len(right)):
        for wrong in (
            right[:at],
            right + right[at:],
            *(right[:at] + bytes((n,)) + right[at + 1 :] for n in range(256)),
        ):
            try:
                expected = data.from_bytes(wrong)
            except MeterError as error:
                with pytest.raises(type(error)):
                    table.value(wrong)
            else:
                found = table.value(wrong)
                assert (found.data() if isinstance(found, Table) else found) == expected


def test_rows_of_a_table_are_the_rows_of_its_data() -> None:
    """Clock, time, status word, values and states: the same ones, by place, from the end, and in pieces."""
    wrong = data.structure(data.octet_string(b"\xff" * 12), *CELLS[1:])
    whole = buffer(5, wrong)
    expected = profile.rows(whole, CAPTURED, SCALERS, 900)
    found = profile.rows(table.value(data.to_bytes(whole)), CAPTURED, SCALERS, 900)
    assert isinstance(found, TableRows)
    assert tuple(found) == expected
    assert (found[-1], found[1:3], len(found)) == (expected[-1], expected[1:3], 6)
    assert list(found.times()) == [each.time for each in expected]
    assert found.times()[-1] is None
    assert list(found.numbers()) == [(ENERGY, 3, (0, 7, 14, 21, 28, 1)), (OTHER, 0, (0, -1, -2, -3, -4, 1))]


@pytest.mark.parametrize("seed", range(30))
def test_any_column_shows_the_values_that_its_cells_show(seed: int) -> None:
    """Of all types and scalers, those that a sealed value cannot hold among them; also without clock or status."""
    dice = random.Random(seed)
    scalers = {
        each: ScalerUnit(dice.choice([-128, -13, -2, 0, 3, 13]), dice.choice(["Wh", None])) for each in (ENERGY, OTHER)
    }
    timed = Column(replace(OTHER, number=5))  # when a maximum was: a number there is no time
    captured = tuple(dice.choice([*CAPTURED[1:], Column(Attribute.of(1, "0-0:96.1.0")), timed]) for _ in range(12))
    tags = [dice.choice(TAGS) for _ in captured]
    whole = data.array(*(data.structure(*(any_cell(tag, dice) for tag in tags)) for _ in range(5)))
    found = profile.rows(table.value(data.to_bytes(whole)), captured, scalers, 900)
    assert isinstance(found, TableRows)
    assert tuple(found) == found[:] == profile.rows(whole, captured, scalers, 900)


def test_rows_of_a_table_have_the_columns_and_the_clock_that_are_captured() -> None:
    """Another number of columns and a clock of another form are named, as they are value by value."""
    found = table.value(data.to_bytes(buffer()))
    with pytest.raises(ColumnsDiffer):
        profile.rows(found, CAPTURED[:3], SCALERS, 900)
    with pytest.raises(Malformed, match="a date-time"):
        profile.rows(found, (CAPTURED[1], CAPTURED[0], *CAPTURED[2:]), SCALERS, 900)
    without = profile.rows(found, (CAPTURED[1], *CAPTURED[1:]), SCALERS, 900)
    assert isinstance(without, TableRows)
    assert list(without.times()) == [None] * 5


@pytest.mark.parametrize(("at", "octet"), [(0, 6), (2, 13), (3, 31), (5, 24), (6, 60), (7, 60), (9, 4)])
def test_a_part_of_a_date_time_that_is_none_is_no_time(at: int, octet: int) -> None:
    """Each at its first value beyond: November has 30 days; the deviation is more than twelve hours."""
    octets = bytearray.fromhex("07ea0b1607173b3b00ffc400")
    assert clock.from_bytes(bytes(octets)).time is not None
    octets[at] = octet
    assert clock.from_bytes(bytes(octets)).time is None
    assert clock.times([bytes(octets)]) == (None,)
