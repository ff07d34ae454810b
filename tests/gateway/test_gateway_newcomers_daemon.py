"""A meter is replaced under the daemon that selects it by its number, on real processes: found, proposed, exchanged."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import newcomers, status
from gateway.config_file import read_configuration
from gateway.faults import BufferDamaged, BufferMissing
from protocols.uplink import batch as batches
from protocols.uplink import body
from protocols.uplink.leaf import SealedReading
from protocols.uplink.records import Event

OLD, NEW = "60300001", "60300099"
CADENCE_MS = 5_000
CONFIG = f"""\
gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[newcomers]
after_s = 10
[broker]
host = "127.0.0.1"
port = 1
[[bus]]
name = "cellar"
protocol = "mbus"
LINE
baud = 38400
[[bus.device]]
name = "heat"
secondary = "{OLD}"
medium = 4
cadence_s = 5
[[bus.device]]
name = "error"
address = 2
cadence_s = 5
[[bus.device]]
name = "water"
secondary = "07712233"
cadence_s = 5
"""
HEALTHY = ("error", "water")
ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0


class Site:
    """Simulated meters of which one can be exchanged, and a gateway's folder."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.file = folder, folder / "gateway.toml"
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.children: list[subprocess.Popen[bytes]] = []
        more = ("--converter-port", "0") if kind == "tcp" else ()
        arguments = ("meters", "--link", "line", "--record", "record.jsonl", "--swap", f"1={NEW}", *more)
        self.meters = self.start("simulators.cli", *arguments)
        self.until(lambda: (folder / "line").is_symlink() and (not more or "tcp://" in self.log()))
        found = re.search(r"tcp://\S+", self.log())
        self.file.write_text(CONFIG.replace("LINE", f'url = "{found[0]}"' if found else 'port = "line"'))
        assert self.gateway("keys").returncode == 0

    def log(self) -> str:
        """What the processes said."""
        return (self.folder / "log").read_text()

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of our commands."""
        with (self.folder / "log").open("ab") as log:
            line = [sys.executable, "-m", module, *arguments]
            child = subprocess.Popen(line, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def daemon(self) -> subprocess.Popen[bytes]:
        """Start the daemon."""
        return self.start("gateway.cli", "run", "--config", "gateway.toml")

    def gateway(self, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command of the gateway to its end."""
        command, *rest = arguments
        line = [sys.executable, "-m", "gateway.cli", command, *rest, "--config", "gateway.toml"]
        return subprocess.run(
            line,
            cwd=self.folder,
            env=self.environment,
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.1)

    def contents(self) -> Iterator[body.Expanded]:
        """All that was sealed."""
        state = self.folder / "state"
        try:
            keys = status.own_keys(state)
            for each in status.list_batches(state):
                found = status.content(state, bytes.fromhex(each.id))
                assert found is not None
                batch = batches.parse(found)
                yield batches.expand(batch.header, batches.verify(batch, keys[batch.header.key]))
        except (BufferMissing, BufferDamaged):  # it is just being made
            return

    def readings(self, device: str) -> list[SealedReading]:
        """Those of a device."""
        return [each for found in self.contents() for each in found.readings if each.device == device]

    def events(self, code: str) -> list[Event]:
        """The events with this code."""
        records = (each for found in self.contents() for each in found.records)
        return [each for each in records if isinstance(each, Event) and each.code == code]

    def selections(self) -> int:
        """How far the search is, as the state folder has it."""
        found = newcomers.read(self.folder / "state").get("cellar")
        return 0 if found is None else found.selections


@pytest.fixture(params=["pty", "tcp"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Meters that answer, and a gateway with keys, not enrolled: it reads and keeps."""
    made = Site(tmp_path, request.param)
    yield made
    for child in made.children:
        child.kill()
        child.wait()


@pytest.mark.timeout(300)
def test_a_meter_that_is_replaced_under_the_daemon_is_found_and_exchanged(site: Site) -> None:
    """Over a kill in the middle of the search; the healthy ones are read in every slot of each process."""
    daemon = site.daemon()
    site.until(lambda: len(site.readings("heat")) > 1)
    site.meters.send_signal(signal.SIGUSR2)
    site.until(lambda: site.selections() >= 4)
    killed_ms = time.time_ns() // 1_000_000
    daemon.kill()
    daemon.wait()
    before = site.selections()
    daemon = site.daemon()
    site.until(lambda: bool(site.events("newcomer-found")))
    assert site.selections() >= before
    (reading,) = site.readings(f"newcomer {NEW}")
    assert (reading.meter.id, reading.slot_ms) == (NEW, None)
    up_ms = site.events("start")[-1].when.at_ms
    for name in HEALTHY:
        slots = [each.slot_ms for each in site.readings(name) if each.slot_ms is not None]
        lost = set(range(slots[0], slots[-1], CADENCE_MS)) - set(slots)
        assert len(slots) == len(set(slots))
        assert all(killed_ms - CADENCE_MS < each <= up_ms for each in lost), name
    (shown,) = json.loads(site.gateway("status", "--json").stdout)["newcomers"]
    assert (shown["bus"], shown["number"], shown["exchange"]) == ("cellar", NEW, "heat")
    assert f'exchange "heat" --to {NEW}' in site.gateway("check").stdout
    done = site.gateway("exchange", "heat", said="y\ny\ny\n")
    assert done.returncode == 0, done.stderr
    assert f"KAM {NEW} version 35 medium 04 was found on the line cellar: is it the new meter?" in done.stderr
    assert read_configuration(site.file).bus[0].device[0].identity.id == NEW
    assert json.loads(site.gateway("status", "--json").stdout)["newcomers"] == []
    daemon.terminate()
    daemon.wait()
    site.daemon()
    site.until(lambda: NEW in {each.meter.id for each in site.readings("heat") if each.slot_ms is not None})
