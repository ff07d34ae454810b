"""A meter is replaced under the daemon that selects it by its number, on real processes: found, proposed, exchanged."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Processes

from gateway import newcomers
from gateway.config_file import read_configuration
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


class Site(Processes):
    """Simulated meters of which one can be exchanged, and a gateway's folder."""

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__(folder)
        more = ("--converter-port", "0") if kind == "tcp" else ()
        self.house = self.meters("meters", "--swap", f"1={NEW}", *more)
        self.until(lambda: not more or "tcp://" in self.log())
        found = re.search(r"tcp://\S+", self.log())
        self.file.write_text(CONFIG.replace("LINE", f'url = "{found[0]}"' if found else 'port = "line"'))
        assert self.gateway("keys").returncode == 0

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
    made.end()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_meter_that_is_replaced_under_the_daemon_is_found_and_exchanged(site: Site) -> None:
    """Over a kill in the middle of the search; the healthy ones are read in every slot of each process."""
    daemon = site.daemon()
    site.until(lambda: len(site.readings("heat")) > 1)
    site.house.send_signal(signal.SIGUSR2)
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
