"""The full counts: `make soak`. Prints progress on stderr and one JSON object on stdout; exit code 0 only if all holds.

* ten runs of demo-check, each with kills from another seed: nothing lost, twice or altered;
* 200 power cuts of the gateway and 100 of the collector, half of them on ext4 and half on xfs (power_cuts.py): nothing
  promised is lost, nothing is corrupt;
* ten runs of the torture with two workers on a PostgreSQL that is killed, stopped and put back: nothing lost or twice;
* the proof bench's seeds (tests/bench): 500 gateway-days in virtual time, no violation; and none in the courses by
  which it finds planted mistakes, without any (controls.py);
* a simulated year of 200 points (year.py): every month is what the registers say, also after every correction; and one
  of 50 points with PostgreSQL;
* 10^5 hostile inputs for each decoder (fuzz.py): a value or a named error, bounded work;
* every corruption of one byte of the 51 real M-Bus telegrams is refused (corrupt.py; skipped where they are absent);
* every single-bit flip of 20 stored batches, two of each run, is found by `plomba-collector verify`'s own check.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from collector.cli_verify import check, read_ring
from protocols.errors import PlombaError
from protocols.uplink import proof
from protocols.uplink.proof import Keyring

SEEDS = range(1, 11)
BATCHES = 20
SOME_POINTS = ("10", "25", "15")  # of the year on the second database: the sums are the same code
WORKERS_SEEDS = range(1, 11)
PROOF_SEEDS = "1-42"  # 500 gateway-days
ROOT = Path(__file__).parents[2]
ROWS = ("rows_produced", "rows_stored")  # of load profiles
COMMAND = Path(sys.executable).parent / "plomba-simulator"


def main() -> int:
    """Run everything."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="plomba-soak-") as folder:
        runs = [_demo_check(seed, Path(folder) / str(seed)) for seed in SEEDS]
        flips, found, batches = _flip_all(Path(folder))
    proof_bench = _object("proof", ROOT / "tests" / "bench" / "bench.py", "many", "--seeds", PROOF_SEEDS)
    controls = _object("controls", ROOT / "tests" / "bench" / "controls.py")
    power = _power_cuts()
    with tempfile.TemporaryDirectory(prefix="plomba-soak-") as folder:
        workers = [_torture(seed, Path(folder) / str(seed)) for seed in WORKERS_SEEDS]
    fuzz = _object("fuzz", Path(__file__).with_name("fuzz.py"))
    corrupt = _object("corrupt", Path(__file__).with_name("corrupt.py"))
    ground = _object("year", Path(__file__).with_name("year.py"))
    grounds = _object("year", Path(__file__).with_name("year.py"), "--postgresql", *SOME_POINTS)
    sums = {name: sum(run[name] for run in runs) for name in ("readings_produced", "readings_stored", "lost", "twice")}
    sums |= {name: sum(run[name] for run in runs) for name in (*ROWS, "altered", "seal_failures", "kills", "excused")}
    held = (
        all(run["result"] == "held" for run in (*runs, *workers, proof_bench, controls, power, ground, grounds, fuzz))
        and corrupt["result"] != "failed"
    )
    holds = held and flips == found and batches == BATCHES
    shown: dict[str, Any] = {"result": "held" if holds else "failed", "runs": len(runs), **sums}
    seconds = round(time.monotonic() - began)
    shown |= {"batches": batches, "bit_flips": flips, "bit_flips_found": found, "power": power, "proof": proof_bench}
    names = ("produced", "stored", "lost", "twice", "altered", "refused")
    shown["workers"] = {name: sum(run[name] for run in workers) for name in names}
    shown |= {"controls": controls, "year": ground, "year_postgresql": grounds}
    shown |= {"fuzz": fuzz, "corruptions": corrupt, "seconds": seconds}
    print(json.dumps(shown))
    return 0 if holds else 1


def _object(name: str, program: Path, *arguments: str) -> dict[str, Any]:
    """The JSON object with which a program ends; its progress goes to stderr."""
    command = (sys.executable, str(program), *arguments)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=7200, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if not last.startswith("{"):
        raise SystemExit(f"soak: {name} ended with {done.returncode}")
    result: dict[str, Any] = json.loads(last)
    return result


def _torture(seed: int, folder: Path) -> dict[str, Any]:
    """A run of the torture with two workers on one PostgreSQL."""
    command = (str(COMMAND), "torture", "--run-folder", str(folder), "--seed", str(seed), "--seconds", "60")
    done = subprocess.run((*command, "--workers", "2"), stdout=subprocess.PIPE, text=True, timeout=600, check=False)
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"workers, seed {seed}: {result}", file=sys.stderr, flush=True)
    return result


def _power_cuts() -> dict[str, Any]:
    """What power_cuts.py counts; its progress goes to stderr."""
    support = Path(__file__).parents[1] / "support"
    command = (sys.executable, str(Path(__file__).with_name("power_cuts.py")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(support), str(support.parents[1])))}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, timeout=1800, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if not last.startswith("{"):
        raise SystemExit(f"soak: power_cuts ended with {done.returncode}")
    result: dict[str, Any] = json.loads(last)
    return result


def _demo_check(seed: int, folder: Path) -> dict[str, Any]:
    command = (str(COMMAND), "demo-check", "--run-folder", str(folder), "--kill-seed", str(seed))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if not last.startswith("{"):
        raise SystemExit(f"soak: demo-check with seed {seed} ended with {done.returncode}: {done.stderr[-2000:]}")
    print(f"seed {seed}: {last}", file=sys.stderr)
    result: dict[str, Any] = json.loads(last)
    return result


def _flip_all(folder: Path) -> tuple[int, int, int]:
    """(flips made, flips found, batches): two batches of each run, two at a time."""
    each = BATCHES // len(SEEDS)
    files = [path for seed in SEEDS for path in sorted((folder / str(seed) / "export").glob("*.batch"))[:each]]
    with ProcessPoolExecutor(2) as pool:
        counts = list(pool.map(_flip_one, files))
    return sum(made for made, _ in counts), sum(found for _, found in counts), len(files)


def _flip_one(path: Path) -> tuple[int, int]:
    """Every bit of one file: how many flips, and how many of them were found."""
    ring = read_ring(next(iter(path.parent.glob("*keys*"))))
    assert not isinstance(check(path, ring), PlombaError), path
    whole = path.read_bytes()
    made = len(whole) * 8
    found = sum(_is_found(whole, bit, ring) for bit in range(made))
    print(f"{path.name}: {found} of {made} flips found", file=sys.stderr)
    return made, found


def _is_found(whole: bytes, bit: int, ring: Keyring) -> bool:
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        proof.check(bytes(flipped), ring)
    except PlombaError:
        return True
    return False


if __name__ == "__main__":
    raise SystemExit(main())
