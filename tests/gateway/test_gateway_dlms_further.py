"""Billing profiles and event logs of DLMS meters: every row once; truth is the meter's record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dlms_street import Street, of

from gateway.dlms import DlmsReader
from gateway.settled import Settled
from protocols.dlms.faults import AccessRefused
from protocols.reading import How, MeterTime, Reading, Scaled, State, Text
from simulators.dlms.books import BILLING, STANDARD_LOG

STANDARD, FRAUD, MONTHLY = "0-0:99.98.0.255", "0-0:99.98.1.255", "0-0:98.1.0.255"
CODE = "1/0-0:96.11.0.255/2"
NAME = f"7/{STANDARD}/0"
DAY_MS = 86_400_000


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    """A meter with two days behind it."""
    found = Street(tmp_path)
    await found.start()
    yield found
    await found.stop()


def keyed(reading: Reading) -> dict[str, object]:
    return {str(value.key).removeprefix("dlms:"): value.number for value in reading.values}


def places(found: list[Reading]) -> list[tuple[MeterTime | None, int]]:
    return [(each.meter_time, each.part) for each in found]


def events(street: Street, found: list[Reading]) -> bool:
    """Whether these are the events of the meter's record, all of them, in order, each once."""
    recorded = [(each.time, Scaled(int(each.values[CODE]["m"]))) for each in street.recorded("event", CODE)]
    return [(str(each.meter_time), keyed(each)[CODE]) for each in found] == recorded


async def test_an_event_log_is_read_whole_and_two_events_of_one_second_are_two(street: Street) -> None:
    """With the names that the model has; a second visit on the same day asks for nothing more."""
    device = street.device(model="idis")
    reader = street.reader(device)
    found = of(await street.visit(reader, device), How.EVENT_LOG, STANDARD)
    assert events(street, found)
    assert len(set(places(found))) == len(found)
    assert max(each.part for each in found) > 0
    assert {str(each.number) for each in found[0].values if isinstance(each.number, Scaled)} <= {"1", "2", "9", "47"}
    named = {keyed(each)[CODE]: keyed(each).get(NAME) for each in found}
    assert named[Scaled(1)] == Text("power down")
    assert of(await street.visit(reader, device), How.EVENT_LOG, STANDARD) == []


async def test_each_day_brings_what_is_new_even_within_the_second_of_the_last_row(street: Street) -> None:
    """The last row's second is asked for again: what shares it is not lost."""
    device = street.device(logs=[STANDARD])
    reader, log = street.reader(device), street.meter.logs[STANDARD_LOG]
    found = of(await street.visit(reader, device), How.EVENT_LOG, STANDARD)
    for _ in range(3):
        street.meter._record_events(STANDARD_LOG, [log.note(log.events[-1][0], 18)])
        street.time.pass_ms(DAY_MS)
        found += of(await street.visit(reader, device), How.EVENT_LOG, STANDARD)
    assert events(street, found)
    assert len(set(places(found))) == len(found)
    assert all(NAME not in keyed(each) for each in found)


async def test_a_new_process_hands_on_a_day_again_and_the_same(street: Street) -> None:
    """The collector knows those rows: place and values are what they were."""
    device = street.device(logs=[STANDARD])
    before = of(await street.visit(street.reader(device), device), How.EVENT_LOG, STANDARD)
    street.time.pass_ms(DAY_MS)
    after = of(await street.visit(street.reader(device), device), How.EVENT_LOG, STANDARD)
    known = {place: each.values for place, each in zip(places(before), before, strict=True)}
    again = [each for each in after if (each.meter_time, each.part) in known]
    assert again
    assert all(known[each.meter_time, each.part] == each.values for each in again)
    fresh = [each for each in after if (each.meter_time, each.part) not in known]
    assert events(street, before + fresh)


async def test_no_event_is_passed_over_when_the_clock_was_set_back(street: Street) -> None:
    """What happens in the hour that comes again bears times before the last row."""
    device = street.device(logs=[STANDARD])
    reader = street.reader(device)
    found = of(await street.visit(reader, device), How.EVENT_LOG, STANDARD)
    log = street.meter.logs[STANDARD_LOG]
    street.meter._record_events(STANDARD_LOG, [log.note(street.meter.clock.ms(), 47)])
    street.time.pass_ms(DAY_MS)
    found += of(await street.visit(reader, device), How.EVENT_LOG, STANDARD)
    street.meter._move_clock(-2 * 3_600_000)
    street.meter._record_events(STANDARD_LOG, [log.note(street.meter.clock.ms(), 47)])
    street.time.pass_ms(DAY_MS)
    found += of(await street.visit(reader, device), How.EVENT_LOG, STANDARD)
    assert sorted(map(str, map(keyed, found))) == sorted(
        str({CODE: Scaled(int(each.values[CODE]["m"]))}) for each in street.recorded("event", CODE)
    )


