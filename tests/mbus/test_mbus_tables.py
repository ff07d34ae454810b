"""Names, units and effects of the extension tables and of the VIFEs, and the fixed structure: written down by hand."""

from __future__ import annotations

import pytest

from protocols.mbus import link, telegram, vife
from protocols.mbus.meaning import identity, values
from protocols.mbus.telegram import Telegram
from protocols.mbus.vif import AFTER_FB, AFTER_FD, PRIMARY, Kind, Meaning, meaning_of
from protocols.reading import NativeKey, Raw, Scaled, State, Status


def decoded(ci: int, body: str) -> Telegram:
    inner = bytes([0x08, 0x01, ci]) + bytes.fromhex(body)
    size = len(inner)
    return telegram.decode(link.parse(bytes([0x68, size, size, 0x68]) + inner + bytes([sum(inner) & 0xFF, 0x16])))


# value information, quantity, unit, power of ten
NAMED = [
    ("06", "energy", "Wh", 3),
    ("0e", "energy", "J", 6),
    ("13", "volume", "m3", -3),
    ("1b", "mass", "kg", 0),
    ("22", "on time", "h", 0),
    ("27", "operating time", "d", 0),
    ("2d", "power", "W", 2),
    ("37", "power", "J/h", 7),
    ("3b", "volume flow", "m3/h", -3),
    ("44", "volume flow", "m3/min", -3),
    ("4c", "volume flow", "m3/s", -5),
    ("53", "mass flow", "kg/h", 0),
    ("59", "flow temperature", "Cel", -2),
    ("5d", "return temperature", "Cel", -2),
    ("61", "temperature difference", "K", -2),
    ("67", "external temperature", "Cel", 0),
    ("68", "pressure", "bar", -3),
    ("6e", "heat cost allocator units", "{hca}", 0),
    ("73", "averaging duration", "d", 0),
    ("75", "actuality duration", "min", 0),
    ("78", "fabrication number", "", 0),
    ("fd03", "credit", "{currency}", 0),
    ("fd04", "debit", "{currency}", -3),
    ("fd08", "access number", "", 0),
    ("fd1c", "baud rate", "Bd", 0),
    ("fd1d", "response delay time", "{bittime}", 0),
    ("fd29", "storage interval", "a", 0),
    ("fd2b", "second of the time point", "s", 0),
    ("fd2d", "duration since last readout", "min", 0),
    ("fd31", "duration of tariff", "min", 0),
    ("fd38", "period of tariff", "mo", 0),
    ("fd3a", "number without dimension", "", 0),
    ("fd3f", "period of nominal data transmissions", "d", 0),
    ("fd49", "voltage", "V", 0),
    ("fd59", "current", "A", -3),
    ("fd63", "day of the week", "", 0),
    ("fd68", "duration since last cumulation", "h", 0),
    ("fd6f", "operating time of the battery", "a", 0),
    ("fd71", "radio level", "{dBm}", 0),
    ("fd74", "remaining life of the battery", "d", 0),
    ("fd75", "number of times the meter was stopped", "", 0),
    ("fdfd00", "selected application", "", 0),
    ("fdfd02", "remaining life of the battery", "mo", 0),
    ("fdfd03", "remaining life of the battery", "a", 0),
    ("fb01", "energy", "Wh", 6),
    ("fb02", "reactive energy", "var.h", 3),
    ("fb05", "apparent energy", "VA.h", 4),
    ("fb09", "energy", "J", 9),
    ("fb0d", "energy", "cal", 6),
    ("fb11", "volume", "m3", 3),
    ("fb17", "reactive power", "var", 3),
    ("fb19", "mass", "kg", 6),
    ("fb1a", "relative humidity", "%", -1),
    ("fb20", "volume", "[cft_i]", 0),
    ("fb21", "volume", "[cft_i]", -1),
    ("fb29", "power", "W", 6),
    ("fb2a", "phase angle voltage to voltage", "deg", -1),
    ("fb2b", "phase angle voltage to current", "deg", -1),
    ("fb2c", "frequency", "Hz", -3),
    ("fb31", "power", "J/h", 9),
    ("fb37", "apparent power", "VA", 3),
    ("fb77", "cold or warm temperature limit", "Cel", 0),
    ("fb7e", "cumulated maximum power", "W", 3),
]


