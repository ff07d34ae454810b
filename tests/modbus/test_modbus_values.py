"""Values and blocks: beside pymodbus's own conversion and struct, over all types and orders."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import ModbusTcpClient

from protocols.modbus.blocks import plan
from protocols.modbus.registers import ORDERS, WORDS, Kind, Register, Table
from protocols.modbus.values import value, values
from protocols.reading import Float32, Raw, Scaled, State

KINDS = tuple(WORDS)
FORMATS = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q"}


def register(kind: Kind, order: str, *, exponent: int = 0, absent: tuple[int, ...] = ()) -> Register:
    return Register("input", 0, "it", kind, order, exponent=exponent, absent=absent)


def permuted(octets: bytes, order: str) -> bytes:
    """Big-endian bytes as they stand on the wire: done by letter, unlike in the product."""
    return bytes(octets[ord(letter) - ord("a")] for letter in order)


@pytest.mark.parametrize("kind", FORMATS)
def test_integers_of_every_order_are_what_struct_says(kind: Kind) -> None:
    dice = random.Random(kind)
    for order in ORDERS[WORDS[kind]]:
        for _ in range(200):
            octets = dice.randbytes(WORDS[kind] * 2)
            found = value(register(kind, order, exponent=-1), permuted(octets, order), 1)
            wanted = struct.unpack(FORMATS[kind], octets)[0]
            if wanted < 2**63:
                assert found.number == Scaled(wanted, -1)
                assert found.state is State.OK
            else:
                assert found.number == Raw(permuted(octets, order))


@pytest.mark.parametrize("kind", [*FORMATS, "float32"])
@pytest.mark.parametrize("words", ["big", "little"])
def test_both_word_orders_are_what_pymodbus_says(kind: Kind, words: str) -> None:
    """An independent witness, as far as its values are exact."""
    dice = random.Random(f"{kind}{words}")
    size = WORDS[kind]
    order = ORDERS[size][0 if words == "big" or size == 1 else 1]
    types = ModbusTcpClient.DATATYPE
    for _ in range(200):
        octets = dice.randbytes(size * 2)
        wire = list(struct.unpack(f">{size}H", octets))
        witness = ModbusTcpClient.convert_from_registers(wire, types[kind.upper()], word_order=words)  # type: ignore[arg-type]
        number = value(register(kind, order), octets, 1).number
        if isinstance(number, Scaled):
            assert number.mantissa == witness
        elif isinstance(number, Float32):
            assert struct.unpack(">f", number.bits.to_bytes(4, "big"))[0] == witness


@pytest.mark.parametrize("bits", ["7f800000", "ff800000", "7fc00000", "7f800001", "ffffffff"])
def test_a_float_that_is_no_number_is_invalid_and_kept_as_it_came(bits: str) -> None:
    """Infinity and NaN; the bytes in the order of the wire."""
    wire = permuted(bytes.fromhex(bits), "cdab")
    found = value(register("float32", "cdab"), wire, 1)
    assert (found.number, found.state) == (Raw(wire), State.INVALID)


@pytest.mark.parametrize("bits", ["00000000", "80000000", "00000001", "7f7fffff", "43663334"])
def test_a_float_keeps_its_bits(bits: str) -> None:
    """Minus zero, denormal and largest too."""
    octets = bytes.fromhex(bits)
    assert value(register("float32", "abcd", exponent=3), octets, 1).number == Float32(int(bits, 16), 3)


def test_what_the_meter_marks_as_not_available_is_invalid() -> None:
    wire = bytes.fromhex("ffff7fff")
    found = value(register("int32", "cdab", absent=(0x7FFF_FFFF,)), wire, 1)
    assert (found.number, found.state) == (Raw(wire), State.INVALID)
    assert value(register("int32", "cdab"), wire, 1).number == Scaled(0x7FFF_FFFF)


def test_a_float64_is_the_shortest_number_that_names_it() -> None:
    """Its bits follow from the sealed number again; beside the language's own conversion, over all orders."""
    dice = random.Random(64)
    for order in ORDERS[4]:
        for _ in range(500):
            octets = struct.pack(">d", dice.choice([1, -1]) * dice.randrange(10**15) / 10 ** dice.randrange(7))
            number = value(register("float64", order), permuted(octets, order), 1).number
            assert isinstance(number, Scaled)
            assert struct.pack(">d", float(f"{number.mantissa}e{number.exponent}")) in (octets, struct.pack(">d", 0.0))
            assert abs(number.mantissa) < 10**17


@pytest.mark.parametrize(
    ("bits", "wanted"),
    [
        ("4132d68780000000", Scaled(12345675, 2)),
        ("0000000000000000", Scaled(0, 3)),
        ("4024000000000000", Scaled(10, 3)),
        ("412e848000000001", Scaled(10000000000000001, -7)),
        ("3ff0000000000001", Raw(bytes.fromhex("3ff0000000000001"))),
        ("7ff0000000000000", Raw(bytes.fromhex("7ff0000000000000"))),
        ("7ff8000000000000", Raw(bytes.fromhex("7ff8000000000000"))),
    ],
)
def test_a_float64_that_no_seal_takes_is_invalid(bits: str, wanted: Scaled | Raw) -> None:
    """More than 12 places, infinity, no number; others have the model's power of ten beside them."""
    exponent = 0 if isinstance(wanted, Raw) else 3
    assert value(register("float64", "abcdefgh", exponent=exponent), bytes.fromhex(bits), 1).number == wanted


