"""Run all benchmarks: prints a line each and writes results.json beside this file (`make bench`)."""

from __future__ import annotations

import buffering
import bus
import dlms
import mbus
import residing
import sealing
import starting
import storing
from figures import Figure, keep


def main() -> None:
    """Measure, print, keep."""
    found: list[Figure] = []
    parts = (mbus, bus, dlms, sealing, buffering, storing, starting, residing)
    for part in parts:
        for figure in part.figures():
            print(f"{figure.name:45} {figure.value:12,.2f} {figure.unit:4} x {figure.ratio:.2f} of {figure.beside}")
            found.append(figure)
    keep(found)


if __name__ == "__main__":
    main()
