"""The simulated disk is as cruel as it says and no crueller: what SQLite promises holds on it, the rest breaks."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
import shimvfs
from crashdisk import CrashDisk, install, installed, uninstall

from gateway import schema

BUFFER = schema.BUFFER_FILE
MAX_BYTES = 16 * 1024 * 1024
Open = Callable[[Path], sqlite3.Connection]


@pytest.fixture(autouse=True)
def shim() -> Iterator[None]:
    """Every test has the shim, and leaves nothing of itself in it."""
    with installed(seed=1):
        yield
        assert shimvfs.open_handles() == 0


@pytest.fixture
def disk(tmp_path: Path) -> CrashDisk:
    """A disk of its own."""
    return new_disk(tmp_path / "life")


def new_disk(folder: Path, seed: int = 1) -> CrashDisk:
    """A disk in a new folder."""
    folder.mkdir()
    return CrashDisk(folder, random.Random(seed))


def product(folder: Path) -> sqlite3.Connection:
    """As the gateway opens its buffer: WAL, FULL, a checkpoint every 32 pages."""
    return schema.connect(folder / BUFFER, MAX_BYTES)


def opener(journal: str, synchronous: str) -> Open:
    """Opens the same tables with other settings."""

    def opened(folder: Path) -> sqlite3.Connection:
        database = sqlite3.connect(folder / BUFFER, isolation_level=None)
        try:
            database.execute(f"PRAGMA journal_mode = {journal}")
            database.execute(f"PRAGMA synchronous = {synchronous}")
            database.execute(f"PRAGMA wal_autocheckpoint = {schema.WAL_PAGES}")
            database.executescript(schema.TABLES)
        except sqlite3.Error:
            database.close()
            raise
        return database

    return opened


def content(name: str) -> bytes:
    """What a row holds: up to three pages."""
    return random.Random(name).randbytes(random.Random(name).randrange(12_000))


def commit(database: sqlite3.Connection, number: int) -> None:
    """One transaction: two rows, and now and then one that goes."""
    database.execute("BEGIN IMMEDIATE")
    for name in (f"{number}a", f"{number}b"):
        database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, content(name)))
    database.execute("DELETE FROM meta WHERE name = ?", (f"gone{number}",))
    database.execute("INSERT INTO meta VALUES (?, ?)", (f"gone{number + 1}", b"x"))
    database.execute("COMMIT")


def script(database: sqlite3.Connection, first: int, count: int) -> Iterator[int]:
    """Transactions with checkpoints between them; yields what is committed."""
    for number in range(first, first + count):
        commit(database, number)
        yield number
        if number % 7 == 3:
            database.execute(f"PRAGMA wal_checkpoint({('PASSIVE', 'FULL', 'RESTART', 'TRUNCATE')[number // 7 % 4]})")


def lived(folder: Path, open_it: Open, first: int, count: int) -> list[int]:
    """What was committed until the end, or until the disk died."""
    committed: list[int] = []
    with suppress(sqlite3.Error), closing(open_it(folder)) as database:
        committed.extend(script(database, first, count))
    return committed


def found(folder: Path, open_it: Open) -> set[int]:
    """The transactions that are there, each wholly and unaltered; the file is sound."""
    with closing(open_it(folder)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = dict(database.execute("SELECT name, value FROM meta WHERE name NOT LIKE 'gone%'").fetchall())
    assert all(value == content(name) for name, value in rows.items())
    numbers = {int(name[:-1]) for name in rows}
    assert len(rows) == 2 * len(numbers)
    return numbers


def digest(folder: Path) -> str:
    """Names and content of all files."""
    made = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        made.update(path.name.encode() + path.read_bytes())
    return made.hexdigest()


def test_a_cut_at_every_operation_costs_no_committed_row(tmp_path: Path) -> None:
    """G02: from the making of the file on, N = 1 to the last; what was in flight is there wholly or not at all."""
    whole = new_disk(tmp_path / "whole")
    assert lived(whole.folder, product, 0, 12) == list(range(12))
    assert whole.operations > 100
    for n in range(1, whole.operations + 1):
        disk = new_disk(tmp_path / f"{n}-before", n)
        due: list[str] = []
        disk.cut_at(n, partial(due.append, "cut"))
        committed = lived(disk.folder, product, 0, 12)
        assert due == ["cut"]
        assert disk.operations == n
        after = disk.cut(tmp_path / f"{n}-after")
        there = found(after.folder, product)
        assert set(committed) <= there <= {*committed, len(committed)}
        shutil.rmtree(disk.folder)
        shutil.rmtree(after.folder)


def test_300_cuts_in_a_row_cost_no_committed_row(tmp_path: Path) -> None:
    """Each life goes on with what the one before has left, at random moments, also while it recovers."""
    dice, disk, committed, number = random.Random(3), new_disk(tmp_path / "0"), set[int](), 0
    for life in range(1, 301):
        disk.cut_at(dice.randrange(1, 160), lambda: None)
        now = lived(disk.folder, product, number, 12)
        committed |= set(now)
        number += len(now) + 1  # one may have been in flight
        after = disk.cut(tmp_path / str(life))
        disk.close()
        shutil.rmtree(disk.folder)
        disk = after
    assert committed <= found(disk.folder, product)
    assert len(committed) > 300


@pytest.mark.parametrize(("journal", "synchronous"), [("WAL", "NORMAL"), ("WAL", "OFF"), ("DELETE", "FULL")])
def test_settings_that_promise_less_lose_committed_rows(tmp_path: Path, journal: str, synchronous: str) -> None:
    """The disk is cruel, or the tests above would prove nothing; with DELETE the journal's end is not synced."""
    lost = sum(loses(tmp_path / str(seed), opener(journal, synchronous), seed) for seed in range(60))
    assert lost >= 10


