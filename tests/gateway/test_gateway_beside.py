"""Meters that refuse what stands beside their values: the rest is read, and nobody is taken for another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path

import pytest
from dlms_street import PUMP, QUARTER_MS, Street, of

from gateway.beside import check
from gateway.config import DlmsBus, DlmsDevice
from gateway.dlms import DlmsReader
from gateway.scales import ScaleStore
from protocols.dlms.access import Framing
from protocols.dlms.data import Data
from protocols.dlms.faults import AccessRefused, ExceptionAnswer
from protocols.dlms.get import AccessResult, Selection
from protocols.dlms.initiate import Conformance
from protocols.dlms.objects import CLOCK_TIME, DEVICE_ID, REGISTER, Attribute
from protocols.errors import AnotherMeter, MeterError
from protocols.reading import How, Identity, Protocol, Scaled, State
from simulators.dlms.faults import Faults
from simulators.dlms.meter import LOAD_PROFILE, Meter
from simulators.dlms.plates import Plate

HOUR_MS = 3_600_000
FIRST = "3/1-0:1.8.0.255/2"
SCALER = Attribute.of(REGISTER, "1-0:1.8.0.255", 3)
SORTED = Attribute(7, LOAD_PROFILE, 5)
DENIED, PASSING = AccessResult.READ_WRITE_DENIED, AccessResult.TEMPORARY_FAILURE
SUPPLY = "50012345"
NAME = "LGZ1070098765432"  # of the pump's meter


class Refusing:
    """What all simulated meters refuse, and how; with what they were asked for."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.refused: dict[Attribute, AccessResult] = {}
        self.asked: list[Attribute] = []
        get = Meter.get

        def refusing(meter: Meter, attribute: Attribute, chosen: Selection | None, client: int) -> Data | AccessResult:
            self.asked.append(attribute)
            return self.refused.get(attribute) or get(meter, attribute, chosen, client)

        patch.setattr(Meter, "get", refusing)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    """Nothing, so far."""
    return Refusing(monkeypatch)


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    """A meter with two days behind it."""
    found = Street(tmp_path)
    await found.start()
    yield found
    await found.stop()


def process(street: Street, device: DlmsDevice, folder: Path | None = None) -> DlmsReader:
    """A reader of a new process, with what the ones before it kept in the folder."""
    bus = DlmsBus(
        protocol="dlms", name="street", url=f"tcp+hdlc://127.0.0.1:{street.meters.hdlc_port}", device=(device,)
    )
    return DlmsReader(bus, street.positions, street.clock, scales=ScaleStore(folder))


async def fails(street: Street, reader: DlmsReader, device: DlmsDevice, errors: type[MeterError]) -> None:
    with pytest.raises(errors):
        await reader.read(street.due(device))


async def test_a_meter_that_denies_its_number_is_read_without_one(street: Street, refusing: Refusing) -> None:
    """What it shows, and every row."""
    refusing.refused[DEVICE_ID] = DENIED
    device = street.device(serial=None)
    found = await street.visit(process(street, device), device)
    assert {each.meter.fabrication for each in found} == {None}
    assert len(of(found, How.PROFILE)) == len(street.recorded("row"))


@pytest.mark.parametrize("again", [False, True])
async def test_a_refusal_that_may_pass_never_changes_who_a_meter_is(
    street: Street, refusing: Refusing, tmp_path: Path, again: bool
) -> None:
    """It is not read until it tells its number again, by the same process or by the next one, however long."""
    device = street.device(serial=None)
    reader = process(street, device, tmp_path)
    found = await street.visit(reader, device)
    refusing.refused[DEVICE_ID] = PASSING
    reader = process(street, device, tmp_path) if again else reader
    for _ in range(8):
        street.time.pass_ms(QUARTER_MS)
        await fails(street, reader, device, AccessRefused)
        if not again:
            with pytest.raises(AccessRefused):
                await reader.rows(device.name)
    refusing.refused.clear()
    found += await street.visit(reader, device)
    assert {each.meter.fabrication for each in found} == {PUMP}
    assert len({each.meter_time for each in of(found, How.PROFILE)}) == len(street.recorded("row"))


async def test_a_meter_that_denies_the_number_that_it_told_is_another_one_for_an_hour(
    street: Street, refusing: Refusing, tmp_path: Path
) -> None:
    """Then it is read as one without a number: no row of it bears the number of before."""
    device = street.device(serial=None)
    await street.visit(process(street, device, tmp_path), device)
    refusing.refused[DEVICE_ID] = DENIED
    reader = process(street, device, tmp_path)
    await fails(street, reader, device, AnotherMeter)
    street.time.pass_ms(HOUR_MS)
    found = await street.visit(reader, device)
    assert {each.meter.fabrication for each in found} == {None}
    assert await process(street, device, tmp_path).read(street.due(device))


async def test_a_configured_number_has_to_be_told(street: Street, refusing: Refusing) -> None:
    """However long it is refused, and however."""
    device = street.device()
    reader = process(street, device)
    for result, error in ((PASSING, AccessRefused), (DENIED, AnotherMeter)):
        refusing.refused[DEVICE_ID] = result
        await fails(street, reader, device, error)
        street.time.pass_ms(2 * HOUR_MS)
        await fails(street, reader, device, error)


