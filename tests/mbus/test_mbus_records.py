"""Records and values: exact numbers, and a state for everything that has none."""

from __future__ import annotations

import random

import pytest

from protocols.errors import AnotherMeter, MeterError
from protocols.mbus import faults, link, telegram
from protocols.mbus.meaning import check_identity, identity, meter_time, values
from protocols.mbus.telegram import Telegram
from protocols.reading import Float32, Identity, MeterTime, Precision, Protocol, Raw, Scaled, State, Status, Text, Value

HEADER = bytes.fromhex("785634122d2c080455000000")


def frame(body: bytes, ci: int = 0x72) -> link.Frame:
    inner = bytes([0x08, 0x01, ci]) + body
    size = len(inner)
    return link.parse(bytes([0x68, size, size, 0x68]) + inner + bytes([sum(inner) & 0xFF, 0x16]))


def decoded(records: str) -> Telegram:
    return telegram.decode(frame(HEADER + bytes.fromhex(records)))


def only(records: str) -> Value:
    (value,) = values(decoded(records))
    return value


@pytest.mark.parametrize(
    ("record", "unit", "number"),
    [
        ("0406 39300000", "Wh", Scaled(12345, 3)),
        ("04fb00 39300000", "Wh", Scaled(12345, 5)),
        ("04fb08 39300000", "J", Scaled(12345, 8)),
        ("0a5a 3412", "Cel", Scaled(1234, -1)),
        ("0b3b 0000f1", "m3/h", Scaled(-10000, -3)),
        ("0161 ff", "K", Scaled(-1, -2)),
        ("055b 713dac41", "Cel", Float32(0x41AC3D71)),
        ("05fdc973 00004841", "V", Float32(0x41480000, -3)),
        ("02fd17 0080", "", Scaled(0x8000)),
        ("0dfd11 04 e9666163", "", Text("café")),
        ("0d78 c2 3412", "", Scaled(1234)),
        ("0d13 d2 3412", "m3", Scaled(-1234, -3)),
        ("0d13 e3 393000", "m3", Scaled(12345, -3)),
        ("0dfd17 e2 0080", "", Scaled(0x8000)),
        ("0d93fc11 e1 ff", "m3", Scaled(255, -3)),  # the meter says: no sign
        ("0493bb74 39300000", "m3", Scaled(12345, -5)),
        ("04937b 39300000", "m3", Scaled(13345, -3)),
        ("02fdd071 0000", "A", Scaled(0, -12)),
        ("049358 39300000", "s", Scaled(12345)),  # a duration, not a volume
        ("0492fc11 ffffffff", "m3", Scaled(4294967295, -4)),  # the meter says: no sign
    ],
)
def test_numbers_are_exact(record: str, unit: str, number: object) -> None:
    value = only(record)
    assert (value.state, value.unit, value.number) == (State.OK, unit, number)


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ("0c13 ffffffff", State.INVALID),
        ("0c13 785b3412", State.INVALID),
        ("0c13 eeeeeeee", State.INVALID),
        ("0c13 7856f412", State.INVALID),
        ("055b 0000c07f", State.INVALID),  # not a number
        ("055b 0000807f", State.INVALID),  # infinite
        ("4413 ffffffff", State.INVALID),  # a storage that was never written
        ("3b2d bdebdd", State.ERROR_STATE),
        ("3a5a 9999", State.ERROR_STATE),
        ("049303 39300000", State.INVALID),  # record error
        ("009315", State.INVALID),
        ("04ff22 00000000", State.UNKNOWN),
        ("047b 00000000", State.UNKNOWN),
        ("04933d 39300000", State.UNKNOWN),  # not metric
        ("04937c 39300000", State.UNKNOWN),
        ("0d06 02 3132", State.UNKNOWN),  # an energy is not a text
        ("0dfd11 03 610062", State.UNKNOWN),  # a NUL inside
        ("0d13 e2 3480", State.UNKNOWN),  # negative, or without a sign: nobody says
        ("0d13 e0", State.INVALID),
        ("0d13 f0" + "01" * 16, State.UNKNOWN),  # beyond 64 bits
        ("0d13 f0 39300000" + "00" * 11 + "80", State.UNKNOWN),  # whether it is negative nobody says
        ("0d6d e4 1a0ecd13", State.UNKNOWN),
        ("08 7e", State.INVALID),
        ("07fb89fd7d ffffffffffffff7f", State.UNKNOWN),  # beyond 64 bits
        ("02fdd070 0a00", State.UNKNOWN),  # 1e-17 A: below what a value may carry
    ],
)
def test_what_is_no_number_keeps_its_octets_and_says_why(record: str, state: State) -> None:
    value = only(record)
    assert value.state is state
    assert isinstance(value.number, Raw)
    assert bytes.fromhex(record).endswith(value.number.octets)


