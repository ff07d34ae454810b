"""`time`: our clock, its jumps, and how far each meter's is from it, with and without a daemon."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from gateway_parts import GOOD, NOW_MS, Rig, Time, reading

from gateway import events, watches
from gateway.about import About, Jump, Ticking
from gateway.answers import Answers
from gateway.cli import main
from gateway.clock import STEPS, GatewayClock
from gateway.local import serving
from gateway.lock import FolderLock
from gateway.watches import MOST_BATCHES, lines, read_clocks, watch_of
from gateway.writer import InlineWriter
from protocols.reading import MeterTime, Precision, TimeQuality
from protocols.uplink.header import ClockSource, ClockState, Core
from protocols.uplink.leaf import SealedReading

EPOCH_S = 946_684_800  # 2000-01-01 UTC
CONFIG = """
gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "b.example"
port = 1
[[bus]]
name = "riser"
protocol = "mbus"
port = "/dev/none"
[[bus.device]]
name = "heat"
address = 1
cadence_s = 900
[[bus.device]]
name = "water"
address = 2
cadence_s = 900
"""


def shown_at(at_ms: int, ahead_s: int, deviation_min: int | None, precision: Precision = Precision.SECOND) -> MeterTime:
    """A meter's clock that is ahead of ours by so much."""
    seconds = at_ms // 1000 - EPOCH_S + ahead_s + 60 * (deviation_min or 0)
    return MeterTime(seconds, precision, False, deviation_min)


def sealed(
    ahead_s: int = 0,
    deviation_min: int | None = 60,
    quality: TimeQuality = GOOD,
    precision: Precision = Precision.SECOND,
) -> tuple[SealedReading, MeterTime]:
    """A reading at NOW_MS and the time that its meter showed."""
    time = shown_at(NOW_MS, ahead_s, deviation_min, precision)
    return SealedReading.of(replace(reading(NOW_MS, quality=quality), meter_time=time)), time


@pytest.mark.parametrize("ahead_s", [0, 8, -40, 3600])
def test_drift_is_of_the_middle_of_what_is_shown_with_all_that_is_not_known(ahead_s: int) -> None:
    """Half a second of resolution, and what was not known of the exchange's middle; the zone is the meter's."""
    found, shown = sealed(ahead_s)
    watch = watch_of(found, shown)
    assert watch.drift_ms == 1000 * ahead_s + 500
    assert watch.uncertainty_ms == 500 + 5
    assert watch_of(*sealed(precision=Precision.MINUTE)).uncertainty_ms == 30_000 + 5


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (sealed(deviation_min=None), "it shows no offset from UTC"),
        (sealed(quality=TimeQuality(False, None)), "our own clock was not synchronised"),
        (sealed(quality=TimeQuality(False, 20_000)), "our own clock was not synchronised"),
    ],
)
def test_a_drift_that_is_not_known_says_why(given: tuple[SealedReading, MeterTime], why: str) -> None:
    """No zone is guessed."""
    watch = watch_of(*given)
    assert (watch.drift_ms, watch.uncertainty_ms, watch.why) == (None, None, why)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A gateway whose buffer holds two readings of a meter's clock, the newer one 40 s ahead, and a jump of ours."""
    (tmp_path / "gateway.toml").write_text(CONFIG)
    (tmp_path / "state").mkdir()
    rig = Rig(tmp_path / "state")
    for ahead_s in (8, 40):
        rig.time.pass_ms(900_000)
        at_ms = rig.clock.utc_ms()
        rig.sealer.take([replace(reading(at_ms), meter_time=shown_at(at_ms, ahead_s, 0))])
        rig.sealer.note_event(events.CLOCK_STEP, 1000 * ahead_s)
        asyncio.run(rig.sealer.flush())
    rig.buffer.close()
    return tmp_path


