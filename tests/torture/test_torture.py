"""A minute of torture loses nothing, and a gateway that trusts the broker does not survive it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from postgres import find_bin

COMMAND = Path(sys.executable).parent / "plomba-simulator"
FORGETFUL = Path(__file__).with_name("forgetful_gateway.py")
LINE_KINDS = {"refuse", "reset", "black_hole", "drip", "delay", "flap"}
BLOWS = {f"{blow}_{part}" for blow in ("kill", "term") for part in ("house", "meters", "collector", "broker")}
MESSAGE_KINDS = {"duplicate", "late", "reorder", "swallow"}

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.alone]


def torture(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, result and talk of a run, with nothing in the environment but what finds the programs."""
    command = (str(COMMAND), "torture", "--run-folder", str(folder), *arguments)
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(command, capture_output=True, text=True, env=bare, timeout=350, check=False)
    return done.returncode, json.loads(done.stdout.strip().splitlines()[-1]), done.stderr


@pytest.mark.timeout(400)
def test_a_minute_of_torture_loses_nothing(tmp_path: Path) -> None:
    """`make torture`: every kind of fault happens, and everything that was produced is stored, once, unaltered."""
    code, result, talk = torture(tmp_path / "run", "--seed", "1", "--seconds", "60")
    assert code == 0, (result, talk)
    assert (result["result"], result["lost"], result["twice"], result["altered"]) == ("held", 0, 0, 0)
    assert (result["seal_failures"], result["buffered"], result["refused"], result["never_recovered"]) == (0, 0, 0, 0)
    assert result["produced"] == result["stored"] > 100
    expected = LINE_KINDS | BLOWS | {"stop_collector", "stop_broker", "clock_step", "half_open"}
    assert result["faults"].keys() | result["not_injected"].keys() == expected
    assert result["effects"].keys() >= LINE_KINDS | MESSAGE_KINDS
    assert result["recovery_p50_s"] <= result["recovery_p99_s"]
    assert not list((tmp_path / "run").glob("*.pid"))


@pytest.mark.timeout(400)
def test_two_workers_on_a_database_that_is_killed_and_put_back_lose_nothing(tmp_path: Path) -> None:
    """A slice of what `make soak` runs: PostgreSQL and both workers are killed, the database goes back to a copy."""
    if find_bin() is None:
        pytest.skip("PostgreSQL is not installed: run make services")
    code, result, talk = torture(tmp_path / "run", "--seed", "1", "--seconds", "30", "--workers", "2")
    assert code == 0, (result, talk)
    assert (result["result"], result["lost"], result["twice"], result["altered"]) == ("held", 0, 0, 0)
    assert (result["seal_failures"], result["buffered"], result["refused"], result["never_recovered"]) == (0, 0, 0, 0)
    assert result["produced"] == result["stored"] > 50
    assert result["faults"].keys() & {"kill_database", "stop_database", "term_database", "restore_database"}


@pytest.mark.timeout(400)
def test_a_gateway_that_takes_the_brokers_word_for_stored_is_found(tmp_path: Path) -> None:
    """The bench can fail: such a gateway loses what the broker lost."""
    program = ("--program", f"plomba-gateway={sys.executable} {FORGETFUL}")
    code, result, talk = torture(tmp_path / "run", "--seed", "1", "--seconds", "20", *program)
    assert (code, result["result"]) == (1, "failed"), (result, talk)
    assert result["lost"] > 0
    assert any("answered" in name for name in result["missing"])
