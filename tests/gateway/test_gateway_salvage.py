"""What is taken out of a damaged buffer, beside what SQLite itself still reads of it."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from gateway_parts import Rig

from gateway import schema
from gateway.salvage import open_or_salvage
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink.envelope import Codec, Content
from protocols.uplink.keys import PublicKey

SMALL = 4 * 1024 * 1024


@pytest.mark.parametrize("seed", range(12))
async def test_a_page_that_does_not_read_costs_no_batch_beside_it(tmp_path: Path, seed: int) -> None:
    """What SQLite gives when it is asked for each batch alone is what is salvaged."""
    rig = Rig(tmp_path, max_bytes=SMALL)
    await rig.seal(60)
    rig.buffer.close()
    path, dice = tmp_path / schema.BUFFER_FILE, random.Random(seed)
    octets = bytearray(path.read_bytes())
    for _ in range(3):
        page = dice.randrange(8, len(octets) // 4096)
        octets[page * 4096 : page * 4096 + 4096] = dice.randbytes(4096)
    path.write_bytes(octets)
    buffer, salvaged = open_or_salvage(tmp_path, SMALL, 0, [rig.key.public], "1")
    buffer.close()
    if salvaged is not None:
        there = {seq for seq in range(1, 61) if _reads(salvaged.aside, seq, rig.key.public)}
        assert {batch.header.seq for batch, _ in salvaged.whole} == there


def _reads(path: Path, n: int, key: PublicKey) -> bool:
    """Whether the row reads by itself, and holds a batch whose seal holds."""
    question = "SELECT header, signature, codec, body FROM content WHERE n = ?"
    try:
        with closing(sqlite3.connect(path)) as database:
            row = database.execute(question, (n,)).fetchone()
        header, signature, codec, body = row
        batches.verify(batches.parse(Content(header, signature, Codec(codec), body)), key)
    except (sqlite3.DatabaseError, PlombaError, TypeError, ValueError):
        return False
    return True
