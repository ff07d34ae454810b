"""The quarantine by itself: several buses, a reading that no leaf can hold."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway_parts import CADENCE_MS, Rig, reading

from gateway.quarantine import Quarantine
from gateway.settled import Positions
from protocols.reading import How, MeterTime, Precision, Text
from protocols.uplink.leaf import SealedReading, leaf_from_bytes

T = TypeVar("T")


class SlowWriter:
    """Writes after other tasks have had their turn, as a disk does."""

    async def do(self, work: Callable[[], T]) -> T:
        """Wait a few turns, then write."""
        for _ in range(5):
            await asyncio.sleep(0)
        return work()

    def close(self) -> None:
        """Nothing is open."""


def slots(rig: Rig) -> list[int | None]:
    """The slots in quarantine."""
    return [SealedReading.from_wire(leaf_from_bytes(each.leaf)).slot_ms for each in rig.buffer.quarantined(99)]


async def test_what_one_bus_brings_while_another_is_written_is_neither_lost_nor_kept_twice(tmp_path: Path) -> None:
    """Two rounds end at one time, and a third reading comes in between."""
    rig = Rig(tmp_path)
    sink = Quarantine(rig.buffer, SlowWriter(), {"heat": None}, Positions({}))
    made = [reading(rig.clock.utc_ms() + CADENCE_MS * n) for n in range(3)]
    sink.take([made[0]])
    first = asyncio.create_task(sink.round_over())
    await asyncio.sleep(0)
    sink.take([made[1]])
    second = asyncio.create_task(sink.round_over())
    await asyncio.sleep(0)
    sink.take([made[2]])
    await asyncio.gather(first, second)
    await sink.round_over()
    assert slots(rig) == [each.slot_ms for each in made]


async def test_a_reading_that_cannot_be_sealed_holds_up_no_other(tmp_path: Path) -> None:
    """It is told in the log; a start that seals the quarantine must not fail on it."""
    rig = Rig(tmp_path)
    sink = Quarantine(rig.buffer, SlowWriter(), {"heat": None}, Positions({}))
    good = reading(rig.clock.utc_ms())
    bad = dataclasses.replace(good, values=(dataclasses.replace(good.values[0], number=Text("x" * 200)),))
    sink.take([bad, good])
    await sink.round_over()
    assert slots(rig) == [good.slot_ms]


async def test_rows_in_quarantine_are_not_read_again(tmp_path: Path) -> None:
    """Where the profile ended is known at once, and after a start."""
    rig = Rig(tmp_path)
    positions = Positions({})
    sink = Quarantine(rig.buffer, SlowWriter(), {"heat": None}, positions)
    time = MeterTime(846_000_000, Precision.SECOND)
    sink.take([dataclasses.replace(reading(rig.clock.utc_ms()), how=How.PROFILE, slot_ms=None, meter_time=time)])
    assert positions.last("heat") == time
    await sink.round_over()
    assert rig.buffer.known().rows == {"heat": time}
