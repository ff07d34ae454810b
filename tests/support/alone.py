"""A gateway's daemon and a simulated M-Bus meter as processes of their own, and what the daemon has sealed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from gateway.faults import BufferDamaged, BufferMissing
from gateway.status import bodies
from protocols.uplink import body
from protocols.uplink.records import Event, Parameter, Record

CONFIG = """
gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "127.0.0.1"
port = 1
[[bus]]
name = "cellar"
protocol = "mbus"
port = "line"
[[bus.device]]
name = "heat"
address = 1
cadence_s = 1
"""
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
MOST = 1_000  # batches of a buffer that are looked through


class Alone:
    """A meter that is read every second, and a gateway that is enrolled nowhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "gateway.toml").write_text(CONFIG)
        self.children: list[subprocess.Popen[bytes]] = []

    def start(
        self, *command: str, prefix: tuple[str, ...] = (), stderr: IO[bytes] | int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one of our commands; its words go to the file `log`, but for a `stderr` of its own."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self.folder / "log").open("ab") as log:
            line = [*prefix, sys.executable, "-m", *command]
            said = log if stderr is None else stderr
            child = subprocess.Popen(line, cwd=self.folder, env=environment, stdout=log, stderr=said)
        self.children.append(child)
        return child

    def meters(self) -> subprocess.Popen[bytes]:
        """Start the meters."""
        return self.start("simulators.cli", "meters", "--link", "line", "--record", "record.jsonl")

    def set_up(self) -> None:
        """Start the meters, and make the gateway's keys."""
        self.meters()
        assert self.start("gateway.cli", "keys", "--config", "gateway.toml").wait(PATIENCE_S) == 0

    def daemon(self, prefix: tuple[str, ...] = (), stderr: IO[bytes] | int | None = None) -> subprocess.Popen[bytes]:
        """Start the daemon."""
        return self.start("gateway.cli", "run", "--config", "gateway.toml", prefix=prefix, stderr=stderr)

    def end(self) -> None:
        """End everything."""
        for child in self.children:
            child.kill()
            child.wait()

    def sealed(self) -> tuple[list[body.Expanded], list[Record]]:
        """What the buffer holds, oldest first, and all records in it."""
        try:
            found = [body.expand(each) for each in bodies(self.folder / "state", MOST)][::-1]
        except (BufferMissing, BufferDamaged):  # the daemon is making it just now
            found = []
        return found, [each for content in found for each in content.records]

    def told(self, code: str) -> list[tuple[Parameter, ...]]:
        """The parameters of the events of this code."""
        return [each.parameters for each in self.sealed()[1] if isinstance(each, Event) and each.code == code]

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that the daemon does."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.2)

    def slots(self) -> list[int]:
        """The slots of the readings that are sealed."""
        return [each.slot_ms or 0 for content in self.sealed()[0] for each in content.readings]
