"""The bench itself: a slice of its seeds holds, the same seed tells the same story, and a failing one is made small.

And what it found in our own code stays mended.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from crashdisk import CrashDisk, installed
from gateway_parts import Rig

from collector.store.sqlite import SqliteStore
from gateway import schema
from gateway.buffer import Buffer
from gateway.salvage import open_or_salvage
from protocols.errors import PlombaError

BENCH = Path(__file__).with_name("bench.py")
SLICE = (1, 2, 4, 7)  # of the seeds that `make proof` runs
TRIES = 24  # to write: of those that fail more and more are left out
MEMORY_MB = 600  # of a whole run: both daemons many times over, and the record of all that was answered


def bench(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run the bench's own command."""
    command = [sys.executable, str(BENCH), *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=environment)


def outcome(*arguments: str, hash_seed: str = "0") -> dict[str, Any]:
    """What a run comes to."""
    done = bench("run", *arguments, hash_seed=hash_seed)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    assert last.startswith("{"), done.stderr[-2_000:]
    found: dict[str, Any] = json.loads(last)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SLICE)
def test_a_seed_holds(seed: int) -> None:
    """Nothing missing, twice or altered; nothing forged; every gap and contradiction named; memory bounded."""
    found = outcome("--seed", str(seed))
    assert found["violations"] == []
    assert found["gateway_days"] >= 10
    assert found["memory_mb"] < MEMORY_MB


@pytest.mark.timeout(300)
def test_the_same_seed_gives_the_same_digest() -> None:
    """In two processes; the command sees to it that sets of texts have one order in both."""
    season = ("--season", "port-pulled,collector-disk-full,flip")  # texts of ours; room to the byte; hostile octets
    short = ("--seed", "3", "--days", "0.4", "--gateways", "2", *season)
    first, again = outcome(*short), outcome(*short, hash_seed="7")
    assert first["digest"]
    assert first == again | {"seconds": first["seconds"], "memory_mb": first["memory_mb"]}


@pytest.mark.timeout(300)
def test_a_failing_seed_is_made_small_and_named_with_the_command_that_replays_it() -> None:
    """Of all faults the few that matter to a planted mistake are left."""
    short = ("--seed", "1", "--days", "0.3", "--gateways", "1", "--bug", "batches-not-verified", "--season", "forge")
    done = bench("shrink", *short)
    *faults, _, command = done.stdout.strip().splitlines()
    assert len(faults) == 1, done.stdout
    assert "forge" in faults[0]
    replayed = subprocess.run(
        [sys.executable, *command.split()[1:]], capture_output=True, text=True, timeout=120, check=False
    )
    assert replayed.returncode == 1


async def test_what_a_dead_process_could_not_sync_is_on_the_disk_before_the_next_one_counts_on_it(
    tmp_path: Path,
) -> None:
    """G05, found by seed 13: a commit whose sync failed looks whole to the next start; the power fails after that."""
    with installed():
        for seed in range(8):
            disk = _disk(tmp_path, f"first-{seed}", seed)
            rig = Rig(disk.folder)
            await rig.seal(3)
            disk.failing_syncs = 2
            await rig.seal(1)
            disk = disk.kill(tmp_path / f"second-{seed}")
            second, salvaged = open_or_salvage(disk.folder, 64 * 1024 * 1024, 0, [rig.key.public], "1")
            shown = {each.id for each in second.chain().entries()}
            disk = disk.cut(tmp_path / f"third-{seed}")
            third = Buffer(disk.folder, 64 * 1024 * 1024, 0)
            held = {each.id for each in third.chain().entries()}
            for each in (rig.buffer, second, third):
                each.close()
            assert salvaged is None
            assert shown <= held


def test_what_a_dead_collector_could_not_sync_is_on_the_disk_before_the_next_one_counts_on_it(tmp_path: Path) -> None:
    """The same of the store."""
    with installed():
        for seed in range(8):
            disk = _disk(tmp_path, f"first-{seed}", seed)
            first = SqliteStore.open(disk.folder / "store")
            disk.failing_syncs = 1
            with pytest.raises(PlombaError, match="PLB-"), first.transaction():
                first.cases.write("a line", 1)
            disk = disk.kill(tmp_path / f"second-{seed}")
            second = SqliteStore.open(disk.folder / "store")
            shown = second.cases.head()
            disk = disk.cut(tmp_path / f"third-{seed}")
            third = SqliteStore.open(disk.folder / "store")
            head = third.cases.head()
            for each in (first, second, third):
                each.close()
            assert head == shown


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_what_is_written_behind_a_log_that_could_not_be_synced_counts_only_when_it_was(
    tmp_path: Path, failing: int
) -> None:
    """G08: the disk fails at the next start too, and is well again: what counts then outlives the power's failure."""
    with installed():
        for seed in range(6):
            disk = _disk(tmp_path, f"first-{seed}", seed)
            rig = Rig(disk.folder)
            rig.buffer.remember_key(rig.key.public)
            await rig.seal(3)
            disk.failing_syncs = 2
            await rig.seal(1)
            disk = disk.kill(tmp_path / f"second-{seed}")
            disk.failing_syncs = failing
            second, _ = open_or_salvage(disk.folder, 64 * 1024 * 1024, 0, [rig.key.public], "1")
            second.remember_key(rig.key.public)  # it starts: what it knows it need not write
            held = [each.id for each in second.chain().entries()]
            counted, sent = 0, set[bytes]()
            for _ in range(TRIES):
                with suppress(PlombaError):
                    sent |= {batch for batch in held if second.content(batch) is not None}
                with suppress(PlombaError):
                    second.count("tries", "one")
                    counted += 1
            assert counted
            disk = disk.cut(tmp_path / f"third-{seed}")
            third = Buffer(disk.folder, 64 * 1024 * 1024, 0)
            assert sent == set(held) == {each.id for each in third.chain().entries()}
            assert third._disk.read("SELECT count FROM counter WHERE name = 'tries'") == [(counted,)]
            for each in (rig.buffer, second, third):
                each.close()


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_collector_commits_nothing_behind_a_log_that_could_not_be_synced(tmp_path: Path, failing: int) -> None:
    """The same of the store."""
    with installed():
        for seed in range(6):
            disk = _disk(tmp_path, f"first-{seed}", seed)
            first = SqliteStore.open(disk.folder / "store")
            disk.failing_syncs = 1
            with pytest.raises(PlombaError, match="PLB-"), first.transaction():
                first.cases.write("a line", 1)
            disk = disk.kill(tmp_path / f"second-{seed}")
            disk.failing_syncs = failing
            second, counted = SqliteStore.open(disk.folder / "store"), 0
            for _ in range(TRIES):
                with suppress(PlombaError), second.transaction():
                    second.cases.write("another", 1)
                    counted += 1
            head = second.cases.head()
            assert counted
            disk = disk.cut(tmp_path / f"third-{seed}")
            third = SqliteStore.open(disk.folder / "store")
            assert third.cases.head() == head
            for each in (first, second, third):
                each.close()


