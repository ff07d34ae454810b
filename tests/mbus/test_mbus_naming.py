"""Proposed OBIS names: written down by hand from the code lists, and what must have none."""

from __future__ import annotations

from collections import Counter

import pytest

from protocols import obis
from protocols.mbus import link, naming, telegram
from protocols.mbus.meaning import values
from protocols.reading import NativeKey

HEAT, COOLING, BOTH, HOT_WATER, WATER, POWER, GAS, ALLOCATOR = 0x04, 0x0A, 0x0D, 0x06, 0x07, 0x02, 0x03, 0x08


def proposed(medium: int | None, vib: str, *place: int) -> str | None:
    """The name without F, which is 255; `place` is storage, tariff, subunit, function, nth, as far as not 0."""
    storage, tariff, subunit, function, nth = (*place, *[0] * (5 - len(place)))
    name = naming.proposed(NativeKey.mbus(bytes.fromhex(vib), storage, tariff, subunit, function, nth), medium)
    if name is None:
        return None
    written = obis.shown(name)
    assert written.endswith(".255")
    return written.removesuffix(".255")


@pytest.mark.parametrize(
    ("medium", "vib", "place", "name"),
    [
        (HEAT, "06", (), "6-0:1.0.0"),
        (0x0C, "06", (), "6-0:1.0.0"),
        (HEAT, "0e", (), "6-0:1.0.0"),
        (HEAT, "fb00", (), "6-0:1.0.0"),
        (HEAT, "fb0d", (), "6-0:1.0.0"),
        (HEAT, "14", (), "6-0:2.0.0"),  # never cold water
        (0x0C, "13", (), "6-0:2.0.0"),
        (HEAT, "2d", (), "6-0:8.0.0"),
        (HEAT, "33", (), "6-0:8.0.0"),
        (HEAT, "3b", (), "6-0:9.0.0"),
        (HEAT, "5a", (), "6-0:10.0.0"),
        (HEAT, "5e", (), "6-0:11.0.0"),
        (HEAT, "61", (), "6-0:12.0.0"),
        (HEAT, "06", (0, 2), "6-0:1.0.2"),
        (HEAT, "06", (1,), "6-0:1.2.0"),
        (HEAT, "14", (1,), "6-0:2.2.0"),
        (HEAT, "06", (1, 3), "6-0:1.2.3"),
        (HEAT, "8678", (), "6-0:1.0.0"),  # an addition changes the number, not what it is
        (HEAT, "8674", (), "6-0:1.0.0"),
        (HEAT, "8600", (), "6-0:1.0.0"),
        (HEAT, "86fc11", (), "6-0:1.0.0"),
        (HEAT, "730105", (), "6-0:1.0.0"),
        (HEAT, "730226", (), "6-0:2.0.0"),
        (COOLING, "06", (), "5-0:1.0.0"),
        (0x0B, "14", (), "5-0:2.0.0"),
        (BOTH, "06", (), "6-0:1.0.0"),
        (BOTH, "863b", (), "6-0:1.0.0"),
        (BOTH, "863c", (), "5-0:1.0.0"),
        (BOTH, "06", (0, 1), "5-0:1.0.0"),
        (BOTH, "06", (1, 1), "5-0:1.2.0"),
        (HOT_WATER, "13", (), "9-0:1.0.0"),  # the header's 06 is hot water, not the heat of OBIS
        (0x15, "13", (), "9-0:1.0.0"),
        (HOT_WATER, "13", (1,), "9-0:1.2.0"),
        (HOT_WATER, "3b", (), "9-0:2.0.0"),
        (WATER, "13", (), "8-0:1.0.0"),
        (0x16, "13", (0, 1), "8-0:1.0.1"),
        (WATER, "3b", (), "8-0:2.0.0"),
        (ALLOCATOR, "6e", (), "4-0:1.0.0"),
        (ALLOCATOR, "6e", (1,), "4-0:1.2.0"),
        (POWER, "04", (), "1-0:1.8.0"),
        (POWER, "04", (0, 2), "1-0:1.8.2"),
        (POWER, "843b", (), "1-0:1.8.0"),
        (POWER, "843c", (0, 1), "1-0:2.8.1"),
        (POWER, "84fc10", (), "1-0:15.8.0"),
        (POWER, "84fc0c", (), "1-0:16.8.0"),
        (POWER, "84fc813b", (), "1-0:21.8.0"),
        (POWER, "abfc823c", (), "1-0:42.7.0"),
        (POWER, "ab3b", (), "1-0:1.7.0"),
        (POWER, "abfc0c", (), "1-0:16.7.0"),
        (POWER, "fb823b", (), "1-0:3.8.0"),
        (POWER, "fb823c", (), "1-0:4.8.0"),
        (POWER, "fb82fc08", (), "1-0:5.8.0"),
        (POWER, "fb82fc0b", (), "1-0:8.8.0"),
        (POWER, "fb843b", (), "1-0:9.8.0"),
        (POWER, "fdc8fc01", (), "1-0:32.7.0"),
        (POWER, "fdd9fc03", (), "1-0:71.7.0"),
        (POWER, "fdd9fc04", (), "1-0:91.7.0"),
        (POWER, "fb2e", (), "1-0:14.7.0"),
        (GAS, "933a", (), "7-0:3.0.0"),
        (GAS, "933e", (), "7-0:3.2.0"),
        (None, "6d", (), "0-0:1.0.0"),
    ],
)
def test_a_register_has_its_name(medium: int | None, vib: str, place: tuple[int, ...], name: str) -> None:
    assert proposed(medium, vib, *place) == name


