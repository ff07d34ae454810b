"""Decoding a load profile of 2,880 rows and six columns, beside dlms-cosem 21.3.2 on the same bytes."""

from __future__ import annotations

from collections.abc import Iterator

from dlms_cosem import cosem, enumerations, utils
from dlms_cosem.parsers import ProfileGenericBufferParser
from figures import Figure, in_turns

from protocols.dlms import clock, profile, table
from protocols.dlms import data as axdr
from protocols.dlms.data import Data, Tag
from protocols.dlms.objects import CLOCK_TIME, Attribute, ScalerUnit
from protocols.dlms.profile import Column, TableRows
from protocols.reading import MeterTime, Precision

ROWS, PERIOD_S = 2_880, 900
START_S = 846_000_000  # of the meter's calendar: October 2026
STATUS = Attribute.of(1, "0-0:96.10.1")
ENERGIES = tuple(Attribute.of(3, f"1-0:{group}.8.0") for group in (1, 2, 3, 4))
LAST = MeterTime(START_S + PERIOD_S * (ROWS - 1), Precision.SECOND, deviation_min=60)
BOUND = 4.5  # times as fast, ours with times, theirs without
COLUMNS = tuple(Column(each) for each in (CLOCK_TIME, STATUS, *ENERGIES))


def figures() -> Iterator[Figure]:
    """Rows a second, from the buffer's bytes: ours to times and exact numbers, theirs to numbers without times.

    The second line is ours to whole rows, each with its values under their native keys, beside theirs with times.
    """
    octets = axdr.to_bytes(axdr.array(*(row(at) for at in range(ROWS))))
    scalers = {each: ScalerUnit(0, "Wh") for each in ENERGIES}

    def ours() -> None:
        found = profile.rows(table.value(octets), COLUMNS, scalers, PERIOD_S)
        assert isinstance(found, TableRows)
        times, numbers = found.times(), list(found.numbers())
        assert times[-1] == LAST
        assert [len(cells) for _, exponent, cells in numbers if not exponent] == [ROWS] * len(ENERGIES)

    def theirs() -> None:
        assert len(utils.parse_as_dlms_data(octets)) == ROWS

    mine, other = in_turns(ours, theirs)
    beside = f"dlms-cosem 21.3.2 without times, {ROWS} x {len(COLUMNS)}"
    yield Figure("dlms_profile_rows_per_s", ROWS / mine, "1/s", beside, other / mine)
    yield Figure("dlms_profile_vs_dlms_cosem", other / mine, "", beside, other / mine, BOUND)

    captured = [_theirs(each.attribute) for each in COLUMNS]
    parser = ProfileGenericBufferParser(captured, PERIOD_S // 60)

    def ours_whole() -> None:
        assert len(list(profile.rows(table.value(octets), COLUMNS, scalers, PERIOD_S))) == ROWS

    def theirs_whole() -> None:
        assert len(parser.parse_entries(utils.parse_as_dlms_data(octets))) == ROWS

    mine, other = in_turns(ours_whole, theirs_whole)
    beside = f"dlms-cosem 21.3.2 with times, {ROWS} x {len(COLUMNS)}"
    yield Figure("dlms_profile_whole_rows_per_s", ROWS / mine, "1/s", beside, other / mine)


def row(number: int) -> Data:
    """One row as a meter sends it."""
    time = MeterTime(START_S + PERIOD_S * number, Precision.SECOND, deviation_min=60)
    energies = (Data(Tag.DOUBLE_LONG_UNSIGNED, 25_000_000 + 61 * number * each) for each in range(1, 5))
    return axdr.structure(axdr.octet_string(clock.to_bytes(time)), Data(Tag.UNSIGNED, 0), *energies)


def _theirs(attribute: Attribute) -> object:
    interface = enumerations.CosemInterface(attribute.class_id)
    return cosem.CosemAttribute(interface, cosem.Obis(*attribute.name), attribute.number)
