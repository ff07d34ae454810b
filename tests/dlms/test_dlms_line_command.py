"""The command `plomba-simulator dlms-line`, and its faults."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocols.dlms.access import Access
from protocols.dlms.objects import DEVICE_ID, text_of
from protocols.dlms.opening import Opening
from protocols.dlms.timing import Timing
from protocols.transports.dlms import associated_on
from protocols.transports.exchange import Clock
from protocols.transports.optical import opened_in_mode_e
from protocols.transports.serial import SerialLine
from simulators.cli import main
from simulators.dlms.line_faults import KINDS, LineFaults, spoil

START_S = 30.0  # a busy machine


async def test_meters_of_the_command_are_read_until_it_is_stopped(tmp_path: Path, clock: Clock) -> None:
    """Two optical ports on one line; SIGTERM takes the line away."""
    link = tmp_path / "line"
    words = ("dlms-line", "--link", str(link), "--record", str(tmp_path / "r.jsonl"), "--mode-e", "--faults", "echo")
    run = "from simulators.cli import main; main()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", run, *words, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    async with asyncio.timeout(START_S):
        said = [(await process.stderr.readline()).decode() for _ in range(3)]
    assert said[0].startswith(f"2 meters on {link}")
    assert "300 baud, then 9600: /LGZ5\\2ZMD" in said[0]
    port = SerialLine.open(str(link), 9_600, "8N1")
    for n, serial in enumerate(("80000001", "80000002")):
        opened = await opened_in_mode_e(port, Opening(serial))
        access = Access(physical=17 + n)
        async with associated_on(port, access, clock, Timing(opened.baud, answer_ms=1_000)) as association:
            assert text_of((await association.get(DEVICE_ID)).data) == serial
    port.close()
    process.send_signal(signal.SIGTERM)
    assert (await process.communicate())[1] == b"stopped\n"
    assert (process.returncode, link.is_symlink()) == (0, False)


@pytest.mark.parametrize("written", ["nois=0.1", "noise", "noise=2", "noise=0.6,late=0.6"])
def test_faults_that_cannot_be_are_refused(tmp_path: Path, written: str) -> None:
    """Before a line is there."""
    words = ["dlms-line", "--link", str(tmp_path / "line"), "--record", str(tmp_path / "r.jsonl"), "--faults", written]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 2
    assert "expected" in found.output
    assert not (tmp_path / "line").exists()


def test_faults_are_the_same_for_the_same_seed() -> None:
    """And each does what it says."""
    written = "noise=0.1,late=0.1,garble=0.1,silent=0.1,partial=0.1,twice=0.1,stutter=0.1,flag=0.1,echo,half_open"
    faults = LineFaults.parse(written)
    assert (faults.echo, faults.half_open, {kind for kind, _ in faults.odds}) == (True, True, set(KINDS))
    one, other = random.Random(5), random.Random(5)
    assert [faults.draw(one) for _ in range(50)] == [faults.draw(other) for _ in range(50)]
    frame = bytes(range(1, 60))
    spoilt = {kind: spoil(frame, kind, random.Random(1)) for kind in (*KINDS, None)}
    assert spoilt[None] == spoilt["late"] == spoilt["stutter"] == frame
    assert spoilt["noise"].endswith(frame)
    assert (spoilt["silent"], spoilt["twice"]) == (b"", frame + frame)
    assert spoilt["flag"].endswith(frame)
    assert frame.startswith(spoilt["partial"])
    assert sum(a != b for a, b in zip(frame, spoilt["garble"], strict=True)) == 1
