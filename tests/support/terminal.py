"""A technician at a terminal: types each answer when its question stands there."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

GATEWAY = (sys.executable, "-c", "from gateway.cli import main; main(prog_name='plomba-gateway')")
ROOT = Path(__file__).resolve().parents[2]

LEAVE, AGAIN_S = "\x03", 2.0  # Ctrl-C, and when it is pressed again
Answer = str | Callable[[], str]  # what is typed; or what happens then, and what is typed after it


def typed(folder: Path, answers: Sequence[tuple[str, Answer]], *arguments: str) -> tuple[int, str]:
    """A command of the gateway on a terminal (by itself `init`): its exit code, and all that was shown."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is started in the background of a shell ignores it
        command = [*GATEWAY, *(arguments or ("init",))]
        os.execve(GATEWAY[0], command, {**os.environ, "PYTHONPATH": str(ROOT)})  # noqa: S606 - our own program
    shown, since, left, last = "", 0, list(answers), ""
    with contextlib.suppress(OSError):  # the terminal is gone with its program
        while True:
            if last.endswith(LEAVE) and not select.select([master], [], [], AGAIN_S)[0]:
                # The signal came between Python's last look at signals and its read, which then goes on (what was typed
                # before it is gone with it): press again.
                os.write(master, LEAVE.encode())
                continue
            if not (octets := os.read(master, 4096)):
                break
            shown += octets.decode(errors="replace")
            while left and (at := shown.find(left[0][0], since)) >= 0:
                since = at + len(left[0][0])
                answer = left.pop(0)[1]
                last = answer if isinstance(answer, str) else answer()
                os.write(master, last.encode())
    os.close(master)
    assert left == [], shown
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
