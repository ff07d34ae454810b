"""The real daemon while the clock of its machine jumps, and when it starts in 1970: what it seals then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import events
from gateway.clock import BUILD_MS
from gateway.faults import BufferMissing
from gateway.status import bodies
from protocols.uplink import body
from protocols.uplink.records import Event, Parameter, Record, TimeCorrection
from simulators.torture.clock import FakeClock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FakeClock.why_not() is not None, reason=str(FakeClock.why_not())),
]
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
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
MOST = 1_000  # batches of a buffer that are looked through


class Site:
    """A meter and a gateway as processes, the gateway on a clock that can be set."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, FakeClock(folder / "clock")
        self.clock.step(0)
        (folder / "gateway.toml").write_text(CONFIG)
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start one of our commands."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self.folder / "log").open("ab") as log:
            line = [*prefix, sys.executable, "-m", *command]
            child = subprocess.Popen(line, cwd=self.folder, env=environment, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def daemon(self) -> subprocess.Popen[bytes]:
        """Start the daemon."""
        return self.start("gateway.cli", "run", "--config", "gateway.toml", prefix=self.clock.prefix)

    def sealed(self) -> tuple[list[body.Expanded], list[Record]]:
        """What the buffer holds, oldest first, and all records in it."""
        try:
            found = [body.expand(each) for each in bodies(self.folder / "state", MOST)][::-1]
        except BufferMissing:
            found = []
        return found, [each for content in found for each in content.records]

    def told(self, code: str) -> list[tuple[Parameter, ...]]:
        """The parameters of the events of this code."""
        return [each.parameters for each in self.sealed()[1] if isinstance(each, Event) and each.code == code]

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that the daemon does."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.2)

    def readings(self) -> int:
        """How many are sealed."""
        return sum(len(each.readings) for each in self.sealed()[0])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A meter that answers, and a gateway with keys."""
    made = Site(tmp_path)
    made.start("simulators.cli", "meters", "--link", "line", "--record", "record.jsonl")
    assert made.start("gateway.cli", "keys", "--config", "gateway.toml").wait(PATIENCE_S) == 0
    yield made
    for child in made.children:
        child.kill()
        child.wait()
    made.clock.clean(child.pid for child in made.children)


def test_each_step_of_the_clock_is_an_event_and_above_nine_seconds_it_names_the_slots(site: Site) -> None:
    """G10: eight seconds mark nothing, forty those in which the clock was before and after; no slot is read twice."""
    site.daemon()
    site.until(lambda: site.readings() >= 2)
    site.clock.step(8)
    site.until(lambda: len(site.told(events.CLOCK_STEP)) == 1)
    site.clock.step(-32)
    site.until(lambda: len(site.told(events.CLOCK_STEP)) == 2)
    small, large = site.told(events.CLOCK_STEP)
    assert len(small) == 1
    by_ms, mark, before_ms, after_ms = large
    assert mark == "adjusted"
    assert isinstance(by_ms, int)
    assert isinstance(before_ms, int)
    assert isinstance(after_ms, int)
    assert by_ms < -30_000
    assert before_ms + by_ms <= after_ms
    slots = [each.slot_ms for content in site.sealed()[0] for each in content.readings]
    assert len(slots) == len(set(slots))


def test_started_in_1970_it_reads_marks_everything_and_corrects_when_the_clock_is_set(site: Site) -> None:
    """G09: nothing is lost over a kill, nothing is good until then, and a sealed record says by how much it was off."""
    site.clock.step(-int(time.time()))
    daemon = site.daemon()
    site.until(lambda: site.readings() >= 2)
    before = site.readings()
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    site.daemon()
    site.until(lambda: site.readings() >= before + 2)
    found = [each for content in site.sealed()[0] for each in content.readings]
    assert not [each for each in found if each.quality.synchronised or each.quality.uncertainty_ms is not None]
    assert all(each.at_ms >= BUILD_MS for each in found)
    assert len({each.slot_ms for each in found}) == len(found)
    site.clock.step(0)
    site.until(lambda: any(isinstance(each, TimeCorrection) for each in site.sealed()[1]))
    (step,) = site.told(events.CLOCK_STEP)
    assert step[1] == "invalid"
