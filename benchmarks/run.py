"""Run all benchmarks: prints a line each and writes results.json beside this file (`make bench`)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import dlms
import mbus
import sealing
import starting
import storing


def main() -> None:
    """Measure, print, keep."""
    found = []
    for figures in (mbus.figures, dlms.figures, sealing.figures, storing.figures, starting.figures):
        for figure in figures():
            print(f"{figure.name:45} {figure.value:12,.2f} {figure.unit:4} x {figure.ratio:.2f} of {figure.beside}")
            found.append({**asdict(figure), "value": round(figure.value, 3), "ratio": round(figure.ratio, 3)})
    Path(__file__).with_name("results.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