@pytest.mark.parametrize(("vib", "quantity", "unit", "exponent"), NAMED)
def test_a_code_has_its_quantity_unit_and_power(vib: str, quantity: str, unit: str, exponent: int) -> None:
    meaning = meaning_of(bytes.fromhex(vib))
    assert (meaning.kind, meaning.quantity) == (Kind.NUMBER, quantity)
    assert (meaning.unit, meaning.exponent) == (unit, exponent)


@pytest.mark.parametrize(
    ("vib", "kind", "quantity"),
    [
        ("6c", Kind.DATE, "date"),
        ("6d", Kind.DATE, "date and time"),
        ("fd30", Kind.DATE, "start of tariff"),
        ("fd65", Kind.DATE, "time point of day change"),
        ("fd70", Kind.DATE, "date of battery change"),
        ("fd17", Kind.BITS, "error flags"),
        ("fd1f", Kind.BITS, "remote control"),
        ("fd3b", Kind.UNKNOWN, "data container of wireless M-Bus"),
        ("fd72", Kind.UNKNOWN, "daylight saving"),
        ("fb68", Kind.UNKNOWN, "resulting rating factor"),
        ("ff22", Kind.UNKNOWN, "manufacturer specific"),
    ],
)
def test_what_is_no_number_is_named_too(vib: str, kind: Kind, quantity: str) -> None:
    assert (meaning_of(bytes.fromhex(vib)).kind, meaning_of(bytes.fromhex(vib)).quantity) == (kind, quantity)


def test_what_the_standard_reserves_is_unknown() -> None:
    """And nothing else is missing: 7B-7D and 6F lead elsewhere, 24-27 and 58-73 after FB were used until 2004."""
    numbers = [{code for code in range(0x80) if code not in table} for table in (PRIMARY, AFTER_FD, AFTER_FB)]
    reserved = [0x06, 0x07, 0x0A, 0x0B, 0x12, 0x13, *range(0x1C, 0x20), *range(0x22, 0x28), 0x32, 0x33]
    assert numbers[0] == {0x6F, 0x7B, 0x7C, 0x7D}
    assert numbers[1] == {*range(0x77, 0x80)}
    assert numbers[2] == {*reserved, *range(0x38, 0x68), 0x6F, *range(0x70, 0x74)}


def test_vifes_that_are_not_in_the_table_are_reserved() -> None:
    assert {code for code in range(0x80) if code not in vife.COMBINABLE} == {0x44, 0x45, 0x4C, 0x4D, vife.EXTENSION}


# Codes of numbers that keep a sign (type B), by hand; all other numbers have none (type C).
SIGNED = (
    {*range(0x6C), 0x6E, *range(0x70, 0x78)},
    {*range(0x08), *range(0x24, 0x2A), *range(0x34, 0x3B), *range(0x40, 0x60), *range(0x68, 0x70), 0x71},
    {*range(0x18), *range(0x20, 0x38), *range(0x74, 0x80)},
)


@pytest.mark.parametrize(
    ("before", "table", "signed"),
    [("", PRIMARY, SIGNED[0]), ("fd", AFTER_FD, SIGNED[1]), ("fb", AFTER_FB, SIGNED[2])],
)
def test_every_code_has_a_sign_or_none(before: str, table: dict[int, Meaning], signed: set[int]) -> None:
    """EN 13757-3: type B unless remark k of table 12, remark d of table 14 or its nature says type C; D is flags."""
    for code, meaning in table.items():
        if meaning.kind in (Kind.NUMBER, Kind.BITS):
            (value,) = values(decoded(0x78, f"01 {before}{code:02x} fe"))
            assert isinstance(value.number, Scaled)
            assert (value.number.mantissa == -2) == (code in signed), f"{before}{code:02x}"


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ("01 7a fa", "250"),
        ("01 fd08 c8", "200"),
        ("01 fd09 ff", "255"),
        ("04 78 000000f0", "4026531840"),
        ("02 fd61 ffff", "65535"),
        ("01 fdfd00 ff", "255"),
        ("01 da49 ff", "255"),  # exceeds of a limit are counted
        ("04 da52 feffffff", "-2"),
    ],
)
def test_what_is_counted_or_named_is_never_negative(record: str, shown: str) -> None:
    (value,) = values(decoded(0x78, record))
    assert (value.state, str(value.number)) == (State.OK, shown)


def test_a_fabrication_number_of_a_large_integer_is_the_plates() -> None:
    """It is compared with the configured one."""
    assert identity(decoded(0x78, "04 78 000000f0")).fabrication == "4026531840"
    assert identity(decoded(0x78, "07 78 ffffffffffffffff")).fabrication == "18446744073709551615"


