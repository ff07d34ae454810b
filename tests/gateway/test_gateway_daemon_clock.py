"""The real daemon while the clock of its machine jumps, and when it starts in 1970: what it seals then."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alone import Alone

from gateway import events
from gateway.clock import BUILD_MS
from protocols.uplink.records import TimeCorrection
from simulators.torture.clock import FakeClock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FakeClock.why_not() is not None, reason=str(FakeClock.why_not())),
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Alone]:
    """A meter that answers, and a gateway with keys."""
    made = Alone(tmp_path)
    made.set_up()
    yield made
    made.end()
    FakeClock.clean(child.pid for child in made.children)


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    """The gateway's; so far it is ours."""
    made = FakeClock(tmp_path / "clock")
    made.step(0)
    return made


def test_each_step_of_the_clock_is_an_event_and_above_nine_seconds_it_names_the_slots(
    site: Alone, clock: FakeClock
) -> None:
    """G10: eight seconds mark nothing, forty those in which the clock was before and after; no slot is read twice."""
    site.daemon(clock.prefix)
    site.until(lambda: len(site.slots()) >= 2)
    clock.step(8)
    site.until(lambda: len(site.told(events.CLOCK_STEP)) == 1)
    clock.step(-32)
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
    slots = site.slots()
    assert len(slots) == len(set(slots))


def test_started_in_1970_it_reads_marks_everything_and_corrects_when_the_clock_is_set(
    site: Alone, clock: FakeClock
) -> None:
    """G09: nothing is lost over a kill, nothing is good until then, and a sealed record says by how much it was off."""
    clock.step(-int(time.time()))
    daemon = site.daemon(clock.prefix)
    site.until(lambda: len(site.slots()) >= 2)
    before = len(site.slots())
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    site.daemon(clock.prefix)
    site.until(lambda: len(site.slots()) >= before + 2)
    found = [each for content in site.sealed()[0] for each in content.readings]
    assert not [each for each in found if each.quality.synchronised or each.quality.uncertainty_ms is not None]
    assert all(each.at_ms >= BUILD_MS for each in found)
    assert len({each.slot_ms for each in found}) == len(found)
    clock.step(0)
    site.until(lambda: any(isinstance(each, TimeCorrection) for each in site.sealed()[1]))
    (step,) = site.told(events.CLOCK_STEP)
    assert step[1] == "invalid"