@pytest.mark.parametrize(
    ("octets", "state", "shown"),
    [
        ("04 6d 1a0ecd13", State.OK, "2014-03-13T14:26"),
        ("04 6d 9a0ecd13", State.INVALID, ""),
        ("04 6d 1a18cd13", State.INVALID, ""),
        ("04 6d 3f0ecd13", State.RECURRING, ""),
        ("04 6d 1a1fcd13", State.RECURRING, ""),
        ("04 6d 0000e1f1", State.RECURRING, ""),
        ("04 6d 00000000", State.INVALID, ""),
        ("04 6d ffffffff", State.INVALID, ""),
        ("02 6c bf1c", State.OK, "2013-12-31"),
        ("02 6c 1f3c", State.OK, "2024-12-31"),
        ("02 6c 003c", State.RECURRING, ""),
        ("02 6c 1f3f", State.RECURRING, ""),
        ("02 6c fe32", State.INVALID, ""),  # 30 February
        ("02 6c 1f30", State.INVALID, ""),
        ("02 6c 1f3d", State.INVALID, ""),
        ("02 6c ffff", State.INVALID, ""),
        ("06 6d 3a3b171f3c00", State.OK, "2024-12-31T23:59:58"),
        ("06 6d 3abb171f3c00", State.INVALID, ""),
        ("03 6d 1e2d0c", State.RECURRING, ""),  # every day at 12:45:30
        ("03 6d 1e2d18", State.INVALID, ""),
        ("01 6c 10", State.INVALID, ""),  # table 10: other data fields are invalid
        ("07 6d 3a3b171f3c000000", State.INVALID, ""),
        ("0a 6c 1f3c", State.INVALID, ""),
        ("05 6d 1a0ecd13", State.INVALID, ""),
    ],
)
def test_dates_are_times_invalid_or_recurring(octets: str, state: State, shown: str) -> None:
    value = only(octets)
    assert value.state is state
    assert str(value.number) == shown if shown else isinstance(value.number, Raw)


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ("05 db78 0000ac41", "21.501"),  # 21.5 Cel + 10^-3
        ("05 db7a cdccac41", "21.7"),  # 21.6 Cel + 10^-1, the float's own noise left out
        ("05 937b 0000a041", "1.02"),  # 20 l + 10^0, in m3
        ("05 937b 000000c1", "0.992"),  # -8 l + 1 m3
        ("05 db78 cdcccc3d", "0.101"),
        ("05 db78 00000000", "0.001"),
        ("05 807b 00c079c4", "0.001"),  # -999 mWh + 1 Wh
    ],
)
def test_a_float_with_an_addition_is_exact_in_decimal(record: str, shown: str) -> None:
    """EN 13757-3, VIFE 78-7B: 10^(nn-3) in the unit of the VIF is added."""
    value = only(record)
    assert (value.state, str(value.number)) == (State.OK, shown)


@pytest.mark.parametrize(
    ("record", "state", "shown"),
    [
        ("05 fdd070 0000803f", State.UNKNOWN, ""),  # 10^-18 A: finer than any store holds
        ("05 fdd070 00247449", State.OK, "0.000000000001"),  # 10^6 of them
        ("05 db7b ffff7f7f", State.UNKNOWN, ""),  # 3.4 * 10^38 Cel
        ("05 db78 0000807f", State.INVALID, ""),
        ("05 fdd0f0f0f070 ffff7f7f", State.OK, "340.28235"),  # the largest one, times 10^-36
    ],
)
def test_a_float_that_no_store_holds_is_unknown(record: str, state: State, shown: str) -> None:
    value = only(record)
    assert value.state is state
    assert str(value.number) == shown if shown else isinstance(value.number, Raw)