# value information, qualifiers, unit, power of ten
SAID = [
    ("9300", ("record error: none",), "m3", -3),
    ("9320", ("per second",), "m3/s", -3),
    ("9329", ("increment per pulse of input 1",), "m3/{pulse-in-1}", -3),
    ("8630", ("per kWh",), "Wh/(kW.h)", 3),
    ("9338", ("times s per A",), "m3.s/A", -3),
    ("933a", ("uncorrected",), "m3", -3),
    ("933b", ("accumulation of positive contributions",), "m3", -3),
    ("933c", ("accumulation of negative contributions",), "m3", -3),
    ("933e", ("at base conditions",), "m3", -3),
    ("da40", ("lower limit",), "Cel", -1),
    ("da48", ("upper limit",), "Cel", -1),
    ("da49", ("number of exceeds of the upper limit",), "", 0),
    ("da50", ("duration of the first exceed of the lower limit",), "s", 0),
    ("da5f", ("duration of the last exceed of the upper limit",), "d", 0),
    ("ad62", ("duration of the first",), "h", 0),
    ("ad65", ("duration of the last",), "min", 0),
    ("9368", ("value during exceed of the lower limit",), "m3", -3),
    ("936c", ("value during exceed of the upper limit",), "m3", -3),
    ("9369", ("leakage value",), "m3", -3),
    ("936d", ("overflow value",), "m3", -3),
    ("9374", (), "m3", -5),
    ("937d", (), "m3", 0),
    ("937e", ("future value",), "m3", -3),
    ("93bb74", ("accumulation of positive contributions",), "m3", -5),
    ("fdc9fc01", ("at phase L1",), "V", 0),
    ("fdc9fc05", ("between phases L1 and L2",), "V", 0),
    ("86fc0a", ("quadrant 3",), "Wh", 3),
    ("86fc10", ("accumulation of positive and negative contributions",), "Wh", 3),
]


@pytest.mark.parametrize(("vib", "said", "unit", "exponent"), SAID)
def test_a_vife_says_and_does_what_the_standard_says(vib: str, said: tuple[str, ...], unit: str, exponent: int) -> None:
    meaning = meaning_of(bytes.fromhex(vib))
    assert (meaning.kind, meaning.qualifiers) == (Kind.NUMBER, said)
    assert (meaning.unit, meaning.exponent) == (unit, exponent)


@pytest.mark.parametrize(
    ("vib", "said"),
    [
        ("ad39", "start date"),
        ("da42", "date of the begin of the first exceed of the lower limit"),
        ("da4f", "date of the end of the last exceed of the upper limit"),
        ("ad6a", "date of the begin of the first"),
        ("ad6b", "date of the end of the first"),
        ("ad6e", "date of the begin of the last"),
        ("ad6f", "date of the end of the last"),
    ],
)
def test_a_vife_that_makes_a_date_says_of_what(vib: str, said: str) -> None:
    meaning = meaning_of(bytes.fromhex(vib))
    assert (meaning.kind, meaning.unit, meaning.qualifiers) == (Kind.DATE, "", (said,))


@pytest.mark.parametrize(
    "vib", ["933d", "933f", "9344", "937c", "93fc0d", "93fc00", "93ff01", "fdfd04", "fd7d", "fb24", "fb58", "ef01"]
)
def test_what_is_not_sure_is_unknown(vib: str) -> None:
    meaning = meaning_of(bytes.fromhex(vib))
    assert (meaning.kind, meaning.unit, meaning.failed) == (Kind.UNKNOWN, "", 0)


def test_a_record_error_is_named_and_never_a_value() -> None:
    """All of 01-1F; 1D on flags is no error."""
    for code in range(0x01, 0x20):
        (record,) = decoded(0x78, f"0493{code:02x}39300000").records
        assert record.state is State.INVALID
        assert record.qualifiers[0].startswith("record error: ")
    (flags,) = decoded(0x78, "02fd971d0180").records
    assert (flags.state, flags.qualifiers) == (State.OK, ("as the standard defines them",))


@pytest.mark.parametrize(
    ("dif", "said"),
    [("04", ()), ("14", ("maximum value",)), ("24", ("minimum value",)), ("34", ("value during error state",))],
)
def test_the_function_is_a_qualifier(dif: str, said: tuple[str, ...]) -> None:
    assert decoded(0x78, f"{dif}1339300000").records[0].qualifiers == said


