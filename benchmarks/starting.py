"""How long a command takes to be ready, beside a bare interpreter."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import week
from figures import GATEWAY, Figure, in_turns

MOST_S = 1.0
CONFIG = """\
gateway = "bench-gateway"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "localhost"
port = 1
[[bus]]
name = "none"
protocol = "mbus"
port = "none"
[[bus.device]]
name = "none"
address = 1
cadence_s = 900
"""


def figures() -> Iterator[Figure]:
    """The daemon, from the command to its first word in the log: configuration read, buffer open, epoch begun.

    With an empty buffer, and with one that a week without a link has filled.
    """
    with tempfile.TemporaryDirectory(prefix="plomba-bench-") as name:
        folder = Path(name)
        config = folder / "gateway.toml"
        config.write_text(CONFIG)
        subprocess.run((*GATEWAY, "keys", "--config", config), check=True, capture_output=True)
        mine, other = in_turns(lambda: _start(config), _bare)
        yield Figure("gateway_start_s", mine, "s", "a bare interpreter", mine / other, most=MOST_S)
        shutil.rmtree(folder / "state")
        (folder / "state").mkdir()
        held = week.fill(folder / "state", folder / "keys")
        mine, other = in_turns(lambda: _start(config), _bare)
        beside = f"a bare interpreter; {held} batches held"
        yield Figure("gateway_start_s_after_a_week", mine, "s", beside, mine / other, most=MOST_S)


def _start(config: Path) -> None:
    with subprocess.Popen((*GATEWAY, "run", "--config", config), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"started" not in process.stderr.readline():
            assert process.poll() is None, "the daemon ended"
        process.kill()


def _bare() -> None:
    subprocess.run((sys.executable, "-c", ""), check=True)
