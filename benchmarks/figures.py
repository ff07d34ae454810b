"""What a benchmark prints and keeps: two things measured in the same run, and their ratio."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

CONTEST = "contest_"  # how the names of the contest's figures begin: it has a command of its own
ROUNDS = 5  # the median of so many, taken in turns: A B A B ...


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of results.json: `value` in `unit`, `beside` says what the ratio is to."""

    name: str
    value: float
    unit: str
    beside: str
    ratio: float


def in_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of each, run in turns so that a machine's moods meet both."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in (ours, theirs):
        run()
    for _ in range(ROUNDS):
        for run, kept in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            run()
            kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def resident_mb(pid: int) -> float:
    """What a process occupies now (VmRSS), in MB of 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kib) * 1024 / 1e6


def keep(found: Iterable[Figure]) -> None:
    """Put `found` into results.json, in place of figures of the same names; the contest's stand last."""
    path = Path(__file__).with_name("results.json")
    rows = {row["name"]: row for row in json.loads(path.read_text("utf-8"))}
    for each in found:
        rows[each.name] = {**asdict(each), "value": round(each.value, 3), "ratio": round(each.ratio, 3)}
    ordered = sorted(rows.values(), key=lambda row: str(row["name"]).startswith(CONTEST))
    path.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
