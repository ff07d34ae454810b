"""The service manager hears that the daemon is ready, lives and stops; a loop that hangs says nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import PATIENCE_S, Processes

from gateway.manager import LIVES, NOBODY, READY, STOPPING, Manager

CONFIG = """
gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "127.0.0.1"
port = 1
[[bus]]
name = "cellar"
protocol = "mbus"
port = "line"
[[bus.device]]
name = "heat"
address = 1
cadence_s = 1
"""
PERIOD_S = 0.3  # of the manager's patience in these tests


class Ear:
    """The manager's socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(PATIENCE_S)

    def hear(self) -> str:
        """The next word."""
        return self.socket.recv(100).decode()

    def until(self, word: str) -> list[str]:
        """The words up to and with this one."""
        found = [self.hear()]
        while found[-1] != word:
            found.append(self.hear())
        return found

    def waiting(self) -> list[str]:
        """What is there already."""
        found = []
        self.socket.setblocking(False)
        try:
            while True:
                found.append(self.socket.recv(100).decode())
        except BlockingIOError:
            self.socket.settimeout(PATIENCE_S)
        return found


def hashes(site: Processes) -> set[bytes]:
    """Of the telegrams whose readings are sealed."""
    return {each.raw_hash for found in site.contents() for each in found.readings}


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """A socket in a folder of the test's own."""
    found = Ear(str(tmp_path / "notify"))
    yield found
    found.socket.close()


@pytest.fixture
def site(tmp_path: Path, ear: Ear) -> Iterator[Processes]:
    """A gateway's folder and its meters, under a manager."""
    found = Processes(tmp_path, CONFIG)
    found.meters("meters")
    assert found.gateway("keys").returncode == 0
    found.environment |= {"NOTIFY_SOCKET": ear.socket.getsockname(), "WATCHDOG_USEC": str(int(PERIOD_S * 1_000_000))}
    yield found
    found.end()


def test_g16_a_daemon_that_hangs_is_not_said_to_live_and_one_that_is_started_anew_goes_on(
    site: Processes, ear: Ear
) -> None:
    """As systemd does with WatchdogSec: no word for so long, SIGABRT, and a new start."""
    child = site.daemon()
    assert ear.until(READY).count(STOPPING) == 0
    for _ in range(3):
        ear.until(LIVES)
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    ear.waiting()
    time.sleep(3 * PERIOD_S)
    assert ear.waiting() == []
    sealed = hashes(site)
    child.send_signal(signal.SIGABRT)
    child.send_signal(signal.SIGCONT)
    assert child.wait(PATIENCE_S) == -signal.SIGABRT
    child = site.daemon()
    ear.until(READY)
    # The kernel keeps but a few words (net.unix.max_dgram_qlen): they are taken meanwhile.
    site.until(lambda: bool(ear.waiting()) and sealed < hashes(site))
    ear.waiting()
    child.terminate()
    ear.until(STOPPING)
    assert child.wait(PATIENCE_S) == 0


async def test_it_is_the_loop_itself_that_says_it_lives(ear: Ear) -> None:
    """While a part holds the loop nothing is said, though other threads could."""
    living = asyncio.create_task(Manager(ear.socket.getsockname(), PERIOD_S).live())
    await asyncio.to_thread(ear.until, LIVES)
    ear.waiting()
    time.sleep(2 * PERIOD_S)  # noqa: ASYNC251 - this is what hangs
    assert ear.waiting() == []
    await asyncio.to_thread(ear.until, LIVES)
    living.cancel()


def test_who_is_told_and_how_often_is_what_the_environment_says() -> None:
    """None without a manager, one for another process, and times that are none."""
    address = {"NOTIFY_SOCKET": "@plomba"}
    assert Manager.of({}, 7) == NOBODY
    assert Manager.of(address, 7) == Manager("@plomba")
    assert Manager.of({**address, "WATCHDOG_USEC": "30000000"}, 7) == Manager("@plomba", 30)
    assert Manager.of({**address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 7) == Manager("@plomba")
    for none in ("", "0", "-1", "x", "1.5"):
        assert Manager.of({**address, "WATCHDOG_USEC": none}, 7).patience_s is None


def test_a_name_that_stands_in_the_kernel_alone_is_told_too_and_nobody_there_is_no_fault() -> None:
    """Manager and daemon in two containers have no folder in common."""
    name = f"plomba-{os.getpid()}"
    there = Ear("\0" + name)
    Manager("@" + name).tell(READY)
    assert there.hear() == READY
    there.socket.close()
    Manager("@" + name).tell(READY)
    Manager("/nowhere/at/all").tell(READY)
