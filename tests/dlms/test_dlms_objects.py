"""What data mean: scaler and unit, strings, clocks, profile rows; never a guess."""

from __future__ import annotations

import pytest

from protocols.dlms import clock, data, listing, profile
from protocols.dlms.data import NULL, Data, Tag
from protocols.dlms.faults import ColumnsDiffer, Malformed
from protocols.dlms.objects import CLOCK_TIME, DEVICE_ID, Attribute, ScalerUnit, clock_value, value
from protocols.dlms.profile import Column
from protocols.dlms.units import UNITS
from protocols.reading import Float32, MeterTime, NativeKey, Precision, Raw, Scaled, State, Text

ENERGY = Attribute.of(3, "1-0:1.8.0")
STATUS = Attribute.of(1, "0-0:96.10.1")
WH = ScalerUnit(3, "Wh")
SPRING = bytes.fromhex("07ea0b1607003a1e00ffc400")  # 2026-11-22 00:58:30, UTC+1


@pytest.mark.parametrize(
    ("shown", "number", "state"),
    [
        (Data(Tag.DOUBLE_LONG_UNSIGNED, 2**32 - 1), Scaled(2**32 - 1, 3), State.OK),
        (Data(Tag.INTEGER, -5), Scaled(-5, 3), State.OK),
        (Data(Tag.LONG64_UNSIGNED, 2**63 - 1), Scaled(2**63 - 1, 3), State.OK),
        (Data(Tag.LONG64_UNSIGNED, 2**63), Raw(bytes.fromhex("158000000000000000")), State.UNKNOWN),
        (Data(Tag.FLOAT32, b"\x3f\x80\x00\x00"), Float32(0x3F800000, 3), State.OK),
        (Data(Tag.FLOAT32, b"\x7f\x80\x00\x00"), Raw(bytes.fromhex("177f800000")), State.INVALID),
        (Data(Tag.FLOAT64, bytes(8)), Float32(0, 3), State.OK),
        (Data(Tag.FLOAT64, bytes.fromhex("406cd00000000000")), Float32(0x43668000, 3), State.OK),  # 230.5
        (Data(Tag.FLOAT64, bytes.fromhex("4197D78400200000")), Scaled(100_000_000_03125, -2), State.OK),  # 10^8 + 2^-5
        (Data(Tag.FLOAT64, bytes.fromhex("3fb999999999999a")), Raw(bytes.fromhex("183fb999999999999a")), State.UNKNOWN),
        (Data(Tag.FLOAT64, bytes.fromhex("fff0000000000000")), Raw(bytes.fromhex("18fff0000000000000")), State.INVALID),
        (Data(Tag.BCD, 0x42), Scaled(42, 3), State.OK),
        (Data(Tag.BCD, 0x4A), Raw(b"\x0d\x4a"), State.INVALID),
        (Data(Tag.BIT_STRING, b"\xa0", 3), Raw(b"\x04\x03\xa0"), State.UNKNOWN),
        (NULL, Raw(b"\x00"), State.INVALID),
    ],
)
def test_a_register_keeps_its_number_exactly(shown: Data, number: object, state: State) -> None:
    """Whole numbers of every width with the power of ten beside them; what has no number is marked."""
    found = value(ENERGY, shown, WH)
    assert (found.number, found.state) == (number, state)
    assert found.key == NativeKey.dlms(3, bytes((1, 0, 1, 8, 0, 255)), 2)
    assert found.unit == ("Wh" if isinstance(number, Scaled | Float32) else "")


def test_a_register_without_its_scaler_is_unknown() -> None:
    """As is one whose unit or scaler is not known: no number feeds billing without them."""
    one = Data(Tag.UNSIGNED, 1)
    assert value(ENERGY, one).state is State.UNKNOWN
    unknown = ScalerUnit.from_data(data.structure(Data(Tag.INTEGER, 0), Data(Tag.ENUM, 200)))
    assert (value(ENERGY, one, unknown).state, value(ENERGY, one, unknown).unit) == (State.UNKNOWN, "")
    assert value(ENERGY, one, ScalerUnit(13, "Wh")).state is State.UNKNOWN


def test_scaler_and_unit_have_one_form() -> None:
    """An integer and an enum; anything else is an error."""
    assert ScalerUnit.from_data(data.structure(Data(Tag.INTEGER, -1), Data(Tag.ENUM, 35))) == ScalerUnit(-1, "V")
    with pytest.raises(Malformed):
        ScalerUnit.from_data(data.structure(Data(Tag.UNSIGNED, 1), Data(Tag.ENUM, 35)))