@pytest.mark.parametrize(
    ("medium", "vib", "place"),
    [
        (HEAT, "06", (2,)),  # storages count as the maker likes
        (HEAT, "5a", (1,)),  # a temperature of the set day: no list has it
        (HEAT, "2d", (0, 1)),
        (HEAT, "06", (0, 64)),
        (HEAT, "2d", (0, 0, 0, 1)),  # a maximum, of an unnamed period
        (HEAT, "06", (0, 0, 0, 3)),  # a value in error state
        (HEAT, "14", (0, 0, 1)),  # a pulse input: its medium is not the host's
        (HEAT, "06", (0, 0, 0, 0, 1)),  # the key is repeated
        (HEAT, "863c", ()),
        (HEAT, "1b", ()),
        (HEAT, "22", ()),
        (HEAT, "8615", ()),  # a record error
        (HEAT, "867e", ()),  # a future value
        (HEAT, "863d", ()),  # not metric
        (HEAT, "866f", ()),  # the date of the energy
        (HEAT, "ff07", ()),
        (HEAT, "86ff02", ()),
        (HEAT, "6c", ()),
        (HEAT, "86", ()),  # not whole
        (HEAT, "0606", ()),
        (HEAT, "", ()),
        (HEAT, "73013a", ()),
        (HEAT, "730105", (1,)),  # "at a fixed date": any
        (BOTH, "14", ()),  # of both
        (BOTH, "2d", ()),
        (BOTH, "863c", (0, 1)),
        (BOTH, "06", (0, 2)),
        (HOT_WATER, "5a", ()),
        (WATER, "06", ()),
        (WATER, "fb20", ()),  # cubic feet
        (WATER, "13", (2,)),
        (ALLOCATOR, "06", ()),
        (POWER, "04", (1,)),
        (POWER, "2b", ()),  # the direction is not said
        (POWER, "fb02", ()),
        (POWER, "fd48", ()),  # the phase is not said
        (POWER, "fd59", (0, 1)),
        (POWER, "abfc01", ()),
        (POWER, "84fc81fc823b", ()),
        (POWER, "fb2e", (0, 1)),
        (GAS, "13", ()),  # converted or not is not said
        (GAS, "933a", (1,)),
        (GAS, "06", ()),
        (0x00, "06", ()),
        (0x17, "13", ()),
        (0x28, "13", ()),
        (None, "06", ()),
        (None, "6d", (1,)),
    ],
)
def test_where_the_lists_are_silent_there_is_no_name(medium: int | None, vib: str, place: tuple[int, ...]) -> None:
    assert proposed(medium, vib, *place) is None


def test_keys_of_other_protocols_have_no_proposal() -> None:
    assert naming.proposed(NativeKey.dlms(3, bytes(6), 2), HEAT) is None
    assert naming.proposed(NativeKey.modbus(1, 0, "input.int16.ab"), HEAT) is None


def test_the_real_telegrams_have_the_groups_of_their_media(telegrams: dict[str, bytes]) -> None:
    """A name of another group A than the header's medium says would be a mixture of the two code lists."""
    groups = {0x02: {1}, 0x03: {7}, 0x04: {6}, 0x0C: {6}, 0x0A: {5}, 0x0D: {5, 6}, 0x06: {9}, 0x07: {8}, 0x16: {8}}
    seen: Counter[int] = Counter()
    for octets in telegrams.values():
        found = telegram.decode(link.parse(octets))
        medium = found.identity.medium
        names = [naming.proposed(value.key, medium) for value in values(found)]
        assert all(name is None or name[0] in groups.get(medium or 0, set()) | {0} for name in names)
        assert len([name for name in names if name == naming.CLOCK]) <= 1
        seen.update(name[0] for name in names if name is not None)
    assert seen == {6: 152, 0: 25, 8: 20, 1: 10, 9: 7, 5: 1}
