"""The jump table of the trust requirements on simulated meters: jumps x kinds of meters x five seconds from a boundary.

What a jump marks is exactly the slot that it broke off and the one in which it came down, whatever kind of meter it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cellar_parts import BusLine, Kept
from gateway_parts import CADENCE_MS, NOW_MS, Time

from gateway.clock import GatewayClock
from gateway.config import Device, DlmsBus, DlmsDevice, MbusBus, MbusDevice, ModbusBus, ModbusDevice
from gateway.dlms import DlmsReader
from gateway.lines import Opened
from gateway.mbus import MbusReader
from gateway.modbus import ModbusReader
from gateway.poll import BusPoller
from gateway.reader import Reader
from gateway.schedule import Schedule
from gateway.settled import Positions
from gateway.steps import Mark
from protocols.settings.model import checked
from protocols.transports.modbus import ModbusLine
from protocols.uplink.records import Event
from simulators.dlms.meters import DlmsMeters
from simulators.mbus.bus import Bus
from simulators.mbus.meters import cellar
from simulators.modbus.meter import ModbusMeter
from simulators.record import Record

BOUNDARY_MS = NOW_MS // CADENCE_MS * CADENCE_MS + 3 * CADENCE_MS
LOOK_MS = 5_000  # between two looks at the clock and at what is due
SLOTS = 6  # that a run lasts: two before the boundary, four from it on
PASSWORD, PUMP = b"12345678", "70098765"
DEAD_MS = -1_700_000_000_000
NOTHING: frozenset[int] = frozenset()
# By jump: the marked slots where it came 5 s before the boundary, and 5 s after it. The slot from the boundary on is 0.
TABLE: dict[int, tuple[frozenset[int], frozenset[int]]] = {
    500: (NOTHING, NOTHING),
    8_000: (NOTHING, NOTHING),
    9_000: (NOTHING, NOTHING),
    10_000: (frozenset({-1, 0}), frozenset({0})),
    11_000: (frozenset({-1, 0}), frozenset({0})),
    40_000: (frozenset({-1, 0}), frozenset({0})),
    3_600_000: (frozenset({-1, 3}), frozenset({0, 4})),
    -500: (NOTHING, NOTHING),
    -8_000: (NOTHING, NOTHING),
    -9_000: (NOTHING, NOTHING),
    -10_000: (frozenset({-1}), frozenset({0, -1})),
    -11_000: (frozenset({-1}), frozenset({0, -1})),
    -40_000: (frozenset({-1}), frozenset({0, -1})),
    -3_600_000: (frozenset({-1, -5}), frozenset({0, -4})),
    DEAD_MS: (frozenset({-1}), frozenset({0})),  # it counts on from where it was, and nothing is good any more
}


class Site:
    """A meter of some kind that goes on in true time, and a gateway whose clock jumps."""

    def __init__(self, time: Time, device: Device, reader: Reader, clock: GatewayClock) -> None:
        self.time, self.clock, self.kept = time, clock, Kept()
        self.poller = BusPoller("bus", reader, Schedule([device], {}), clock, self.kept)

    async def live(self, jump_ms: int, around_ms: int) -> int:
        """Look every `LOOK_MS`, with one jump that long from the boundary; how many readings there were before it."""
        before = -1
        for _ in range(SLOTS * CADENCE_MS // LOOK_MS):
            if before < 0 and self.time.wall_ms >= BOUNDARY_MS + around_ms:
                self.time.wall_ms += jump_ms
                before = len(self.kept.readings)
            self.clock.check()
            await self.poller._round()
            self.time.pass_ms(LOOK_MS)
        return before


@pytest.fixture(params=["mbus", "dlms", "modbus"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """A simulated meter of each kind."""
    time = Time(wall_ms=BOUNDARY_MS - 2 * CADENCE_MS + 1)
    begun, record = time.mono_ms, Record(tmp_path / "record.jsonl")
    clock = GatewayClock(time.sources())

    def true_ms() -> int:
        return BOUNDARY_MS - 2 * CADENCE_MS + time.mono_ms - begun

    make = {"mbus": _mbus, "dlms": _dlms, "modbus": _modbus}[request.param]
    async for device, reader in make(time, true_ms, record, clock, tmp_path):
        yield Site(time, device, reader, clock)
        reader.let_go()
    record.close()


Made = AsyncIterator[tuple[Device, Reader]]


async def _mbus(time: Time, true_ms: Callable[[], int], record: Record, clock: GatewayClock, _: Path) -> Made:
    bus, device = Bus(cellar(), record, true_ms, 1), MbusDevice(name="meter", address=1, cadence_s=900)

    async def open_line() -> Opened:
        return Opened(BusLine(bus, time))

    config = MbusBus(protocol="mbus", name="bus", port="line", device=(device,))
    yield device, MbusReader(config, open_line, clock, keep=True)


async def _dlms(time: Time, true_ms: Callable[[], int], record: Record, clock: GatewayClock, folder: Path) -> Made:
    password, told = folder / "password", list[Event]()
    password.write_bytes(PASSWORD)
    password.chmod(0o600)
    meters = DlmsMeters(record, true_ms, 5, password=PASSWORD, history_rows=2)
    await meters.start()
    fields = {"name": "meter", "cadence_s": 900, "client": 32, "auth": "lls", "serial": PUMP, "profile": None}
    device = checked(DlmsDevice, fields | {"password_file": password})
    url = f"tcp+hdlc://127.0.0.1:{meters.hdlc_port}"
    bus = DlmsBus(protocol="dlms", name="bus", url=url, device=(device,))
    yield device, DlmsReader(bus, Positions({}), clock, note=told.append)
    await meters.stop()


async def _modbus(time: Time, true_ms: Callable[[], int], record: Record, clock: GatewayClock, _: Path) -> Made:
    meter = ModbusMeter(record, true_ms, seed=7)
    await meter.start(0)
    device = ModbusDevice(name="meter", model="carlo-gavazzi-em340", cadence_s=900)
    bus = ModbusBus(protocol="modbus", name="bus", url=f"tcp://127.0.0.1:{meter.port}", device=(device,))
    yield device, ModbusReader(bus, clock, lambda: ModbusLine.open("127.0.0.1", meter.port, 1.0))
    await meter.stop()


def numbered(slot_ms: int | None) -> int:
    """A slot's number; that from the boundary on is 0."""
    return ((slot_ms or 0) - BOUNDARY_MS) // CADENCE_MS


