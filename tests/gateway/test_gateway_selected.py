"""Meters that are polled by their number, on a terminal and behind a converter, among others that answer late."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from gateway_parts import NOW_MS, Time
from mbus_bench import plate
from mbus_site import KINDS, Site, site

from gateway import events
from gateway.clock import GatewayClock
from gateway.config import MbusBus, MbusDevice
from gateway.forecast import ROUND_TRIP_MS, forecast
from gateway.lines import ASSUMED_TRIP_MS, MACHINE, TRIP_MS, Lines, Opened, Place, opened
from gateway.mbus import MbusReader, readings, way
from gateway.poll import BusPoller
from gateway.schedule import Due, Schedule
from protocols.errors import AnotherMeter, LinkError, MeterError
from protocols.mbus import link
from protocols.mbus.select import Secondary
from protocols.mbus.timing import TCP_SLACK_MS, USB_SLACK_MS, Timing
from protocols.reading import Identity, Protocol, Reading, TimeQuality
from protocols.settings.model import checked
from protocols.transports.exchange import Answer, ClosableLine
from protocols.transports.rfc2217 import NoPortControl
from protocols.transports.tcp import ConnectionGone, ConnectionRefused, TcpLine
from protocols.uplink.records import Event
from simulators.mbus.bus import Bus
from simulators.mbus.converter import Converter
from simulators.mbus.encoding import header, long_frame
from simulators.mbus.portcontrol import PortControl
from simulators.record import read

HEAT = MbusDevice(name="heat", secondary="60300001", manufacturer="KAM", version=0x35, medium=4, cadence_s=900)
WATER = MbusDevice(name="water", secondary="07712233", cadence_s=900)
BROKEN = MbusDevice(name="broken", address=2, id="1A7F2044", cadence_s=900)
GOOD = TimeQuality(True, 5)


def bus_at(at: str, *devices: MbusDevice) -> MbusBus:
    """A line there, fast: a pseudo-terminal and a loopback connection have no speed of their own."""
    table = {"protocol": "mbus", "name": "riser", "baud": 38_400, "url" if "://" in at else "port": at}
    return checked(MbusBus, {**table, "device": devices})


def reader_at(at: str, *devices: MbusDevice) -> MbusReader:
    """The reader of a line, as the daemon makes it; a loaded machine may be slow."""
    bus = bus_at(at, *devices)

    async def slowly() -> Opened:
        return replace(await opened(Place.of(bus), MACHINE), slack_ms=400)

    return MbusReader(bus, slowly, GatewayClock(Time().sources()), keep=True)


async def visit(reader: MbusReader, device: MbusDevice) -> Reading:
    (found,) = await reader.read(Due(device, NOW_MS, NOW_MS + 900_000))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("written", ["", "echo", "noise=1", "noise=1,echo"])
async def test_meters_are_read_by_number_and_by_address_on_one_line(tmp_path: Path, kind: str, written: str) -> None:
    """Each reading is what that meter answered for it, new in every round, and nobody stays selected."""
    async with site(tmp_path, kind, written=written) as line:
        reader = reader_at(line.at, HEAT, BROKEN, WATER)
        found, shown = [], []
        for each in (HEAT, BROKEN, WATER) * 3:
            found.append(await visit(reader, each))
            shown.append([each.telegram for each in read(line.record) if not each.repeat])
        reader.let_go()
        assert [slave.selected for slave in line.bus.slaves.values()] == [False] * 3
    assert [each.device for each in found] == ["heat", "broken", "water"] * 3
    assert [each.meter.id for each in found] == ["60300001", "1A7F2044", "07712233"] * 3
    assert [each.exchange.telegram.hex() for each in found] == [telegrams[-1] for telegrams in shown]
    answers = shown[-1]
    assert len(set(answers)) == len(answers) >= 9


class Holding(Bus):
    """A converter that holds values back, acknowledgements never, until values are asked for again."""

    held = b""
    misled = 0  # questions that were answered by the other meter's held telegram alone

    def hear(self, octets: bytes) -> bytes:
        """What comes back now."""
        heard = super().hear(octets)
        if heard[:1] != b"\x68":
            return heard
        before, self.held = self.held, b""
        if self._line_dice.random() < 0.7:
            self.held = heard
            self.misled += before[7:15] not in (b"", heard[7:15])
            return before
        return before + heard


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_late_answer_of_a_meter_with_the_same_number_is_taken(tmp_path: Path, seed: int) -> None:
    """Two meters of different makers have one number and one address; a converter holds most of their answers back."""
    twins = (plate("12345678", "KAM"), plate("12345678", "ZRI"))
    devices = [
        MbusDevice(name=letters, secondary="12345678", manufacturer=letters, cadence_s=900)
        for letters in ("KAM", "ZRI")
    ]
    taken: Counter[str] = Counter()
    async with site(tmp_path, plates=twins, seed=seed, slaves=Holding) as line:
        reader = reader_at(line.at, *devices)
        for _ in range(8):
            for each in devices:
                try:
                    found = await visit(reader, each)
                except MeterError:
                    continue
                assert found.meter.manufacturer == each.name
                assert found.meter.id == "12345678"
                taken[each.name] += 1
        reader.let_go()
        assert isinstance(line.bus, Holding)
        assert line.bus.misled
    assert set(taken) == {"KAM", "ZRI"}


def test_a_selection_is_as_narrow_as_the_plate_is_given() -> None:
    assert way(HEAT).questions[way(HEAT).first][7:15] == Secondary.of("603000012D2C3504").to_bytes()
    assert way(WATER).questions[way(WATER).first][7:15] == Secondary("07712233").to_bytes()
    assert (way(BROKEN).address, way(HEAT).address) == (2, 253)


def test_telegrams_of_two_meters_are_no_answer() -> None:
    """Both obey the selection: the first one's telegram says that more follow, the other one's follows."""
    body = bytes.fromhex("0c1378563412")
    frames = [
        link.parse(long_frame(0, 0x72, header("12345678", letters, 1, 7, access=n, status=0) + body))
        for n, letters in enumerate(("KAM", "ZRI"))
    ]
    answers = [Answer(each, NOW_MS, 5, 400) for each in frames]
    wanted = Identity(Protocol.MBUS, id="12345678")
    assert len(readings(answers[:1], "x", wanted, NOW_MS, GOOD, True)) == 1
    with pytest.raises(AnotherMeter, match="ZRI 12345678"):
        readings(answers, "x", wanted, NOW_MS, GOOD, True)


def test_the_forecast_counts_selections_and_the_way_to_a_converter() -> None:
    timing = Timing(38_400)
    by_address, by_number = timing.slowest_ms(98), timing.slowest_ms(98, reset=True, select=True)
    assert by_number > by_address
    assert forecast(bus_at("/dev/x", BROKEN, WATER)).round_ms == by_address + by_number
    behind = forecast(bus_at("tcp://h:1", BROKEN, WATER))
    assert behind.round_ms == by_address + by_number + 4 * ROUND_TRIP_MS
    told = "250 ms to the converter and back"
    assert str(behind).endswith(f"{told}, which must be set to this speed itself; each asked once a slot")
    assert str(forecast(bus_at("rfc2217://h:1", BROKEN, WATER))).endswith(f"{told}; each asked once a slot")


async def test_the_slack_of_a_converter_is_the_way_to_it_and_a_constant() -> None:
    """What the connection took is what bytes will take; of a port it is the adapter's."""

    async def far(host: str, port: int, timeout_s: float) -> ClosableLine:
        assert (host, port) == ("far.example", 10_001)
        await asyncio.sleep(0.06)
        return await TcpLine.open("127.0.0.1", converter.port)

    def near(port: str, baud: int, mode: str) -> ClosableLine:
        assert (port, baud, mode) == ("/dev/x", 300, "8N1")
        return found.line

    converter = Converter()
    await converter.start()
    found = await opened(Place("tcp://far.example:10001"), Lines(MACHINE.serial, far))
    assert TCP_SLACK_MS + 59 <= found.slack_ms <= TCP_SLACK_MS + TRIP_MS
    assert (await opened(Place("/dev/x", 300, "8N1"), Lines(near, far))).slack_ms == USB_SLACK_MS
    found.line.close()
    await converter.stop()


