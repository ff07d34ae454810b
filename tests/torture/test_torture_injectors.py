"""The cable and the clock of the torture run do what they say: a pulled cable is silent, only the wall clock moves."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulators.mbus.lines import PER_LINE, plates
from simulators.site.parts import PartError
from simulators.torture.cable import Cable
from simulators.torture.clock import SHARED, FakeClock

SOON_S = 0.5
ANSWER_S = 15.0
TALKER = """
import socket, sys
line = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
while octets := line.recv(100):
    line.sendall(octets)
"""
CLOCKS = """
import json, sys, time
for line in sys.stdin:
    print(json.dumps([time.time(), time.monotonic()]), flush=True)
"""


@pytest.fixture
async def cable(tmp_path: Path) -> AsyncIterator[Cable]:
    """One that is plugged."""
    found = Cable("test", tmp_path)
    try:
        await found.plug()
    except PartError as error:
        pytest.skip(str(error))
    yield found
    await found.unplug()


async def test_a_pulled_cable_is_silent_and_what_was_sent_arrives_when_it_is_back(cable: Cable) -> None:
    """The connection stays open at both ends all the while."""
    loop = asyncio.get_running_loop()
    with socket.create_server((cable.here, 0)) as server:
        server.setblocking(False)
        port = str(server.getsockname()[1])
        talker = await asyncio.create_subprocess_exec(*cable.prefix, sys.executable, "-c", TALKER, cable.here, port)
        connection, _ = await asyncio.wait_for(loop.sock_accept(server), ANSWER_S)
    with connection:
        await loop.sock_sendall(connection, b"plugged")
        assert await asyncio.wait_for(loop.sock_recv(connection, 100), ANSWER_S) == b"plugged"
        await cable.pull()
        await loop.sock_sendall(connection, b"pulled")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_recv(connection, 100), SOON_S)
        await cable.push()
        assert await asyncio.wait_for(loop.sock_recv(connection, 100), ANSWER_S) == b"pulled"
    assert await asyncio.wait_for(talker.wait(), ANSWER_S) == 0


async def test_a_cable_leaves_nothing_behind(cable: Cable) -> None:
    """Its end here goes with the namespace."""
    assert cable.end in _interfaces()
    await cable.unplug()
    async with asyncio.timeout(ANSWER_S):
        while cable.end in _interfaces():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.05)


def _interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


@pytest.mark.skipif(FakeClock.why_not() is not None, reason=str(FakeClock.why_not()))
def test_a_stepped_clock_moves_the_wall_clock_of_a_running_process_and_no_other_clock(tmp_path: Path) -> None:
    """There, and back again."""
    clock = FakeClock(tmp_path / "clock")
    clock.step(0)
    command = [*clock.prefix, sys.executable, "-c", CLOCKS]
    shown: list[tuple[float, float]] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for by_s in (0, 3_600, -3_600, 0):
            clock.step(by_s)
            process.stdin.write("\n")
            process.stdin.flush()
            shown.append(tuple(json.loads(process.stdout.readline())))
        process.stdin.close()
    began = shown[0]
    steps = [round(wall - began[0] - (mono - began[1])) for wall, mono in shown]
    assert steps == [0, 3_600, -3_600, 0]
    assert all(0 <= mono - began[1] < 60 for _, mono in shown)


@pytest.mark.skipif(FakeClock.why_not() is not None, reason=str(FakeClock.why_not()))
def test_what_a_killed_process_leaves_of_its_clock_is_removed(tmp_path: Path) -> None:
    """The library's shared memory."""
    clock = FakeClock(tmp_path / "clock")
    clock.step(0)
    command = [*clock.prefix, sys.executable, "-c", CLOCKS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        process.kill()
    assert list(SHARED.glob(f"*faketime*_{process.pid}"))
    clock.clean([process.pid])
    assert not list(SHARED.glob(f"*faketime*_{process.pid}"))


def test_a_house_has_as_many_meters_as_wanted_each_with_its_own_number_and_a_place_on_a_line() -> None:
    """Addresses are unique on a line, numbers everywhere."""
    lines = plates(7, 2 * PER_LINE + 1)
    assert [len(line) for line in lines] == [PER_LINE, PER_LINE, 1]
    numbers = [plate.number for house in (lines, plates(8, 3)) for line in house for plate in line]
    assert len(set(numbers)) == len(numbers)
    assert all(len({plate.address for plate in line}) == len(line) for line in lines)


def test_a_cable_needs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not root is told, and the run goes on without it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PartError, match="need root"):
        asyncio.run(Cable("test", tmp_path).plug())