@pytest.mark.parametrize("around_ms", [-5_000, 5_000])
@pytest.mark.parametrize("jump_ms", TABLE)
async def test_jump_table_exactly_the_slots_that_a_jump_cut_are_marked(
    site: Site, jump_ms: int, around_ms: int
) -> None:
    """Its event names them, what is read for one of them afterwards is not good, and all else is."""
    wanted = TABLE[jump_ms][around_ms > 0]
    before = await site.live(jump_ms, around_ms)
    every = range(-8, 9)
    slots = [(n, BOUNDARY_MS + n * CADENCE_MS) for n in every]
    assert {n for n, at in slots for step in site.clock.steps if step.cuts(at, at + CADENCE_MS)} == wanted
    early, late = site.kept.readings[:before], site.kept.readings[before:]
    assert late
    assert all(each.exchange.quality.synchronised for each in early)
    doubted = {numbered(each.slot_ms) for each in late if not each.exchange.quality.synchronised}
    read = {numbered(each.slot_ms) for each in late}
    assert doubted == (read if jump_ms == DEAD_MS else read & wanted)
    assert len(site.kept.readings) == len({each.slot_ms for each in site.kept.readings})
    assert site.kept.events == []


@pytest.mark.parametrize(("jump_ms", "within_ms"), [(11_000, 11_005), (600_000, 600_005), (601_000, None)])
async def test_rule_5_up_to_ten_minutes_the_time_is_known_within_the_step_and_beyond_not_at_all(
    site: Site, jump_ms: int, within_ms: int | None
) -> None:
    """The slot in which it came down; half of the exchange comes on top."""
    before = await site.live(jump_ms, CADENCE_MS - 5_000)  # 5 s before the next boundary
    (step,) = site.clock.steps
    assert step.told == (
        "adjusted" if within_ms else "invalid",
        step.before_ms,
        step.after_ms,
    )
    assert step.mark is (Mark.ADJUSTED if within_ms else Mark.INVALID)
    first = site.kept.readings[before].exchange
    extra_ms = (first.round_trip_ms + 1) // 2
    assert first.quality.uncertainty_ms == (None if within_ms is None else within_ms + extra_ms)
