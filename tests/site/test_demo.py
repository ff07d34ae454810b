"""The demo as a newcomer runs it: it tells its story, ends when it is told to, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from picture import take_picture

COMMAND = Path(sys.executable).parent / "plomba-simulator"
STORY = ("1. The link", "no batch is missing", "Refused, and shown", "It was named as altered", "everything is stopped")


def environment(home: Path) -> dict[str, str]:
    """Nothing but a path, and a place for temporary folders."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)}


def left(home: Path) -> list[str]:
    """The command lines of processes that name the folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = each.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home) in line:
            found.append(line)
    return found


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for temporary folders; its path is short and of this test alone."""
    with tempfile.TemporaryDirectory(prefix="demo-test-") as folder:
        yield Path(folder)


def started(home: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """A demo that runs, and the address of its page."""
    command = (str(COMMAND), "demo", *options)
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment(home)
    )
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            return process, found.group()
    raise AssertionError("the demo ended before it named its page")


@pytest.mark.slow
def test_the_story_is_told_and_each_of_its_claims_was_looked_at(home: Path) -> None:
    """Cut, forged, altered; at the end nothing is left, neither process nor folder."""
    command = (str(COMMAND), "demo", "--once", "--hurry")
    done = subprocess.run(command, capture_output=True, text=True, env=environment(home), timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert [part for part in STORY if part not in done.stderr] == []
    assert re.search(r"The page:\s+http://127\.0\.0\.1:\d+/", done.stderr)
    assert done.stdout == ""
    assert list(home.iterdir()) == []
    assert left(home) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_the_demo_leaves_nothing_behind(home: Path, number: signal.Signals) -> None:
    """Ctrl-C, a kill, a closed terminal: the exit code is 0."""
    process, _ = started(home, "--hurry")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "everything is stopped" in said) == (0, True), said
    assert list(home.iterdir()) == []
    assert left(home) == []


@pytest.mark.slow
def test_a_demo_that_is_killed_takes_its_parts_with_it(home: Path) -> None:
    """Kill -9: the kernel tells the parts; only the folder stays."""
    process, _ = started(home, "--hurry")
    process.kill()
    process.communicate(timeout=10)
    until = time.monotonic() + 20
    while left(home) and time.monotonic() < until:
        time.sleep(0.1)
    assert left(home) == []


@pytest.mark.slow
def test_the_page_of_a_running_demo_shows_six_meters_with_seals_that_hold(home: Path) -> None:
    """The README's picture is made here: PLOMBA_PICTURE names the file that takes it (make picture).

    It does not hurry: its first 20 s, before the link is cut, are a site that is well.
    """
    process, url = started(home)
    out = Path(os.environ.get("PLOMBA_PICTURE", home / "page.png"))
    try:
        _until_all_are_read(url)
        take_picture(url, out, height=1_280)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size > 50_000


def _until_all_are_read(url: str) -> None:
    until = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(f"{url}api/v1/status", timeout=10) as answer:  # noqa: S310 - http, loopback
            status = json.load(answer)
        if status["meters"] == 6 and status["well"] and status["readings"] > 204:  # each read twice or more
            return
        assert time.monotonic() < until, status
        time.sleep(0.3)
