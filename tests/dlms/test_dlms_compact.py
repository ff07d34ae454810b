"""Compact arrays and floats: known bytes, both ways, and the limits that keep them cheap."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from protocols.dlms import binary, clock, compact, data, profile
from protocols.dlms.data import Data, Tag
from protocols.dlms.faults import NotSupported
from protocols.dlms.objects import CLOCK_TIME, Attribute, ScalerUnit
from protocols.reading import MeterTime, Precision, Scaled

ENERGY = Attribute.of(3, "1-0:1.8.0")
# A structure of a long-unsigned, an octet-string and an array of two integers; two elements.
KNOWN = bytes.fromhex("13 02 03 12 09 01 0002 0f 0c  0102 02 6162 ff01  0304 00 7f80")


def test_a_compact_array_of_known_bytes() -> None:
    """The type once, then each element without its tags; encoded again it is the same."""
    found = data.from_bytes(KNOWN)
    assert [each.tag for each in found.content] == [Tag.STRUCTURE] * 2  # type: ignore[union-attr]
    first, second = (
        data.structure(
            Data(Tag.LONG_UNSIGNED, number),
            data.octet_string(text),
            data.array(*(Data(Tag.INTEGER, each) for each in numbers)),
        )
        for number, text, numbers in ((0x0102, b"ab", (-1, 1)), (0x0304, b"", (127, -128)))
    )
    assert found == Data(Tag.COMPACT_ARRAY, (first, second))
    assert data.to_bytes(found) == KNOWN


def test_a_compact_array_of_one_simple_type() -> None:
    """Texts and bits bear their own lengths, null-data nothing; an empty one has no elements."""
    for shown, members in (
        ("13 0a 05 0161 02 6262", [Data(Tag.VISIBLE_STRING, b"a"), Data(Tag.VISIBLE_STRING, b"bb")]),
        ("13 04 05 0380 09ff80", [Data(Tag.BIT_STRING, b"\x80", 3), Data(Tag.BIT_STRING, b"\xff\x80", 9)]),
        ("13 17 04 3f800000", [Data(Tag.FLOAT32, b"\x3f\x80\0\0")]),
        ("13 02 02 00 11 02 0506", [data.structure(data.NULL, Data(Tag.UNSIGNED, each)) for each in (5, 6)]),
        ("13 11 00", []),
    ):
        assert data.from_bytes(bytes.fromhex(shown)) == Data(Tag.COMPACT_ARRAY, tuple(members))


def leaves() -> st.SearchStrategy[list[Data]]:
    """Three values of one type."""

    def three(tag: Tag, contents: st.SearchStrategy[int] | st.SearchStrategy[bytes]) -> st.SearchStrategy[list[Data]]:
        return st.lists(contents.map(lambda content: Data(tag, content)), min_size=3, max_size=3)

    numbers = [
        three(tag, st.integers(-(2 ** (8 * width - 1)) if signed else 0, 2 ** (8 * width - signed) - 1))
        for tag, (width, signed) in data.NUMBERS.items()
    ]
    fixed = [three(tag, st.binary(min_size=size, max_size=size)) for tag, size in data.OCTETS.items()]
    strings = [three(tag, st.binary(max_size=200)) for tag in data.STRINGS]
    bits = st.lists(st.binary(max_size=9).map(lambda each: Data(Tag.BIT_STRING, each, 8 * len(each))), min_size=3)
    return st.one_of(bits.map(lambda found: found[:3]), *numbers, *fixed, *strings)


def elements() -> st.SearchStrategy[list[Data]]:
    """Three values of one type, nested."""

    def nested(inner: st.SearchStrategy[list[Data]]) -> st.SearchStrategy[list[Data]]:
        columns = st.lists(inner, min_size=1, max_size=4)
        rows = columns.map(lambda found: [data.structure(*row) for row in zip(*found, strict=True)])
        return st.one_of(rows, inner.map(lambda found: [data.array(*found)] * 3))

    return st.recursive(leaves(), nested, max_leaves=8)


@seed(1)
@settings(max_examples=300, deadline=None, database=None)
@given(elements())
def test_compact_arrays_come_back(members: list[Data]) -> None:
    """All types, nested: encoded and decoded they are the same, and shorter than an array of them."""
    made = Data(Tag.COMPACT_ARRAY, tuple(members))
    octets = data.to_bytes(made)
    assert data.from_bytes(octets) == made
    assert len(octets) <= len(data.to_bytes(data.array(*members))) + 20


def test_elements_of_different_types_have_no_compact_array() -> None:
    """It would say something else than was meant."""
    for members in (
        (Data(Tag.UNSIGNED, 1), Data(Tag.LONG_UNSIGNED, 1)),
        (data.structure(data.NULL), data.structure(Data(Tag.UNSIGNED, 1))),
        (data.array(Data(Tag.UNSIGNED, 1)), data.array()),
        (Data(Tag.COMPACT_ARRAY, ()),),
    ):
        with pytest.raises(NotSupported):
            compact.to_bytes(members)


def test_a_profile_in_a_compact_array_has_the_same_rows() -> None:
    """Buffers come either way."""
    rows = [
        data.structure(
            data.octet_string(clock.to_bytes(MeterTime(900 * number, Precision.SECOND, False, 60))),
            Data(Tag.DOUBLE_LONG_UNSIGNED, 1_000 + number),
        )
        for number in range(96)
    ]
    captured = (profile.Column(CLOCK_TIME), profile.Column(ENERGY))
    scalers = {ENERGY: ScalerUnit(-1, "Wh")}
    plain, short = data.array(*rows), Data(Tag.COMPACT_ARRAY, tuple(rows))
    found = [profile.rows(data.from_bytes(data.to_bytes(each)), captured, scalers, 900) for each in (plain, short)]
    assert found[0] == found[1]
    assert found[1][95].values[0].number == Scaled(1_095, -1)
    assert len(data.to_bytes(short)) < 0.85 * len(data.to_bytes(plain))


def exactly(shown: Data) -> Fraction:
    mantissa, power = binary.parts(shown) or (0, 0)
    return Fraction(mantissa) * Fraction(2) ** power


@seed(3)
@settings(max_examples=500, deadline=None, database=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-12, 12))
def test_a_float_is_exact_in_every_form(number: float, exponent: int) -> None:
    """Its parts, the decimal where one fits, the float32 where one says the same: all equal to the bits that came."""
    double = Data(Tag.FLOAT64, struct.pack(">d", number))
    truth = Fraction(number)
    assert exactly(double) == truth
    found = binary.parts(double)
    assert found is not None
    made = binary.scaled(*found, exponent)
    assert made is None or Fraction(made.mantissa) * Fraction(10) ** made.exponent == truth * Fraction(10) ** exponent
    single = binary.as_float32(*found)
    if single is not None:
        assert exactly(Data(Tag.FLOAT32, single.to_bytes(4, "big"))) == truth


@seed(4)
@settings(max_examples=500, deadline=None, database=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_as_float64_is_a_float32_again(number: float) -> None:
    """But for the smallest, which have fewer digits than others."""
    found = binary.parts(Data(Tag.FLOAT64, struct.pack(">d", number)))
    assert found is not None
    bits = binary.as_float32(*found)
    if abs(number) >= 2**-126:
        assert bits == int.from_bytes(struct.pack(">f", number), "big")


def test_a_float64_with_one_bit_too_many_is_no_float32() -> None:
    """2^24 + 1 needs 25 bits, 2^24 needs one."""
    assert binary.as_float32(2**24 + 1, 0) is None
    assert binary.as_float32(1, 24) == 0x4B800000
    assert binary.as_float32(1, 128) is binary.as_float32(1, -127) is None


@pytest.mark.parametrize(
    ("tag", "octets", "shown"),
    [
        (Tag.FLOAT32, "43661999", "230.1"),
        (Tag.FLOAT32, "3f800000", "1"),
        (Tag.FLOAT32, "80000000", "0"),
        (Tag.FLOAT32, "7fc00000", "no number"),
        (Tag.FLOAT32, "4b189680", "10000000"),
        (Tag.FLOAT64, "3fb999999999999a", "0.1"),
        (Tag.FLOAT64, "c06cc33333333333", "-230.1"),
        (Tag.FLOAT64, "0000000000000001", "4.940656458412465E-324"),
    ],
)
def test_a_float_is_shown_with_its_digits(tag: Tag, octets: str, shown: str) -> None:
    """Seven and sixteen."""
    assert binary.shown(Data(tag, bytes.fromhex(octets))) == shown
