"""A stop in the middle of a seal: what is in hand is committed all the same, and the last word too."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from gateway_parts import Rig, reading

from gateway import events
from gateway.writer import ThreadWriter


async def test_a_flush_that_is_cancelled_while_the_disk_writes_leaves_nothing_behind(tmp_path: Path) -> None:
    """As a daemon's stop does to its sealer: the next batch stands behind what was committed, not in its place."""
    rig = Rig(tmp_path)
    writer, gate = ThreadWriter(), threading.Event()
    rig.sealer._writer = writer
    slow = asyncio.create_task(writer.do(gate.wait))  # a disk that takes its time: what is written waits behind it
    rig.sealer.take([reading(rig.clock.utc_ms())])
    cancelled = asyncio.create_task(rig.sealer.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert cancelled.cancelled()
    rig.sealer.note_event(events.STOP)
    gate.set()
    await rig.sealer.flush()
    await slow
    held = sorted(entry.seq for entry in rig.chain.entries())
    assert rig.sealer._pending is None
    assert held == [1, 2]
    assert [entry.seq for entry in rig.buffer.chain().entries()] == held
    writer.close()
    rig.buffer.close()