def test_without_a_daemon_the_newest_reading_of_each_meter_and_the_jumps_are_shown(site: Path) -> None:
    """And which meters were not seen."""
    found = read_clocks(site / "state", frozenset({"heat", "water"}))
    assert (found.daemon, found.silent, found.unseen) == (None, "no daemon runs", ("water",))
    assert [(each.device, each.drift_ms) for each in found.watches] == [("heat", 40_500 - NOW_MS % 1000)]
    assert [each.by_ms for each in found.jumps] == [8_000, 40_000]


def test_the_command_shows_it_with_age_and_uncertainty(site: Path) -> None:
    """As lines, and as JSON."""
    found = read_clocks(site / "state", frozenset({"heat", "water"}))
    text = list(lines(found, found.watches[0].at_ms + 3_661_000))
    assert any(
        line.startswith("heat:") and "+40500 ms, give or take" in line and "1:01:01 ago" in line for line in text
    )
    assert any(line.startswith("water:") and f"newest {MOST_BATCHES}" in line for line in text)
    result = CliRunner().invoke(main, ["time", "--config", str(site / "gateway.toml"), "--json"])
    content = json.loads(result.stdout)
    assert content["meters"][0]["drift_ms"] == 40_500
    assert [each["by_ms"] for each in content["jumps"]] == [8_000, 40_000]
    assert (content["daemon"], content["unseen"]) == (None, ["water"])


def test_a_batch_whose_seal_does_not_hold_is_not_believed(site: Path) -> None:
    """The one before it is taken."""
    with sqlite3.connect(site / "state" / "buffer.sqlite3") as database:
        database.execute("UPDATE content SET body = zeroblob(length(body)) WHERE n = (SELECT max(n) FROM content)")
    database.close()
    found = read_clocks(site / "state", frozenset({"heat"}))
    assert [each.drift_ms for each in found.watches] == [8_500]


async def test_a_daemon_that_runs_is_asked_for_its_clock_and_jumps(site: Path) -> None:
    """By its own answers, over the socket."""
    lock, time = FolderLock(site / "state"), Time()
    clock = GatewayClock(time.sources())
    time.pass_ms(10_000)
    time.wall_ms += 3_600_000
    clock.check()
    time.pass_ms(1_000)
    rig = Rig(site / "state")
    answers = Answers(rig.buffer, InlineWriter(), clock, About(Core("1", bytes(32)), bytes(32), 1), {})
    async with serving(site / "state", answers.verbs()):
        found = await asyncio.to_thread(read_clocks, site / "state", frozenset({"heat"}))
    lock.close()
    assert found.daemon is not None
    assert (found.daemon.clock.state, found.daemon.clock.source) == (ClockState.SYNCHRONISED, ClockSource.NTP)
    assert found.jumps == (Jump(time.wall_ms - 1_000, 3_600_000),)
    assert watches.rows(found)["jumps"] == [{"at_ms": time.wall_ms - 1_000, "by_ms": 3_600_000}]


async def test_a_daemon_that_says_something_else_is_silent_and_the_buffer_speaks(site: Path) -> None:
    """An older release, or another program."""
    lock = FolderLock(site / "state")
    async with serving(site / "state", {}):
        found = await asyncio.to_thread(read_clocks, site / "state", frozenset({"heat"}))
    lock.close()
    assert found.daemon is None
    assert "PLB-S208" in found.silent
    assert len(found.jumps) == 2


def test_a_clock_keeps_its_latest_steps_and_no_more() -> None:
    """Whatever set it: the system, or signed time."""
    time = Time(wall_ms=0)
    clock = GatewayClock(time.sources())
    clock.signed(NOW_MS, 0)
    assert len(clock.steps) == 1
    time.wall_ms = NOW_MS
    for n in range(2 * STEPS):
        time.wall_ms += 5_000 + n
        clock.check()
    assert len(clock.steps) == STEPS
    assert [each.by_ms for each in clock.steps][-1] == 5_000 + 2 * STEPS - 1
    ticking = Ticking.of(clock)
    assert Ticking.from_wire(ticking.to_wire()) == ticking
