"""Invocation counters on the disk: none is handed out twice, whatever ends the process or brings the file back."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.counters import BEGIN_S, BLOCK, ENOUGH, FILE, CounterStore
from gateway.faults import CountersUnusable
from protocols.dlms.breaches import CountersSpent
from protocols.dlms.ciphering import MAX_COUNTER, Keys, Suite

ROOT = Path(__file__).resolve().parents[2]
KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(0xD0, 0xE0)))
OTHERS = Keys(Suite.AES_128, bytes(range(1, 17)), bytes(range(0xD0, 0xE0)))
TITLE = b"PLB\0\0\0\0\1"
NOW_MS = 1_795_310_000_000
NOW = NOW_MS // 1000 - BEGIN_S
KILLS = 8


def store(folder: Path, utc_ms: int = NOW_MS) -> CounterStore:
    return CounterStore(folder, lambda: utc_ms)


async def taken(of: CounterStore, count: int, keys: Keys = KEYS) -> list[int]:
    return [(await of.block(TITLE, keys)).take() for _ in range(count)]


async def test_counters_grow_through_blocks_and_processes(tmp_path: Path) -> None:
    """In one process without a gap; the next begins behind all that was promised."""
    first = await taken(store(tmp_path), BLOCK + 10)
    assert first == list(range(NOW, NOW + BLOCK + 10))
    second = await taken(store(tmp_path), 3)
    assert second[0] == NOW + 2 * BLOCK
    assert not set(first) & set(second)


async def test_two_processes_at_once_share_no_counter(tmp_path: Path) -> None:
    """The daemon and a technician's command, in turns."""
    stores = [store(tmp_path), store(tmp_path)]
    found: list[int] = []
    for _ in range(3):
        for each in stores:
            found += await taken(each, BLOCK)
    assert len(found) == len(set(found))


async def test_a_key_has_its_own_counters_whatever_meter_has_it(tmp_path: Path) -> None:
    """Another key begins anew; another title, too."""
    of = store(tmp_path)
    await taken(of, 5)
    assert (await taken(of, 1, OTHERS))[0] == NOW
    assert (await of.block(b"PLB\0\0\0\0\2", KEYS)).take() == NOW
    assert (await taken(of, 1))[0] == NOW + 5


async def test_a_lost_file_or_an_old_one_leads_back_to_no_counter(tmp_path: Path) -> None:
    """The disk was exchanged, or an image of it put back: counters go on above by the clock."""
    used = await taken(store(tmp_path), 100)
    shutil.copy(tmp_path / FILE, tmp_path / "image")
    used += await taken(store(tmp_path), 100)
    later_ms = NOW_MS + 30 * 86_400_000
    (tmp_path / FILE).unlink()
    assert min(await taken(store(tmp_path, later_ms), 1)) > max(used)
    shutil.copy(tmp_path / "image", tmp_path / FILE)
    assert min(await taken(store(tmp_path, later_ms), 1)) > max(used)


async def test_a_wrong_clock_uses_no_numbers_up_and_takes_none_back(tmp_path: Path) -> None:
    """In 1970, and in 2100."""
    assert await taken(store(tmp_path, 0), 2) == [1, 2]
    assert (await taken(store(tmp_path), 1))[0] == NOW
    assert (await taken(store(tmp_path, 4_102_444_800_000), 1))[0] == NOW + BLOCK


async def test_what_a_meter_heard_is_behind_the_next_block(tmp_path: Path) -> None:
    """Only ever upward."""
    of = store(tmp_path)
    await taken(of, 1)
    await of.raise_to(TITLE, KEYS, 3_000_000_000)
    assert (await taken(of, 1))[0] == 3_000_000_001
    await of.raise_to(TITLE, KEYS, 5)
    assert (await taken(of, 1))[0] >= 3_000_000_001 + BLOCK


async def test_the_last_counters_end_by_name(tmp_path: Path) -> None:
    """No number begins anew."""
    of = store(tmp_path)
    await of.raise_to(TITLE, KEYS, MAX_COUNTER - 2)
    assert await taken(of, 2) == [MAX_COUNTER - 1, MAX_COUNTER]
    for each in (of, store(tmp_path)):
        with pytest.raises(CountersSpent):
            await taken(each, 1)


async def test_what_came_from_a_meter_is_kept(tmp_path: Path) -> None:
    """By meter and key, over a restart."""
    of = store(tmp_path)
    assert await of.seen("main", KEYS) is None
    await of.saw("main", KEYS, 70)
    await of.saw("main", KEYS, 60)
    assert [await store(tmp_path).seen("main", KEYS), await of.seen("other", KEYS)] == [60, None]


async def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file in the folder's place, a damaged file: no counter is handed out."""
    for folder in (tmp_path / FILE, tmp_path):
        (tmp_path / FILE).write_bytes(b"no database" * 1_000)
        with pytest.raises(CountersUnusable):
            await taken(store(folder), 1)


async def test_no_key_can_be_read_out_of_the_file(tmp_path: Path) -> None:
    """And nobody else reads it at all."""
    await taken(store(tmp_path), 1)
    octets = (tmp_path / FILE).read_bytes()
    assert KEYS.encryption not in octets
    assert KEYS.encryption.hex().encode() not in octets
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    database = sqlite3.connect(tmp_path / FILE)
    assert [len(row[0]) for row in database.execute("SELECT id FROM counter")] == [16]
    database.close()


TAKER = """
import asyncio, os, sys
from pathlib import Path
from gateway.counters import CounterStore
from protocols.dlms.ciphering import Keys, Suite
keys = Keys(Suite.AES_128, bytes(range(16)), bytes(range(16)))
async def main():
    store = CounterStore(Path(sys.argv[1]), lambda: 1_795_310_000_000)
    while True:
        block = await store.block(b"PLB\\0\\0\\0\\0\\1", keys)
        for _ in range(700):
            os.write(1, b"%d\\n" % block.take())
asyncio.run(main())
"""


def test_no_counter_comes_twice_from_processes_that_are_killed(tmp_path: Path) -> None:
    """SIGKILL after so many numbers, wherever the next process finds the file."""
    found: list[int] = []
    for n in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", TAKER, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        found += [int(process.stdout.readline()) for _ in range(300 + 977 * n)]
        process.send_signal(signal.SIGKILL)
        found += [int(line) for line in process.stdout.read().split(b"\n")[:-1]]
        process.wait()
        process.stdout.close()
    assert len(found) > KILLS * ENOUGH
    assert len(found) == len(set(found))