@pytest.mark.parametrize(
    "at", ["tcp://h", "rfc2217://h", "tcp://h:0", "tcp://h:65536", "tcp://:1", "tcp://h:1/x", "http://h:1"]
)
def test_what_is_no_address_of_a_converter_is_refused(at: str) -> None:
    with pytest.raises(ValueError, match="expected tcp://HOST:PORT"):
        Place(at)


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.codes: list[str] = []
        self.has_room = True

    def take(self, found: list[Reading]) -> None:
        """Keep readings."""
        self.readings += found

    def note(self, event: Event) -> None:
        """Keep its code."""
        self.codes.append(event.code)

    async def round_over(self) -> None:
        """Nothing to seal."""


class Noting(Bus):
    """Keeps what the master sent."""

    asked = b""

    def hear(self, octets: bytes) -> bytes:
        """What comes back."""
        self.asked += octets
        return super().hear(octets)


async def test_a_line_that_is_opened_again_begins_with_a_reset_of_every_meter(tmp_path: Path) -> None:
    """Whoever had the line meanwhile has used the frame count, too: SND_NKE once for each opening and meter."""
    async with site(tmp_path, slaves=Noting) as line:
        reader = reader_at(line.at, BROKEN, HEAT)
        for _ in range(2):
            for each in (BROKEN, HEAT, BROKEN, HEAT):
                await visit(reader, each)
            reader.let_go()
        assert isinstance(line.bus, Noting)
        asked = line.bus.asked
        resets, deselections = asked.count(b"\x10\x40\x02"), asked.count(b"\x10\x40\xfd")
        reads = asked.count(b"\x10\x7b\xfd") + asked.count(b"\x10\x5b\xfd")
    assert reads >= 4
    assert (resets, deselections) == (2, 2 + reads)  # the number's reset is the deselection; a read ends with another


