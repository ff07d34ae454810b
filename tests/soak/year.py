"""The whole simulated year: every month of every point against its register, and again after corrections.

    python tests/soak/year.py [ELECTRICITY HEAT WATER]

Prints one JSON object; exit code 0 only if all holds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("support", "uplink")] + [
    str(Path(__file__).parents[2])
]

import ground_year as year  # noqa: E402 - a script finds the tests' modules by itself
from ground_run import Year  # noqa: E402

from collector.store.sqlite import SqliteStore  # noqa: E402

POINTS = (40, 100, 60)  # electricity at 15 minutes with four registers, heat hourly, hot water daily
CORRECTED = 4  # every so many points of electricity had a wrong ratio since March


def main(electricity: int, heat: int, water: int) -> int:
    """Run the year in a folder of its own."""
    began = time.monotonic()
    bounds = year.months(2025, 1, 12)
    with tempfile.TemporaryDirectory(prefix="plomba-year-") as folder:
        store = SqliteStore.open(Path(folder) / "collector.sqlite3")
        run = Year(store, year.sites(electricity, heat, water, bounds), bounds)
        run.enter(run.sites)
        _say("sealing and storing")
        run.read()
        _say(f"{run.readings} readings")
        run.attribute()
        missing = len(list(run.misses()))
        run.read_late()
        run.attribute()
        misses = list(run.misses())
        _say(f"{missing} months missing before the late batches, {len(misses)} after")
        again = run.attribute().versions
        for site in run.sites[:electricity:CORRECTED]:
            run.correct_factor(site, bounds[2] + 3 * year.DAY_MS + 13 * year.QUARTER_MS, Fraction(123))
        corrected = run.attribute().versions
        after = list(run.misses())
        months = sum(len(site.waves) for site in run.sites) * (len(bounds) - 1)
        store.close()
    holds = not misses and not after and not again and missing > 0 and (corrected > 0 or not electricity)
    shown: dict[str, object] = {
        "result": "held" if holds else "failed",
        "points": len(run.sites),
        "readings": run.readings,
    }
    shown |= {"months": months, "missing_before_late": missing, "wrong": len(misses), "versions_again": again}
    shown |= {"corrected_pages": corrected, "wrong_after_correction": len(after)}
    shown |= {"first_wrong": [str(each) for each in (*misses, *after)][:5]}
    sys.stdout.write(json.dumps(shown | {"seconds": round(time.monotonic() - began)}) + "\n")
    return 0 if holds else 1


def _say(what: str) -> None:
    sys.stderr.write(f"year: {what}\n")


if __name__ == "__main__":
    sys.exit(main(*([int(each) for each in sys.argv[1:]] or POINTS)))
