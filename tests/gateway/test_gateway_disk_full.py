"""G03 and G04: a real file system that is full or turns read-only: what was committed stays, the rest waits."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_parts import Rig

from gateway import events, schema
from gateway.chain import Mark


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, mode: str) -> None:
    """Turn a file system read-only, or back."""
    subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all room that is left."""
    hog = folder / "hog"
    with hog.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return hog


async def test_on_a_full_disk_the_reserve_is_given_up_and_safe_batches_make_room(disk: Path) -> None:
    """The newest readings are kept; the oldest safe ones go; nothing crashes."""
    rig = Rig(disk)
    await rig.seal(6, 100_000)
    marks = {entry.id: Mark.SAFE for entry in rig.chain.entries()}
    rig.buffer.mark(marks, {}, {})
    rig.chain.set_marks(marks, {})
    fill(disk)
    await rig.seal(3, 100_000)
    assert rig.sealer._pending is None
    assert len(list(rig.chain.unstored())) == 3
    assert len(rig.chain) < 9


async def test_what_a_full_disk_does_not_take_waits_in_memory_and_is_written_later(disk: Path) -> None:
    """Nothing may be removed and there is no room: every reading is there once the disk has room."""
    rig = Rig(disk)
    await rig.seal(3, 100_000)
    hog = fill(disk)
    await rig.seal(10, 100_000)
    committed = [entry.seq for entry in rig.chain.entries()]
    assert rig.sealer._pending is not None
    assert events.WRITE_FAILED in [getattr(each, "code", "") for each in rig.sealer._records]
    hog.unlink()
    await rig.sealer.flush()
    assert rig.sealer._pending is None
    assert [entry.seq for entry in rig.chain.entries()][: len(committed)] == committed
    readings = [entry.seq for entry in rig.chain.entries()]
    assert readings == list(range(1, len(readings) + 1))
    assert len(rig.buffer.known().slots["heat"]) == 13
    assert (disk / schema.RESERVE_FILE).exists()


async def test_a_file_system_that_turns_read_only_costs_nothing_that_was_read(disk: Path) -> None:
    """Polling goes on in memory; once it is writable again all is committed, in one chain."""
    rig = Rig(disk)
    await rig.seal(3)
    rig.buffer.close()
    remount(disk, "ro")
    await rig.seal(5)
    assert len(rig.chain) == 3
    remount(disk, "rw")
    await rig.sealer.flush()
    await rig.sealer.flush()
    assert len(rig.buffer.known().slots["heat"]) == 8
    assert [each.prev for each in list(rig.chain.entries())[1:]] == [each.id for each in list(rig.chain.entries())[:-1]]
