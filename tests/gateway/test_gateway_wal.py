"""A log whose bytes rot: SQLite ends it there in silence, and what was committed behind it is counted."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alone import CONFIG
from gateway_parts import Rig
from processes import Processes

from gateway import enrol
from gateway.config import Configuration
from gateway.config_file import read_configuration
from gateway.start import open_all
from gateway.surroundings import machine
from gateway.wal import FRAME, HEADER, commits_left_out, frames
from protocols.uplink.records import Event

SIZE = FRAME + 4096
COMMITS = 6


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file with six commits in its log, as a process leaves it that is killed; before them the log was begun anew."""
    path = tmp_path / "buffer.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("PRAGMA wal_autocheckpoint = 0")
        made.execute("CREATE TABLE row (n INTEGER PRIMARY KEY, octets BLOB)")
        for n in range(20):
            made.execute("INSERT INTO row VALUES (?, ?)", (n, bytes(3000)))
        made.execute("PRAGMA wal_checkpoint(RESTART)")
        for n in range(COMMITS):
            made.execute("INSERT INTO row VALUES (?, ?)", (100 + n, bytes(3000)))
        left = tmp_path / "left"
        left.mkdir()
        for each in (path, path.with_name(path.name + "-wal")):
            shutil.copy(each, left)
    return left / path.name


def configured(folder: Path) -> Configuration:
    """A gateway whose state folder this is."""
    file = folder / "gateway.toml"
    file.write_text(CONFIG.replace('"state"', '"."'))
    return read_configuration(file)


def log_of(database: Path) -> Path:
    return database.with_name(database.name + "-wal")


def rows(database: Path) -> int:
    """The rows of the last commits that SQLite shows."""
    with closing(sqlite3.connect(database)) as opened:
        return int(opened.execute("SELECT count(*) FROM row WHERE n >= 100").fetchone()[0])


def ends(octets: bytes) -> list[int]:
    """The frames that end a commit."""
    return [n for n, each in enumerate(frames(octets)) if each.commits]


def test_a_log_that_holds_leaves_nothing_out(database: Path) -> None:
    """Frames of before the log was begun anew lie behind it: they are none of it."""
    octets = log_of(database).read_bytes()
    assert len(octets) > HEADER + SIZE * len(list(frames(octets)))
    assert len(ends(octets)) == COMMITS
    assert all(each.holds for each in frames(octets))
    assert commits_left_out(database) == 0
    assert rows(database) == COMMITS


@pytest.mark.parametrize("bad", range(COMMITS))
def test_a_rotten_bit_is_told_where_two_commits_or_more_are_behind_it(database: Path, bad: int) -> None:
    """SQLite shows what is before it, and says nothing; behind the last two it may have been a power cut."""
    octets = bytearray(log_of(database).read_bytes())
    octets[HEADER + SIZE * ends(bytes(octets))[bad] + FRAME + 1000] ^= 1
    log_of(database).write_bytes(octets)
    left_out = COMMITS - bad
    assert commits_left_out(database) == (left_out if left_out > 1 else 0)
    assert rows(database) == bad


def test_a_rotten_header_leaves_out_the_whole_log(database: Path) -> None:
    for at in (5, 17, 25):
        octets = bytearray(log_of(database).read_bytes())
        octets[at] ^= 1
        log_of(database).write_bytes(octets)
        assert commits_left_out(database) == COMMITS
        octets[at] ^= 1
        log_of(database).write_bytes(octets)


def test_a_log_that_a_power_cut_tore_is_none(database: Path) -> None:
    """The last commit's frames are there in any part, in any order: at most one of it ends a commit."""
    octets = log_of(database).read_bytes()
    last = ends(octets)[-2] + 1
    for end in range(HEADER + SIZE * last, HEADER + SIZE * (ends(octets)[-1] + 1), 512):
        log_of(database).write_bytes(octets[:end])
        assert commits_left_out(database) == 0
    torn = bytearray(octets)
    torn[HEADER + SIZE * last : HEADER + SIZE * last + 512] = bytes(512)  # its first block did not come
    log_of(database).write_bytes(torn)
    assert commits_left_out(database) == 0


def test_a_log_that_was_just_begun_anew_is_none(database: Path) -> None:
    """Its header is there, its first frame is not: what lies behind it is older, and in the database already."""
    octets = bytearray(log_of(database).read_bytes())
    fresh = database.with_name("fresh.sqlite3")
    with closing(sqlite3.connect(fresh, isolation_level=None)) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE row (n INTEGER)")
        octets[:HEADER] = log_of(fresh).read_bytes()[:HEADER]
    log_of(database).write_bytes(octets)
    assert commits_left_out(database) == 0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Processes]:
    """A gateway that reads every second and is enrolled nowhere."""
    made = Processes(tmp_path, CONFIG)
    made.meters("meters")
    assert made.gateway("keys").returncode == 0
    yield made
    made.end()


def test_a_daemon_whose_log_rotted_says_so_and_goes_on(place: Processes) -> None:
    """Killed with commits in its log, of which the first loses a bit: an event, a line of the log, the file kept."""
    buffer = place.folder / "state" / "buffer.sqlite3"
    while True:
        daemon = place.daemon()
        place.until(lambda: log_of(buffer).exists() and len(ends(log_of(buffer).read_bytes())) > 3)
        daemon.kill()
        daemon.wait()
        octets = bytearray(log_of(buffer).read_bytes())
        if len(ends(bytes(octets))) > 3:
            break
    octets[HEADER + FRAME + 100] ^= 1
    log_of(buffer).write_bytes(octets)
    left_out = commits_left_out(buffer)
    place.daemon()

    def told() -> list[Event]:
        records = (each for found in place.contents() for each in found.records)
        return [each for each in records if isinstance(each, Event) and each.code == "buffer-log-cut"]

    (event,) = place.until(told)
    assert event.parameters == (left_out, "buffer.sqlite3.log-damaged")
    assert (place.folder / "state" / "buffer.sqlite3.log-damaged").read_bytes() == bytes(octets)
    assert "buffer-log-cut" in place.log()


async def test_a_buffer_that_reads_a_second_later_is_not_damaged(tmp_path: Path) -> None:
    """G05: a disk that fails for a moment, at the start; nothing is set aside, and all is held."""
    rig = Rig(tmp_path)
    await rig.seal(3)
    rig.buffer.close()
    configuration = configured(tmp_path)
    enrol.make_keys(configuration.keys_folder)
    good = (tmp_path / "buffer.sqlite3").read_bytes()
    (tmp_path / "buffer.sqlite3").write_bytes(bytes(4096) + good[4096:])
    starting = asyncio.ensure_future(open_all(configuration, machine()))
    await asyncio.sleep(0)  # it has looked once
    (tmp_path / "buffer.sqlite3").write_bytes(good)
    opened = await starting
    assert opened is not None
    assert (opened.salvaged, len(opened.chain)) == (None, 3)
    opened.buffer.close()


def test_no_log_is_no_loss(tmp_path: Path) -> None:
    assert commits_left_out(tmp_path / "buffer.sqlite3") == 0
