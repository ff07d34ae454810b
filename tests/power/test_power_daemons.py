"""G01, C03: the power of the real daemons is cut at random instants, on ext4 and on xfs; nothing promised is lost.

`make soak` counts 200 cuts of the gateway and 100 of the collector in the same way (tests/soak/power_cuts.py).
"""

from __future__ import annotations

import random

import pytest
from power import KINDS, Disks
from power_site import MARKED, Cut, PowerSite, cuts, plant

CUTS = 4  # of each daemon on each file system


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.parametrize("kind", KINDS)
async def test_no_promise_of_a_real_daemon_is_lost_in_a_power_cut(site: PowerSite, disks: Disks, kind: str) -> None:
    """G01: what is sealed stays in the buffer, what is acknowledged in the store; both are sound, and no case opens."""
    state, store = disks.make(site.state, kind), disks.make(site.store, kind)
    dice = random.Random(kind)
    await site.start()
    gateway = await cuts(site, "gateway", state, CUTS, dice)
    collector = await cuts(site, "collector", store, CUTS, dice)
    end = await site.end()
    assert _lost(gateway) == _lost(collector) == set()
    assert all(cut.sound for cut in gateway + collector)
    assert gateway[-1].promised > 0
    assert collector[-1].promised > 0
    assert (end.lost, end.waiting, end.cases) == (0, 0, ())
    assert end.count.holds(), end.count
    assert end.verdict.batches >= end.sealed
    assert end.verdict.failures == 0


@pytest.mark.broker
async def test_the_bench_finds_daemons_that_do_not_wait_for_the_disk(site: PowerSite, disks: Disks) -> None:
    """With synchronous NORMAL, planted in both daemons, a few cuts find promises that are gone."""
    state, store = disks.make(site.state, "xfs"), disks.make(site.store, "xfs")
    plant(site.site)
    dice = random.Random(3)
    await site.start()
    assert _lost(await cuts(site, "gateway", state, 3, dice))
    await site.more(MARKED)
    assert _lost(await cuts(site, "collector", store, 1, dice))


def _lost(done: list[Cut]) -> set[bytes]:
    return {batch for cut in done for batch in cut.lost}
