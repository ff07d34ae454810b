"""The courses by which planted mistakes are found, without any mistake: they hold, or the finding proves nothing.

python tests/bench/controls.py          all of them with all their seeds, two at a time (part of `make soak`)
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seasons import CALM, CRAMPED, CRAMPED_DAYS, DAYS, GATEWAYS, SEASONS, SEEDS

BENCH = Path(__file__).with_name("bench.py")
PROCESSES = 2
LONGEST_S = 280


@dataclass(frozen=True, slots=True, order=True)
class Course:
    """Seasons of faults, and whether the houses are cramped, and whether no other faults come."""

    season: tuple[str, ...]
    cramped: bool
    calm: bool

    @classmethod
    def of(cls, bug: str) -> Course:
        """By which a planted mistake is found."""
        return cls(SEASONS[bug], bug in CRAMPED, bug in CALM)

    def arguments(self) -> list[str]:
        """Of the bench's command, beside the seed."""
        house, days = ("--cramped", CRAMPED_DAYS) if self.cramped else ("--busy", DAYS)
        sizes = [house, "--days", str(days), "--gateways", str(GATEWAYS), *(["--calm"] if self.calm else [])]
        return ["--season", ",".join(self.season), *sizes]


COURSES = sorted({Course.of(bug) for bug in SEASONS})


def outcome(course: Course, seed: int, *more: str) -> dict[str, Any]:
    """What a seed of a course comes to.

    Raises:
        RuntimeError: the bench itself failed, and how.
    """
    command = [sys.executable, str(BENCH), "run", "--seed", str(seed), *course.arguments(), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if not last.startswith("{"):
        raise RuntimeError(done.stderr[-2_000:])
    told: dict[str, Any] = json.loads(last)
    return told


def main() -> int:
    """Run them all; one JSON object on stdout, progress on stderr; 0 only where all of them hold."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        asked = [(course, seed) for course in COURSES for seed in range(1, SEEDS + 1)]
        failed = [each for each in pool.map(lambda one: _failed(*one), asked) if each is not None]
    shown = {"result": "failed" if failed else "held", "courses": len(COURSES), "runs": len(asked), "failed": failed}
    print(json.dumps(shown))
    return 1 if failed else 0


def _failed(course: Course, seed: int) -> dict[str, Any] | None:
    violations = outcome(course, seed)["violations"]
    print(f"{','.join(course.season) or 'no season'}, seed {seed}: {len(violations)} violations", file=sys.stderr)
    return {"seed": seed, "arguments": course.arguments(), "violations": violations[:3]} if violations else None


if __name__ == "__main__":
    raise SystemExit(main())
