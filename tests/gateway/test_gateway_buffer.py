"""The buffer: what it keeps through restarts, damage and a full disk, and what it may remove."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from gateway_parts import CADENCE_MS, NOW_MS, Rig, reading

from gateway import events, schema
from gateway.chain import Mark
from gateway.faults import AlreadyRunning, BufferFull, WriteFailed
from gateway.fill import Level, read_fill
from gateway.lock import FolderLock
from gateway.refused import READINGS_REFUSED
from gateway.salvage import declared, open_or_salvage
from gateway.schedule import KEPT_SLOTS
from gateway.seal import SEAL_AFTER_MS
from gateway.settled import Settled
from gateway.writer import InlineWriter
from protocols.uplink import batch as batches
from protocols.uplink.acknowledgement import Acknowledgement
from protocols.uplink.batch import Batch
from protocols.uplink.body import Expanded
from protocols.uplink.envelope import inflate
from protocols.uplink.leaf import SealedReading
from protocols.uplink.pack import pack
from protocols.uplink.records import Configuration, Event, Lost, Record

T = TypeVar("T")
SMALL = 4 * 1024 * 1024


def records(rig: Rig) -> list[Record]:
    """All records in the buffer, in order of sealing."""
    found: list[Record] = []
    for entry in rig.chain.entries():
        content = rig.buffer.content(entry.id)
        assert content is not None
        batch = batches.parse(content)
        found += batches.expand(batch.header, batches.verify(batch, rig.key.public)).records
    return found


def codes(rig: Rig) -> list[str]:
    return [each.code for each in records(rig) if isinstance(each, Event)]


def _expanded(batch: Batch) -> Expanded:
    return batches.expand(batch.header, inflate(batch.content, batch.header.body_len))


def _expanded_of(rig: Rig, batch: bytes) -> Expanded:
    content = rig.buffer.content(batch)
    assert content is not None
    return _expanded(batches.parse(content))


def mark_all(rig: Rig, mark: Mark) -> None:
    marks = {entry.id: mark for entry in rig.chain.entries()}
    rig.buffer.mark(marks, {}, {})
    rig.chain.set_marks(marks, {})


@pytest.mark.parametrize("step_ms", [3_600_000, 100_000_000, -100_000_000])
async def test_slots_are_known_after_a_restart_although_the_clock_was_off(tmp_path: Path, step_ms: int) -> None:
    """Found by torture: a batch sealed while the clock was ahead took the slots of the real time with it."""
    rig = Rig(tmp_path)
    await rig.seal(3)
    real = set(rig.buffer.known().slots["heat"])
    rig.time.wall_ms += step_ms
    await rig.seal(2)
    rig.time.wall_ms -= step_ms
    rig.buffer.close()
    rig.start()
    assert real < set(rig.buffer.known().slots["heat"])


async def test_only_so_many_slots_are_kept_those_read_last(tmp_path: Path) -> None:
    """The same rule as in the schedule, on disk."""
    rig = Rig(tmp_path)
    await rig.seal(KEPT_SLOTS + 5)
    kept = rig.buffer.known().slots["heat"]
    assert len(kept) == KEPT_SLOTS
    assert kept == tuple(sorted(kept))
    newest = kept[-1]
    rig.time.wall_ms -= 3 * KEPT_SLOTS * CADENCE_MS
    await rig.seal(KEPT_SLOTS - 1)
    assert rig.buffer.known().slots["heat"][0] == newest
    await rig.seal()
    assert newest not in rig.buffer.known().slots["heat"]


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("seed", range(3))
async def test_a_first_page_that_does_not_read_costs_nothing(tmp_path: Path, seed: int, closed: bool) -> None:
    """Found by seed 12: it says where all tables lie, and one bit of it took the whole buffer with it."""
    (tmp_path / "whole").mkdir()
    rig = Rig(tmp_path / "whole", max_bytes=SMALL)
    await rig.seal(40, 5_000)
    before = [entry.id for entry in rig.chain.entries()]
    if closed:
        rig.buffer.close()
    folder = tmp_path / "damaged"
    shutil.copytree(tmp_path / "whole", folder)
    with (folder / schema.BUFFER_FILE).open("r+b") as file:
        octets = bytearray(file.read(schema.PAGE))
        dice = random.Random(seed)
        for _ in range(200):
            octets[dice.randrange(16, schema.PAGE)] ^= 1 << dice.randrange(8)
        file.seek(0)
        file.write(octets if seed else dice.randbytes(schema.PAGE))
    buffer, salvaged = open_or_salvage(folder, SMALL, 0, [rig.key.public], "1")
    if closed:
        assert salvaged is not None
        assert salvaged.gaps == []
    else:
        assert salvaged is None, "the log holds that page too"
    assert [entry.id for entry in buffer.chain().entries()] == before
    assert buffer.known().slots
    buffer.close()
    assert not list(folder.glob("*legible*"))


async def test_a_rotten_link_between_two_batches_is_mended_from_the_batches(tmp_path: Path) -> None:
    """Found by seed 23: no range of the collector reached what lay before it, so it was sent again for ever."""
    rig = Rig(tmp_path)
    await rig.seal(6)
    before = [entry.id for entry in rig.chain.entries()]
    rig.buffer.close()
    with closing(sqlite3.connect(tmp_path / schema.BUFFER_FILE, isolation_level=None)) as database:
        database.execute("UPDATE batch SET prev = randomblob(32) WHERE n = 4")
    buffer, salvaged = open_or_salvage(tmp_path, 10_000_000, 0, [rig.key.public], "1")
    assert salvaged is not None
    assert salvaged.gaps == []
    chain = buffer.chain()
    assert [entry.id for entry in chain.entries()] == before
    assert chain.holds_together(buffer.known().head)
    buffer.close()


@pytest.mark.parametrize("place", [0, 1, 2, 3])
async def test_a_rotten_head_is_mended_from_the_newest_batch(tmp_path: Path, place: int) -> None:
    """Found by seed 5: the next epoch named a parent that nobody ever sealed."""
    rig = Rig(tmp_path)
    await rig.seal(3)
    newest = list(rig.chain.entries())[-1]
    rig.buffer.close()
    rotten: list[object] = [newest.epoch, newest.seq, newest.id]
    rotten[place % 3] = (b"\0" * 16, 77, b"\0" * 32, [[], 1])[place]
    with closing(sqlite3.connect(tmp_path / schema.BUFFER_FILE, isolation_level=None)) as database:
        database.execute("UPDATE meta SET value = ? WHERE name = 'head'", (pack(rotten),))
    buffer, salvaged = open_or_salvage(tmp_path, 10_000_000, 0, [rig.key.public], "1")
    assert salvaged is not None
    assert salvaged.gaps == []
    head = buffer.known().head
    assert head is not None
    assert (head.epoch, head.seq, head.id) == (newest.epoch, newest.seq, newest.id)
    buffer.close()


@pytest.mark.parametrize("rotten", ["order", "last_ack"])
async def test_a_rotten_order_makes_no_later_word_stale(tmp_path: Path, rotten: str) -> None:
    """The number below which every acknowledgement is old must be that of the last one that was heard."""
    rig = Rig(tmp_path)
    await rig.seal(2)
    header = Acknowledgement("utility", "house-1", 1, 7, None, NOW_MS, (), (), (), 16, 1, (1,), None).to_bytes()
    rig.buffer.mark({}, {}, {"order": [1, 7], "last_ack": [header, b"signature"]})
    rig.buffer.close()
    buffer, salvaged = open_or_salvage(tmp_path, 10_000_000, 0, [rig.key.public], "1")
    assert salvaged is None
    assert buffer.known().order == (1, 7)
    buffer.close()
    other = {"order": [1, 2**40], "last_ack": [b"\0" * len(header), b"signature"]}[rotten]
    with closing(sqlite3.connect(tmp_path / schema.BUFFER_FILE, isolation_level=None)) as database:
        database.execute("UPDATE meta SET value = ? WHERE name = ?", (pack(other), rotten))
    buffer, salvaged = open_or_salvage(tmp_path, 10_000_000, 0, [rig.key.public], "1")
    assert salvaged is not None
    assert len(salvaged.whole) == 2
    assert (buffer.known().order, buffer.known().last_ack) == ((0, 0), None)
    buffer.close()


async def test_a_buffer_of_an_older_release_keeps_its_slots(tmp_path: Path) -> None:
    """It did not know in which order they were read."""
    rig = Rig(tmp_path)
    await rig.seal(3)
    known = rig.buffer.known().slots["heat"]
    rig.buffer.close()
    with closing(sqlite3.connect(tmp_path / schema.BUFFER_FILE, isolation_level=None)) as database:
        database.execute("ALTER TABLE slot DROP COLUMN n")
    rig.start()
    assert rig.buffer.known().slots["heat"] == known
    await rig.seal()
    assert rig.buffer.known().slots["heat"][:-1] == known


async def test_what_was_sealed_is_there_after_a_restart(tmp_path: Path) -> None:
    """Same batches, same slots, and a new epoch whose first batch names its parent."""
    rig = Rig(tmp_path)
    await rig.seal(3)
    before = [entry.id for entry in rig.chain.entries()]
    rig.buffer.close()
    rig.start()
    assert [entry.id for entry in rig.chain.entries()] == before
    assert len(rig.buffer.known().slots["heat"]) == 3
    await rig.seal()
    newest = list(rig.chain.entries())[-1]
    content = rig.buffer.content(newest.id)
    assert content is not None
    header = batches.parse(content).header
    assert (header.seq, header.prev) == (1, before[-1])
    assert header.parent is not None
    assert header.parent.seq == 3


async def test_the_first_batch_of_an_epoch_carries_the_configuration_and_says_why(tmp_path: Path) -> None:
    """What the header's hash stands for, and the reason."""
    rig = Rig(tmp_path)
    await rig.seal()
    first, second = records(rig)
    assert isinstance(first, Configuration)
    assert isinstance(second, Event)
    assert (second.code, second.parameters) == (events.EPOCH_NEW, ("start",))