@pytest.mark.parametrize(
    ("record", "state", "shown"),
    [
        ("07 fd17 ffffffffffffffff", State.OK, "18446744073709551615"),
        ("07 fd97 1d ffffffffffffffff", State.OK, "18446744073709551615"),
        ("07 fd17 ffffffffffffff7f", State.OK, "9223372036854775807"),
        ("07 79 78563412cd4c08f4", State.OK, "17584389188725528184"),
        ("0d 78 e8 ffffffffffffffff", State.OK, "18446744073709551615"),
        ("0d fd1b ef" + "ff" * 15, State.OK, str(2**120 - 1)),
        ("0d fd1b f6" + "ff" * 64, State.UNKNOWN, ""),  # 155 digits are more than a text may have
        ("07 fd1c ffffffffffffffff", State.UNKNOWN, ""),  # it has a unit
    ],
)
def test_long_flags_and_names_are_kept_as_digits(record: str, state: State, shown: str) -> None:
    """64 bits with a sign are what a store holds as a number."""
    number = only(record).number
    assert only(record).state is state
    assert isinstance(number, Raw) if not shown else getattr(number, "text", None) or str(number) == shown


@pytest.mark.parametrize("record", ["09 fd60 f1", "0c 78 785634f2", "0b fd17 3412f0", "0d 78 d2 3412", "0d fd1b d1 12"])
def test_a_minus_before_what_has_no_sign_is_no_value(record: str) -> None:
    """Digits of a counter, of a plate, of flags; a plus is well, also in data of variable length."""
    assert only(record).state is State.INVALID
    assert only("0d fd17 c2 3412").number == Scaled(1234)


def test_a_record_error_beside_what_is_unknown_is_an_error() -> None:
    """In both orders of the VIFEs, and with a VIF that is reserved."""
    for record in ("04 9383ff01 39300000", "04 93bd03 39300000", "04 fdfc0c 39300000", "04 fb86 03 39300000"):
        value = only(record)
        assert (value.state, type(value.number)) == (State.INVALID, Raw), record


@pytest.mark.parametrize("length", ["f0", "f1", "f2", "f3", "f4", "f5", "f6"])
def test_a_long_binary_number_that_64_bits_hold_is_a_number(length: str) -> None:
    """LVAR F0-F4 are 16 to 32 bytes in steps of four, F5 48, F6 64."""
    size = {"f5": 48, "f6": 64}.get(length, 4 * (int(length, 16) - 0xEC))
    value, following = values(decoded(f"0d13 {length} 39300000" + "00" * (size - 4) + "025b1600"))
    assert (value.state, str(value.number)) == (State.OK, "12.345")
    assert str(following.number) == "22"


