"""Backups: as of one instant, whole or none, and after a restore everything comes again that they lack, once."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import closing
from pathlib import Path

import pytest
from chain import COLLECTOR, NOW_MS, AnyStore, Bench, reading
from click.testing import CliRunner
from postgres import Postgresql

from collector import backup
from collector.attribute.work import Attribution
from collector.cli import commands
from collector.faults import BackupError, NotFoundError
from collector.place import Place, Server
from collector.store.opening import open_store
from collector.store.postgresql import PostgresqlStore
from collector.store.sqlite import SqliteStore


@pytest.fixture
def empty(place: Place, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Another place of the same kind, where no store is."""
    if isinstance(place, Path):
        return tmp_path / "elsewhere.sqlite3"
    cluster: Postgresql = request.getfixturevalue("postgresql")
    return Server(cluster.database())


def filled(store: AnyStore) -> Bench:
    """A collector that took six batches of one reading."""
    bench = Bench(store)
    bench.take(*(bench.chain.seal([reading(slot)]) for slot in range(6)))
    return bench


def test_what_a_backup_lacks_is_taken_again_and_nothing_twice(
    store: AnyStore, place: Place, empty: Place, tmp_path: Path
) -> None:
    """The gateway sends all that it holds: what was there is known, the rest is stored; the generation has risen."""
    bench = filled(store)
    first = [store.evidence.row(n) for n in store.evidence.after(0, 10)]
    made = backup.make(place, COLLECTOR, tmp_path / "monday", NOW_MS)
    assert {name: each.batches for name, each in made.gateways.items()} == {"house-1": 6}
    later = [bench.chain.seal([reading(slot)]) for slot in range(6, 9)]
    bench.take(*later)
    said, generation = backup.restore(tmp_path / "monday", empty, NOW_MS)
    assert (said, generation) == (made, store.gateways.generation() + 1)
    with closing(open_store(empty)) as other:
        assert [other.evidence.row(each.n) for each in first] == first
        assert [each.kind for each in other.cases.all()] == ["restored"]
        assert isinstance(other, SqliteStore | PostgresqlStore)
        bench.store = other
        bench.restart()
        outcome = bench.take(*(row.batch() for row in first), *later)
        assert (outcome.stored, outcome.replayed) == (3, 6)
        assert bench.rows() == 9
        assert bench.word(outcome).generation == generation
        assert Attribution(other).all(NOW_MS).looked.readings == 9


def test_a_backup_is_of_one_instant_while_batches_come(store: AnyStore, place: Place, tmp_path: Path) -> None:
    """The manifest says exactly what is in the copy, however much is written beside."""
    bench, end = filled(store), threading.Event()
    sealed = iter([bench.chain.seal([reading(slot)]) for slot in range(6, 400)])

    def write() -> None:
        while not end.is_set() and (batch := next(sealed, None)) is not None:
            bench.take(batch)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        made = [backup.make(place, COLLECTOR, tmp_path / str(number), NOW_MS) for number in range(2)]
    finally:
        end.set()
        writing.join()
    counts = [each.gateways["house-1"].batches for each in made]
    assert 6 <= counts[0] <= counts[1] <= store.evidence.held()[0][1]


@pytest.mark.parametrize("how", ["flip", "cut", "no manifest", "no copy", "another form", "a path"])
def test_a_damaged_backup_is_refused_and_nothing_is_restored(
    store: AnyStore, place: Place, empty: Place, tmp_path: Path, how: str
) -> None:
    """By its digest, its length, or what its manifest says."""
    filled(store)
    made = backup.make(place, COLLECTOR, tmp_path / "b", NOW_MS)
    copy, manifest = tmp_path / "b" / made.file, tmp_path / "b" / backup.MANIFEST
    octets = copy.read_bytes()
    said = json.loads(manifest.read_text())
    match how:
        case "flip":
            middle = len(octets) // 2
            copy.write_bytes(octets[:middle] + bytes([octets[middle] ^ 1]) + octets[middle + 1 :])
        case "cut":
            copy.write_bytes(octets[:-1])
        case "no manifest":
            manifest.unlink()
        case "no copy":
            copy.unlink()
        case "another form":
            manifest.write_text(json.dumps(said | {"form": "else"}))
        case _:
            manifest.write_text(json.dumps(said | {"file": "../../etc/passwd"}))
    with pytest.raises(BackupError):
        backup.restore(tmp_path / "b", empty, NOW_MS)
    with pytest.raises(NotFoundError):
        open_store(empty, make=False)


def test_a_store_that_is_there_is_not_written_over(store: AnyStore, place: Place, tmp_path: Path) -> None:
    """A file may be set aside; a database is another one's matter."""
    filled(store)
    backup.make(place, COLLECTOR, tmp_path / "b", NOW_MS)
    with pytest.raises(BackupError, match=r"one that is there|one with a store"):
        backup.restore(tmp_path / "b", place, NOW_MS)
    with pytest.raises(BackupError, match="a folder that is not there yet"):
        backup.make(place, COLLECTOR, tmp_path / "b", NOW_MS)
    store.close()
    if isinstance(place, Path):
        backup.restore(tmp_path / "b", place, NOW_MS, replace=True)
        assert place.with_name(f"{place.name}.before-{NOW_MS}").exists()


def test_a_newer_store_and_one_of_another_kind_are_refused(
    store: AnyStore, place: Place, empty: Place, tmp_path: Path
) -> None:
    """By what the manifest says, before anything is touched."""
    filled(store)
    backup.make(place, COLLECTOR, tmp_path / "b", NOW_MS)
    manifest = tmp_path / "b" / backup.MANIFEST
    said = json.loads(manifest.read_text())
    for change in ({"version": 99}, {"store": "sqlite" if isinstance(place, Server) else "postgresql"}):
        manifest.write_text(json.dumps(said | change))
        with pytest.raises(BackupError):
            backup.restore(tmp_path / "b", empty, NOW_MS)


def test_what_an_ended_backup_left_is_no_backup(store: AnyStore, place: Place, tmp_path: Path) -> None:
    """It has another name and no manifest; the next one of that name clears it away."""
    filled(store)
    (tmp_path / ".b.new").mkdir()
    (tmp_path / ".b.new" / backup.FILE).write_bytes(b"half")
    with pytest.raises(BackupError):
        backup.read(tmp_path / ".b.new")
    backup.make(place, COLLECTOR, tmp_path / "b", NOW_MS)
    assert not (tmp_path / ".b.new").exists()


def test_a_place_that_takes_no_backup_is_named(store: AnyStore, place: Place, tmp_path: Path) -> None:
    """And nothing is left of it."""
    filled(store)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BackupError, match="a place that takes a backup"):
        backup.make(place, COLLECTOR, tmp_path / "file" / "b", NOW_MS)


def test_the_commands_make_check_and_restore(store: AnyStore, place: Place, tmp_path: Path) -> None:
    """As operations give them, with what each gateway has."""
    if not isinstance(place, Path):
        pytest.skip("the commands are the same; PostgreSQL by the functions above")
    filled(store)
    config = tmp_path / "collector.toml"
    shutil.copyfile(Path(__file__).parents[2] / "config" / "collector.example.toml", config)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(commands, [*arguments, "--config", str(config)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    assert "6 batches of 1 gateways" in run("backup", str(tmp_path / "b"))
    assert "house-1: 6 batches" in run("restore", str(tmp_path / "b"), "--check")
    store.close()
    assert "generation" in run("restore", str(tmp_path / "b"), "--replace")
    assert "restored" in run("status", "--json")
