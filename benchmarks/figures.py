"""What a benchmark prints and keeps: two things measured in the same run, and their ratio."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

CONTEST = "contest_"  # how the names of the contest's figures begin: it has a command of its own
# The command plomba-gateway as where an operator runs it: structlog would import what only our tests' tools bring.
GATEWAY = (
    *(sys.executable, "-c"),
    "import sys; sys.modules.update(rich=None, greenlet=None); from gateway.cli import main; main()",
)
ROUNDS = 5  # the median of so many, taken in turns: A B A B ...


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of results.json: `value` in `unit`, `beside` says what the ratio is to.

    `least` is what the value has to reach, `most` what it may not pass, where that is promised.
    """

    name: str
    value: float
    unit: str
    beside: str
    ratio: float
    least: float | None = None
    most: float | None = None

    @property
    def held(self) -> bool:
        """Whether the value is what is promised."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    def __str__(self) -> str:
        shown = f"{self.name:45} {self.value:12,.2f} {self.unit:4} x {self.ratio:.2f} of {self.beside}"
        bounds = "".join(f"; {word} {bound:,g}" for word, bound in self._bounds())
        return f"{shown}{bounds}: {'held' if self.held else 'MISSED'}" if bounds else shown

    def to_row(self) -> dict[str, object]:
        """Its row in results.json: bounds and `held` only where there is a bound."""
        row = {**asdict(self), "value": round(self.value, 3), "ratio": round(self.ratio, 3), "held": self.held}
        absent = {name for name in ("least", "most") if row[name] is None}
        if len(absent) == 2:
            absent.add("held")
        return {name: value for name, value in row.items() if name not in absent}

    def _bounds(self) -> list[tuple[str, float]]:
        bounds = (("at least", self.least), ("at most", self.most))
        return [(word, bound) for word, bound in bounds if bound is not None]


def in_turns(
    ours: Callable[[], object], theirs: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float]:
    """Median seconds of each, run in turns so that a machine's moods meet both.

    What is promised for a core is measured in the processor's time (`clock`), whatever else runs beside it.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for run in (ours, theirs):
        run()
    for _ in range(ROUNDS):
        for run, kept in zip((ours, theirs), times, strict=True):
            start = clock()
            run()
            kept.append(clock() - start)
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
        rows[each.name] = each.to_row()
    ordered = sorted(rows.values(), key=lambda row: str(row["name"]).startswith(CONTEST))
    path.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
