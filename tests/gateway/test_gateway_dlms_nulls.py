"""Null-data in the rows of DLMS meters: filled from the row above where the meter compresses, and then marked so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import Bench
from dlms_street import QUARTER_MS, Street, of

from collector.store.sqlite import SqliteStore
from gateway.dlms_rows import FILLED
from protocols.reading import How, MeterTime, Raw, Reading, Scaled, State
from protocols.uplink.leaf import SealedReading, leaf_from_bytes

TIME, WORD = "8/0-0:1.0.0.255/2", "1/0-0:96.10.1.255/2"
COARSE = "3/1-0:1.8.0.255/2"  # in kWh: it stands still for a quarter of an hour now and then


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A collector over an empty store."""
    store = SqliteStore.open(tmp_path / "collector.sqlite3")
    yield Bench(store)
    store.close()


def numbers(street: Street, found: list[Reading]) -> bool:
    """Whether the registers are those of the meter's own record, all rows, each once."""
    shown = []
    for each in found:
        mine = {}
        for value in each.values:
            key = str(value.key).removeprefix("dlms:")
            if key not in (TIME, WORD) and isinstance(value.number, Scaled):
                mine[key] = {"m": value.number.mantissa, "e": value.number.exponent, "unit": value.unit}
        shown.append((str(each.meter_time), mine))
    return shown == [(row.time, row.values) for row in street.recorded("row")]


def filled(reading: Reading) -> set[str]:
    return {str(value.key).removeprefix("dlms:") for value in reading.values if value.status == FILLED}


async def test_what_was_null_is_there_with_a_mark_and_no_row_is_in_conflict(tmp_path: Path, bench: Bench) -> None:
    """Values, time and status word; a new process seals no row a second time as something else."""
    street = Street(tmp_path, "nulls")
    await street.start()
    device = street.device(compressed=True)
    found: list[Reading] = []
    for _ in range(3):
        rows = of(await street.visit(street.reader(device), device), How.PROFILE)
        bench.take(bench.chain.seal(rows))
        found += rows
        street.time.pass_ms(7 * QUARTER_MS)
    await street.stop()
    assert numbers(street, found)
    assert filled(found[0]) == set()
    assert {TIME, WORD} <= filled(found[1])
    assert any(COARSE in filled(each) for each in found)
    for each in found:
        assert all(value.number == each.meter_time for value in each.values if isinstance(value.number, MeterTime))
    assert not bench.store.readings.in_conflict()
    stored = [SealedReading.from_wire(leaf_from_bytes(row.sealed)) for row in bench.store.readings.all()]
    assert [each.values for each in stored] == [each.values for each in found]


async def test_a_null_of_a_meter_that_is_not_known_to_compress_is_no_value(tmp_path: Path) -> None:
    """It is never taken for a number."""
    street = Street(tmp_path, "nulls")
    await street.start()
    device = street.device()
    found = of(await street.visit(street.reader(device), device), How.PROFILE)
    await street.stop()
    nulls = [value for each in found for value in each.values if value.number == Raw(b"\x00")]
    assert nulls
    assert {value.state for value in nulls} == {State.INVALID}
    assert not any(COARSE in filled(each) for each in found)
