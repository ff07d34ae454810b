"""What meters said of their registers is asked for once, over restarts too, and again where it may be another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click
import pytest
from dlms_lines import served
from gateway_parts import Time

from gateway.buses import reader
from gateway.clock import GatewayClock
from gateway.config import DlmsBus
from gateway.lines import MACHINE
from gateway.scales import FILE, HASH, ScaleStore, from_bytes
from gateway.schedule import Due
from gateway.settled import Positions, Settled
from protocols.errors import PlombaError
from protocols.reading import How, Reading, Scaled
from protocols.settings.model import checked
from simulators.dlms.line import line_plates
from simulators.dlms.plates import Plate
from simulators.record import read

QUARTER_MS, DAY_MS = 900_000, 86_400_000
ROWS, COLUMNS = 96, 6
TURNS = 10  # of the rows of a day, in frames of 512 bytes
NEW = "V 1.1"


@dataclass(slots=True)
class Visit:
    """What a life of the gateway read of the meter, and how many questions it took: for the rows, and in all."""

    shown: Reading
    rows: list[Reading]
    turns: int
    total: int


class Flat:
    """A meter on a line, and lives of a gateway with one state folder, in a time that is passed by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.time, self.positions = folder, Time(), Positions({})
        self.lives = 0

    @asynccontextmanager
    async def line(self, plate: Plate) -> AsyncIterator[Callable[[], int]]:
        """The meter; how many questions it answered."""
        self.lives += 1
        folder = self.folder / f"life-{self.lives}"
        folder.mkdir()
        async with served(folder, [plate], lambda: self.time.wall_ms) as line:
            yield lambda: line.counted

    async def live(self, plate: Plate) -> Visit:
        """A process that visits the meter once."""
        async with self.line(plate) as counted:
            device = {"name": "flat", "cadence_s": 900, "physical": 17, "history_days": 1}
            at = str(self.folder / f"life-{self.lives}" / "line")
            bus = checked(
                DlmsBus, {"protocol": "dlms", "name": "flats", "port": at, "answer_ms": 400, "device": (device,)}
            )
            store = ScaleStore(self.folder)
            clock = GatewayClock(self.time.sources())
            found = reader(bus, self.positions, clock, False, MACHINE, scales=lambda: store)
            slot_ms = self.time.wall_ms // QUARTER_MS * QUARTER_MS
            (shown,) = await found.read(Due(bus.device[0], slot_ms, slot_ms + QUARTER_MS))
            before = counted()
            rows = await found.rows("flat")
            total = counted()
            found.let_go()
        self.positions.committed(Settled.by(rows, {}).rows)
        return Visit(shown, rows, total - before, total)

    def told(self) -> list[dict[str, dict[str, int | str]]]:
        """The values of the rows that the last meter says it captured."""
        path = self.folder / f"life-{self.lives}" / "line.jsonl"
        return [each.values for each in read(path) if each.kind == "row"]


def plate(firmware: str = "V 1.0", **more: object) -> Plate:
    (found,) = line_plates(1)
    return replace(found, firmware=firmware, **more)  # type: ignore[arg-type]


def moved(found: Plate, by: int = 1) -> Plate:
    """The same meter with other scalers."""
    return replace(found, registers=tuple(replace(each, exponent=each.exponent + by) for each in found.registers))


def exponents(found: Reading) -> dict[str, int]:
    numbers = {str(each.key): each.number for each in found.values}
    return {key: number.exponent for key, number in numbers.items() if isinstance(number, Scaled)}