@pytest.mark.parametrize(
    ("record", "bare"),
    [("047b ffffffff", "-1"), ("0c7b 02030000", "302"), ("0a7b 3b02", "None"), ("0d7b 024142", "BA")],
)
def test_an_unknown_record_has_a_bare_number_and_seals_its_octets(record: str, bare: str) -> None:
    answer = decoded(0x78, record)
    shown = answer.records[0].bare
    assert str(getattr(shown, "text", shown)) == bare
    (value,) = values(answer)
    assert (value.state, type(value.number)) == (State.UNKNOWN, Raw)


FIXED = "78563412 0a {status} {units} {first} {second}"


def fixed(
    units: str, status: str = "00", first: str = "01000000", second: str = "35010000", ci: int = 0x73
) -> Telegram:
    return decoded(ci, FIXED.format(status=status, units=units, first=first, second=second))


@pytest.mark.parametrize(
    ("code", "unit", "exponent"),
    [
        (0x02, "Wh", 0),
        (0x08, "Wh", 6),
        (0x0A, "Wh", 8),
        (0x0B, "J", 3),
        (0x0E, "J", 6),
        (0x13, "J", 11),
        (0x14, "W", 0),
        (0x1C, "W", 8),
        (0x1D, "J/h", 3),
        (0x25, "J/h", 11),
        (0x26, "m3", -6),
        (0x29, "m3", -3),
        (0x2C, "m3", 0),
        (0x2E, "m3", 2),
        (0x2F, "m3/h", -6),
        (0x37, "m3/h", 2),
        (0x38, "Cel", -3),
        (0x39, "{hca}", 0),
        (0x3F, "", 0),
    ],
)
def test_a_counter_of_the_fixed_structure_has_its_unit(code: int, unit: str, exponent: int) -> None:
    value = values(fixed(f"{code:02x}3f", first="78563412"))[0]
    assert (value.state, value.unit, value.number) == (State.OK, unit, Scaled(12345678, exponent))


@pytest.mark.parametrize("code", [0x00, 0x01, 0x3A, 0x3B, 0x3C, 0x3D])
def test_a_counter_of_an_open_unit_is_unknown(code: int) -> None:
    assert values(fixed(f"{code:02x}3f"))[0].state is State.UNKNOWN


def test_historic_and_stored_counters_belong_to_storage_1() -> None:
    actual, historic = fixed("e97e").records
    assert (actual.info.storage, historic.info.storage) == (0, 1)
    assert (historic.meaning.unit, historic.qualifiers) == ("m3", ("at an earlier time",))
    assert {record.info.storage for record in fixed("2929", status="02").records} == {1}


def test_counters_are_bcd_or_signed_binary_by_the_status() -> None:
    assert [str(value.number) for value in values(fixed("0202", first="f6ffffff", status="01"))] == ["-10", "309"]
    assert values(fixed("0202", first="0000ab00"))[0].state is State.INVALID
    assert fixed("0202", status="07").status == Status.POWER_LOW


def test_the_high_byte_comes_first_in_ci_77() -> None:
    answer = fixed("e97e", first="00000012", second="00000034", ci=0x77)
    assert (answer.identity.id, answer.identity.medium) == ("78563412", 0x07)
    assert [str(value.number) for value in values(answer)] == ["0.012", "0.034"]


@pytest.mark.parametrize(
    ("units", "medium"), [("0000", 0), ("8000", 2), ("0040", 4), ("c040", 7), ("4080", None), ("c080", 4)]
)
def test_the_medium_is_in_the_upper_bits(units: str, medium: int | None) -> None:
    """00 other, 02 electricity, 04 heat, 07 water, 09 reserved, 0B heat in mode 2."""
    assert fixed(units).identity.medium == medium


def test_a_counters_key_is_no_key_of_a_variable_record() -> None:
    """73 alone is the averaging duration in days: it has no extension bit, so nothing can follow it in a block."""
    keys = [value.key for value in values(fixed("2929"))]
    assert keys == [NativeKey.mbus(bytes([0x73, number, 0x29]), 0, 0, 0, 0) for number in (1, 2)]
    assert [value.key.parts[0] for value in values(decoded(0x78, "0473 01293f00"))] == [b"\x73"]


def test_a_fixed_structure_keeps_what_is_whole() -> None:
    cut = decoded(0x73, "78563412 0a 00 2929 01000000 3501")
    assert (cut.partial, len(cut.records)) == (True, 1)
    longer = decoded(0x73, "78563412 0a 00 2929 01000000 35010000 aabb")
    assert (longer.partial, len(longer.records), longer.manufacturer_data) == (False, 2, b"\xaa\xbb")
