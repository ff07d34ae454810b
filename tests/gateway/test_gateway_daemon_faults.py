"""The real daemon while its machine fails it: no memory, nowhere to log, a line that comes back as another one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from alone import Alone
from processes import PATIENCE_S

from gateway import events

pytestmark = pytest.mark.slow
GROUPS = Path("/sys/fs/cgroup/memory")
LIMITS_MB = range(16, 129, 8)  # of memory: from one with which it cannot even start


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Alone]:
    """A meter that answers, and a gateway with keys."""
    made = Alone(tmp_path)
    made.set_up()
    yield made
    made.end()


def ended_well(daemon: subprocess.Popen[bytes]) -> bool:
    """Whether it stops when it is asked to."""
    daemon.send_signal(signal.SIGTERM)
    return daemon.wait(PATIENCE_S) == 0


def test_a_log_on_a_full_disk_stops_no_reading(site: Alone) -> None:
    """G21: neither at the start nor at the end."""
    with Path("/dev/full").open("wb") as full:
        daemon = site.daemon(stderr=full)
    site.until(lambda: len(site.slots()) >= 3)
    assert ended_well(daemon)


def test_a_log_that_nobody_reads_any_more_stops_no_reading(site: Alone) -> None:
    """G21: the reader is gone when there is most to tell: the line is pulled and comes back."""
    reader, writer = os.pipe()
    daemon = site.daemon(stderr=writer)
    os.close(writer)
    site.until(site.slots)
    os.close(reader)
    site.children[0].terminate()
    site.children[0].wait(PATIENCE_S)
    site.until(lambda: site.told(events.BUS_FAILED))
    before = len(site.slots())
    site.house()
    site.until(lambda: len(site.slots()) >= before + 2)
    assert ended_well(daemon)


def test_a_log_whose_reader_hangs_stops_no_reading_and_says_later_what_is_missing(site: Alone) -> None:
    """G21: a pipe that is full takes nothing; the first line that it takes again names how many were lost."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    filling = 0
    while True:
        try:
            filling += os.write(writer, bytes(4_096))
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    daemon = site.daemon(stderr=writer)
    os.close(writer)
    site.until(lambda: len(site.slots()) >= 3)
    while filling > 0:
        filling -= len(os.read(reader, filling))
    assert ended_well(daemon)
    said = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert said.startswith("log lines lost: 2\n")  # that it has started, and that it is not enrolled
    assert "stopped" in said


def test_a_line_that_comes_back_as_another_terminal_is_opened_again_by_its_link(site: Alone) -> None:
    """G17: one event for each way in which it fails, one that it is back, and no slot is read twice."""
    site.daemon()
    site.until(lambda: len(site.slots()) >= 2)
    before = (site.folder / "line").readlink()
    site.children[0].terminate()
    site.children[0].wait(PATIENCE_S)
    site.until(lambda: site.told(events.BUS_FAILED))
    taken = list[int]()
    while not before.exists():  # until its number is somebody else's
        taken += os.openpty()
    site.house()
    site.until(lambda: site.told(events.BUS_RECOVERED))
    for each in taken:
        os.close(each)
    count = len(site.slots())
    site.until(lambda: len(site.slots()) >= count + 2)
    codes = [each[1] for each in site.told(events.BUS_FAILED)]
    assert len(codes) == len(set(codes))
    assert len(site.told(events.BUS_RECOVERED)) == 1
    assert len(site.slots()) == len(set(site.slots()))


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A group of processes whose memory can be limited."""
    made = GROUPS / f"plomba-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no memory group can be made here: {error.strerror}")
    yield made
    made.rmdir()


def test_killed_for_want_of_memory_it_goes_on_in_one_chain(site: Alone, group: Path) -> None:
    """G14: with a little more each time, so that the kernel ends it at another place, until there is enough."""
    into = ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
    killed = 0
    for limit_mb in LIMITS_MB:
        (group / "memory.limit_in_bytes").write_text(str(limit_mb << 20))
        count = len(site.slots())
        daemon = site.daemon(into)
        site.until(lambda child=daemon, least=count + 2: child.poll() is not None or len(site.slots()) >= least)  # type: ignore[misc]
        if daemon.poll() is None:
            break
        assert daemon.returncode == -signal.SIGKILL
        killed += 1
    assert killed >= 2
    assert ended_well(daemon)
    assert len(site.slots()) == len(set(site.slots())) >= 2