@pytest.mark.parametrize("kind", ["tcp", "rfc2217"])
async def test_a_converter_that_restarts_is_connected_again(tmp_path: Path, kind: str) -> None:
    """As a serial line is: one event for the failure, one for the recovery, and no reading is missing."""
    async with site(tmp_path, kind) as line:
        await _restarted(line)


async def _restarted(line: Site) -> None:
    assert isinstance(line.line, Converter)
    time, kept = Time(), Kept()
    bus = bus_at(line.at, HEAT, WATER)
    clock = GatewayClock(time.sources())
    reader = MbusReader(bus, partial(opened, Place.of(bus), MACHINE), clock, keep=True)
    poller = BusPoller("riser", reader, Schedule(bus.device, {}), clock, kept)
    await poller._round()
    time.pass_ms(900_000)
    line.line.drop()
    for _ in range(2):
        await poller._round()
    assert kept.codes == [events.BUS_FAILED, events.BUS_RECOVERED]
    assert Counter(each.device for each in kept.readings) == {"heat": 2, "water": 2}
    line.line.drop()
    with pytest.raises(ConnectionGone):
        await visit(reader, HEAT)
    reader.let_go()


async def test_a_converter_is_told_the_speed_and_parity_of_the_line(tmp_path: Path) -> None:
    """By RFC 2217; a byte FF in a telegram is one byte for the reader."""
    async with site(tmp_path, "rfc2217") as line:
        assert isinstance(line.line, PortControl)
        found = await opened(Place(line.at, 300, "7O2"), MACHINE)
        assert found.slack_ms == TCP_SLACK_MS + ASSUMED_TRIP_MS
        assert line.line.settings == (300, 7, "O", 2)
        line.line.write(b"\x68\xff\xff\x16")
        came = b""
        while len(came) < 4:
            came += await found.line.read_some(5.0)
        assert came == b"\x68\xff\xff\x16"
        line.line.write(b"stale")
        await asyncio.sleep(0.1)
        found.line.flush_input()
        assert await found.line.read_some(0.01) == b""
        line.line.write(b"fresh")
        assert (await found.line.read_some(5.0))[:1] == b"f"
        found.line.close()
        found.line.close()
        with pytest.raises(ConnectionGone):
            await found.line.write(b"x")


@pytest.mark.parametrize("kind", ["tcp", "rfc2217"])
async def test_a_reader_that_waits_hears_at_once_that_the_converter_is_gone(tmp_path: Path, kind: str) -> None:
    async with site(tmp_path, kind) as line:
        assert isinstance(line.line, Converter)
        found = await opened(Place(line.at), MACHINE)
        waiting = asyncio.create_task(found.line.read_some(60.0))
        await asyncio.sleep(0.05)
        line.line.drop()
        with pytest.raises(ConnectionGone):
            await waiting
        found.line.close()


async def test_what_is_no_port_by_rfc_2217_is_named() -> None:
    """Nothing listens; what listens passes bytes on and negotiates nothing."""
    converter = Converter()
    await converter.start()
    at = f"rfc2217://127.0.0.1:{converter.port}"
    with pytest.raises(NoPortControl, match="RFC2217"):
        await opened(Place(at), MACHINE)
    await converter.stop()
    with pytest.raises(ConnectionRefused):
        await opened(Place(at), MACHINE)


async def test_opening_that_is_given_up_leaves_no_connection(tmp_path: Path) -> None:
    """A poll's budget may end while the port is set: the converter is free again for the next one."""
    async with site(tmp_path, "rfc2217") as line:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await opened(Place(line.at), MACHINE)
        for _ in range(100):
            await asyncio.sleep(0.05)
            try:
                found = await opened(Place(line.at), MACHINE)
            except LinkError:
                continue
            found.line.close()
            return
        pytest.fail("the first connection still holds the converter")


@pytest.mark.parametrize("kind", ["tcp", "rfc2217"])
async def test_a_converter_serves_one_owner(tmp_path: Path, kind: str) -> None:
    """A second reader of the same address has no connection, and the first one reads on."""
    async with site(tmp_path, kind) as line:
        assert isinstance(line.line, Converter)
        first, second = reader_at(line.at, HEAT), reader_at(line.at, WATER)
        await visit(first, HEAT)
        with pytest.raises(LinkError):
            await visit(second, WATER)
        assert (await visit(first, HEAT)).meter.id == "60300001"
        assert line.line.refused == 1
        first.let_go()
        second.let_go()
