"""M12: another meter in the place of a configured one is read on under its own identity, and never mixed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from cellar_parts import BusLine, Kept, device
from dlms_street import PUMP, Street
from gateway_parts import NOW_MS, Time

from gateway import events
from gateway.clock import GatewayClock
from gateway.config import Bus, Configuration, DlmsBus, MbusBus, MbusDevice, ModbusBus, ModbusDevice
from gateway.config_file import configuration_from
from gateway.dlms import DlmsReader
from gateway.lines import MACHINE, Opened
from gateway.mbus import MbusReader
from gateway.modbus import ModbusReader, opening
from gateway.poll import BusPoller
from gateway.schedule import Due, Schedule
from gateway.succession import Succession
from gateway.successors import FILE, Successors, standing
from gateway.writer import InlineWriter
from protocols.errors import AnotherMeter
from protocols.reading import Identity
from protocols.uplink.leaf import identity_from_wire
from protocols.uplink.pack import unpack
from simulators.mbus.bus import Bus as Line
from simulators.mbus.meters import cellar
from simulators.modbus.meter import SERIAL, ModbusMeter
from simulators.record import Record

OLD, NEW, THIRD = "60300001", "60300099", "60300077"
SLOT_MS = 900_000
DEVICES = (device("one", 1, id=OLD), device("two", 2))


def written(table: Any) -> dict[str, Any]:
    """A table as a file has it: without defaults."""
    given = {
        each.name: getattr(table, each.name) for each in fields(table) if getattr(table, each.name) != each.default
    }
    return given | ({"device": [written(each) for each in table.device]} if "device" in given else {})


def configured(folder: Path, bus: Bus) -> Configuration:
    """A gateway with one bus."""
    table: dict[str, Any] = {"gateway": "gateway-1", "state_folder": str(folder), "keys_folder": "keys"}
    more = {"broker": {"host": "localhost", "port": 8883}, "bus": [written(bus)]}
    return configuration_from(table | more, folder, "test")


class Site:
    """The simulated line, and a gateway that can be started anew on the same state folder."""

    def __init__(self, folder: Path, *devices: MbusDevice) -> None:
        self.folder, self.devices, self.time = folder, devices, Time()
        self.bus = Line(cellar(), Record(folder / "record.jsonl"), lambda: self.time.wall_ms, 1)
        self.start()

    def start(self) -> None:
        """A new process."""
        self.kept, clock = Kept(), GatewayClock(self.time.sources())
        bus = MbusBus(protocol="mbus", name="riser", port="line", device=self.devices)
        self.configuration = configured(self.folder, bus)
        store = Successors(self.folder, InlineWriter(), self.configuration)
        self.succession = Succession(bus, store, clock, self.kept.note)
        reader = MbusReader(bus, self.open, clock, True, self.succession)
        self.poller = BusPoller("riser", reader, Schedule(self.devices, {}), clock, self.kept)

    async def open(self) -> Opened:
        """The line."""
        return Opened(BusLine(self.bus, self.time))

    async def rounds(self, count: int, number: str | None = None) -> list[str | None]:
        """Whom `one` was read as in so many slots, of meters with this number from now on."""
        if number is not None:
            self.bus.swap(1, number)
        before = len(self.kept.readings)
        for _ in range(count):
            self.time.pass_ms(SLOT_MS)
            await self.poller._round()
        return [each.meter.id for each in self.kept.readings[before:] if each.device == "one"]

    def codes(self) -> list[str]:
        """The codes of all events."""
        return [event.code for event in self.kept.events]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two meters; of one the number is configured."""
    return Site(tmp_path, *DEVICES)


async def test_a_swapped_meter_is_read_on_under_its_own_number_from_the_second_visit_on(site: Site) -> None:
    """One answer may be a late one of somebody else; each reading says who showed it."""
    assert await site.rounds(2) == [OLD, OLD]
    assert await site.rounds(1, NEW) == []
    assert await site.rounds(3) == [NEW, NEW, NEW]


async def test_the_event_names_device_old_and_new_meter_and_since_when(site: Site) -> None:
    """With all that the old one said of itself when it was read last: its series is found by that."""
    await site.rounds(1)
    (last,) = {each.meter for each in site.kept.readings if each.device == "one"}
    await site.rounds(1, NEW)
    began_ms = site.time.wall_ms
    await site.rounds(1)
    (event,) = [each for each in site.kept.events if each.code == events.METER_CHANGED]
    bus, packed, since_ms, words = event.parameters
    assert (event.device, event.meter, bus) == ("one", last, "riser")
    assert isinstance(packed, bytes)
    assert isinstance(since_ms, int)
    assert began_ms + SLOT_MS <= since_ms <= site.time.wall_ms
    assert identity_from_wire(unpack(packed, 1024, "test")).id == NEW
    assert NEW in str(words)


async def test_the_number_of_another_configured_meter_is_never_taken(tmp_path: Path) -> None:
    """It is a late answer of that one, however often it comes."""
    site = Site(tmp_path, device("one", 1, id=OLD), device("two", 2, id=NEW))
    site.bus.swap(2, NEW)
    assert await site.rounds(4, NEW) == []
    assert events.METER_CHANGED not in site.codes()


async def test_who_was_seen_at_another_address_is_never_taken(site: Site) -> None:
    """The other device has no number in the configuration: what it showed tells."""
    await site.rounds(1)
    (two,) = {each.meter for each in site.kept.readings if each.device == "two"}
    for _ in range(3):
        assert await site.succession.expected("one", two) == DEVICES[0].identity


