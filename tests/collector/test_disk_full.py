"""C06: a disk that is really full: nothing is acknowledged, nothing is damaged, and it goes on when there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import Bench, reading

from collector.faults import StoreFullError
from collector.store.sqlite import SqliteStore
from protocols.uplink.batch import Batch

SIZE = "2M"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(bench: Bench, sealed: list[Batch]) -> None:
    """Batches of 50 readings, until one is not taken."""
    while True:
        sealed.append(bench.chain.seal([reading(len(sealed) * 50 + each) for each in range(50)]))
        bench.take(sealed[-1])


def test_a_disk_that_fills_up_takes_nothing_half_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    """Every batch that was taken is there, whole; the one that was not is taken later."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(768 * 1024))
    store = SqliteStore.open(small_disk / "store.sqlite3")
    bench = Bench(store)
    sealed: list[Batch] = []
    with pytest.raises(StoreFullError):
        _fill(bench, sealed)
    taken = len(sealed) - 1
    for _ in range(3):
        with pytest.raises(StoreFullError):
            bench.take(sealed[-1])
    assert not store.evidence.has("house-1", sealed[-1].id)
    ballast.unlink()
    outcome = bench.take(sealed[-1])
    assert [(each.first, each.last, each.id) for each in bench.word(outcome).stored] == [(1, taken + 1, sealed[-1].id)]
    assert bench.rows() == 50 * (taken + 1)
    assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()
