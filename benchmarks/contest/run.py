"""The contest: ours and thingsboard-gateway on the same readings, through the same faults (`make contest`).

Prints a table, and puts the figures named `contest_...` into benchmarks/results.json. docs/contest.md says what is
compared with what, and where that is unfair. Takes about six minutes; needs Mosquitto, and root for the full disk.
Arguments choose parts: `run.py burst kill_9`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).resolve().parent
BENCHMARKS, ROOT = HERE.parent, HERE.parents[1]
sys.path.insert(1, str(BENCHMARKS))

import peer  # noqa: E402 - `figures` lies one folder above
from figures import Figure, keep  # noqa: E402
from ours import Ours  # noqa: E402
from party import ContestError, Party  # noqa: E402
from scenarios import KILLS, Losses, Speed, black_hole, boot, burst, full_disk, kills  # noqa: E402

BESIDE = f"thingsboard-gateway {peer.VERSION}"
BURST = "burst"
FAULTS: dict[str, tuple[str, Callable[[Party], Awaitable[Losses]]]] = {
    "kill_9": (f"{KILLS} x kill -9, link up", kills),
    "black_hole": ("link black-holed for 20 s", black_hole),
    "boot_in_outage": ("start without link, kill -9, start, link", boot),
    "full_disk": ("disk full during an outage", full_disk),
}
T = TypeVar("T", Speed, Losses)


def main() -> None:
    """Install the peer, measure, print, keep; say why where that cannot be."""
    wanted = set(sys.argv[1:]) or {BURST, *FAULTS}
    if unknown := wanted - {BURST, *FAULTS}:
        raise SystemExit(f"expected some of {BURST}, {', '.join(FAULTS)}, got {', '.join(sorted(unknown))}")
    try:
        peer.Peer.python = peer.install()
    except (ContestError, OSError, subprocess.TimeoutExpired) as error:
        print(f"skipped: the peer cannot be installed: {error}")
        return
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(BENCHMARKS)))  # for our gateway's process
    folder = Path(tempfile.mkdtemp(prefix="plomba-contest-"))
    try:
        found = asyncio.run(_measured(folder, wanted))
    except ContestError as error:
        print(f"failed: {error}")
        raise SystemExit(1) from error
    shutil.rmtree(folder, ignore_errors=True)
    keep(found)


async def _measured(folder: Path, wanted: set[str]) -> list[Figure]:
    """Speed one after the other, faults side by side: those count readings, not time."""
    print(f"{'':42} {'plomba':>26} {BESIDE:>26}")
    found: list[Figure] = []
    if BURST in wanted:
        found += _speeds(await _run(folder, Ours, BURST, burst), await _run(folder, peer.Peer, BURST, burst))
    for name in (each for each in FAULTS if each in wanted):
        shown, scenario = FAULTS[name]
        if scenario is full_disk and os.geteuid() != 0:
            print(f"{shown:42} skipped: a small file system can be mounted by root alone")
            continue
        mine = asyncio.create_task(_run(folder, Ours, name, scenario))
        other = asyncio.create_task(_run(folder, peer.Peer, name, scenario))
        await asyncio.wait((mine, other))
        found += _losses(name, shown, mine.result(), other.result())
    return found


async def _run(folder: Path, kind: type[Party], name: str, scenario: Callable[[Party], Awaitable[T]]) -> T:
    party = kind(folder / f"{name}-{kind.name}")
    try:
        await party.set_up()
        return await scenario(party)
    finally:
        await party.stop()


def _speeds(mine: Speed, other: Speed) -> list[Figure]:
    return [
        _speed("readings_per_s", "1/s", mine.readings_per_s, other.readings_per_s),
        _speed("cpu_us_per_reading", "us", mine.cpu_us, other.cpu_us),
        _speed("rss_mb_idle", "MB", mine.idle_mb, other.idle_mb),
        _speed("rss_mb_peak", "MB", mine.peak_mb, other.peak_mb),
    ]


def _speed(name: str, unit: str, mine: float, other: float) -> Figure:
    print(f"{name + ', ' + unit:42} {mine:26,.1f} {other:26,.1f}")
    return Figure(f"contest_{name}", mine, unit, f"{BESIDE}: {other:,.1f}", mine / other)


def _losses(name: str, shown: str, mine: Losses, other: Losses) -> list[Figure]:
    found = []
    for what in ("lost", "lost_accepted"):
        counts = [(getattr(each, what), each.answered) for each in (mine, other)]
        cells = [f"{lost:,} of {answered:,}" for lost, answered in counts]
        words = "answered, never arrived" if what == "lost" else "accepted, never arrived"
        print(f"{shown if what == 'lost' else '':42} {cells[0]:>26} {cells[1]:>26}  {words}")
        (lost, _), (theirs, _) = counts
        ratio = lost / theirs if theirs else float(lost > 0)
        found.append(Figure(f"contest_{name}_{what}", lost, "readings", f"{BESIDE}: {cells[1]}", ratio))
    for each, who in ((mine, "plomba"), (other, BESIDE)):
        print(f"    {who} told: {each.told}" + (f"; {each.note}" if each.note else ""))
    return found


if __name__ == "__main__":
    main()