async def test_an_old_image_makes_a_new_epoch_that_names_the_old_end(tmp_path: Path) -> None:
    """G08: nothing is renumbered, nothing is sealed again."""
    rig = Rig(tmp_path)
    await rig.seal(2)
    rig.buffer.close()
    image = tmp_path / "image"
    shutil.copy(rig.buffer.path, image)
    rig.start()
    await rig.seal(2)
    epoch = rig.sealer.epoch
    rig.buffer.close()
    shutil.copy(image, rig.buffer.path)
    rig.start()
    await rig.seal()
    newest = list(rig.chain.entries())[-1]
    assert newest.seq == 1
    assert newest.epoch != epoch
    assert newest.prev == list(rig.chain.entries())[1].id


async def test_safe_batches_make_room_oldest_first_and_only_then(tmp_path: Path) -> None:
    """Nothing leaves before space is needed; what leaves is safe, and from the start of its epoch."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(10, 100_000)
    mark_all(rig, Mark.SAFE)
    assert len(rig.chain) == 10
    await rig.seal(40, 100_000)
    left = [entry.seq for entry in rig.chain.entries()]
    assert left[-1] == 50 - rig.sealer._refused.so_far
    assert left[0] == 11, "all that was safe had to go, nothing that was not"
    assert events.UNSAFE_REMOVED not in codes(rig)


async def test_safe_batches_behind_one_that_is_not_stay(tmp_path: Path) -> None:
    """From an epoch's start on: a hole in the middle of a chain would cut every walk along it."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(20, 100_000)
    safe = {entry.id: Mark.SAFE for entry in rig.chain.entries() if entry.seq > 1}
    rig.buffer.mark(safe, {}, {})
    rig.chain.set_marks(safe, {})
    stored = {entry.id: Mark.STORED for entry in rig.chain.entries() if entry.seq == 1}
    rig.buffer.mark(stored, {}, {})
    rig.chain.set_marks(stored, {})
    await rig.seal(25, 100_000)
    left = {entry.seq for entry in rig.chain.entries()}
    assert not left & {1}, "the stored one at the start goes first, and is told"
    assert left == set(range(min(left), max(left) + 1))
    assert events.UNSAFE_REMOVED in codes(rig)