class Excepting(Faults):
    """Says an exception-response in place of "temporary failure"."""

    def answers(self, answer: bytes) -> bytes:
        """The wrapper's header is eight bytes."""
        refused = answer[8:10] == b"\xc4\x01" and answer[11:] == bytes((1, PASSING))
        return answer[:6] + bytes.fromhex("0003d80203") if refused else answer


async def test_a_meter_that_answers_with_an_exception_where_its_number_is_asked_for_is_read_after_an_hour(
    tmp_path: Path, refusing: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never told one; and from then on at once, by the next process too."""

    def alone(plate: Plate, _: str) -> Plate:
        return replace(plate, offered=plate.offered & ~Conformance.MULTIPLE_REFERENCES)

    monkeypatch.setattr("dlms_street.changed", alone)
    street = Street(tmp_path)
    await street.start()
    street.meters.outlet(Framing.WRAPPER).faults = Excepting(())
    refusing.refused |= {DEVICE_ID: PASSING, SCALER: PASSING}
    device = street.device(name="supply", client=16, auth="none", password_file=None, serial=None)
    url = f"tcp://127.0.0.1:{street.meters.wrapper_port}"
    bus = DlmsBus(protocol="dlms", name="street", url=url, device=(device,))
    reader = DlmsReader(bus, street.positions, street.clock, scales=ScaleStore(tmp_path))
    await fails(street, reader, device, ExceptionAnswer)
    street.time.pass_ms(HOUR_MS)
    (found,) = await reader.read(street.due(device))
    (again,) = await DlmsReader(bus, street.positions, street.clock, scales=ScaleStore(tmp_path)).read(
        street.due(device)
    )
    await street.stop()
    assert found.meter == again.meter
    assert (found.meter.fabrication, found.meter.logical_name) == (None, "ISK1050012345678")
    assert found.values[0].state is State.UNKNOWN


async def test_a_value_without_its_scaler_is_unknown_and_the_rest_is_read(street: Street, refusing: Refusing) -> None:
    """Its digits are there as they came, without unit and power of ten; it is asked for once."""
    refusing.refused[SCALER] = DENIED
    device = street.device()
    found = await street.visit(process(street, device), device)
    for each in found:
        values = {str(value.key).removeprefix("dlms:"): value for value in each.values}
        assert {value.state for key, value in values.items() if key != FIRST} == {State.OK}
        if FIRST in values:
            assert (values[FIRST].state, values[FIRST].unit) == (State.UNKNOWN, "")
    truth = [Scaled(int(row.values[FIRST]["m"])) for row in street.recorded("row")]
    assert [each.values[0].number for each in of(found, How.PROFILE)] == truth
    assert refusing.asked.count(SCALER) <= 2


def stated(found: Collection[object]) -> set[State]:
    return {value.state for each in found for value in each.values}  # type: ignore[attr-defined]


@pytest.mark.parametrize("beside", [SCALER, SORTED])
async def test_rows_wait_for_what_is_refused_for_the_moment(
    street: Street, refusing: Refusing, beside: Attribute
) -> None:
    """They stay in the meter, and are sealed once: with their scalers, in their order."""
    device = street.device()
    reader = process(street, device)
    refusing.refused[beside] = PASSING
    await reader.read(street.due(device))
    with pytest.raises(AccessRefused):
        await reader.rows(device.name)
    refusing.refused.clear()
    found = of(await street.visit(reader, device), How.PROFILE)
    assert stated(found) == {State.OK}
    assert len(found) == len(street.recorded("row"))


async def test_rows_do_not_wait_for_more_than_an_hour(street: Street, refusing: Refusing) -> None:
    """What a meter says so long is its word."""
    device = street.device()
    reader = process(street, device)
    refusing.refused[SCALER] = PASSING
    await reader.read(street.due(device))
    with pytest.raises(AccessRefused):
        await reader.rows(device.name)
    street.time.pass_ms(HOUR_MS)
    found = of(await street.visit(reader, device), How.PROFILE)
    assert stated(found) == {State.OK, State.UNKNOWN}
    assert len(found) == len(street.recorded("row"))


@pytest.mark.parametrize("serial", [None, PUMP])
async def test_a_meter_is_known_by_its_logical_device_name_where_that_is_configured(
    street: Street, refusing: Refusing, serial: str | None
) -> None:
    """Also where it tells no device id: another one's name is refused, and nothing of it read."""
    if serial is None:
        refusing.refused[DEVICE_ID] = DENIED
    device = street.device(serial=serial, logical_name=NAME)
    assert (await process(street, device).read(street.due(device)))[0].meter.logical_name == NAME
    other = street.device(serial=serial, logical_name=NAME[:-1] + "0")
    await fails(street, process(street, other), other, AnotherMeter)
    assert CLOCK_TIME not in refusing.asked[-2:]


async def test_a_meter_that_was_put_in_its_place_has_a_name_of_its_own(street: Street) -> None:
    """Who stands in the place of the configured meter is known by the number that was told, not by the old name."""
    device = street.device(serial="1", logical_name="ABC1")
    found = Identity(Protocol.DLMS, "LGZ", fabrication=PUMP, logical_name=NAME)
    check(found, replace(device.identity, fabrication=PUMP), device)
    with pytest.raises(AnotherMeter):
        check(found, device.identity, device)
