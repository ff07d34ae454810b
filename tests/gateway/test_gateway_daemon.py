"""The real daemon as a process beside simulated meters on a real terminal: killed, stopped, started twice."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from processes import PATIENCE_S, Processes

from gateway.supervise import supervised
from protocols.transports.tasks import end
from protocols.uplink import body
from protocols.uplink.pack import Fields, unpack
from protocols.uplink.records import Unsealed

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
[[bus.device]]
name = "water"
address = 3
cadence_s = 2
"""


class Site(Processes):
    """A folder with a configuration, meters and the daemon, all as processes of their own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, CONFIG)

    def batches(self) -> list[dict[str, Any]]:
        """What the buffer holds."""
        done = self.gateway("batches", "--json")
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
        return found

    def held(self, condition: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
        """Wait for a state of the buffer, and give it."""
        found = list[dict[str, Any]]()

        def seen() -> object:
            found[:] = self.batches()
            return condition(found)

        self.until(seen)
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Meters that answer and a gateway with keys, not enrolled: it reads and keeps."""
    made = Site(tmp_path)
    made.start("simulators.cli", "meters", "--link", "line", "--record", "record.jsonl")
    assert made.gateway("keys").returncode == 0
    yield made
    made.end()


def contents(site: Site) -> Iterator[body.Expanded]:
    """The content of every batch in the buffer, exported and read back."""
    for each in site.batches():
        done = site.gateway("export", "--seq", str(each["seq"]), "--epoch", each["epoch"], "--out", "one.batch")
        assert done.returncode == 0, done.stderr
        fields = Fields(unpack((site.folder / "one.batch").read_bytes(), 1 << 21, "file"), "file", 4)
        for name in ("form", "header", "signature"):
            assert fields.any(), name
        yield body.expand(fields.octets("body"))


def slots(site: Site) -> list[tuple[str, int]]:
    """(device, slot) of every reading in the buffer."""
    readings = [reading for content in contents(site) for reading in content.readings]
    return [(each.device, each.slot_ms) for each in readings if each.slot_ms is not None]


@pytest.mark.slow
def test_killed_at_any_moment_it_keeps_every_sealed_batch_and_reads_no_slot_twice(site: Site) -> None:
    """Five kills: each start is a new epoch, nothing that was in the buffer is gone."""
    known: set[str] = set()
    for turn in range(5):
        daemon = site.daemon()
        count = len(known)
        found = site.held(lambda now, least=count + 1 + turn % 3: len(now) >= least)  # type: ignore[misc]
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
    before = site.held(lambda now: len(now) >= 2)
    daemon.terminate()
    assert daemon.wait(PATIENCE_S) == 0
    assert len(site.batches()) > len(before)
    status = json.loads(site.gateway("status", "--json").stdout)
    assert status["not_stored"] == status["batches"]


@pytest.mark.slow
def test_a_second_daemon_is_refused_at_once(site: Site) -> None:
    """G15: with its code, and the first one goes on."""
    site.daemon()
    site.held(lambda now: len(now) >= 1)
    second = site.gateway("run")
    assert second.returncode == 1
    assert "PLB-S202" in second.stderr
    count = len(site.batches())
    site.held(lambda now: len(now) > count)


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


def quarantined(site: Site) -> int:
    """How many readings are in quarantine."""
    done = site.gateway("status", "--json")
    found: int = json.loads(done.stdout)["quarantined"] if done.returncode == 0 else 0
    return found


def until_quarantined(site: Site, least: int) -> int:
    """Wait until so many are."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := quarantined(site)) < least:
        assert time.monotonic() < deadline, (site.folder / "log").read_text()[-3000:]
        time.sleep(0.1)
    return found


def unsealed(site: Site) -> list[tuple[str, int]]:
    """(device, slot) of every `unsealed` record in the buffer."""
    found = []
    for content in contents(site):
        records = [each.reading for each in content.records if isinstance(each, Unsealed)]
        found += [(each.device, each.slot_ms) for each in records if each.slot_ms is not None]
    return found


@pytest.mark.slow
def test_without_a_key_readings_wait_in_quarantine_and_are_sealed_as_what_they_are(site: Site) -> None:
    """G12: metering goes on, kill -9 loses nothing of it, the key's return seals it, and no slot is read twice."""
    daemon = site.daemon()
    site.held(lambda found: sum(each["readings"] for each in found) >= 3)
    daemon.kill()
    daemon.wait()
    sealed = slots(site)
    key, aside = site.folder / "keys" / "sealing.pem", site.folder / "sealing.pem"
    key.rename(aside)
    daemon = site.daemon()
    until_quarantined(site, 3)
    daemon.kill()
    daemon.wait()
    before = quarantined(site)
    assert before >= 3
    daemon = site.daemon()
    until_quarantined(site, before + 2)
    aside.rename(key)
    deadline = time.monotonic() + PATIENCE_S
    while quarantined(site):
        assert time.monotonic() < deadline, (site.folder / "log").read_text()[-3000:]
        time.sleep(0.1)
    held = sum(each["readings"] for each in site.batches())
    site.held(lambda found: sum(each["readings"] for each in found) >= held + 2)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE_S) == 0
    late = unsealed(site)
    assert len(late) >= before + 2
    everything = [*slots(site), *late]
    assert set(sealed) <= set(everything)
    assert len(everything) == len(set(everything)), "no slot twice, sealed or not"


def test_a_gateway_that_never_had_a_key_does_not_start(tmp_path: Path) -> None:
    """It is the set-up that lacks keys: say so instead of filling a quarantine."""
    site = Site(tmp_path)
    done = site.gateway("run")
    assert done.returncode == 1
    assert "PLB-X109" in done.stderr


async def test_a_part_that_swallows_a_cancellation_is_told_again() -> None:
    """As Python 3.11's wait_for does at a bad moment; supervised or not, the daemon's stop does not wait for ever."""
    swallowed = 0

    async def part() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    bare, kept = asyncio.create_task(part()), asyncio.create_task(supervised("part", part))
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert await end([bare, kept]) == 0
    assert swallowed >= 2


async def test_a_part_that_never_ends_is_left_behind_and_counted() -> None:
    """The last seal does not wait for it."""
    stop = asyncio.Event()

    async def stubborn() -> None:
        while not stop.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert await end([task]) == 1
    stop.set()
    task.cancel()