async def test_stored_batches_go_before_a_reading_is_refused_and_an_event_says_so(tmp_path: Path) -> None:
    """The one exception of the removal rules."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(30, 100_000)
    mark_all(rig, Mark.STORED)
    await rig.seal(12, 100_000)
    assert not rig.sealer.full
    assert events.UNSAFE_REMOVED in codes(rig)


async def test_a_buffer_full_of_unstored_batches_refuses_counts_and_keeps_them_all(tmp_path: Path) -> None:
    """Never one that is not stored; the daemon goes on, and tells when there is room again."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(60, 100_000)
    assert rig.sealer.full
    kept = [entry.seq for entry in rig.chain.entries()]
    assert kept == list(range(1, len(kept) + 1))
    with sqlite3.connect(rig.buffer.path) as database:
        count = database.execute("SELECT count FROM counter WHERE name = ?", (READINGS_REFUSED,)).fetchone()[0]
    assert count == 60 - len(kept)
    full = read_fill(tmp_path, SMALL)
    assert (full.level, full.readings_refused, full.not_stored.batches) == (Level.FULL, count, len(kept))
    mark_all(rig, Mark.SAFE)
    roomy = read_fill(tmp_path, SMALL)
    assert (roomy.level, roomy.readings_refused, roomy.safe) == (Level.ROOM, count, full.not_stored)
    await rig.seal(2, 100)
    assert not rig.sealer.full
    found = codes(rig)
    assert found.count(events.BUFFER_FULL) == found.count(events.BUFFER_ROOM) == 1


