"""Every corruption of one byte of every real M-Bus telegram, part of `make soak`: 1.25 million, about a minute.

Prints one JSON object; exit code 0 only if every one was refused, by the frame's parser and by the reader of a line.
Where the telegrams are absent (PLOMBA_SHARED names their folder) it says so, and nothing is held against it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS.parent)]

from corruptions import EVERY_OCTET, FRAMES, Tally, real_frames, spoil, telegrams_folder  # noqa: E402 - a script's path

SHOWN = 10  # of what passed


def corruptions() -> dict[str, Any]:
    """Try all 255 wrong octets at each place of each telegram."""
    folder, tally, began = telegrams_folder(), Tally(), time.monotonic()
    if folder is None:
        return {"result": "skipped", "why": "the real telegrams are not here (set PLOMBA_SHARED)"}
    frames = real_frames(folder)
    for name, octets in frames.items():
        spoil(name, octets, lambda _: EVERY_OCTET, tally)
    held = not tally.passed and len(frames) == FRAMES and tally.tried == 255 * sum(map(len, frames.values()))
    return {
        "result": "held" if held else "failed",
        "telegrams": len(frames),
        "corruptions": tally.tried,
        "refused": tally.tried - len(tally.passed),
        "passed": tally.passed[:SHOWN],
        "seconds": round(time.monotonic() - began),
    }


def main() -> int:
    """Try, print."""
    found = corruptions()
    print(json.dumps(found))
    return 1 if found["result"] == "failed" else 0


if __name__ == "__main__":
    raise SystemExit(main())
