"""The whole simulated year: every month of every point against its register, and again after corrections.

    python tests/soak/year.py [--postgresql] [ELECTRICITY HEAT WATER]

On SQLite, or on a PostgreSQL of its own. Prints one JSON object; exit code 0 only if all holds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("support", "uplink")] + [
    str(Path(__file__).parents[2])
]

import ground_year as year  # noqa: E402 - a script finds the tests' modules by itself
from chain import AnyStore  # noqa: E402
from ground_run import Year  # noqa: E402
from postgres import Postgresql, find_bin  # noqa: E402

from collector.place import Server  # noqa: E402
from collector.store.postgresql import PostgresqlStore  # noqa: E402
from collector.store.sqlite import SqliteStore  # noqa: E402

POINTS = (40, 100, 60)  # electricity at 15 minutes with four registers, heat hourly, hot water daily
CORRECTED = 4  # every so many points of electricity had a wrong ratio since March


def main(electricity: int, heat: int, water: int, *, postgresql: bool = False) -> int:
    """Run the year in a store of its own."""
    began = time.monotonic()
    bounds = year.months(2025, 1, 12)
    with _store(postgresql) as store:
        run = Year(store, year.sites(electricity, heat, water, bounds), bounds)
        run.enter(run.sites)
        _say("sealing and storing")
        run.read()
        _say(f"{run.readings} readings")
        run.attribute()
        _say("attributed")
        missing = len(list(run.misses()))
        run.read_late()
        run.attribute()
        misses = list(run.misses())
        _say(f"{missing} months missing before the late batches, {len(misses)} after")
        again = run.attribute().versions
        _say(f"{again} new versions where nothing changed; correcting factors")
        for site in run.sites[:electricity:CORRECTED]:
            run.correct_factor(site, bounds[2] + 3 * year.DAY_MS + 13 * year.QUARTER_MS, Fraction(123))
        corrected = run.attribute().versions
        after = list(run.misses())
        months = sum(len(site.waves) for site in run.sites) * (len(bounds) - 1)
    holds = not misses and not after and not again and missing > 0 and (corrected > 0 or not electricity)
    shown: dict[str, object] = {
        "result": "held" if holds else "failed",
        "store": "postgresql" if postgresql else "sqlite",
        "points": len(run.sites),
        "readings": run.readings,
    }
    shown |= {"months": months, "missing_before_late": missing, "wrong": len(misses), "versions_again": again}
    shown |= {"corrected_pages": corrected, "wrong_after_correction": len(after)}
    shown |= {"first_wrong": [str(each) for each in (*misses, *after)][:5]}
    sys.stdout.write(json.dumps(shown | {"seconds": round(time.monotonic() - began)}) + "\n")
    return 0 if holds else 1


@contextmanager
def _store(postgresql: bool) -> Iterator[AnyStore]:
    if not postgresql:
        with (
            tempfile.TemporaryDirectory(prefix="plomba-year-") as folder,
            closing(SqliteStore.open(Path(folder) / "collector.sqlite3")) as file,
        ):
            yield file
        return
    programs = find_bin()
    if programs is None:
        raise SystemExit("year: PostgreSQL is not installed: run make services")
    running = Postgresql(programs)
    running.process.start()
    try:
        with closing(PostgresqlStore.open(Server(running.database()))) as database:
            yield database
    finally:
        running.remove()


def _say(what: str) -> None:
    sys.stderr.write(f"year: {time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sizes = [int(each) for each in sys.argv[1:] if each != "--postgresql"] or POINTS
    sys.exit(main(*sizes, postgresql="--postgresql" in sys.argv))