async def test_what_was_refused_before_a_restart_is_told_by_the_next_process_once(tmp_path: Path) -> None:
    """The process that counted it ended before there was room; the one after it is ended before its event is sealed."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(60, 100_000)
    refused = read_fill(tmp_path, SMALL).readings_refused
    assert refused > 0
    told = []
    for batches_sealed in (1, 3, 3):
        rig.buffer.close()
        rig.max_bytes = 2 * SMALL
        rig.start()
        await rig.seal(batches_sealed, 100)
        found = [each for each in records(rig) if isinstance(each, Event) and each.code == events.BUFFER_ROOM]
        told.append([each.parameters for each in found])
    assert told == [[], [(refused,)], [(refused,)]]


async def test_the_newest_batch_is_never_removed(tmp_path: Path) -> None:
    """Its id is what the next one names."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(1, 200_000)
    mark_all(rig, Mark.SAFE)
    big = list(rig.chain.entries())[-1]
    with pytest.raises(BufferFull):
        rig.buffer._disk.write_small(lambda database: rig.buffer._make_room(database, 2 * SMALL))
    assert rig.buffer.content(big.id) is not None


async def test_the_same_batch_again_changes_nothing(tmp_path: Path) -> None:
    """After a failed commit it is written again without knowing whether it is there."""
    rig = Rig(tmp_path)
    await rig.seal()
    entry = next(iter(rig.chain.entries()))
    content = rig.buffer.content(entry.id)
    assert content is not None
    assert rig.buffer.append(batches.parse(content), Settled(), 1).entry == entry
    assert len(rig.buffer.chain()) == 1


def test_the_settings_that_survive_a_power_cut_hold(tmp_path: Path) -> None:
    """WAL and FULL, read back."""
    database = schema.connect(tmp_path / "b", SMALL)
    assert database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert database.execute("PRAGMA synchronous").fetchone()[0] == 2, "FULL; NORMAL loses commits in a power cut"
    database.close()


def test_a_second_start_is_refused_at_once(tmp_path: Path) -> None:
    """G15."""
    first = FolderLock(tmp_path)
    with pytest.raises(AlreadyRunning):
        FolderLock(tmp_path)
    first.close()
    FolderLock(tmp_path).close()