async def test_a_day_of_rows_costs_ten_turns_after_a_restart_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """96 rows of six columns in frames of 512 bytes: the second process asks for no scaler that the first one read."""
    flat = Flat(tmp_path)
    first = await flat.live(plate())
    flat.time.pass_ms(DAY_MS)
    again = await flat.live(plate())
    flat.time.pass_ms(QUARTER_MS)
    around = (await flat.live(plate())).turns - 1  # two rows are one answer
    rows = again.turns - around
    with capsys.disabled():
        words = f"{len(again.rows)} x {COLUMNS} rows after a restart: {rows} turns, and {around} to come and go"
        click.echo(f"\n{words} ({first.turns - 1 - rows} in the first visit)")
    assert len(again.rows) == ROWS + 1  # the one that is compared
    assert all(each.how is How.PROFILE for each in again.rows)
    assert rows <= TURNS
    assert again.turns <= first.turns  # an hour of rows more is asked for after a start
    assert again.total < first.total
    assert exponents(again.rows[-1]) == exponents(first.rows[-1])


CHANGES: dict[str, Callable[[Plate], Plate]] = {
    "firmware": lambda found: replace(found, firmware=NEW),
    "device number": lambda found: replace(found, serial="80000009"),
    "logical device name": lambda found: replace(found, logical_name=b"LGZ1000080000009"),
    "no firmware any more": lambda found: replace(found, firmware=""),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_another_meter_or_firmware_says_is_asked_for_again(tmp_path: Path, change: str) -> None:
    """Else its values would be ten times too low."""
    flat = Flat(tmp_path)
    first = await flat.live(plate())
    flat.time.pass_ms(DAY_MS)
    again = await flat.live(moved(CHANGES[change](plate())))
    for key, exponent in exponents(first.shown).items():
        assert exponents(again.shown)[key] == exponent + 1
    assert {key: each + 1 for key, each in exponents(first.rows[-1]).items()} == exponents(again.rows[-1])


async def test_a_profile_that_captures_something_else_is_asked_for_its_scalers_again(tmp_path: Path) -> None:
    """Firmware and identity are as before: what it was set to is not."""
    flat = Flat(tmp_path)
    first = await flat.live(plate())
    flat.time.pass_ms(DAY_MS)
    fewer = replace(plate(), registers=tuple(each for each in plate().registers if each != plate().energies[-1]))
    again = await flat.live(moved(fewer))
    before = exponents(first.rows[-1])
    assert len(exponents(again.rows[-1])) == len(before) - 1
    assert exponents(again.rows[-1]).items() <= {key: each + 1 for key, each in before.items()}.items()


async def test_a_meter_that_does_not_say_its_firmware_is_asked_again_each_day(tmp_path: Path) -> None:
    flat = Flat(tmp_path)
    first = await flat.live(plate(""))
    flat.time.pass_ms(QUARTER_MS)
    within = await flat.live(moved(plate("")))
    flat.time.pass_ms(DAY_MS)
    behind = await flat.live(moved(plate("")))
    assert exponents(within.shown) == exponents(first.shown)
    assert list(exponents(behind.shown).values()) == [each + 1 for each in exponents(first.shown).values()]


async def test_a_meter_is_asked_again_each_week_whatever_its_firmware(tmp_path: Path) -> None:
    """What is set anew in a meter does not show in its firmware."""
    flat = Flat(tmp_path)
    first = await flat.live(plate())
    flat.time.pass_ms(7 * DAY_MS)
    again = await flat.live(moved(plate()))
    assert list(exponents(again.shown).values()) == [each + 1 for each in exponents(first.shown).values()]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda octets: b"",
    "cut off": lambda octets: octets[:-3],
    "a bit": lambda octets: octets[:-1] + bytes((octets[-1] ^ 1,)),
    "another hash": lambda octets: bytes(HASH) + octets[HASH:],
    "zeros": lambda octets: bytes(len(octets)),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_file_is_as_none(tmp_path: Path, damage: str) -> None:
    """The meter is asked again, and the file is whole again."""
    flat = Flat(tmp_path)
    await flat.live(plate())
    file = tmp_path / FILE
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[damage](whole))
    with pytest.raises(PlombaError):
        from_bytes(file.read_bytes())
    flat.time.pass_ms(DAY_MS)
    again = await flat.live(moved(plate()))
    assert set(exponents(again.rows[-1]).values()) == {each["e"] for each in flat.told()[-1].values()}
    assert set(from_bytes(file.read_bytes())) == {"flat"}