@pytest.mark.parametrize(
    ("kind", "order", "octets", "wanted"),
    [
        ("mod10k32", "abcd", "0001 04d2", 11_234),
        ("mod10k32", "cdab", "04d2 0001", 11_234),
        ("mod10k48", "efcdab", "270f 0000 0007", 700_009_999),
        ("mod10k64", "abcdefgh", "0001 0002 0003 0004", 1_000_200_030_004),
        ("mod10k64", "abcdefgh", "0001 0002 2710 0004", None),
        ("bcd64", "abcdefgh", "1234 5678 9012 3456", 1_234_567_890_123_456),
        ("bcd64", "abcdefgh", "1234 5678 9012 345a", None),
    ],
)
def test_decimal_registers(kind: Kind, order: str, octets: str, wanted: int | None) -> None:
    """Each word is a digit to the base of 10,000, or four digits; what is neither is invalid."""
    number = value(register(kind, order), bytes.fromhex(octets), 1).number
    assert number == (Raw(bytes.fromhex(octets)) if wanted is None else Scaled(wanted))


@pytest.mark.parametrize(("scale", "wanted"), [(-2, -3), (3, 2), (0, -1), (-32_768, None), (11, None), (-13, None)])
def test_a_scale_register_moves_the_point(scale: int, wanted: int | None) -> None:
    """It is read in the same question, before or behind its number; 8000h and what SunSpec forbids is invalid."""
    found = Register("holding", 72, "power", "int16", unit="W", exponent=-1, scale=76)
    (span,) = plan([found, Register("holding", 73, "other", "int16", scale=70)], 10, 0)
    assert (span.address, span.count) == (70, 7)
    words = b"\0\0" * 2 + struct.pack(">hhhhh", 500, 1, 0, 0, scale)
    number = values(span, words, 1)[1 if span.registers[0].address == 73 else 0].number
    assert number == (Raw(b"\x01\xf4") if wanted is None else Scaled(500, wanted))
    assert found.type == "holding.int16.ab.x76"


def test_bcd_digits_above_nine_are_invalid() -> None:
    assert value(register("bcd32", "cdab"), bytes.fromhex("56781234"), 1).number == Scaled(12_345_678)
    assert value(register("bcd16", "ab"), bytes.fromhex("12a4"), 1).state is State.INVALID


def test_the_native_key_says_all_that_is_needed_to_decode() -> None:
    found = Register("input", 52, "import", "int32", "cdab", "Wh", 2).key(1)
    assert str(found) == "modbus:1/52/input.int32.cdab"


@given(st.sampled_from(KINDS), st.data())
@settings(max_examples=2_000, deadline=None, derandomize=True)
def test_any_bytes_are_a_value(kind: Kind, data: st.DataObject) -> None:
    """Never an exception, and invalid exactly where the bytes are kept raw."""
    order = data.draw(st.sampled_from(ORDERS[WORDS[kind]]))
    octets = data.draw(st.binary(min_size=WORDS[kind] * 2, max_size=WORDS[kind] * 2))
    found = value(register(kind, order), octets, 1)
    assert isinstance(found.number, Raw) == (found.state is State.INVALID)


TABLES: tuple[Table, ...] = ("input", "holding")
REGISTERS = st.lists(
    st.builds(
        lambda table, address, kind: Register(table, address, "", kind, ORDERS[WORDS[kind]][0]),
        st.sampled_from(TABLES),
        st.integers(0, 400),
        st.sampled_from(KINDS),
    ),
    min_size=1,
    max_size=60,
)


@given(REGISTERS, st.integers(4, 125), st.integers(0, 20))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_every_register_is_read_once_whole_and_within_the_limits(found: list[Register], most: int, gap: int) -> None:
    """No number is split over two questions, no question is too long, crosses tables or a longer gap."""
    spans = plan(found, most, gap)
    planned = [(span, each) for span in spans for each in span.registers]
    assert sorted(map(id, found)) == sorted(id(each) for _, each in planned)
    for span, each in planned:
        assert each.table == span.table
        assert span.address <= each.address
        assert each.end <= span.address + span.count
    for span in spans:
        assert 1 <= span.count <= most
        asked = {address for each in span.registers for address in range(each.address, each.end)}
        idle = [address not in asked for address in range(span.address, span.address + span.count)]
        assert "1" * (gap + 1) not in "".join("1" if each else "0" for each in idle)


def test_the_bytes_of_a_register_are_cut_out_of_its_block() -> None:
    first, second = Register("input", 10, "a", "uint16"), Register("input", 13, "b", "uint32", "abcd")
    (span,) = plan([second, first], gap=2)
    assert (span.address, span.count) == (10, 5)
    assert span.octets_of(second, bytes(range(10))) == bytes([6, 7, 8, 9])
