"""The reader of DLMS meters on one serial line, over real pseudo-terminals; truth is the simulators' record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dlms_lines import served
from gateway_parts import Time

from gateway.buses import reader
from gateway.clock import GatewayClock
from gateway.config import DlmsBus, DlmsDevice
from gateway.dlms import DlmsReader
from gateway.forecast import forecast
from gateway.lines import MACHINE, Place
from gateway.schedule import Due
from gateway.settled import Positions, Settled
from protocols.dlms.faults import NoAnswer
from protocols.dlms.opening import Identification, NoIdentification, OtherMode
from protocols.reading import How, Reading, Scaled
from protocols.settings.model import checked
from protocols.transports.serial import LineLost, PortBusy, PortMissing, SerialLine
from simulators.dlms.line import line_plates
from simulators.record import read

QUARTER_MS = 900_000
LGZ = Identification("LGZ", "5", "\\2", "ZMD3104407.B32")


class Flats:
    """A bus of meters on one port, its reader, and the time of both."""

    def __init__(self, folder: Path, meters: int, **more: Any) -> None:
        self.time = Time()
        self.clock = GatewayClock(self.time.sources())
        self.positions = Positions({})
        self.path, self.port = folder / "line.jsonl", folder / "line"
        devices = tuple(
            DlmsDevice(name=f"flat {n}", cadence_s=900, physical=17 + n, serial=f"{80_000_001 + n}")
            for n in range(meters)
        )
        fields = {"protocol": "dlms", "name": "flats", "port": str(self.port), "device": devices, "answer_ms": 400}
        self.bus = checked(DlmsBus, fields | more)
        found = reader(self.bus, self.positions, self.clock, False, MACHINE)
        assert isinstance(found, DlmsReader)
        self.reader = found

    def utc_ms(self) -> int:
        """What gateway and meters take for UTC."""
        return self.time.wall_ms

    async def visit(self, device: DlmsDevice) -> tuple[Reading, list[Reading]]:
        """What it shows, and its rows, piece by piece, each committed."""
        slot_ms = self.time.wall_ms // QUARTER_MS * QUARTER_MS
        (shown,) = await self.reader.read(Due(device, slot_ms, slot_ms + QUARTER_MS))
        rows: list[Reading] = []
        while piece := await self.reader.rows(device.name):
            self.positions.committed(Settled.by(piece, {}).rows)
            rows += piece
        return shown, rows

    def told(self, serial: str, kind: str) -> list[Any]:
        """What a meter says it answered."""
        return [each for each in read(self.path) if each.meter == serial and each.kind == kind]


def numbers(reading: Reading) -> dict[str, dict[str, int | str]]:
    found = {}
    for value in reading.values:
        if isinstance(value.number, Scaled):
            number: dict[str, int | str] = {"m": value.number.mantissa, "e": value.number.exponent, "unit": value.unit}
            found[str(value.key).removeprefix("dlms:")] = number
    return found


@pytest.mark.parametrize("faults", ["", "echo,noise=0.2,twice=0.2,silent=0.02,garble=0.02"])
async def test_every_meter_of_a_line_gives_its_registers_and_all_its_rows(tmp_path: Path, faults: str) -> None:
    """Three meters behind one port: each is who it should be, and every row comes once, exactly."""
    flats = Flats(tmp_path, 3)
    async with served(tmp_path, line_plates(3), flats.utc_ms, faults, seed=11):
        for device in flats.bus.device:
            shown, rows = await flats.visit(device)
            assert (shown.meter.fabrication, shown.how) == (device.serial, How.READ)
            truth = flats.told(device.serial or "", "answer")[0].values
            assert numbers(shown) == {key: truth[key] for key in numbers(shown)}
            assert len(numbers(shown)) == 2
            recorded = flats.told(device.serial or "", "row")
            assert [str(row.meter_time) for row in rows] == [row.time for row in recorded]
            assert [numbers(row) for row in rows] == [row.values for row in recorded]
        flats.reader.let_go()


async def test_the_port_stays_ours_between_visits_and_is_let_go(tmp_path: Path) -> None:
    """A second program is turned away by name, until the reader lets go."""
    flats = Flats(tmp_path, 1)
    async with served(tmp_path, line_plates(1), flats.utc_ms):
        await flats.visit(flats.bus.device[0])
        with pytest.raises(PortBusy):
            SerialLine.open(str(flats.port), 9_600, "8N1")
        flats.reader.let_go()
        SerialLine.open(str(flats.port), 9_600, "8N1").close()


async def test_a_meter_that_is_silent_leaves_the_line_to_the_others(tmp_path: Path) -> None:
    """The second of three is not there: its own fault, and the third answers."""
    flats = Flats(tmp_path, 3)
    async with served(tmp_path, [each for n, each in enumerate(line_plates(3)) if n != 1], flats.utc_ms):
        first, second, third = flats.bus.device
        await flats.visit(first)
        with pytest.raises(NoAnswer):
            await flats.visit(second)
        assert (await flats.visit(third))[0].meter.fabrication == third.serial
        flats.reader.let_go()


async def test_a_line_that_vanishes_is_opened_again_by_its_path(tmp_path: Path) -> None:
    """A converter is pulled out and plugged in: a fault of the line, then readings."""
    flats = Flats(tmp_path, 1)
    (device,) = flats.bus.device
    with pytest.raises(PortMissing):
        await flats.visit(device)
    async with served(tmp_path, line_plates(1), flats.utc_ms):
        await flats.visit(device)
    with pytest.raises(LineLost):
        await flats.visit(device)
    flats.reader.let_go()
    async with served(tmp_path, line_plates(1), flats.utc_ms):
        assert (await flats.visit(device))[0].meter.fabrication == device.serial
        flats.reader.let_go()


def test_a_line_has_eight_bits_and_no_parity_where_nothing_is_said(tmp_path: Path) -> None:
    """RS-485 of electricity meters; a converter that takes its settings from us is a line, too."""
    bus = Flats(tmp_path, 1).bus
    assert Place.of(bus) == Place(str(tmp_path / "line"), 9_600, "8N1")
    remote = replace(bus, port=None, url="rfc2217://192.0.2.9:4001", parity="even", baud=2_400)
    assert (Place.of(remote).remote, Place.of(remote).mode) == (("rfc2217", "192.0.2.9", 4_001), "8E1")
    assert remote.on_line
    assert not replace(remote, url="tcp+hdlc://192.0.2.9:4001").on_line


def test_a_forecast_counts_the_characters_of_a_line(tmp_path: Path) -> None:
    """Twenty meters at 9600 baud fit a quarter of an hour, and not with a profile at 300."""
    fast, slow = Flats(tmp_path, 20).bus, Flats(tmp_path, 20, baud=300).bus
    assert str(forecast(fast)) == (
        "20 meters, 84.9 s of each 15 min (9.5 %); at worst 228.9 s of each 15 min (25.5 %); "
        "HDLC at 9600 baud, 100 ms for each answer, at worst 400 ms"
    )
    assert forecast(slow).too_slow


async def test_a_meter_behind_an_optical_head_is_opened_at_every_visit(tmp_path: Path) -> None:
    """Registers and rows; one by its number among two of one head, and one that knows mode C alone by that fault."""
    flats = Flats(tmp_path, 1, opening="mode-e", baud=19_200)
    (device,) = flats.bus.device
    async with served(tmp_path, line_plates(1), flats.utc_ms, "echo", optical=LGZ):
        shown, rows = await flats.visit(device)
        assert shown.meter.fabrication == device.serial
        recorded = flats.told(device.serial or "", "row")
        assert [numbers(row) for row in rows] == [row.values for row in recorded]
        flats.reader.let_go()
    async with served(tmp_path, line_plates(1), flats.utc_ms, optical=replace(LGZ, escapes="")):
        with pytest.raises(OtherMode):
            await flats.visit(device)
        flats.reader.let_go()


async def test_meters_that_share_a_head_are_asked_by_their_numbers(tmp_path: Path) -> None:
    """The other one hears that it is not meant."""
    flats = Flats(tmp_path, 2, opening="mode-e")
    devices = tuple(replace(each, opening_address=each.serial or "") for each in flats.bus.device)
    bus = replace(flats.bus, device=devices)
    found = reader(bus, flats.positions, flats.clock, False, MACHINE)
    async with served(tmp_path, line_plates(2), flats.utc_ms, optical=LGZ):
        for device in devices:
            slot_ms = flats.time.wall_ms // QUARTER_MS * QUARTER_MS
            (shown,) = await found.read(Due(device, slot_ms, slot_ms + QUARTER_MS))
            assert shown.meter.fabrication == device.serial
        found.let_go()
        nobody = replace(bus, device=(replace(devices[0], opening_address="99"),))
        absent = reader(nobody, flats.positions, flats.clock, False, MACHINE)
        with pytest.raises(NoIdentification):
            await absent.read(Due(nobody.device[0], slot_ms, slot_ms + QUARTER_MS))
        absent.let_go()


def test_a_forecast_counts_the_openings(tmp_path: Path) -> None:
    """Two a visit: of what it shows, and of its rows."""
    plain, opened = Flats(tmp_path, 1).bus, Flats(tmp_path, 1, opening="mode-e").bus
    assert forecast(opened).round_ms - forecast(plain).round_ms == 2 * 3_000
    assert forecast(opened).worst_round_ms - forecast(plain).worst_round_ms == 2 * 7_000
