"""The bench finds mistakes that are planted from outside, each within a few seeds: else it would prove nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from planted import BUGS
from seasons import CALM, CRAMPED, CRAMPED_DAYS, DAYS, GATEWAYS, SEASONS, SEEDS

OF_MEMORY = "every-reading-kept-in-memory"
BENCH = Path(__file__).with_name("bench.py")


def bench(what: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the bench's own command."""
    command = [sys.executable, str(BENCH), what, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


def found(seed: int, bug: str) -> bool:
    """Whether a seed brings it to light; memory alone does so of what is about memory."""
    kinds = {each.partition(":")[0] for each in outcome(seed, bug)["violations"]}
    return bool(kinds if bug == OF_MEMORY else kinds - {"memory"})


def outcome(seed: int, bug: str) -> dict[str, Any]:
    """What a seed comes to with a bug planted."""
    house, days = ("--cramped", CRAMPED_DAYS) if bug in CRAMPED else ("--busy", DAYS)
    sizes = [house, "--days", str(days), "--gateways", str(GATEWAYS)]
    sizes += ["--calm"] if bug in CALM else []
    done = bench("run", "--seed", str(seed), "--bug", bug, "--season", ",".join(SEASONS[bug]), *sizes)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    assert last.startswith("{"), done.stderr[-2_000:]
    told: dict[str, Any] = json.loads(last)
    return told


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_planted_mistake_is_found(bug: str) -> None:
    """Within `SEEDS` seeds of some virtual hours and two gateways."""
    assert any(found(seed, bug) for seed in range(1, SEEDS + 1))


def test_there_are_at_least_twenty_and_each_has_its_season() -> None:
    """The aim of the bench, and no name that is misspelt."""
    assert len(BUGS) >= 48
    assert set(SEASONS) == set(BUGS)
