"""Orders to a meter: their bytes as the standard writes them, and what simulated meters do then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import meterbus
import pytest
from mbus_bench import Line

from protocols.mbus import dates, faults, services, telegram
from protocols.mbus.meaning import meter_time
from protocols.mbus.select import Secondary
from protocols.mbus.services import Order
from protocols.mbus.session import Done, Failed, ReadSession, Route, SlaveState
from protocols.mbus.timing import BAUDS, Timing
from protocols.reading import MeterTime, Precision, State
from simulators.mbus.bus import BAUD_TRIAL_MS, Bus
from simulators.mbus.meters import cellar
from simulators.record import Record

NOW_MS = 1_793_000_000_000
AFTERNOON = MeterTime(848_674_530, Precision.SECOND)  # 2026-11-22T14:55:30, a Sunday in week 47
MINUTE = MeterTime(848_674_500, Precision.MINUTE, summer=True)
HEAT = Secondary.of("60300001")


@pytest.fixture
def bus(tmp_path: Path) -> Bus:
    """The three meters."""
    return Bus(cellar(), Record(tmp_path / "record.jsonl"), lambda: NOW_MS)


@pytest.mark.parametrize(
    ("order", "address", "octets"),
    [
        (services.application_reset(), 5, "68 03 03 68 73 05 50 c8 16"),
        (services.application_reset(0x10), 5, "68 04 04 68 73 05 50 10 d8 16"),
        (services.set_address(8), 253, "68 06 06 68 53 fd 51 01 7a 08 24 16"),
        (services.set_baud(300), 253, "68 03 03 68 53 fd b8 08 16"),
        (services.set_baud(9600), 253, "68 03 03 68 53 fd bd 0d 16"),
        (services.set_baud(38_400), 1, "68 03 03 68 73 01 bf 33 16"),
        (services.set_clock(MINUTE), 1, "68 09 09 68 73 01 51 04 6d 37 ae 56 3b ac 16"),
        (services.set_clock(AFTERNOON), 1, "68 0b 0b 68 73 01 51 06 6d 1e 37 ee 56 3b 2f 3b 16"),
    ],
    ids=str,
)
def test_an_order_is_written_as_the_standard_says(order: Order, address: int, octets: str) -> None:
    written = bytes.fromhex(octets)
    assert sum(written[4:-2]) & 0xFF == written[-2], "the case itself"
    assert services.to_bytes(order, address).hex(" ") == octets


def test_pymeterbus_reads_the_same_in_it() -> None:
    """An independent implementation, as far as it goes: control field, address and every CI that it has a name for."""
    names = {baud: getattr(meterbus, f"CONTROL_INFO_SET_BAUDRATE_{baud}") for baud in BAUDS}
    assert {baud: services.set_baud(baud).ci for baud in BAUDS} == names
    assert services.application_reset().ci == meterbus.CONTROL_INFO_APPLICATION_RESET
    assert services.set_address(1).ci == meterbus.CONTROL_INFO_DATA_SEND
    octets, header = list(services.to_bytes(services.set_address(8), 7)), meterbus.TelegramHeader()
    header.load(octets[: header.headerLength] + octets[-2:])
    fcb, fcv = meterbus.CONTROL_MASK_FCB, meterbus.CONTROL_MASK_FCV
    assert header.cField.parts[0] == meterbus.CONTROL_MASK_SND_UD | meterbus.CONTROL_MASK_DIR_M2S | fcb | fcv
    assert (header.aField.parts[0], header.lField.parts[0]) == (7, 6)


@pytest.mark.parametrize("time", [AFTERNOON, MINUTE, MeterTime(0, Precision.MINUTE)])
def test_a_clock_that_is_sent_is_what_the_decoder_reads(time: MeterTime) -> None:
    assert dates.decode(services.set_clock(time).data[2:]) == (State.OK, time)


@pytest.mark.parametrize(
    "make",
    [
        lambda: services.set_address(0),
        lambda: services.set_address(251),
        lambda: services.set_baud(1000),
        lambda: services.application_reset(256),
        lambda: services.set_clock(MeterTime(0, Precision.DAY)),
        lambda: services.set_clock(MeterTime(86_400 * 366 * 90, Precision.SECOND)),
    ],
)
def test_what_no_meter_can_be_told_is_refused(make: Callable[[], Order]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()


def give(bus: Bus, route: Route, lose: int = 0) -> tuple[Done | Failed, list[str]]:
    """Give an order; the first `lose` acknowledgements of it are lost. What was sent, in hex."""
    left = lose

    def hear(octets: bytes) -> bytes:
        nonlocal left
        heard = bus.hear(octets)
        if octets[0] == 0x68 and octets[6] != 0x52 and left:
            left -= 1
            return b""
        return heard

    line = Line(hear)
    return line.drive(ReadSession(route, SlaveState(), Timing())), [octets.hex() for octets in line.sent]


def ways(order: Order) -> list[Route]:
    return [services.primary(order, 1), services.selected(order, HEAT)]


@pytest.mark.parametrize("way", [0, 1])
def test_a_meter_that_is_told_another_address_answers_there(bus: Bus, way: int) -> None:
    outcome, _ = give(bus, ways(services.set_address(9))[way])
    assert outcome == Done(())
    assert sorted(bus.slaves) == [2, 3, 9]
    found = Line(bus.hear).drive(ReadSession(9, SlaveState(), Timing()))
    assert isinstance(found, Done)
    assert telegram.decode(found.telegrams[0]).identity.id == "60300001"


@pytest.mark.parametrize("way", [0, 1])
def test_a_reset_reaches_one_meter_with_its_sub_code(bus: Bus, way: int) -> None:
    assert give(bus, ways(services.application_reset(0xB1))[way])[0] == Done(())
    assert [slave.resets for slave in bus.slaves.values()] == [[b"\xb1"], [], []]


@pytest.mark.parametrize("time", [AFTERNOON, MINUTE])
@pytest.mark.parametrize("way", [0, 1])
def test_a_clock_that_is_set_shows_that_time(bus: Bus, way: int, time: MeterTime) -> None:
    assert give(bus, ways(services.set_clock(time))[way])[0] == Done(())
    found = Line(bus.hear).drive(ReadSession(1, SlaveState(), Timing()))
    assert isinstance(found, Done)
    shown = meter_time(telegram.decode(found.telegrams[0]))
    assert shown is not None
    assert shown.seconds == 848_674_500


def test_a_selected_meter_is_deselected_afterwards_unless_its_speed_is_another_one(bus: Bus) -> None:
    _, sent = give(bus, services.selected(services.application_reset(), HEAT))
    assert sent[-1] == "1040fd3d16"
    assert not bus.slaves[1].selected
    _, sent = give(bus, services.selected(services.set_baud(9600), HEAT))
    assert sent[-1] == "6803036853fdbd0d16"


def test_an_order_whose_acknowledgement_is_lost_is_given_again_as_it_is(bus: Bus) -> None:
    outcome, sent = give(bus, services.primary(services.application_reset(), 1), lose=2)
    assert outcome == Done(())
    assert sent == ["1040014116", *["680303687301 50c416".replace(" ", "")] * 3]


def test_nobody_acknowledges_and_it_is_said(bus: Bus) -> None:
    outcome, sent = give(bus, services.primary(services.application_reset(), 77))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, faults.NoAnswer)
    assert len(sent) == 6


@pytest.mark.parametrize("way", [0, 1])
def test_a_meter_hears_its_new_speed_only_and_goes_back_where_nobody_speaks_it(tmp_path: Path, way: int) -> None:
    now = [NOW_MS]
    bus = Bus(cellar(), Record(tmp_path / "record.jsonl"), lambda: now[0])
    bus.slaves[1].baud = bus.baud = 2400
    assert give(bus, ways(services.set_baud(9600))[way])[0] == Done(())
    assert answers(bus, {2400: False, 9600: True})
    now[0] += BAUD_TRIAL_MS
    assert answers(bus, {2400: False, 9600: True}), "it was spoken to: it stays"
    bus.baud = 9600
    assert give(bus, ways(services.set_baud(300))[way])[0] == Done(())
    now[0] += BAUD_TRIAL_MS
    assert answers(bus, {300: False, 9600: True})


def answers(bus: Bus, expected: dict[int, bool]) -> bool:
    """Whether the meter answers at each speed as expected."""
    found = {}
    for baud in expected:
        bus.baud = baud
        found[baud] = isinstance(Line(bus.hear).drive(ReadSession(1, SlaveState(), Timing(baud))), Done)
    return found == expected