def loses(folder: Path, open_it: Open, seed: int) -> bool:
    """Whether a cut, in the middle of something or between two transactions, costs rows or the whole file."""
    folder.mkdir()
    disk, dice = new_disk(folder / "before", seed), random.Random(seed)
    if seed % 2:
        disk.cut_at(dice.randrange(60, 120), lambda: None)
        committed = lived(disk.folder, open_it, 0, 40)
        after = disk.cut(folder / "after")
    else:
        with closing(open_it(disk.folder)) as database:
            committed = list(script(database, 0, dice.randrange(3, 20)))
            after = disk.cut(folder / "after")
    try:
        return not set(committed) <= found(after.folder, open_it)
    except (sqlite3.DatabaseError, AssertionError):
        return True


def test_a_rollback_journal_that_is_synced_to_its_end_loses_nothing(tmp_path: Path) -> None:
    """DELETE with EXTRA: the folder is synced after the journal was deleted, and then SQLite keeps its word here."""
    assert not any(loses(tmp_path / str(seed), opener("DELETE", "EXTRA"), seed) for seed in range(60))


@pytest.mark.parametrize("synchronous", ["OFF", "FULL"])
def test_a_kill_loses_nothing(tmp_path: Path, synchronous: str) -> None:
    """The page cache outlives the process."""
    open_it = opener("WAL", synchronous)
    disk = new_disk(tmp_path / "0")
    committed: set[int] = set()
    for life in range(1, 20):
        database = open_it(disk.folder)
        committed |= set(script(database, 10 * life, 10))
        disk = disk.kill(tmp_path / str(life))
        with pytest.raises(sqlite3.OperationalError):
            commit(database, 5)
        database.close()
    assert found(disk.folder, open_it) == committed


def test_what_a_killed_process_had_not_synced_is_still_lost_in_a_cut(tmp_path: Path) -> None:
    """A restart makes nothing durable."""
    lost = 0
    for seed in range(20):
        disk = new_disk(tmp_path / f"{seed}-0", seed)
        database = opener("WAL", "OFF")(disk.folder)
        list(script(database, 0, 10))
        killed = disk.kill(tmp_path / f"{seed}-1")
        database.close()
        after = killed.cut(tmp_path / f"{seed}-2")
        try:
            lost += found(after.folder, product) != set(range(10))
        except (sqlite3.DatabaseError, AssertionError):
            lost += 1
    assert lost >= 5


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL", "FULL"])
def test_the_same_seed_leaves_the_same_bytes_and_another_seed_others(tmp_path: Path, synchronous: str) -> None:
    """Salts of the log included."""

    def image(name: str, seed: int) -> str:
        install(seed=7)
        disk = new_disk(tmp_path / name, seed)
        disk.cut_at(80, lambda: None)
        lived(disk.folder, opener("WAL", synchronous), 0, 40)
        return digest(disk.cut(tmp_path / f"{name}-after").folder)

    assert image("one", 5) == image("two", 5)
    assert len({image(f"other{seed}", seed) for seed in range(10, 20)}) > 1