def test_the_units_of_meters() -> None:
    """Codes of the Blue Book as they are in the captures."""
    codes = {27: "W", 28: "VA", 29: "var", 30: "Wh", 31: "VA.h", 32: "var.h", 33: "A", 35: "V", 44: "Hz", 255: ""}
    assert {code: UNITS[code] for code in codes} == codes


def test_strings_are_texts_where_they_can_be_read() -> None:
    """Else the octets as they came; more than a sealed value holds is UNKNOWN."""
    assert value(DEVICE_ID, data.octet_string(b"50012345")).number == Text("50012345")
    assert value(DEVICE_ID, data.octet_string(b"\x00\x01")).number == Raw(b"\x00\x01")
    assert value(DEVICE_ID, data.octet_string(bytes(300))).state is State.UNKNOWN


def test_a_clock_shows_its_offset_and_summer_time() -> None:
    """The standard's -60 is an hour ahead of UTC: ours is +60."""
    found = clock.from_bytes(SPRING)
    assert found.time is not None
    assert (str(found.time), found.time.deviation_min, found.time.summer) == ("2026-11-22T00:58:30", 60, False)
    assert clock.utc_ms(found.time) == 1_795_305_510_000
    summer = clock.from_bytes(bytes.fromhex("07ea07010302000000ff8880"))
    assert summer.time is not None
    assert (summer.time.deviation_min, summer.time.summer) == (120, True)


def test_a_clock_without_offset_has_no_instant() -> None:
    """Absent deviation and status FF are accepted, and nothing is guessed."""
    found = clock.from_bytes(bytes.fromhex("07ea0b16ff003a1eff8000ff"))
    assert found.time is not None
    assert (found.time.deviation_min, found.status, clock.utc_ms(found.time)) == (None, None, None)


@pytest.mark.parametrize(("deviation", "known"), [(-840, True), (720, True), (-841, False), (721, False)])
def test_a_clock_is_at_most_fourteen_hours_ahead_of_utc_and_twelve_behind(deviation: int, known: bool) -> None:
    """What is beyond it is no time: the row is told as one without."""
    found = clock.from_bytes(SPRING[:9] + deviation.to_bytes(2, "big", signed=True) + b"\0")
    assert (found.time is not None) is known
    if found.time is not None:
        assert found.time.deviation_min == -deviation


@pytest.mark.parametrize("at", [0, 2, 3, 5, 6])
def test_a_clock_with_an_open_field_has_no_time(at: int) -> None:
    """Year, month, day, hour and minute must be there; the raw bytes are kept."""
    octets = bytearray(SPRING)
    octets[at] = 0xFF
    found = clock_value(CLOCK_TIME, data.octet_string(bytes(octets)))
    assert (found.number, found.state) == (Raw(bytes(octets)), State.INVALID)


def test_a_clock_without_seconds_is_precise_to_the_minute() -> None:
    """FF in the seconds."""
    found = clock.from_bytes(SPRING[:7] + b"\xff" + SPRING[8:])
    assert found.time is not None
    assert found.time.precision is Precision.MINUTE


@pytest.mark.parametrize(("status", "state"), [(0, State.OK), (1, State.INVALID), (8, State.INVALID), (2, State.OK)])
def test_a_clock_that_says_it_is_wrong_is_believed(status: int, state: State) -> None:
    """The invalid bits make the value INVALID; the time and the status are shown all the same."""
    found = value(CLOCK_TIME, data.octet_string(SPRING[:11] + bytes((status,))))
    assert (found.state, found.status) == (state, status)
    assert str(found.number) == "2026-11-22T00:58:30"


def test_a_time_comes_back_from_its_bytes() -> None:
    """With and without deviation."""
    time = MeterTime(800_000_000, Precision.SECOND, True, 120)
    assert clock.from_bytes(clock.to_bytes(time)).time == time
    assert clock.from_bytes(clock.to_bytes(time, False)).time == MeterTime(800_000_000, Precision.SECOND)


def rows_of(*cells: tuple[Data, ...], compressed: bool = False) -> tuple[profile.Row, ...]:
    captured = (Column(CLOCK_TIME), Column(STATUS), Column(ENERGY))
    buffer = data.array(*(data.structure(*each) for each in cells))
    return tuple(profile.rows(buffer, captured, {ENERGY: WH}, 900, compressed))


ZERO = Data(Tag.UNSIGNED, 0)
SEVEN = Data(Tag.DOUBLE_LONG_UNSIGNED, 7)


