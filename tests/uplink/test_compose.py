"""What the gateway composes is what the collector will find: the same leaves under the same root, or a refusal."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import samples as s
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocols.errors import PlombaError
from protocols.reading import (
    Exchange,
    Float32,
    How,
    Identity,
    MeterTime,
    NativeKey,
    Precision,
    Protocol,
    Raw,
    Reading,
    Scaled,
    State,
    Status,
    Text,
    TimeQuality,
    Value,
)
from protocols.uplink import body, limits, merkle
from protocols.uplink.leaf import SealedReading, leaf_from_bytes, leaf_hash, salt
from protocols.uplink.pack import Wire, pack, unpack
from protocols.uplink.records import Event

SECRET = s.digest("secret")
_WIDE = st.integers(-(2**64), 2**64) | st.integers(-2, 2)
_INSTANT = st.integers(s.START_MS, s.START_MS + 900_000) | st.sampled_from([0, limits.PAST_MS, limits.FUTURE_MS])
_TIME = st.builds(
    MeterTime,
    st.integers(0, 10**9) | st.sampled_from([-1, limits.METER_SECONDS]),
    st.sampled_from(Precision),
    st.booleans(),
    st.none() | st.integers(-722, 722),
)
_NUMBER = (
    st.builds(Scaled, st.integers(-1_000, 1_000), st.integers(-3, 3))
    | st.builds(Scaled, _WIDE, st.integers(-13, 13))
    | st.builds(Float32, st.integers(0, 2**32), st.integers(-3, 3))
    | st.builds(Text, st.text(max_size=70))
    | st.builds(Raw, st.binary(max_size=257))
    | _TIME
)
_KEY = st.builds(NativeKey, st.sampled_from(Protocol), st.tuples(st.integers(0, 3)) | st.tuples(st.text(max_size=3)))
_VALUE = st.builds(
    Value,
    _KEY,
    st.sampled_from(["", "Wh", "m3", "x" * 33, "a\0b"]),
    _NUMBER,
    st.sampled_from(State),
    st.none() | st.integers(-1, 9),
    st.none() | _TIME,
)
_EXCHANGE = st.builds(
    Exchange,
    _INSTANT,
    st.integers(-1, 9_000),
    st.integers(-1, 900),
    st.builds(TimeQuality, st.booleans(), st.none() | st.integers(-2, 9)),
    st.binary(max_size=9),
    st.booleans(),
)
_METER = st.builds(
    Identity,
    st.sampled_from(Protocol),
    st.none() | st.sampled_from(["KAM", "x" * 129]),
    version=st.none() | st.integers(-1, 2),
    system_title=st.none() | st.sampled_from([bytes(8), bytes(7)]),
)
_READING = st.builds(
    Reading,
    _METER,
    st.sampled_from(["heat", "x" * 129, "\0"]),
    st.none() | st.just("input-1"),
    st.sampled_from(How),
    st.none() | _INSTANT,
    st.none() | _TIME,
    _EXCHANGE,
    st.none() | st.integers(-1, 9),
    st.sampled_from([Status.NONE, Status.BUSY, Status(255)]),
    st.lists(_VALUE, max_size=3).map(tuple),
    st.integers(-1, 2),
)
HEAT = s.heat(0)
UNCERTAIN = dataclasses.replace(HEAT.exchange, quality=TimeQuality(True, -1))


def _with(**changes: Any) -> list[Reading]:
    return [dataclasses.replace(HEAT, **changes)]


def _value(**changes: Any) -> list[Reading]:
    return _with(values=(dataclasses.replace(HEAT.values[0], **changes),))


@given(st.lists(_READING, min_size=1, max_size=4))
@example([s.heat(0), s.mixed(0), s.heat(1), s.mixed(1), s.heat(2)])
@settings(max_examples=400, deadline=None)
def test_what_is_composed_is_what_will_be_found(readings: list[Reading]) -> None:
    """Whatever decoders hand over: it is refused at the gateway, or decodes to the same readings under that root."""
    try:
        composed = body.compose(readings, [], SECRET)
    except PlombaError:
        return
    expanded = body.expand(composed.octets)
    assert (composed.leaves, composed.root) == (len(readings), expanded.root())
    assert sorted(map(_leaf, expanded.readings)) == sorted(map(_leaf, map(SealedReading.of, readings)))


@given(st.lists(_READING, min_size=1, max_size=4), st.integers(0), st.integers(-2, 14))
@example([s.heat(0), s.mixed(0), s.heat(1), s.mixed(1), s.heat(2)], 0, 1)
@settings(max_examples=400, deadline=None)
def test_what_columns_expand_to_is_what_each_leaf_says_alone(readings: list[Reading], at: int, number: int) -> None:
    """Whatever is in a body (one of its integers is another here): refused, or each leaf alone is that reading."""
    try:
        expanded = body.expand(_altered(body.encode(readings, [], SECRET), at, number))
    except PlombaError:
        return
    for leaf, reading, content in zip(expanded.leaves, expanded.readings, expanded.contents, strict=True):
        assert SealedReading.from_wire(leaf_from_bytes(leaf)) == reading
        wire = reading.to_wire()
        assert (pack(wire), hashlib.sha256(pack([*wire[:7], *wire[13:]])).digest()) == (leaf, content)


@pytest.mark.parametrize(
    ("name", "readings"),
    [
        (
            "an uncertainty below zero",
            _with(exchange=UNCERTAIN),
        ),
        ("a slot before 2000", _with(slot_ms=0)),
        ("a part below zero", _with(part=-1)),
        ("a status word below zero", _with(status_raw=-1)),
        ("a meter's time before 2000", _with(meter_time=MeterTime(-1, Precision.DAY))),
        ("a device's name of 129 bytes", _with(device="x" * 129)),
        ("a system title of 7 bytes", _with(meter=dataclasses.replace(HEAT.meter, system_title=bytes(7)))),
        ("a unit of 33 bytes", _value(unit="x" * 33)),
        ("a value's status below zero", _value(status=-1)),
        ("a value's time before 2000", _value(time=MeterTime(-1, Precision.DAY))),
        ("a float", _value(number=Scaled(1.5))),  # type: ignore[arg-type]
        ("a number of 65 bits", _value(number=Scaled(2**63))),
        ("33 bits of a float32", _value(number=Float32(2**32))),
        ("exponent 13", _value(number=Scaled(1, 13))),
        ("a text with NUL", _value(number=Text("a\0b"))),
    ],
)
def test_what_would_not_decode_is_refused_at_the_gateway(name: str, readings: list[Reading]) -> None:
    """Alone, where the column has a short form, and among rows that are well."""
    for found in (readings, [s.heat(1), *readings, s.heat(2)]):
        with pytest.raises(PlombaError):
            body.compose(found, [], SECRET)


def test_a_record_that_would_not_decode_is_refused_at_the_gateway() -> None:
    """An event's name over 64 bytes."""
    event = s.all_records()[1]
    assert isinstance(event, Event)
    with pytest.raises(PlombaError):
        body.compose([], [dataclasses.replace(event, code="x" * 65)], SECRET)


def test_records_stand_behind_the_readings_in_the_tree() -> None:
    """Each record is a leaf as it is packed alone."""
    composed = body.compose([s.heat(0)], s.all_records(), SECRET)
    leaves = [pack(each.to_wire()) for each in (SealedReading.of(s.heat(0)), *s.all_records())]
    salts = salt(SECRET, len(leaves))
    assert composed.root == merkle.root([leaf_hash(*each) for each in zip(salts, leaves, strict=True)])


def _altered(octets: bytes, at: int, number: int) -> bytes:
    """A body with another number in place of one of its integers."""
    wire = unpack(octets, limits.BODY, "body")
    found = list(_integers(wire))
    array, index = found[at % len(found)]
    array[index] = number
    return pack(wire)


def _integers(wire: Wire) -> Iterator[tuple[list[Wire], int]]:
    for index, each in enumerate(wire if isinstance(wire, list) else []):
        if isinstance(each, int) and isinstance(wire, list):
            yield wire, index
        yield from _integers(each)


def _leaf(reading: SealedReading) -> bytes:
    """With its values in a fixed order: a source has one order of registers for all its rows."""
    return pack(dataclasses.replace(reading, values=tuple(sorted(reading.values, key=repr))).to_wire())