async def test_a_log_with_its_newest_row_first_is_read_in_order(tmp_path: Path) -> None:
    """The meter says how it is sorted."""
    street = Street(tmp_path, "lifo")
    await street.start()
    device = street.device(logs=[STANDARD])
    reader = street.reader(device)
    found = await street.visit(reader, device)
    street.time.pass_ms(DAY_MS)
    found += await street.visit(reader, device)
    await street.stop()
    assert events(street, of(found, How.EVENT_LOG, STANDARD))


async def test_a_compressed_log_has_its_times_and_codes(tmp_path: Path) -> None:
    """Null in the clock of a profile without a period is the time of the row above; it is marked."""
    street = Street(tmp_path, "nulls")
    await street.start()
    device = street.device(logs=[STANDARD], compressed=True)
    found = []
    for _ in range(3):
        found += of(await street.visit(street.reader(device), device), How.EVENT_LOG, STANDARD)
        street.time.pass_ms(DAY_MS)
    await street.stop()
    whole = list(dict(zip(places(found), found, strict=True)).values())
    wanted = [(each.time, Scaled(int(each.values[CODE]["m"]))) for each in street.recorded("event", CODE)]
    assert [(str(each.meter_time), keyed(each)[CODE]) for each in whole] == wanted
    assert any(value.status == 1 and value.number == each.meter_time for each in found for value in each.values)


async def test_the_billing_profile_gives_months_with_tariffs(street: Street) -> None:
    """Each month's registers under its own profile, exactly, and the time of the maximum as a time."""
    device = street.device(further_profiles=[MONTHLY], profile=None)
    reader = street.reader(device)
    found = of(await street.visit(reader, device), How.PROFILE, MONTHLY)
    recorded = street.recorded("billing")
    assert len(found) == len(recorded) == 13
    for reading, month in zip(found, recorded, strict=True):
        assert str(reading.meter_time) == month.time
        values = {str(each.key).removeprefix("dlms:"): each for each in reading.values}
        for key, wanted in month.values.items():
            number = values[key].number
            assert isinstance(number, Scaled)
            assert wanted == {"m": number.mantissa, "e": number.exponent, "unit": values[key].unit}
        assert isinstance(values["4/1-0:1.6.0.255/5"].number, MeterTime)
        assert all(each.state is State.OK for each in values.values())
    street.time.pass_ms(31 * DAY_MS)
    (fresh,) = of(await street.visit(reader, device), How.PROFILE, MONTHLY)
    assert str(fresh.meter_time) == street.recorded("billing")[-1].time


async def test_what_was_refused_is_read_again(street: Street) -> None:
    """Rows that a full buffer did not take count as not handed on."""
    device = street.device(logs=[STANDARD], profile=None)
    reader = street.reader(device)
    await reader.read(street.due(device))
    first = await reader.rows("pump")
    street.positions.took(Settled.by(first, {}).rows)
    street.positions.refused(Settled.by(first, {}).rows)
    street.time.pass_ms(DAY_MS)
    assert places(await reader.rows("pump"))[: len(first)] == places(first)


async def until_refused(street: Street, reader: DlmsReader, found: list[Reading]) -> str:
    try:
        while piece := await reader.rows("pump"):
            street.positions.committed(Settled.by(piece, {}).rows)
            found += piece
    except AccessRefused as error:
        return str(error)
    return ""


async def test_a_log_that_is_not_there_holds_up_no_other(street: Street) -> None:
    """It is told at each visit, and asked for once a day."""
    device = street.device(logs=["0-0:99.98.9.255", STANDARD])
    reader = street.reader(device)
    await reader.read(street.due(device))
    found: list[Reading] = []
    refused = await until_refused(street, reader, found)
    assert "object undefined" in refused
    assert events(street, of(found, How.EVENT_LOG, STANDARD))
    with pytest.raises(AccessRefused):
        await reader.rows("pump")


async def test_cadences_are_of_each_kind(street: Street) -> None:
    """Logs every hour, months once a day."""
    device = street.device(logs=[STANDARD], logs_cadence_s=3600, further_profiles=[MONTHLY], profile=None)
    reader = street.reader(device)
    (further, log) = reader._meters["pump"].further
    assert (further.name, log.name) == (BILLING, STANDARD_LOG)
    await street.visit(reader, device)
    assert not further.is_due(street.time.wall_ms)
    street.time.pass_ms(3_600_000)
    assert (further.is_due(street.time.wall_ms), log.is_due(street.time.wall_ms)) == (False, True)