def test_the_image_is_that_of_the_moment_of_the_cut(disk: CrashDisk, tmp_path: Path) -> None:
    """What is done between the cut and the new life, by SQLite or by Python, is in no image."""
    database = product(disk.folder)
    (disk.folder / "reserve").write_bytes(bytes(1000))
    disk.cut_at(1, lambda: None)
    with pytest.raises(sqlite3.OperationalError):
        commit(database, 0)
    (disk.folder / "reserve").unlink()
    (disk.folder / "late").write_bytes(b"late")
    with pytest.raises(sqlite3.OperationalError):
        commit(database, 1)
    with pytest.raises(sqlite3.OperationalError):
        product(disk.folder)
    after = disk.cut(tmp_path / "after")
    database.close()
    assert (after.folder / "reserve").stat().st_size == 1000
    assert not (after.folder / "late").exists()
    assert found(after.folder, product) == set()
    with pytest.raises(RuntimeError):
        disk.cut(tmp_path / "again")


def test_dead_handles_reach_nothing(disk: CrashDisk, tmp_path: Path) -> None:
    """Writer, reader and a transaction in hand of the old life, after the new one has begun."""
    writer, reader = product(disk.folder), sqlite3.connect(disk.folder / BUFFER, isolation_level=None)
    commit(writer, 0)
    reader.execute("SELECT count(*) FROM meta").fetchone()
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO meta VALUES ('late', x'00')")
    after = disk.cut(tmp_path / "after")
    before = digest(after.folder)
    counted = disk.operations
    with pytest.raises(sqlite3.OperationalError):
        writer.execute("COMMIT")
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("INSERT INTO meta VALUES ('late', x'00')")
    with pytest.raises(sqlite3.OperationalError):
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    writer.close()
    reader.close()
    assert digest(after.folder) == before
    assert disk.operations == counted
    assert found(after.folder, product) == {0}


