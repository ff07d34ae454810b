"""Real power cuts of the buffer's and the store's own code, at its fastest; the daemons have a test of their own.

What was promised before the cut is there after it, and the file is sound.

`kill -9` proves nothing about power cuts, since the page cache survives it; here the file system itself is shut down.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from power import KINDS, Disks, PowerDisk, promised_until_cut

from collector.store.sqlite import SqliteStore
from gateway import schema
from gateway.buffer import Buffer

CUTS = 5  # on each file system
GATEWAY = """
import asyncio, sys
from pathlib import Path
from gateway_parts import Rig

async def main():
    rig = Rig(Path(sys.argv[1]) / "state")
    while True:
        await rig.seal(1, 500)
        print(list(rig.chain.entries())[-1].id.hex(), flush=True)

asyncio.run(main())
"""
COLLECTOR = """
import sys
from pathlib import Path
from chain import Bench
from collector.store.sqlite import SqliteStore

bench = Bench(SqliteStore.open(Path(sys.argv[1]) / "collector.sqlite3"))
while True:
    sealed = [bench.chain.seal(), bench.chain.seal()]
    assert bench.take(*sealed).stored == 2
    for each in sealed:
        print(each.id.hex(), flush=True)
"""


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, disks: Disks, tmp_path: Path) -> PowerDisk:
    """A disk of its own for each test, with each kind of file system."""
    return disks.make(tmp_path / "disk", request.param)


def test_no_batch_that_the_gateway_has_sealed_is_lost_in_a_power_cut(disk: PowerDisk) -> None:
    """G01: the buffer opens, is sound and holds every batch whose commit had returned."""
    dice = random.Random(1)
    for _ in range(CUTS):
        (disk.folder / "state").mkdir()
        promised = promised_until_cut(disk, GATEWAY, dice)
        buffer = Buffer(disk.folder / "state", 64 * 1024 * 1024, 0)
        held = {entry.id.hex() for entry in buffer.chain().entries()}
        buffer.close()
        with closing(sqlite3.connect(disk.folder / "state" / schema.BUFFER_FILE)) as database:
            assert schema.is_sound(database)
        assert set(promised) <= held
        for file in sorted((disk.folder / "state").iterdir()):
            file.unlink()
        (disk.folder / "state").rmdir()


def test_nothing_that_the_collector_has_committed_is_lost_in_a_power_cut(disk: PowerDisk) -> None:
    """What may have been acknowledged as stored is there, evidence and readings, and the file is sound."""
    dice = random.Random(2)
    for _ in range(CUTS):
        promised = promised_until_cut(disk, COLLECTOR, dice)
        path = disk.folder / "collector.sqlite3"
        store = SqliteStore.open(path)
        assert all(store.evidence.has("house-1", bytes.fromhex(each)) for each in promised)
        assert store.readings.counts("house-1")[0] >= len(promised)
        assert store.cases.first_bad_line() is None
        store.close()
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        for file in disk.folder.glob("collector.sqlite3*"):
            file.unlink()


def test_a_cut_is_a_cut(disk: PowerDisk) -> None:
    """What was written and not synchronised is gone afterwards: otherwise the tests above prove nothing."""
    (disk.folder / "kept").write_bytes(b"x" * 100_000)
    disk.cut()
    disk.unmount()
    assert disk.mount()
    kept = disk.folder / "kept"
    assert not kept.exists() or kept.read_bytes() != b"x" * 100_000