async def test_two_strangers_in_turn_are_never_confirmed(site: Site) -> None:
    """Both visits must say the same, one after the other."""
    for number in (NEW, THIRD) * 3:
        assert await site.rounds(1, number) == []


async def test_the_configured_meter_between_two_answers_of_another_begins_the_count_anew(site: Site) -> None:
    """In a row means in a row."""
    for number, read in ((NEW, []), (OLD, [OLD]), (NEW, [])):
        assert await site.rounds(1, number) == read
    assert events.METER_CHANGED not in site.codes()


async def test_after_a_restart_the_new_meter_is_read_at_once_and_told_again(site: Site) -> None:
    """It stands in the state folder; the collector forgets at a start what stood before it."""
    await site.rounds(2, NEW)
    site.start()
    assert await site.rounds(2) == [NEW, NEW]
    assert site.codes() == [events.METER_CHANGED]


async def test_a_damaged_file_costs_one_visit(site: Site) -> None:
    """It is confirmed again."""
    await site.rounds(2, NEW)
    (site.folder / FILE).write_bytes(b"\xff" * 20)
    site.start()
    assert await site.rounds(2) == [NEW]


async def test_the_old_meter_put_back_ends_it_by_itself(site: Site) -> None:
    """With an event, from its second visit on: its first answer may be one of before it was taken away."""
    await site.rounds(2, NEW)
    assert await site.rounds(3, OLD) == [OLD, OLD]
    assert site.codes().count(events.METER_RETURNED) == 1
    assert standing(site.configuration) == []
    assert await site.rounds(1, NEW) == []


async def test_a_third_meter_is_confirmed_like_the_second(site: Site) -> None:
    """And told with the one that is configured: the second one's readings are attributed to nobody."""
    await site.rounds(2, NEW)
    assert await site.rounds(2, THIRD) == [THIRD]
    assert site.codes().count(events.METER_CHANGED) == 2


async def test_a_configuration_that_names_the_new_meter_settles_it(site: Site) -> None:
    """Nothing is in nobody's name any more."""
    await site.rounds(2, NEW)
    site.devices = (device("one", 1, id=NEW), DEVICES[1])
    site.start()
    assert standing(site.configuration) == []
    assert await site.rounds(1) == [NEW]
    assert site.codes() == []


async def test_a_meter_that_is_selected_by_its_number_is_never_replaced(tmp_path: Path) -> None:
    """Who answers under another one was not selected."""
    site = Site(tmp_path, MbusDevice(name="one", secondary=OLD, cadence_s=900))
    stranger = Identity(DEVICES[0].identity.protocol, "KAM", NEW, 53, 4)
    for _ in range(3):
        assert (await site.succession.expected("one", stranger)).id == OLD


async def test_a_modbus_meter_with_another_serial_number_is_read_on_and_another_model_never(tmp_path: Path) -> None:
    """Registers of another model would be read as what they are not."""
    meter = ModbusMeter(Record(tmp_path / "record.jsonl"), lambda: NOW_MS, 1)
    await meter.start(0)
    main = ModbusDevice(name="main", cadence_s=900, model="carlo-gavazzi-em340", serial="9999999")
    bus = ModbusBus(protocol="modbus", name="cabinet", url=f"tcp://127.0.0.1:{meter.port}", device=(main,))
    clock, kept = GatewayClock(Time().sources()), Kept()
    store = Successors(tmp_path, InlineWriter(), configured(tmp_path, bus))
    reader = ModbusReader(bus, clock, opening(bus, MACHINE), Succession(bus, store, clock, kept.note))
    due = Due(main, NOW_MS, NOW_MS + SLOT_MS)
    with pytest.raises(AnotherMeter):
        await reader.read(due)
    assert (await reader.read(due))[0].meter.fabrication == SERIAL
    meter.code = 103  # an EM330's
    for _ in range(3):
        with pytest.raises(AnotherMeter):
            await reader.read(due)
    reader.let_go()
    await meter.stop()
    assert [each.code for each in kept.events] == [events.METER_CHANGED]


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    """Two electricity meters on sockets."""
    found = Street(tmp_path)
    await found.start()
    yield found
    await found.stop()


async def test_a_dlms_meter_with_another_device_id_is_read_on_without_its_profile(
    street: Street, tmp_path: Path
) -> None:
    """Its rows wait in it for the exchange: the old one, put back, must not miss its own; its clock is left alone."""
    pump = street.device(serial="70000000", history_days=1, adjust_clock=True, model="idis")
    url = f"tcp+hdlc://127.0.0.1:{street.meters.hdlc_port}"
    bus, kept = DlmsBus(protocol="dlms", name="street", url=url, device=(pump,)), Kept()
    store = Successors(tmp_path, InlineWriter(), configured(tmp_path, bus))
    succession = Succession(bus, store, street.clock, kept.note)
    reader = DlmsReader(bus, street.positions, street.clock, note=kept.note, succession=succession)
    with pytest.raises(AnotherMeter):
        await reader.read(street.due(pump))
    (found,) = await reader.read(street.due(pump))
    assert found.meter.fabrication == PUMP
    assert await reader.rows("pump") == []
    assert not await reader.tend()
    await store.settle("pump", found.meter)
    rows = await reader.rows("pump")
    assert {each.meter.fabrication for each in rows} == {PUMP}
    assert not await reader.tend()
    assert [each.code for each in kept.events] == [events.METER_CHANGED]
