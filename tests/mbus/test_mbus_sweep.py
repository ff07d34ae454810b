"""The search for primary addresses, on simulated buses."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mbus_bench import plate, seek

from protocols.mbus.sweep import Answering, PrimarySearch
from protocols.mbus.timing import Timing
from simulators.mbus.bus import Bus
from simulators.mbus.encoding import header, long_frame
from simulators.mbus.faults import Faults
from simulators.mbus.meters import Plate, cellar
from simulators.record import Record

NOW_MS = 1_793_000_000_000
CELLAR = [(1, "60300001"), (2, "1A7F2044"), (3, "07712233")]


@pytest.fixture
def bus(tmp_path: Path) -> Callable[..., Bus]:
    """Makes a bus, by default with the three meters of a cellar."""

    def make(plates: tuple[Plate, ...] = cellar(), written: str = "", seed: int = 1, stray: float = 0) -> Bus:
        record = Record(tmp_path / f"record-{len(list(tmp_path.iterdir()))}.jsonl")
        return Bus(plates, record, lambda: NOW_MS, seed, Faults.parse(written), stray)

    return make


def shown(search: PrimarySearch) -> list[tuple[int, str | None]]:
    return [(each.address, None if each.meter is None else each.meter.id) for each in search.found]


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("written", ["", "echo", "noise=0.2"])
def test_the_meters_of_a_cellar_are_found(bus: Callable[..., Bus], written: str, reads: bool) -> None:
    search = PrimarySearch(Timing(), reads, expected=3)
    assert seek(search, bus(written=written, seed=2).hear) is None
    assert shown(search) == CELLAR
    assert search.silent == 248
    assert not search.missing
    assert not search.unresolved


@pytest.mark.parametrize("seed", range(10))
def test_twenty_are_found_with_stray_noise_and_nobody_else(bus: Callable[..., Bus], seed: int) -> None:
    dice = random.Random(seed)
    taken = sorted(dice.sample(range(251), 20))
    plates = tuple(plate(f"{address:08d}", address=address) for address in taken)
    search = PrimarySearch(Timing(), expected=20)
    seek(search, bus(plates, seed=seed, stray=0.05).hear, size=(1, 1_000)[seed % 2])
    assert [each.address for each in search.found] == taken


def test_a_meter_with_noise_beside_each_answer_is_found_and_the_noise_told(bus: Callable[..., Bus]) -> None:
    search = PrimarySearch(Timing(), last=5)
    seek(search, bus(written="noise=1").hear)
    assert shown(search) == CELLAR
    assert [told.split(":")[0] for told in search.unresolved] == ["noise"] * 3


def test_two_meters_at_one_address_are_reported_as_a_collision(bus: Callable[..., Bus]) -> None:
    plates = tuple(replace(each, address=min(each.address, 2)) for each in cellar())
    search = PrimarySearch(Timing(), expected=3)
    seek(search, bus(plates).hear)
    assert shown(search) == CELLAR[:1]
    assert search.unresolved == ["collision: at address 2 several meters answer, or not clearly"]
    assert search.missing == 2


def test_a_late_answer_of_another_address_is_never_taken(bus: Callable[..., Bus]) -> None:
    late = long_frame(9, 0x72, header("99999999", "KAM", 1, 4, access=1, status=0))
    slaves = bus()
    search = PrimarySearch(Timing())
    seek(search, lambda octets: (late if octets[2] != 9 else b"") + slaves.hear(octets))
    assert shown(search) == CELLAR
    assert search.foreign > 250


def test_a_meter_that_only_acknowledges_and_one_without_a_header_are_told() -> None:
    answers = {0x44: b"\xe5", 0x45: b"\xe5", 0x80: long_frame(5, 0x78, b"")}
    search = PrimarySearch(Timing(), last=10)
    seek(search, lambda octets: answers.get(octets[3], b""))
    assert search.found == [Answering(5, None)]
    assert search.unresolved == ["unresolved: at address 4 a meter acknowledges and gives no values"]


def test_a_search_that_is_stopped_again_and_again_finds_the_same(bus: Callable[..., Bus]) -> None:
    slaves, search = bus(), PrimarySearch(Timing(), expected=3)
    for _ in range(60):
        before = search.progress().left
        seek(search, slaves.hear, stop=13)
        assert search.progress().left <= before
        search = PrimarySearch.from_row(json.loads(json.dumps(search.to_row())), Timing())
    assert search.next() is None
    assert shown(search) == CELLAR
    assert (search.silent, search.progress().left) == (248, 0)


@pytest.mark.parametrize(
    "change", [{"address": "1"}, {"found": 1}, {"found": [{"address": 1, "meter": "x"}]}, {"asked": -1}]
)
def test_a_state_that_is_none_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PrimarySearch.from_row({**PrimarySearch(Timing()).to_row(), **change}, Timing())


def test_noise_alone_finds_nobody_and_has_an_end() -> None:
    dice = random.Random(4)
    search = PrimarySearch(Timing())
    seek(search, lambda octets: dice.randbytes(dice.randrange(1, 9)))
    assert not search.found
    assert search.asked <= 251 * 6
    assert len(search.words()) < 300