@pytest.mark.parametrize("seed", range(5))
async def test_a_damaged_file_is_set_aside_and_whole_batches_are_kept(tmp_path: Path, seed: int) -> None:
    """G07: every batch is either whole and kept under its own epoch, or named as lost."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(40, 5_000)
    rig.buffer.close()
    path, dice = tmp_path / schema.BUFFER_FILE, random.Random(seed)
    octets = bytearray(path.read_bytes())
    for _ in range(4):
        page = dice.randrange(8, len(octets) // 4096)
        octets[page * 4096 : page * 4096 + 4096] = dice.randbytes(4096)
    path.write_bytes(octets)
    buffer, salvaged = open_or_salvage(tmp_path, SMALL, 0, [rig.key.public], "1")
    if salvaged is None:  # only blob bytes were hit: the seal finds them when they are to be sent
        buffer.close()
        return
    assert salvaged.aside.exists()
    old = {entry.seq for entry in buffer.chain().entries()}
    gone = {seq for _, first, last in salvaged.gaps for seq in range(first, last + 1)}
    assert old.isdisjoint(gone)
    assert old | gone == set(range(1, 41))
    assert len(old) >= 20
    settled = {slot for slots in buffer.known().slots.values() for slot in slots}
    sealed = {each.slot_ms for batch, _ in salvaged.whole for each in _expanded(batch).readings}
    assert settled == sealed, "a slot that is sealed is not read again"
    rig.run_with(buffer)
    gaps = buffer.known().gaps
    assert gaps == tuple(salvaged.gaps), "kept until they are under a seal, whatever happens to this start"
    for lost in declared(gaps, rig.clock.when()):
        rig.sealer.note(lost)
    await rig.sealer.flush()
    assert [each for each in records(rig) if isinstance(each, Lost)] == declared(salvaged.gaps, rig.clock.when())
    assert buffer.known().gaps == (), "in the commit of the batch that declares them"
    head = list(rig.chain.entries())[-1]
    assert head.seq == 1


async def test_a_place_that_was_set_aside_is_a_gap_until_a_committed_batch_declares_it(tmp_path: Path) -> None:
    """Whatever ends the process between the two: the next start declares it. Neighbours are one gap."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(8)
    epoch = rig.sealer.epoch
    for seq in (3, 5, 4, 8, 3):
        entry = rig.chain.at(epoch, seq)
        if entry is not None:
            rig.buffer.set_aside(entry.id, "PLB-X101")
            rig.chain.remove([entry.id])
    assert rig.buffer.known().gaps == ((epoch, 3, 5), (epoch, 8, 8))
    rig.buffer.close()  # killed
    rig.start()
    assert rig.buffer.known().gaps == ((epoch, 3, 5), (epoch, 8, 8))
    rig.sealer.note(Lost(rig.clock.when(), epoch, 4, 4, "test"))
    await rig.sealer.flush()
    assert rig.buffer.known().gaps == ((epoch, 3, 3), (epoch, 5, 5), (epoch, 8, 8))
    for lost in declared(rig.buffer.known().gaps, rig.clock.when()):
        rig.sealer.note(lost)
    await rig.seal(1)
    assert rig.buffer.known().gaps == ()
    rig.buffer.close()


async def test_a_gap_that_waits_to_be_declared_survives_a_damaged_file(tmp_path: Path) -> None:
    """It was known before the file was damaged, and nothing else tells it."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(40, 5_000)
    epoch = rig.sealer.epoch
    rig.buffer.set_gaps([(b"e" * 16, 7, 9)])
    rig.buffer.close()
    path = tmp_path / schema.BUFFER_FILE
    octets = bytearray(path.read_bytes())
    for page in range(20, 60):
        octets[page * 4096 : page * 4096 + 4096] = bytes(4096)
    path.write_bytes(octets)
    buffer, salvaged = open_or_salvage(tmp_path, SMALL, 0, [rig.key.public], "1")
    assert salvaged is not None
    assert (b"e" * 16, 7, 9) in buffer.known().gaps
    assert any(gap[0] == epoch for gap in buffer.known().gaps)
    buffer.close()


async def test_what_waits_for_a_key_survives_a_damaged_file(tmp_path: Path) -> None:
    """Readings in quarantine are in the new file too."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(40, 5_000)
    leaf = pack(SealedReading.of(reading(rig.clock.utc_ms())).to_wire())
    rig.buffer.quarantine([(leaf, b"telegram"), (leaf, None)], Settled())
    rig.buffer.close()
    path = tmp_path / schema.BUFFER_FILE
    octets = bytearray(path.read_bytes())
    for page in range(20, 60):
        octets[page * 4096 : page * 4096 + 4096] = bytes(4096)
    path.write_bytes(octets)
    buffer, salvaged = open_or_salvage(tmp_path, SMALL, 0, [rig.key.public], "1")
    assert salvaged is not None
    assert [(each.leaf, each.telegram) for each in buffer.quarantined(9)] == [(leaf, b"telegram"), (leaf, None)]
    buffer.close()


def test_what_is_no_database_at_all_is_set_aside_too(tmp_path: Path) -> None:
    """The service goes on with an empty buffer."""
    (tmp_path / schema.BUFFER_FILE).write_bytes(b"not a database" * 1000)
    buffer, salvaged = open_or_salvage(tmp_path, SMALL, 0, [], "1")
    assert salvaged is not None
    assert salvaged.whole == []
    assert len(buffer.chain()) == 0


