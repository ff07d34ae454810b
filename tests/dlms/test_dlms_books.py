"""What the simulated meters keep beside their load profile, and their clocks: logs that grow, months, drift."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms import profile
from protocols.dlms.access import Framing
from protocols.dlms.action import Method
from protocols.dlms.data import Data, Tag
from protocols.dlms.faults import AccessRefused
from protocols.dlms.objects import CLOCK_TIME, PROFILE, Attribute, ScalerUnit
from protocols.dlms.profile import Row
from protocols.reading import MeterTime, Scaled
from protocols.transports.dlms import Association, associated
from protocols.transports.exchange import Clock
from simulators.cli import main
from simulators.dlms.books import BILLING, STANDARD_LOG
from simulators.dlms.habits import changed
from simulators.dlms.meters import HOST, DlmsMeters
from simulators.dlms.plates import plates
from simulators.record import Record, read

PASSWORD = b"12345678"
DAY_MS = 86_400_000
SHIFT = Method(8, CLOCK_TIME.name, 6)


class Street:
    """The wrapper meter with some habits, in a time that is set."""

    def __init__(self, folder: Path, habits: str = "", now_ms: int = 1_795_310_000_000) -> None:
        self.now_ms, self.path = now_ms, folder / "record.jsonl"
        self.record = Record(self.path)
        self.habits = habits

    async def start(self) -> DlmsMeters:
        """Listen."""
        found = DlmsMeters(
            self.record, lambda: self.now_ms, 3, password=PASSWORD, changed=lambda plate: changed(plate, self.habits)
        )
        await found.start()
        return found


def entered(meters: DlmsMeters, clock: Clock) -> AbstractAsyncContextManager[Association]:
    access = replace(plates(PASSWORD)[0].access, acts=True)
    return associated(HOST, meters.wrapper_port, Framing.WRAPPER, access, clock)


async def rows_of(meter: Association, name: bytes) -> tuple[Row, ...]:
    captured = profile.columns((await meter.get(Attribute(PROFILE, name, profile.CAPTURE_OBJECTS))).data)
    scalers = {}
    for each in captured:
        if each.attribute.scaler is not None:
            scalers[each.attribute] = ScalerUnit.from_data((await meter.get(each.attribute.scaler)).data)
    return tuple(profile.rows((await meter.get(profile.buffer_of(name))).data, captured, scalers, 0))


async def shown(meter: Association) -> MeterTime:
    time = clocks.from_data((await meter.get(CLOCK_TIME)).data, "clock").time
    assert time is not None
    return time


async def test_an_event_log_grows_and_is_the_same_after_a_start(tmp_path: Path, clock: Clock) -> None:
    """Every event is in the record, in order; two of them may bear one second."""
    street = Street(tmp_path)
    for _ in range(2):
        meters = await street.start()
        street.now_ms += DAY_MS
        async with entered(meters, clock) as meter:
            found = await rows_of(meter, STANDARD_LOG)
        await meters.stop()
    recorded = [each for each in read(street.path) if each.kind == "event" and each.meter == "50012345"]
    standard = [each for each in recorded if "1/0-0:96.11.0.255/2" in each.values]
    assert [str(row.time) for row in found] == [each.time for each in standard]
    codes = [row.values[0].number for row in found]
    assert codes == [Scaled(int(each.values["1/0-0:96.11.0.255/2"]["m"])) for each in standard]
    assert len({row.time for row in found}) < len(found)


async def test_a_month_ends_with_a_row_of_registers_and_tariffs(tmp_path: Path, clock: Clock) -> None:
    """At local midnight of each first day; the tariffs are parts of the total, the maximum has its time."""
    meters = await Street(tmp_path).start()
    async with entered(meters, clock) as meter:
        found = await rows_of(meter, BILLING)
    await meters.stop()
    assert len(found) == 13
    assert {str(row.time)[8:] for row in found} == {"01T00:00:00"}
    numbers = {str(value.key)[5:]: value.number for value in found[-1].values}
    total, first, second = (numbers[f"3/1-0:1.8.{each}.255/2"] for each in range(3))
    assert isinstance(total, Scaled)
    assert isinstance(first, Scaled)
    assert isinstance(second, Scaled)
    assert total.mantissa == first.mantissa + second.mantissa
    assert "4/1-0:1.6.0.255/5" in numbers


async def test_a_clock_drifts_and_is_shifted_and_set(tmp_path: Path, clock: Clock) -> None:
    """By 40 ppm and a step; the log has what it showed before and after."""
    street = Street(tmp_path, "ppm=40,step=-7@600")
    meters = await street.start()
    street.now_ms += DAY_MS
    truth = street.now_ms // 1000
    async with entered(meters, clock) as meter:
        drifted = await shown(meter)
        await meter.act(SHIFT, Data(Tag.LONG, 4))
        shifted = await shown(meter)
        await meter.set(CLOCK_TIME, axdr.octet_string(clocks.to_bytes(replace(shifted, seconds=shifted.seconds + 60))))
        moved = await shown(meter)
        log = await rows_of(meter, STANDARD_LOG)
    await meters.stop()
    assert (clocks.utc_ms(drifted) or 0) // 1000 - truth == -4  # 3.456 s too fast, and 7 s back
    assert shifted.seconds - drifted.seconds == 4
    assert moved.seconds - shifted.seconds == 60
    assert [row.values[0].number for row in log[-4:]] == [Scaled(each) for each in (4, 5, 4, 5)]
    assert [row.time for row in log[-4:-2]] == [drifted, shifted]


@pytest.mark.parametrize("habits", ["fixed-clock", "no-shift"])
async def test_a_clock_that_cannot_be_moved_says_so(tmp_path: Path, clock: Clock, habits: str) -> None:
    """It is named what was refused, and nothing was moved."""
    meters = await Street(tmp_path, habits).start()
    async with entered(meters, clock) as meter:
        before = await shown(meter)
        with pytest.raises(AccessRefused, match="read write denied"):
            await meter.act(SHIFT, Data(Tag.LONG, 4))
        assert await shown(meter) == before
    await meters.stop()


def test_habits_are_told_by_the_help_and_wrong_ones_are_named(tmp_path: Path) -> None:
    """A technician needs no source to find them."""
    told = CliRunner().invoke(main, ["dlms-line", "--help"]).output
    assert "--habits" in told
    assert "ppm=N" in told
    with pytest.raises(ValueError, match="got 'pm' in habits"):
        changed(plates(b"")[0], "pm=3")
