"""G03, G04, G05, G22, C06: the real daemons on disks that are full, read-only, bad or slow, counted to the end."""

from __future__ import annotations

import errno
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from disk_faults import BadBlocks, fill, injected
from power import Disks, PowerDisk
from power_site import BATCHES, EVIDENCE, MARKED, STORE_FILE, End, PowerSite, ids

from gateway import events, schema
from gateway.refused import READINGS_REFUSED
from simulators.record import read
from simulators.site.parts import Down, now_ms, program, run

SMALL = 8 * 1024 * 1024
LEAST = 4 * 1024 * 1024  # the smallest buffer that a configuration may ask for

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def told(site: PowerSite) -> list[str]:
    """The codes of the gateway's events, as the collector shows them."""
    config = site.site.folder / "collector" / "collector.toml"
    command = (program("plomba-collector"), "events", "--config", str(config), "--json")
    return json.dumps(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)).split('"')


def at_the_collector(site: PowerSite) -> set[bytes]:
    return ids(site.store / STORE_FILE, EVIDENCE)


def trigger_error(disk: PowerDisk) -> None:
    """What ext4 does when it finds its own structures wrong."""
    Path(f"/sys/fs/ext4/{disk.device}/trigger_fs_error").write_text("1")


async def reads_on(site: PowerSite, rounds: int = 3) -> None:
    """Wait until every meter has answered so often from now on."""
    began = now_ms()

    def answered() -> bool:
        times: dict[str, int] = {}
        for each in read(site.site.record):
            if each.kind == "answer" and each.at_ms > began:
                times[each.meter] = times.get(each.meter, 0) + 1
        return len(times) == 6 and min(times.values()) >= rounds

    await site.come(answered, "every meter is read on")


def holds(end: End) -> bool:
    """Everything sealed is stored, every reading is there once, and no case was opened."""
    assert (end.lost, end.waiting, end.cases) == (0, 0, ())
    assert end.count.holds(), end.count
    assert end.verdict.failures == 0
    return True


async def test_a_disk_that_is_full_in_an_outage_and_after_it_costs_nothing(site: PowerSite, disks: Disks) -> None:
    """G03: polling goes on, what is sealed goes out as soon as there is a link, the rest when there is room."""
    state = disks.make(site.state, "ext4", SMALL)
    await site.start()
    await site.more(MARKED)
    site.site.link.cut()
    await site.more(BATCHES)
    hogs = [fill(state.folder)]
    await site.come(lambda: not (state.folder / schema.RESERVE_FILE).exists(), "the reserve is given up")
    hogs.append(fill(state.folder, "another"))
    await site.come(lambda: events.WRITE_FAILED in site.said("gateway"), "the full disk is told")
    site.look()
    await reads_on(site)
    assert ids(site.buffer, BATCHES) <= site.sealed
    site.site.link.mend()
    await site.come(lambda: site.sealed <= at_the_collector(site), "what is sealed goes out from a full disk")
    assert at_the_collector(site) <= site.sealed
    for hog in hogs:
        hog.unlink()
    await site.come(lambda: events.WRITE_RECOVERED in site.said("gateway"), "the room is told")
    assert holds(await site.end())
    assert {events.WRITE_FAILED, events.WRITE_RECOVERED} <= set(told(site))
    assert site.said("gateway").count(f"'{events.WRITE_FAILED}'") == 1


async def test_readings_that_a_full_disk_never_took_are_told_at_the_stop(site: PowerSite, disks: Disks) -> None:
    """G03: they are in memory alone, and the log is all that is left to say how many they were."""
    state = disks.make(site.state, "ext4", SMALL)
    await site.start()
    await site.more(MARKED)
    site.site.link.cut()  # else the room of what is stored may be enough for what comes
    fill(state.folder)
    await site.come(lambda: not (state.folder / schema.RESERVE_FILE).exists(), "the reserve is given up")
    fill(state.folder, "another")
    await site.come(lambda: events.WRITE_FAILED in site.said("gateway"), "the full disk is told")
    await reads_on(site)
    await site.site.part("gateway").stop()
    assert re.search(rf"{events.READINGS_LOST}' readings=[1-9]", site.said("gateway"))