@pytest.mark.parametrize("size", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("least", [False, True])
def test_a_stored_counter_of_a_storage_that_is_not_reached_is_invalid(size: int, least: bool) -> None:
    """-1 (read elsewhere as -0.001 m3), and the least number of the size; not where they may be true."""
    coding = {2: 2, 3: 3, 4: 4, 6: 6, 8: 7}[size]
    octets = bytes(size - 1).hex() + "80" if least else "ff" * size
    assert only(f"{0x40 | coding:02x} 13 {octets}").state is State.INVALID
    now = only(f"{coding:02x} 13 {octets}").state
    assert now is (State.UNKNOWN if least and size == 8 else State.OK), "-2^63 is beyond what a store holds"
    if size < 8:
        outside = only(f"{0x40 | coding:02x} 65 {octets}").state
        assert outside is (State.INVALID if size == 4 and not least else State.OK), "a temperature may be -0.01"
    assert only(f"{0x40 | coding:02x} fd17 {octets}").state is not State.INVALID, "flags"


def test_the_summer_time_flag_and_the_hundred_years_are_honoured() -> None:
    number = only("04 6d 1a ae cd 13").number
    assert isinstance(number, MeterTime)
    assert (str(number), number.summer) == ("2014-03-13T14:26", True)
    assert str(only("04 6d 1a 4e cd 13").number) == "2114-03-13T14:26"


def test_storage_tariff_subunit_and_function_make_the_key() -> None:
    value = only("84ffff3f13 39300000")
    assert value.key.parts == (b"\x13", 8190, 63, 3, 0, 0)
    assert only("6413 39300000").key.parts == (b"\x13", 1, 0, 0, 2, 0)


def test_a_repeated_key_is_numbered() -> None:
    parts = [value.key.parts[-1] for value in values(decoded("0406 01000000 0406 02000000 4406 03000000"))]
    assert parts == [0, 1, 0]


def test_a_stored_value_has_the_time_of_its_storage() -> None:
    energy, volume, now, date = values(decoded("4406 01000000 c41014 02000000 0406 03000000 426c 1f3a"))
    assert str(energy.time) == str(volume.time) == "2024-10-31"
    assert now.time is None
    assert (str(date.number), date.time) == ("2024-10-31", None)


def test_a_stored_value_of_another_subunit_has_no_borrowed_time() -> None:
    value, _ = values(decoded("c44006 01000000 426c 1f3a"))
    assert value.time is None


@pytest.mark.parametrize("date_record", ["426c ffff", "42ec00 ffff", "42ec15 1f3c"])
def test_a_storage_with_an_invalid_date_is_invalid(date_record: str) -> None:
    """Also where the date says of itself that it has no error, or that there is none."""
    value, date = values(decoded(f"4406 00000000 {date_record}"))
    assert value.state is date.state is State.INVALID
    assert value.number == Raw(bytes(4))


def test_a_maximum_has_its_own_time() -> None:
    maximum, date, other = values(decoded("142d 10000000 14ad6f 32147a18 143b 10000000"))
    assert str(maximum.time) == str(date.number) == "2011-08-26T20:50"
    assert other.time is None


def test_the_meters_clock_is_the_valid_date_of_storage_0() -> None:
    assert str(meter_time(decoded("0406 01000000 046d 1a0ecd13"))) == "2014-03-13T14:26"
    assert meter_time(decoded("026c 1f3c")) == MeterTime(788_918_400, Precision.DAY)
    assert meter_time(decoded("046d 9a0ecd13")) is None
    assert meter_time(decoded("446d 1a0ecd13")) is None


def test_fillers_more_and_manufacturer_data_are_no_records() -> None:
    answer = decoded("2f 025b1600 2f2f 1f aabbcc")
    assert len(answer.records) == 1
    assert (answer.more, answer.manufacturer_data, answer.partial) == (True, b"\xaa\xbb\xcc", False)
    assert decoded("0f 010203").manufacturer_data == b"\x01\x02\x03"


@pytest.mark.parametrize(
    "end", ["04", "0413 0102", "84", "0493", "0dfd11 05 6162", "0d13 ca 00", "3f", "8b" * 11 + "6004"]
)
def test_a_record_that_does_not_end_keeps_the_earlier_ones(end: str) -> None:
    answer = decoded("025b1600" + end)
    assert answer.partial
    assert [record.number for record in answer.records] == [Scaled(22)]


def test_the_header_is_read_with_either_byte_first() -> None:
    low = telegram.decode(frame(HEADER + bytes.fromhex("04133930 0000")))
    high = telegram.decode(frame(bytes.fromhex("123456782c2d080455000000 041300003039"), ci=0x76))
    assert low.identity == high.identity == Identity(Protocol.MBUS, "KAM", "12345678", 8, 4)
    assert low.records[0].number == high.records[0].number == Scaled(12345, -3)


def test_hex_digits_in_the_number_are_kept() -> None:
    answer = telegram.decode(frame(bytes.fromhex("3e0200052d2c080455000000")))
    assert answer.identity.id == "0500023E"


def test_a_short_header_has_no_identity() -> None:
    answer = telegram.decode(frame(bytes.fromhex("2a040000 025b1600"), ci=0x7A))
    assert (answer.identity, answer.access, answer.status) == (Identity(Protocol.MBUS), 0x2A, Status.POWER_LOW)


@pytest.mark.parametrize(
    ("word", "mapped"),
    [
        (0x00, Status.NONE),
        (0x01, Status.BUSY),
        (0x02, Status.APPLICATION_ERROR),
        (0x03, Status.ABNORMAL),
        (0x1C, Status.POWER_LOW | Status.PERMANENT_ERROR | Status.TEMPORARY_ERROR),
        (0x40, Status.MANUFACTURER),
    ],
)
def test_the_status_byte_is_mapped(word: int, mapped: Status) -> None:
    assert telegram.status(word) == mapped


@pytest.mark.parametrize(
    ("ci", "body", "error"),
    [
        (0x70, "08", faults.ApplicationFault),
        (0x70, "", faults.ApplicationFault),
        (0x73, "93929190100005", faults.HeaderCutShort),
        (0x71, "00", faults.AlarmReport),
        (0x71, "", faults.AlarmReport),
        (0x55, "00", faults.NotSupported),
        (0x72, "7856341224", faults.HeaderCutShort),
        (0x72, "785634122d2c080455001005 0413", faults.Encrypted),
    ],
)
def test_what_carries_no_records_has_a_named_error(ci: int, body: str, error: type[MeterError]) -> None:
    with pytest.raises(error):
        telegram.decode(frame(bytes.fromhex(body), ci))


PLAIN = "0c78 33227107 0406 e7910000 0414 2cdb0000 0459 b9270000 04ff22 00000000 426c 5f1c"
WORDS = {"mode 5, two blocks": "2005", "mode 7, one block": "1007", "mode 5, no block": "0005"}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS.keys())
@pytest.mark.parametrize("records", [PLAIN, "2f2f 0406 e7910000" + "2f" * 32, PLAIN + "0f 0102030405"])
def test_records_in_the_clear_are_taken_whatever_the_configuration_word_says(word: str, records: str) -> None:
    body = bytes.fromhex(f"785634122d2c08045500{word}{records}")
    assert telegram.decode(frame(body)).records == decoded(records).records


