"""The gateway's buffer and the collector's store, as they are, on the disk whose power is cut at random operations."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import shimvfs
from chain import Bench
from crashdisk import CrashDisk, installed
from gateway_parts import Rig

from collector.faults import StoreFullError
from collector.store.sqlite import SqliteStore
from gateway import schema
from gateway.faults import WriteFailed
from gateway.salvage import open_or_salvage
from protocols.errors import PlombaError

LIVES = 60


@pytest.fixture(autouse=True)
def shim() -> Iterator[None]:
    """Every test has the shim, and leaves nothing of itself in it."""
    with installed(seed=1):
        yield
        assert shimvfs.open_handles() == 0


@pytest.fixture
def disk(tmp_path: Path) -> CrashDisk:
    """A disk of its own."""
    (tmp_path / "0").mkdir()
    return CrashDisk(tmp_path / "0", random.Random(1))


def next_life(disk: CrashDisk, life: int) -> CrashDisk:
    """The disk after the cut; the folder of the old one is removed."""
    after = disk.cut(disk.folder.with_name(str(life)))
    disk.close()
    shutil.rmtree(disk.folder)
    return after


def sound(path: Path) -> bool:
    """Whether the database is whole."""
    with closing(sqlite3.connect(path)) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


async def test_the_buffer_keeps_every_batch_that_it_took(disk: CrashDisk) -> None:
    """60 lives: what `append` had returned for is held in the next one, the file is sound, nothing else is there."""
    dice, promised = random.Random(2), set[bytes]()
    rig = Rig(disk.folder)
    for life in range(1, LIVES + 1):
        disk.cut_at(dice.randrange(1, 200), lambda: None)
        while not disk.dead:
            await rig.seal(1, 3_000)
            if rig.sealer._pending is None:
                promised |= {entry.id for entry in rig.chain.entries()}
        rig.buffer.close()
        disk = next_life(disk, life)
        assert sound(disk.folder / schema.BUFFER_FILE)
        rig.folder = disk.folder
        rig.start()
        held = {entry.id for entry in rig.chain.entries()}
        assert promised <= held
        assert len(held) <= len(promised) + 1  # the one in hand
        promised = held
    rig.buffer.close()
    assert len(promised) > 3 * LIVES


async def test_a_buffer_in_normal_would_be_found_out(disk: CrashDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with synchronous NORMAL loses batches: the test above can fail."""
    connect = schema.connect

    def weak(path: Path, max_bytes: int) -> sqlite3.Connection:
        database = connect(path, max_bytes)
        database.execute("PRAGMA synchronous = NORMAL")
        return database

    monkeypatch.setattr(schema, "connect", weak)
    lost = 0
    for life in range(1, 31):
        rig = Rig(disk.folder)
        await rig.seal(3, 3_000)  # after five there is a checkpoint, which syncs everything
        promised = {entry.id for entry in rig.chain.entries()}
        disk_before, disk = disk, disk.cut(disk.folder.with_name(str(life)))
        rig.buffer.close()
        disk_before.close()
        rig.folder = disk.folder
        rig.start()
        lost += not promised <= {entry.id for entry in rig.chain.entries()}
        rig.buffer.close()
    assert lost >= 10


def test_the_store_keeps_everything_that_it_committed(disk: CrashDisk) -> None:
    """60 lives: every batch whose commit had returned is there with its readings, once; the file is sound."""
    dice, promised = random.Random(2), dict[bytes, int]()
    name = "collector.sqlite3"
    bench = Bench(SqliteStore.open(disk.folder / name))
    for life in range(1, LIVES + 1):
        disk.cut_at(dice.randrange(1, 300), lambda: None)
        while not disk.dead:
            sealed = [bench.chain.seal(), bench.chain.seal()]
            with suppress(StoreFullError):
                bench.take(*sealed)
                promised |= {each.id: 1 for each in sealed}
        bench.store.close()
        disk = next_life(disk, life)
        assert sound(disk.folder / name)
        bench.store = SqliteStore.open(disk.folder / name)
        bench.restart()
        assert all(bench.store.evidence.has("house-1", each) for each in promised)
        assert len(promised) <= bench.rows() <= len(promised) + 2 * life
        assert bench.store.cases.first_bad_line() is None
    bench.store.close()
    assert len(promised) > 2 * LIVES


async def test_a_start_that_is_cut_at_any_operation_leaves_a_buffer_that_starts(tmp_path: Path) -> None:
    """Making the file, the tables and the first epoch: the next start works."""
    n = 0
    while True:
        n += 1
        folder = tmp_path / f"{n}-before"
        folder.mkdir()
        disk = CrashDisk(folder, random.Random(n))
        disk.cut_at(n, lambda: None)
        with suppress(sqlite3.Error, PlombaError):
            rig = Rig(folder)
            with suppress(WriteFailed):
                await rig.sealer.flush()
            rig.buffer.close()
        if not disk.dead:
            break
        after = disk.cut(tmp_path / f"{n}-after")
        rig = Rig(after.folder)
        await rig.seal()
        assert rig.sealer._pending is None
        rig.buffer.close()
    assert n > 20


async def test_an_update_that_is_cut_at_any_operation_keeps_every_batch(tmp_path: Path) -> None:
    """G20: what an update changes on the disk is the buffer's tables, at the first start of the new release."""
    older = tmp_path / "older"
    older.mkdir()
    rig = Rig(older)
    await rig.seal(3)
    held = {entry.id for entry in rig.chain.entries()}
    rig.buffer.close()
    with closing(sqlite3.connect(older / schema.BUFFER_FILE)) as database:
        database.executescript("ALTER TABLE slot DROP COLUMN n; DROP TABLE aside;")
    n, raised = 0, 0
    while True:
        n += 1
        folder = tmp_path / f"{n}-before"
        shutil.copytree(older, folder)
        disk = CrashDisk(folder, random.Random(n))
        disk.cut_at(n, lambda: None)
        with suppress(sqlite3.Error, PlombaError):
            opened, _ = open_or_salvage(folder, 64 * 1024 * 1024, 0, [rig.key.public], "1")
            opened.close()
        if not disk.dead:
            break
        after = disk.cut(tmp_path / f"{n}-after")
        with closing(sqlite3.connect(after.folder / schema.BUFFER_FILE)) as database:
            raised += "n" in {row[1] for row in database.execute("PRAGMA table_info(slot)")}
        opened, salvaged = open_or_salvage(after.folder, 64 * 1024 * 1024, 0, [rig.key.public], "2")
        assert ({each.id for each in opened.chain().entries()}, salvaged) == (held, None)
        opened.close()
    assert 0 < raised < n - 1  # the old tables were left, and the new ones