def test_a_null_clock_is_the_previous_one_and_a_period() -> None:
    """Marked as such; the row has no raw clock then."""
    first, second, third = rows_of((data.octet_string(SPRING), ZERO, SEVEN), (NULL, ZERO, SEVEN), (NULL, ZERO, SEVEN))
    assert [each.repeated for each in (first, second, third)] == [False, True, True]
    assert str(third.time) == "2026-11-22T01:28:30"
    assert first.clock is not None
    assert first.clock.octets == SPRING
    assert (second.clock, second.utc_ms) == (None, 1_795_305_510_000 + 900_000)


def test_a_null_clock_without_a_row_before_has_no_time() -> None:
    """Nothing is guessed."""
    [row] = rows_of((NULL, ZERO, SEVEN))
    assert (row.time, row.repeated) == (None, True)


def test_a_null_value_is_never_the_previous_one() -> None:
    """It is marked invalid."""
    _, second = rows_of((data.octet_string(SPRING), ZERO, SEVEN), (NULL, ZERO, NULL))
    assert second.values[0].state is State.INVALID
    assert second.values[0].key == ENERGY.key


def test_a_null_of_a_meter_that_compresses_is_the_value_before_with_a_flag() -> None:
    """Value, status word and time; each is marked, and over several rows; what stands after nothing stays invalid."""
    eight = Data(Tag.DOUBLE_LONG_UNSIGNED, 8)
    first, *rest = rows_of(
        (data.octet_string(SPRING), NULL, NULL),
        (NULL, NULL, NULL),
        (NULL, Data(Tag.UNSIGNED, 4), SEVEN),
        (NULL, NULL, NULL),
        (NULL, NULL, NULL),
        (NULL, ZERO, eight),
        compressed=True,
    )
    assert (first.values[0].state, first.nulls, first.status) == (State.INVALID, (), None)
    assert [row.values[0].state for row in rest] == [State.INVALID, *[State.OK] * 4]
    assert [row.values[0].number for row in rest[1:]] == [*[Scaled(7, 3)] * 3, Scaled(8, 3)]
    assert [row.nulls == (True,) for row in rest] == [False, False, True, True, False]
    assert [row.status for row in rest] == [None, 4, 4, 4, 0]
    assert [row.status_repeated for row in rest] == [False, False, True, True, False]
    assert all(row.repeated for row in rest)


def test_an_object_list_is_read_with_what_meters_leave_out() -> None:
    """Rights with selectors, methods with yes and no, none at all; another form is an error."""
    right = data.structure(Data(Tag.INTEGER, 2), Data(Tag.ENUM, 3), data.array(Data(Tag.INTEGER, 1)))
    method = data.structure(Data(Tag.INTEGER, 1), Data(Tag.BOOLEAN, 1))
    head = (Data(Tag.LONG_UNSIGNED, 7), Data(Tag.UNSIGNED, 1), data.octet_string(ENERGY.name))
    rights = data.structure(data.array(right), data.array(method))
    found = listing.objects(data.array(data.structure(*head, rights), data.structure(*head, NULL)))
    assert found[0] == listing.Listed(7, 1, ENERGY.name, (listing.Right(2, 3),), (listing.Right(1, 1),))
    assert found[1] == listing.Listed(7, 1, ENERGY.name)
    assert listing.objects(data.array(*(each.to_data() for each in found))) == found
    for wrong in (NULL, data.array(NULL), data.array(data.structure(*head, data.structure(data.array(NULL), NULL)))):
        with pytest.raises(Malformed):
            listing.objects(wrong)


def test_a_status_word_is_a_number_or_bits() -> None:
    """As the meter sends it."""
    bits = Data(Tag.BIT_STRING, b"\x01\x02", 16)
    shown = [
        rows_of((data.octet_string(SPRING), each, SEVEN))[0].status for each in (Data(Tag.UNSIGNED, 8), bits, NULL)
    ]
    assert shown == [8, 0x0102, None]


def test_a_row_with_other_columns_is_an_error() -> None:
    """The profile was set up anew: its scalers would go to the wrong column."""
    with pytest.raises(ColumnsDiffer, match="row 2"):
        rows_of((data.octet_string(SPRING), ZERO, SEVEN), (data.octet_string(SPRING), SEVEN))


def test_a_row_at_a_wrong_time_says_so() -> None:
    """As does one whose time is reckoned from it; the next good clock ends that."""
    wrong = data.octet_string(SPRING[:11] + b"\x01")
    rows = rows_of((wrong, ZERO, SEVEN), (NULL, ZERO, SEVEN), (data.octet_string(SPRING), ZERO, SEVEN))
    assert [each.invalid for each in rows] == [True, True, False]
