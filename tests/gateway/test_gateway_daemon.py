"""The real daemon as a process beside simulated meters on a real terminal: killed, stopped, started twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protocols.uplink import body
from protocols.uplink.pack import Fields, unpack

CONFIG = """
gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "127.0.0.1"
port = 1
[[bus]]
name = "cellar"
port = "line"
[[bus.device]]
name = "heat"
address = 1
cadence_s = 1
[[bus.device]]
name = "water"
address = 3
cadence_s = 2
"""
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


class Site:
    """A folder with a configuration, meters and the daemon, all as processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        (folder / "gateway.toml").write_text(CONFIG)
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of our commands."""
        with (self.folder / "log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.children.append(child)
        return child

    def gateway(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of the gateway to its end."""
        line = [sys.executable, "-m", "gateway.cli", command, "--config", "gateway.toml", *arguments]
        return subprocess.run(
            line, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def daemon(self) -> subprocess.Popen[bytes]:
        """Start the daemon."""
        return self.start("gateway.cli", "run", "--config", "gateway.toml")

    def batches(self) -> list[dict[str, Any]]:
        """What the buffer holds."""
        done = self.gateway("batches", "--json")
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
        return found

    def until(self, condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Wait for a state of the buffer."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition(found := self.batches()):
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.1)
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Meters that answer and a gateway with keys, not enrolled: it reads and keeps."""
    made = Site(tmp_path)
    made.start("simulators.cli", "meters", "--link", "line", "--record", "record.jsonl")
    assert made.gateway("keys").returncode == 0
    yield made
    for child in made.children:
        child.kill()
        child.wait()


def slots(site: Site) -> list[tuple[str, int]]:
    """(device, slot) of every reading in the buffer, each batch exported and read back."""
    found = []
    for each in site.batches():
        done = site.gateway("export", "--seq", str(each["seq"]), "--epoch", each["epoch"], "--out", "one.batch")
        assert done.returncode == 0, done.stderr
        fields = Fields(unpack((site.folder / "one.batch").read_bytes(), 1 << 21, "file"), "file", 4)
        for name in ("form", "header", "signature"):
            assert fields.any(), name
        for reading in body.expand(fields.octets("body")).readings:
            assert reading.slot_ms is not None
            found.append((reading.device, reading.slot_ms))
    return found


@pytest.mark.slow
def test_killed_at_any_moment_it_keeps_every_sealed_batch_and_reads_no_slot_twice(site: Site) -> None:
    """Five kills: each start is a new epoch, nothing that was in the buffer is gone."""
    known: set[str] = set()
    for turn in range(5):
        daemon = site.daemon()
        count = len(known)
        found = site.until(lambda now, least=count + 1 + turn % 3: len(now) >= least)  # type: ignore[misc]
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        known |= {each["id"] for each in found}
        assert known <= {each["id"] for each in site.batches()}
    assert len({each["epoch"] for each in site.batches()}) >= 5
    read = slots(site)
    assert len(read) == len(set(read)) > 5


@pytest.mark.slow
def test_asked_to_stop_it_seals_what_is_in_hand_and_ends_well(site: Site) -> None:
    """G19: within 10 s, exit code 0, and the last batch tells of the stop."""
    daemon = site.daemon()
    before = site.until(lambda now: len(now) >= 2)
    daemon.terminate()
    assert daemon.wait(PATIENCE_S) == 0
    assert len(site.batches()) > len(before)
    status = json.loads(site.gateway("status", "--json").stdout)
    assert status["not_stored"] == status["batches"]


@pytest.mark.slow
def test_a_second_daemon_is_refused_at_once(site: Site) -> None:
    """G15: with its code, and the first one goes on."""
    site.daemon()
    site.until(lambda now: len(now) >= 1)
    second = site.gateway("run")
    assert second.returncode == 1
    assert "PLB-S202" in second.stderr
    count = len(site.batches())
    site.until(lambda now: len(now) > count)


def test_a_broken_configuration_names_every_fault_and_exits_with_1(tmp_path: Path) -> None:
    """G13."""
    site = Site(tmp_path)
    (tmp_path / "gateway.toml").write_text(CONFIG.replace("port = 1\n", "port = 0\n").replace("cadence_s = 2", ""))
    done = site.gateway("run")
    assert done.returncode == 1
    assert "broker.port" in done.stderr
    assert "bus[0].device[1].cadence_s" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gateway_without_a_buffer_says_so(tmp_path: Path) -> None:
    """The status of a daemon that never ran."""
    done = Site(tmp_path).gateway("status")
    assert done.returncode == 1
    assert "PLB-S206" in done.stderr