@pytest.mark.parametrize("word", ["0005", "0007"])
def test_where_no_block_is_encrypted_a_record_that_does_not_end_keeps_the_earlier_ones(word: str) -> None:
    answer = telegram.decode(frame(bytes.fromhex(f"785634122d2c08045500{word} 025b1600 0413 0102")))
    assert answer.partial
    assert [record.number for record in answer.records] == [Scaled(22)]


def test_what_was_decrypted_before_it_came_keeps_the_earlier_records_too() -> None:
    """2F2F says so, whatever the configuration word does."""
    answer = telegram.decode(frame(bytes.fromhex("785634122d2c080455001005 2f2f 025b1600 0413 0102")))
    assert answer.partial
    assert [record.number for record in answer.records] == [Scaled(22)]


@pytest.mark.parametrize(("blocks", "most"), [(1, 40), (2, 15), (3, 6), (8, 3)])
def test_encrypted_records_are_refused_also_where_they_seem_to_decode(blocks: int, most: int) -> None:
    """Of 2,000 telegrams of random bytes some 200 do; what looks like a meter's answer nobody can tell."""
    dice, taken = random.Random(5), 0
    for _ in range(2_000):
        body = bytes.fromhex("785634122d2c08045500") + bytes([blocks << 4, 5]) + dice.randbytes(16 * blocks)
        try:
            telegram.decode(frame(body))
            taken += 1
        except faults.Encrypted:
            pass
    assert taken <= most


def test_another_meter_at_the_configured_address_is_refused() -> None:
    got = decoded("025b1600").identity
    check_identity(got, Identity(Protocol.MBUS, None, "12345678"))
    check_identity(got, Identity(Protocol.MBUS, "KAM", "12345678", 8, 4))
    with pytest.raises(AnotherMeter, match="KAM 12345678 version 08 medium 04"):
        check_identity(got, Identity(Protocol.MBUS, "KAM", "12345679"))


@pytest.mark.parametrize(
    ("record", "fabrication"),
    [("0c78 33227107", "07712233"), ("0d78 03 434241", "ABC"), ("0478 39300000", "12345"), ("4c78 33227107", None)],
)
def test_the_fabrication_number_belongs_to_the_identity(record: str, fabrication: str | None) -> None:
    answer = decoded("025b1600" + record)
    assert identity(answer) == Identity(Protocol.MBUS, "KAM", "12345678", 8, 4, fabrication)
    check_identity(identity(answer), Identity(Protocol.MBUS, fabrication=fabrication))


def test_a_fabrication_number_that_differs_is_another_meter() -> None:
    with pytest.raises(AnotherMeter):
        check_identity(identity(decoded("0c78 33227107")), Identity(Protocol.MBUS, fabrication="07712234"))
