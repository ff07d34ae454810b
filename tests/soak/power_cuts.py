"""The full counts of power cuts of the real daemons: 100 of the gateway and 50 of the collector, on ext4 and on xfs.

Prints progress on stderr and one JSON object on stdout; exit code 0 only if nothing was lost and the bench finds
daemons that do not wait for the disk. `make soak` runs it; by itself: PYTHONPATH=tests/support python
tests/soak/power_cuts.py (--help says how to run a part of it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from power import KINDS, Disks
from power_site import MARKED, Cut, End, PowerSite, cuts, plant, prepare

from simulators.site.setup import Site

GATEWAY, COLLECTOR = 100, 50  # cuts on each file system
AT_ONCE = 25  # cuts between two words of progress
HASTY_CUTS = 10  # in which the planted fault must be found


def main() -> int:
    """Run everything, or the part that is asked for."""
    wanted = argparse.ArgumentParser(description="Cut the power of the real daemons, and count.")
    wanted.add_argument("--kind", choices=KINDS, action="append", help="file system (default: each)")
    wanted.add_argument("--gateway", type=int, default=GATEWAY, help="cuts of the gateway on each file system")
    wanted.add_argument("--collector", type=int, default=COLLECTOR, help="cuts of the collector on each file system")
    wanted.add_argument("--seed", type=int, default=1)
    given = wanted.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="plomba-power-") as folder:
        runs = asyncio.run(_all(Path(folder), given.kind or KINDS, given.gateway, given.collector, given.seed))
    holds = all(run["result"] == "held" for run in runs.values())
    shown = {"result": "held" if holds else "failed", **runs, "seconds": round(time.monotonic() - began)}
    print(json.dumps(shown))
    return 0 if holds else 1


async def _all(folder: Path, kinds: tuple[str, ...], gateway: int, collector: int, seed: int) -> dict[str, Any]:
    prepared = await prepare(folder / "site")
    runs = {kind: await _run(prepared, folder / kind, (gateway, collector), seed) for kind in kinds}
    runs["planted"] = await _planted(prepared, folder / "planted", kinds[0], seed)
    return runs


async def _run(prepared: Site, folder: Path, times: tuple[int, int], seed: int) -> dict[str, Any]:
    """One life of a site on one kind of file system (the folder's name), its power cut again and again."""
    disks, site, kind = Disks(folder), PowerSite(prepared, folder / "scratch"), folder.name
    dice = random.Random(f"{kind} {seed}")
    try:
        disk = {"gateway": disks.make(site.state, kind), "collector": disks.make(site.store, kind)}
        await site.start()
        shown = {}
        for part, number in zip(disk, times, strict=True):
            began = time.monotonic()
            done: list[Cut] = []
            while len(done) < number:
                done += await cuts(site, part, disk[part], min(AT_ONCE, number - len(done)), dice)
                print(f"{kind}: {part} cut {len(done)} times, {_lost(done)} lost", file=sys.stderr)
            shown[part] = _counted(done, time.monotonic() - began)
        end = await site.end()
    finally:
        await site.close()
        disks.remove()
    holds = _held(end) and not any(each["lost"] or each["corrupt"] for each in shown.values())
    return {"result": "held" if holds else "failed", **shown, **_ended(end)}


async def _planted(prepared: Site, folder: Path, kind: str, seed: int) -> dict[str, Any]:
    """How many cuts it takes to find daemons that do not wait for the disk: None is a bench that finds nothing."""
    disks, site = Disks(folder), PowerSite(prepared, folder / "scratch")
    dice = random.Random(f"planted {seed}")
    plant(prepared)
    found: dict[str, int | None] = {}
    try:
        disk = {"gateway": disks.make(site.state, kind), "collector": disks.make(site.store, kind)}
        await site.start()
        await site.more(MARKED)
        for part in ("collector", "gateway"):
            found[part] = None
            for number in range(1, HASTY_CUTS + 1):
                if _lost(await cuts(site, part, disk[part], 1, dice)):
                    found[part] = number
                    break
    finally:
        await site.close()
        disks.remove()
    return {"result": "held" if all(found.values()) else "failed", "found_in_cuts": found}


def _lost(done: list[Cut]) -> int:
    return len({batch for cut in done for batch in cut.lost})


def _counted(done: list[Cut], seconds: float) -> dict[str, Any]:
    return {
        "cuts": len(done),
        "promised": done[-1].promised if done else 0,
        "lost": _lost(done),
        "corrupt": sum(not cut.sound for cut in done),
        "seconds": round(seconds, 1),
    }


def _held(end: End) -> bool:
    return end.count.holds() and not (end.lost or end.waiting or end.cases or end.verdict.failures)


def _ended(end: End) -> dict[str, Any]:
    counted = {key: value for key, value in end.count.to_dict().items() if key not in ("meters", "missing")}
    batches = {"sealed": end.sealed, "lost": end.lost, "not_stored": end.waiting, "seal_failures": end.verdict.failures}
    return {"batches": batches, "cases": end.cases, "readings": counted}


if __name__ == "__main__":
    raise SystemExit(main())