async def test_a_full_buffer_refuses_counts_tells_and_goes_on_when_the_link_is_back(
    site: PowerSite, disks: Disks
) -> None:
    """G03: nothing sealed is lost, each refused reading is counted in `status` and told in an event."""
    disks.make(site.state, "ext4")
    toml = site.site.folder / "gateway" / "gateway.toml"
    whole = toml.read_text()
    toml.write_text(whole.replace("[broker]", f"[buffer]\nmax_bytes = {LEAST}\n\n[broker]", 1))
    with closing(schema.connect(site.buffer, LEAST)) as database:
        room = LEAST - 110 * schema.PAGE  # beside the work space: a dozen batches
        database.execute("INSERT INTO aside VALUES (zeroblob(32), x'', x'', 0, zeroblob(?), 'ballast')", (room,))
    try:
        await site.start(linked=False)
        await site.come(lambda: events.BUFFER_FULL in site.said("gateway"), "the buffer is full")
        await reads_on(site)
        site.look()
        command = (program("plomba-gateway"), "status", "--config", str(toml), "--json")
        status = json.loads((await run(*command, folder=site.site.folder)).data)
        assert sum(status["counters"][READINGS_REFUSED].values()) > 0
        assert ids(site.buffer, BATCHES) == site.sealed
        site.site.link.mend()
        await site.come(lambda: events.BUFFER_ROOM in site.said("gateway"), "the room is told")
        expected = {events.BUFFER_FULL, events.BUFFER_ROOM, events.UNSAFE_REMOVED}
        await site.come(lambda: expected <= set(told(site)), "the events are at the collector")
        end = await site.end()
    finally:
        toml.write_text(whole)
    assert (end.lost, end.waiting, end.cases, end.count.twice, end.count.altered) == (0, 0, (), 0, 0)


async def test_a_full_store_acknowledges_nothing_and_takes_everything_afterwards(site: PowerSite, disks: Disks) -> None:
    """C06: the gateway keeps meanwhile."""
    store = disks.make(site.store, "ext4", SMALL)
    await site.start()
    await site.more(MARKED)
    hog = fill(store.folder)
    await site.come(lambda: "nothing is stored or acknowledged" in site.said("collector"), "the full disk is told")
    site.look()
    await reads_on(site)
    assert ids(site.buffer, MARKED) <= at_the_collector(site)
    assert len(ids(site.buffer, BATCHES)) > len(ids(site.buffer, MARKED))
    hog.unlink()
    assert holds(await site.end())


async def test_a_file_system_that_turns_read_only_under_the_gateway_costs_nothing_sealed(
    site: PowerSite, disks: Disks
) -> None:
    """G04: it polls on, forwards what is committed, sends nothing else, and stops and starts in one chain."""
    state = disks.make(site.state, "ext4", options="errors=remount-ro")
    await site.start()
    await site.more(MARKED)
    site.site.link.cut()
    await site.more(BATCHES)
    trigger_error(state)
    with pytest.raises(OSError, match="Read-only") as refused:
        (state.folder / "probe").write_text("x")
    assert refused.value.errno == errno.EROFS
    await site.come(lambda: events.WRITE_FAILED in site.said("gateway"), "the disk is told")
    site.look()
    failed_ms = now_ms()
    site.site.link.mend()
    await site.come(lambda: site.sealed <= at_the_collector(site), "what is committed is forwarded")
    await reads_on(site)
    assert at_the_collector(site) <= site.sealed
    assert site.said("gateway").count(f"'{events.WRITE_FAILED}'") == 1
    gateway = site.site.part("gateway")
    await gateway.stop()
    assert gateway.process is not None
    assert gateway.process.returncode == 0
    _repaired(state)
    await gateway.start()
    site.downs.append(Down("gateway", failed_ms - 2_000, now_ms() + 3_000))
    await site.more(MARKED)
    assert holds(await site.end(5.0))


