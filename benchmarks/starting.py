"""How long a command takes to be ready, beside a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from figures import GATEWAY, Figure, in_turns

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
    """The daemon, from the command to its first word in the log: configuration read, buffer open, epoch begun."""
    with tempfile.TemporaryDirectory(prefix="plomba-bench-") as folder:
        config = Path(folder) / "gateway.toml"
        config.write_text(CONFIG)
        subprocess.run((*GATEWAY, "keys", "--config", config), check=True, capture_output=True)

        def daemon() -> None:
            with subprocess.Popen((*GATEWAY, "run", "--config", config), stderr=subprocess.PIPE) as process:
                assert process.stderr is not None
                while b"started" not in process.stderr.readline():
                    assert process.poll() is None, "the daemon ended"
                process.kill()

        def bare() -> None:
            subprocess.run((sys.executable, "-c", ""), check=True)

        mine, other = in_turns(daemon, bare)
    yield Figure("gateway_start_s", mine, "s", "a bare interpreter", mine / other)
