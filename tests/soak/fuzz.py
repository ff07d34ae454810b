"""The full counts of the fuzz harness, part of `make soak`: 10^5 inputs for each decoder, two at a time.

Prints progress on stderr and one JSON object on stdout; exit code 0 only if nothing was found. With `--target NAME
--input HEX` it does one input again and says how that ends.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import structlog

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "uplink"), str(TESTS.parent)]

from fuzz_targets import BY_NAME, TARGETS  # noqa: E402 - a script finds the tests' modules by itself
from fuzzing import GOOD, Tally, examine, hunt, summary  # noqa: E402

SEED = "soak"
PROCESSES = 2


def fuzz(names: list[str] | None = None, share: float = 1.0, seed: str = SEED) -> dict[str, Any]:
    """Fuzz the targets named (None: all), with this share of their full counts."""
    chosen = sorted(names or BY_NAME, key=lambda name: -BY_NAME[name].cost)
    # Each process makes its own stores and buffers, in a folder that goes with this one: a fork would share them.
    with tempfile.TemporaryDirectory(prefix="plomba-fuzz-") as place:
        os.environ["TMPDIR"] = place
        with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
            jobs = [pool.submit(_hunt, name, share, seed) for name in chosen]
            done = [(BY_NAME[name], job.result()) for name, job in zip(chosen, jobs, strict=True)]
    return summary(done)


def _hunt(name: str, share: float, seed: str) -> Tally:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    target = BY_NAME[name]
    tally = hunt(target, max(1, int(target.soak_inputs * share)), seed)
    print(f"{name}: {tally.inputs} inputs, {dict(tally.outcomes)}", file=sys.stderr)
    for finding in tally.findings:
        print(finding, file=sys.stderr)
    return tally


def again(name: str, octets: bytes) -> int:
    """Do one input again; where it fails, with its trace."""
    for each in BY_NAME[name].corpus:  # libraries are imported and caches filled when first needed
        examine(BY_NAME[name], each)
    result = examine(BY_NAME[name], octets, counted=True)
    print(f"{name}: {result.outcome}: {result.what}, {result.steps} lines")
    if result.outcome in GOOD:
        return 0
    try:
        BY_NAME[name].decode(octets)
    except Exception:  # noqa: BLE001 - it is shown
        traceback.print_exc()
    return 1


def main() -> int:
    """Run everything, or do one input again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", choices=[target.name for target in TARGETS])
    parser.add_argument("--input", help="bytes in hex: do this one again")
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts")
    parser.add_argument("--seed", default=SEED)
    asked = parser.parse_args()
    if asked.input is not None:
        return again(asked.target[0], bytes.fromhex(asked.input))
    found = fuzz(asked.target, asked.share, asked.seed)
    print(json.dumps(found))
    return 0 if found["result"] == "held" else 1


if __name__ == "__main__":
    raise SystemExit(main())
