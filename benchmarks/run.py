"""Run all benchmarks: prints a line each and writes results.json beside this file (`make bench`).

Arguments choose parts: `run.py mbus bus`. The exit code is 1 where a figure misses what is promised of it.
"""

from __future__ import annotations

import sys

import buffering
import bus
import dlms
import ground
import mbus
import residing
import sealing
import starting
import storing
from figures import Figure, keep

PARTS = {part.__name__: part for part in (mbus, bus, dlms, sealing, buffering, storing, ground, starting, residing)}


def main() -> None:
    """Measure, print, keep; say which bounds were missed."""
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := set(wanted) - PARTS.keys():
        raise SystemExit(f"expected some of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    found: list[Figure] = []
    for name in wanted:
        for figure in PARTS[name].figures():
            print(figure)
            found.append(figure)
    keep(found)
    if missed := [each.name for each in found if not each.held]:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