@pytest.mark.parametrize(
    ("call", "fault"), [("pwrite64", "error=EROFS"), ("fdatasync", "error=EIO")], ids=["write", "fsync"]
)
async def test_what_the_disk_did_not_take_is_written_when_it_does_again(
    site: PowerSite, disks: Disks, tmp_path: Path, call: str, fault: str
) -> None:
    """G04, G05: after a write or an fsync that failed nothing counts; it is written anew, once, and told."""
    disks.make(site.state, "xfs")
    await site.start()
    await site.more(MARKED)
    trace = tmp_path / "trace"
    async with injected(site.site.part("gateway").process, call, fault, trace):
        await site.come(lambda: events.WRITE_FAILED in site.said("gateway"), "the disk is told")
        site.look()
        await reads_on(site)
        assert at_the_collector(site) | ids(site.buffer, BATCHES) <= site.sealed
    assert trace.read_text().count("(INJECTED)") > 1
    await site.come(lambda: events.WRITE_RECOVERED in site.said("gateway"), "the recovery is told")
    assert holds(await site.end())
    assert {events.WRITE_FAILED, events.WRITE_RECOVERED} <= set(told(site))


async def test_a_disk_that_takes_seconds_for_an_fsync_does_not_stop_the_polls(
    site: PowerSite, disks: Disks, tmp_path: Path
) -> None:
    """G22: every meter is asked in every slot meanwhile."""
    disks.make(site.state, "ext4")
    await site.start()
    await site.more(MARKED)
    trace = tmp_path / "trace"
    async with injected(site.site.part("gateway").process, "fdatasync", "delay_enter=5s", trace):
        await site.come(lambda: "fdatasync" in (trace.read_text() if trace.exists() else ""), "an fsync is slow")
        site.look()
        await reads_on(site)
        assert ids(site.buffer, BATCHES) <= site.sealed
    assert holds(await site.end())


@pytest.fixture
def bad_disk(site: PowerSite, disks: Disks, tmp_path: Path) -> Iterator[tuple[PowerDisk, BadBlocks]]:
    """A disk for the gateway's state whose blocks can fail."""
    disk = disks.make(site.state, "ext4", options="errors=remount-ro")
    disk.unmount()
    image = disk.image
    try:
        blocks = BadBlocks(image, tmp_path / "blocks")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    disk.image = blocks.path
    assert disk.mount()
    yield disk, blocks
    disk.remove()
    disk.image = image
    blocks.close()


async def test_blocks_that_take_no_writes_cost_nothing_that_was_sealed(
    bad_disk: tuple[PowerDisk, BadBlocks], site: PowerSite
) -> None:
    """G05: the error is named, nothing uncommitted leaves, and after the repair the chain goes on."""
    disk, blocks = bad_disk
    await site.start()
    await site.more(MARKED)
    with blocks.failing("pwrite"):
        failed_ms = now_ms()
        await site.come(lambda: events.WRITE_FAILED in site.said("gateway"), "the disk is told")
        site.look()
        await reads_on(site)
        assert at_the_collector(site) <= site.sealed
    gateway = site.site.part("gateway")
    await gateway.stop()
    _repaired(disk)
    await gateway.start()
    site.downs.append(Down("gateway", failed_ms - 2_000, now_ms() + 3_000))
    await site.more(MARKED)
    assert holds(await site.end(5.0))


def _repaired(disk: PowerDisk) -> None:
    """As a technician does it: off, checked, on again."""
    disk.unmount()
    assert subprocess.run(["fsck.ext4", "-p", disk.image], capture_output=True, check=False).returncode <= 1
    assert disk.mount()
