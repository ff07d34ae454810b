"""`buffer verify`: what is missing is explained by the rules, or named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from gateway_parts import Rig

from gateway.schema import BUFFER_FILE
from gateway.walk import walk


async def sealed(folder: Path, epochs: int = 1) -> Rig:
    """A buffer of four batches in each epoch."""
    rig = Rig(folder)
    for number in range(epochs):
        if number:
            rig.sealer.begin_epoch("start")
        await rig.seal(4)
    return rig


def cut(folder: Path, statement: str) -> None:
    """Change the file by hand."""
    with closing(sqlite3.connect(folder / BUFFER_FILE)) as database:
        database.execute(statement)
        database.commit()


async def test_a_whole_buffer_holds(tmp_path: Path) -> None:
    """Over two epochs, before and after what is stored made room."""
    rig = await sealed(tmp_path, 2)
    assert (walk(tmp_path).batches, walk(tmp_path).wrong, walk(tmp_path).holes) == (8, [], [])
    rig.buffer.close()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DELETE FROM content WHERE n = 2", "expected the content of the batch that was sealed here, got nothing"),
        ("DELETE FROM batch WHERE n = 3", "3 to 3: not there, never acknowledged"),
        ("DELETE FROM batch WHERE n = 8", "4: the newest batch is not there"),
        ("DELETE FROM batch WHERE n <= 4", "4 to 4: not there, never acknowledged"),
        ("DELETE FROM batch WHERE n IN (1, 2)", "1 to 2: not there, never acknowledged"),
    ],
)
async def test_what_no_rule_explains_is_named(tmp_path: Path, statement: str, named: str) -> None:
    """A content without its place, a batch in the middle, the newest one, a whole epoch, the first ones."""
    rig = await sealed(tmp_path, 2)
    rig.buffer.close()
    cut(tmp_path, statement)
    found = walk(tmp_path)
    assert len(found.wrong) == 1
    assert named in found.wrong[0]
    assert found.holes == []


async def test_what_was_declared_lost_is_a_place_and_no_fault(tmp_path: Path) -> None:
    """A batch that rotted is set aside: its place is known before the record of its loss is sealed, and after."""
    rig = await sealed(tmp_path)
    entry = list(rig.chain.entries())[1]
    rig.buffer.set_aside(entry.id, "PLB-X102")
    found = walk(tmp_path)
    assert (found.batches, found.wrong, len(found.holes)) == (3, [], 1)
    rig.buffer.close()
