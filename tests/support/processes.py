"""Our programs as processes in one folder: simulated meters, a gateway's commands, its daemon, and what it sealed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from gateway import status
from gateway.faults import BufferDamaged, BufferMissing
from protocols.uplink import batch as batches
from protocols.uplink import body

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0

Found = TypeVar("Found")


class Processes:
    """A folder with a configuration, and the processes that were started there."""

    def __init__(self, folder: Path, configuration: str = "") -> None:
        self.folder, self.file = folder, folder / "gateway.toml"
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.children: list[subprocess.Popen[bytes]] = []
        if configuration:
            self.file.write_text(configuration)

    def log(self) -> str:
        """What the processes said."""
        file = self.folder / "log"
        return file.read_text() if file.exists() else ""

    def start(
        self, module: str, *arguments: str, prefix: tuple[str, ...] = (), stderr: IO[bytes] | int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one of our programs; its words go to the file `log`, but for a `stderr` of its own."""
        with (self.folder / "log").open("ab") as log:
            line = [*prefix, sys.executable, "-m", module, *arguments]
            said = log if stderr is None else stderr
            child = subprocess.Popen(line, cwd=self.folder, env=self.environment, stdout=log, stderr=said)
        self.children.append(child)
        return child

    def meters(self, kind: str, *arguments: str, link: str = "line") -> subprocess.Popen[bytes]:
        """Start simulated meters on a pseudo-terminal that is at `link`, and wait for it."""
        child = self.start("simulators.cli", kind, "--link", link, "--record", f"{link}.jsonl", *arguments)
        self.until(lambda: (self.folder / link).is_symlink() and f"process {child.pid}" in self.log())
        return child

    def daemon(self, prefix: tuple[str, ...] = (), stderr: IO[bytes] | int | None = None) -> subprocess.Popen[bytes]:
        """Start the gateway's daemon."""
        return self.start("gateway.cli", "run", "--config", "gateway.toml", prefix=prefix, stderr=stderr)

    def gateway(self, command: str, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command of the gateway to its end, with what a person says to it."""
        line = [sys.executable, "-m", "gateway.cli", command, *arguments, "--config", "gateway.toml"]
        return subprocess.run(
            line,
            cwd=self.folder,
            env=self.environment,
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def until(self, condition: Callable[[], Found]) -> Found:
        """Wait for something, and give it."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            assert time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.1)
        return found

    def contents(self) -> Iterator[body.Expanded]:
        """All that was sealed and is in the buffer, oldest first; each signature is checked."""
        state = self.folder / "state"
        try:
            keys, listed = status.own_keys(state), status.list_batches(state)
        except (BufferMissing, BufferDamaged):  # the daemon is making it just now
            return
        for each in listed:
            found = status.content(state, bytes.fromhex(each.id))
            if found is None:  # it made room meanwhile
                continue
            batch = batches.parse(found)
            yield batches.expand(batch.header, batches.verify(batch, keys[batch.header.key]))

    def end(self) -> None:
        """End everything that was started here."""
        for child in self.children:
            child.kill()
            child.wait()