async def test_an_index_that_does_not_agree_with_its_table_is_damage(tmp_path: Path) -> None:
    """G06, found by seed 12: a batch that its index does not know would never be found, nor sent."""
    rig = Rig(tmp_path)
    await rig.seal(3)
    rig.buffer.close()
    database = sqlite3.connect(tmp_path / schema.BUFFER_FILE, isolation_level=None)
    assert schema.is_sound(database)
    database.execute("PRAGMA writable_schema = ON")
    database.execute("CREATE TABLE other (id BLOB NOT NULL UNIQUE)")
    roots = dict(database.execute("SELECT tbl_name, rootpage FROM sqlite_master WHERE name LIKE 'sqlite_autoindex%1'"))
    query = "UPDATE sqlite_master SET rootpage = ? WHERE name = 'sqlite_autoindex_batch_1'"
    database.execute(query, (roots["other"],))
    database.close()
    assert not schema.is_sound(sqlite3.connect(tmp_path / schema.BUFFER_FILE))


@pytest.mark.parametrize(
    ("written", "turned"),
    [
        (b"n INTEGER PRIMARY KEY, header BLOB", b"f INTEGER PRIMARY KEY, header BLOB"),
        (b"TABLE content (", b"TABLE cont%nt ("),
        (b"UNIQUE (epoch, seq)", b"UNIQUE (epoch, n  )"),
    ],
)
async def test_a_schema_whose_names_are_others_is_damage(tmp_path: Path, written: bytes, turned: bytes) -> None:
    """G07, found by seed 18: SQLite calls it sound, and no batch could be read, sent or declared lost any more."""
    rig = Rig(tmp_path)
    await rig.seal(3)
    rig.buffer.close()
    path = tmp_path / schema.BUFFER_FILE
    octets = path.read_bytes()
    assert octets.count(written) == 1
    path.write_bytes(octets.replace(written, turned))
    with closing(sqlite3.connect(path)) as database:
        assert not schema.is_sound(database)
    buffer, salvaged = open_or_salvage(tmp_path, 64 * 1024 * 1024, 0, [rig.key.public], "1")
    assert salvaged is not None
    assert len(buffer.chain()) == len(salvaged.whole) == 3
    buffer.close()


async def test_a_buffer_of_an_older_release_is_none_of_this(tmp_path: Path) -> None:
    """It lacks the order of slots, and whole tables."""
    rig = Rig(tmp_path)
    await rig.seal(3)
    rig.buffer.close()
    with closing(sqlite3.connect(tmp_path / schema.BUFFER_FILE)) as database:
        database.executescript("ALTER TABLE slot DROP COLUMN n; DROP TABLE aside;")
        assert schema.is_sound(database)
    buffer, salvaged = open_or_salvage(tmp_path, 64 * 1024 * 1024, 0, [rig.key.public], "1")
    assert (len(buffer.chain()), salvaged) == (3, None)
    buffer.close()


async def test_a_schema_that_cannot_even_be_quoted_is_damage(tmp_path: Path) -> None:
    """G07, found by seed 12: SQLite names the damaged index in its message, and Python cannot read that name."""
    rig = Rig(tmp_path)
    await rig.seal(3)
    rig.buffer.close()
    path = tmp_path / schema.BUFFER_FILE
    octets = path.read_bytes().replace(b"sqlite_autoindex_batch_1", b"sqlit\xe5_autoindex_batch_1")
    path.write_bytes(octets)
    with pytest.raises(UnicodeDecodeError):
        sqlite3.connect(path).execute("SELECT * FROM batch")
    buffer, salvaged = open_or_salvage(tmp_path, 64 * 1024 * 1024, 0, [rig.key.public], "1")
    assert salvaged is not None
    assert len(buffer.chain()) == len(salvaged.whole)


def _disk(folder: Path, name: str, seed: int) -> CrashDisk:
    (folder / name).mkdir()
    return CrashDisk(folder / name, random.Random(seed))