def test_a_writer_and_a_reader_work_side_by_side(disk: CrashDisk) -> None:
    """Shared memory and locks are SQLite's own: each reads what was committed before it began."""
    with closing(product(disk.folder)) as writer, closing(product(disk.folder)) as reader:
        commit(writer, 0)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM meta").fetchone() == (3,)
        commit(writer, 1)
        assert reader.execute("SELECT count(*) FROM meta").fetchone() == (3,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM meta").fetchone() == (5,)
        writer.execute("BEGIN IMMEDIATE")
        reader.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            reader.execute("BEGIN IMMEDIATE")
        writer.execute("ROLLBACK")
        commit(reader, 2)


def test_a_snapshot_is_what_was_committed_and_disturbs_nobody(disk: CrashDisk, tmp_path: Path) -> None:
    """A backup taken between two transactions opens and is sound; the disk works on."""
    with closing(product(disk.folder)) as database:
        list(script(database, 0, 10))
        disk.snapshot(tmp_path / "backup")
        list(script(database, 10, 10))
    assert not list((tmp_path / "backup").glob("*-shm"))
    assert found(tmp_path / "backup", product) == set(range(10))
    assert found(disk.folder, product) == set(range(20))


def test_a_full_disk_says_so_and_takes_again_what_it_has_room_for(disk: CrashDisk) -> None:
    """Nothing that was committed suffers; a file that Python deletes makes room."""
    (disk.folder / "reserve").write_bytes(bytes(100_000))
    with closing(product(disk.folder)) as database:
        committed = set(script(database, 0, 5))
        disk.fill(room=5_000)
        with pytest.raises(sqlite3.OperationalError) as caught:
            list(script(database, 100, 20))
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_FULL
        committed |= {int(name[:-1]) for (name,) in database.execute("SELECT name FROM meta WHERE name LIKE '1%a'")}
        (disk.folder / "reserve").unlink()
        commit(database, 50)
        disk.capacity = None
        commit(database, 51)
    assert found(disk.folder, product) == committed | {50, 51}


def test_a_failed_sync_loses_what_was_in_hand_and_nothing_else(tmp_path: Path) -> None:
    """G05: the transaction fails; done again on another connection it is durable; without that it is not."""
    missing = 0
    for seed in range(40):
        disk = new_disk(tmp_path / f"{seed}", seed)
        witness = sqlite3.connect(disk.folder / BUFFER)  # keeps the shared memory, as the buffer's reader does
        with closing(product(disk.folder)) as database:
            witness.execute("SELECT count(*) FROM meta").fetchone()
            commit(database, 0)
            disk.failing_syncs = 1
            with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
                commit(database, 1)
        if seed % 2:
            with closing(product(disk.folder)) as database:
                commit(database, 1)
        after = disk.cut(tmp_path / f"{seed}-after")
        witness.close()
        there = found(after.folder, product)
        assert 0 in there
        assert 1 in there or seed % 2 == 0
        missing += 1 not in there
    assert missing > 5


def test_a_flipped_bit_is_in_the_file(disk: CrashDisk, tmp_path: Path) -> None:
    """As many bits as asked for, at the places that it names; only at rest."""
    with closing(product(disk.folder)) as database:
        list(script(database, 0, 10))
        with pytest.raises(ValueError, match="at rest"):
            disk.flip(BUFFER, random.Random(1))
    before = (disk.folder / BUFFER).read_bytes()
    places = disk.flip(BUFFER, random.Random(1), 3)
    after = (disk.cut(tmp_path / "after").folder / BUFFER).read_bytes()
    different = [place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert different == sorted(places)
    assert [(before[place] ^ after[place]).bit_count() for place in different] == [1, 1, 1]


def test_files_that_python_renames_keep_what_is_theirs(tmp_path: Path) -> None:
    """A new database written beside and renamed over the old one, as salvage does it, is there after any cut."""
    for seed in range(30):
        disk = new_disk(tmp_path / f"{seed}", seed)
        lived(disk.folder, product, 0, 5)
        beside = disk.folder / f"{BUFFER}.new"
        with closing(schema.connect(beside, MAX_BYTES)) as database:
            commit(database, 77)
        (disk.folder / BUFFER).rename(disk.folder / "damaged")
        beside.rename(disk.folder / BUFFER)
        with closing(product(disk.folder)) as database:
            commit(database, 78)
            after = disk.cut(tmp_path / f"{seed}-after")
        assert found(after.folder, product) == {77, 78}
        assert (after.folder / "damaged").read_bytes() == (disk.folder / "damaged").read_bytes()


def test_an_unsynced_creation_may_be_missing_and_an_unsynced_deletion_undone(tmp_path: Path) -> None:
    """Names are lost too: both are seen within a few cuts."""
    missing = back = 0
    for seed in range(20):
        disk = new_disk(tmp_path / f"{seed}", seed)
        with closing(sqlite3.connect(disk.folder / "new.sqlite3")) as database:
            database.execute("PRAGMA synchronous = OFF")
            database.execute("CREATE TABLE t (x)")
        missing += not (disk.cut(tmp_path / f"{seed}-new").folder / "new.sqlite3").exists()
        disk = new_disk(tmp_path / f"{seed}-b", seed)
        lived(disk.folder, product, 0, 3)
        assert not (disk.folder / f"{BUFFER}-wal").exists()
        after = disk.cut(tmp_path / f"{seed}-wal")
        back += (after.folder / f"{BUFFER}-wal").exists()
        assert found(after.folder, product) == {0, 1, 2}
    assert 0 < missing < 20
    assert 0 < back < 20


def test_a_thousand_openings_leave_no_state_behind(disk: CrashDisk) -> None:
    """Handles, inodes and descriptors."""
    lived(disk.folder, product, 0, 2)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(1000):
        with closing(sqlite3.connect(disk.folder / BUFFER, isolation_level=None)) as database:
            database.execute("INSERT OR REPLACE INTO meta VALUES ('n', ?)", (str(number),))
    assert shimvfs.open_handles() == 0
    assert disk.tracked() <= 4  # logs whose deletion nobody has synced
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    disk.close()
    assert disk.tracked() == 0


def test_files_elsewhere_are_not_touched(disk: CrashDisk, tmp_path: Path) -> None:
    """Only the folder of a disk is one."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert lived(elsewhere, product, 0, 5) == [0, 1, 2, 3, 4]
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE t (x)")
    assert (disk.operations, shimvfs.open_handles()) == (0, 0)


def test_without_the_shim_the_files_are_plain_again(disk: CrashDisk, tmp_path: Path) -> None:
    """Also those that are still open; taking it away twice does no harm."""
    database = product(disk.folder)
    commit(database, 0)
    counted = disk.operations
    uninstall()
    uninstall()
    commit(database, 1)
    database.close()
    assert disk.operations == counted
    assert found(disk.folder, product) == {0, 1}
    with pytest.raises(RuntimeError):
        CrashDisk(tmp_path, random.Random(1))


def test_a_fault_inside_a_callback_reaches_python(disk: CrashDisk, tmp_path: Path) -> None:
    """Nothing is raised through C: SQLite sees an I/O error, the next call to the disk names the cause."""
    database = product(disk.folder)

    def then() -> None:
        raise KeyError("cause")

    disk.cut_at(1, then)
    with pytest.raises(sqlite3.OperationalError):
        commit(database, 0)
    with pytest.raises(KeyError, match="cause"):
        disk.cut(tmp_path / "after")
    database.close()