async def test_readings_that_fit_no_batch_are_split_and_none_is_lost(tmp_path: Path) -> None:
    """Incompressible telegrams over 256 KiB make several batches in one chain."""
    rig = Rig(tmp_path)
    rig.sealer.take([reading(rig.clock.utc_ms() + n * 1000, 30_000) for n in range(40)])
    await rig.sealer.flush()
    entries = list(rig.chain.entries())
    assert len(entries) > 3
    assert [each.prev for each in entries[1:]] == [each.id for each in entries[:-1]]
    found = 0
    for each in entries:
        content = rig.buffer.content(each.id)
        assert content is not None
        batch = batches.parse(content)
        found += len(batches.expand(batch.header, batches.verify(batch, rig.key.public)).readings)
    assert found == 40


async def test_a_reading_that_cannot_be_sealed_becomes_an_event_and_costs_no_other(tmp_path: Path) -> None:
    """65 registers do not fit a leaf: the code and the telegram's hash are told."""
    rig = Rig(tmp_path)
    rig.sealer.take([reading(rig.clock.utc_ms()), reading(rig.clock.utc_ms() + 1, values=65)])
    await rig.sealer.flush()
    await rig.sealer.flush()
    assert codes(rig).count(events.READING_REFUSED) == 1
    assert len(rig.buffer.known().slots["heat"]) == 1


async def test_a_salvage_that_was_interrupted_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The damaged file keeps its name until everything whole is in the new one."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(40, 5_000)
    rig.buffer.close()
    path = tmp_path / schema.BUFFER_FILE
    octets = bytearray(path.read_bytes())
    for page in range(11, len(octets) // 4096, 9):
        octets[page * 4096 : page * 4096 + 4096] = bytes(4096)
    path.write_bytes(octets)

    def fail(*_: object) -> None:
        raise WriteFailed("room", "none", "test")

    with monkeypatch.context() as patched:
        patched.setattr("gateway.buffer.Buffer.take_over", fail)
        with pytest.raises(WriteFailed):
            open_or_salvage(tmp_path, SMALL, 0, [rig.key.public], "1")
    assert path.read_bytes() == bytes(octets)
    _, salvaged = open_or_salvage(tmp_path, SMALL, 0, [rig.key.public], "2")
    assert salvaged is not None
    assert len(salvaged.whole) > 10


async def test_what_waits_is_sealed_ten_seconds_after_it_came(tmp_path: Path) -> None:
    """A long round does not delay the promise: its first answers are sealed while it goes on."""
    rig = Rig(tmp_path)
    rig.sealer.take([reading(rig.clock.utc_ms())])
    assert rig.sealer._wait_s() == SEAL_AFTER_MS / 1000
    rig.time.pass_ms(SEAL_AFTER_MS)
    task = asyncio.create_task(rig.sealer.run())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(rig.chain) == 1


async def test_a_round_does_not_wait_for_a_slow_disk_and_everything_is_sealed(tmp_path: Path) -> None:
    """G22: three rounds end while a commit takes its time; then all of their readings are sealed, each once."""
    rig, gate = Rig(tmp_path), asyncio.Event()

    class Stuck(InlineWriter):
        async def do(self, work: Callable[[], T]) -> T:
            await gate.wait()
            return await super().do(work)

    rig.sealer._writer = Stuck()
    for _ in range(3):
        rig.time.pass_ms(CADENCE_MS)
        rig.sealer.take([reading(rig.clock.utc_ms())])
        await rig.sealer.round_over()
    assert len(rig.chain) == 0
    gate.set()
    await rig.sealer.round_over()
    assert len(rig.buffer.known().slots["heat"]) == 3
    assert sum(len(_expanded_of(rig, entry.id).readings) for entry in rig.chain.entries()) == 3


async def test_a_page_that_did_not_read_once_is_no_damage(tmp_path: Path) -> None:
    """G05: SQLite says "malformed" where a read failed with EIO; the file reads, so it is asked again."""
    rig = Rig(tmp_path)
    await rig.seal(1)
    disk = rig.buffer._disk
    reader, fault = disk._reader, sqlite3.DatabaseError("database disk image is malformed")
    fault.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    class Hiccup:
        def execute(self, *_: object) -> sqlite3.Cursor:
            disk._reader = reader
            raise fault

    disk._reader = Hiccup()  # type: ignore[assignment]
    (entry,) = rig.chain.entries()
    assert rig.buffer.content(entry.id) is not None
    assert disk._reader is reader
