"""The journey as a user runs it: every part a process, kills from a seed, a cut link, and a count that holds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.site.link import Link

COMMAND = Path(sys.executable).parent / "plomba-simulator"
FIELDS = {
    *("meters", "readings_produced", "readings_stored", "lost", "twice", "altered", "seal_failures", "seconds"),
}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_site_whose_parts_are_killed_loses_nothing(tmp_path: Path) -> None:
    """`make demo-check KILL=11`, with nothing in the environment but PATH and HOME."""
    command = (str(COMMAND), "demo-check", "--run-folder", str(tmp_path / "run"), "--kill-seed", "11")
    bare = {name: os.environ[name] for name in ("PATH", "HOME")}
    done = subprocess.run(command, capture_output=True, text=True, env=bare, timeout=200, check=False)
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, (result, done.stderr)
    assert result.keys() >= FIELDS
    assert (result["lost"], result["twice"], result["altered"], result["seal_failures"]) == (0, 0, 0, 0)
    assert result["meters"] == 6
    assert result["rows_produced"] == result["rows_stored"] > 100
    assert result["kills"] >= 5
    assert not list((tmp_path / "run").glob("*.pid"))


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    """The run folder is emptied at the start: only ours may be."""
    (tmp_path / "precious").write_text("letters")
    command = (str(COMMAND), "demo-check", "--run-folder", str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "choose another --run-folder" in done.stderr
    last = json.loads(done.stdout.strip().splitlines()[-1])
    assert last["result"] == "not counted"
    assert last.keys() >= FIELDS
    assert (tmp_path / "precious").read_text() == "letters"


async def test_a_cut_link_breaks_what_is_open_and_refuses_what_comes() -> None:
    """And lets everything through again when it is mended."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    link = Link(server.sockets[0].getsockname()[1])
    await link.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"through")
    assert await reader.readexactly(7) == b"through"
    link.cut()
    assert await _ended(reader)
    late, late_writer = await asyncio.open_connection("127.0.0.1", link.port)
    assert await _ended(late)
    link.mend()
    again, again_writer = await asyncio.open_connection("127.0.0.1", link.port)
    again_writer.write(b"again")
    assert await again.readexactly(5) == b"again"
    for each in (writer, late_writer, again_writer):
        each.close()
    await link.stop()
    server.close()


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True
