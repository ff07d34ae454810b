"""Work that is done in a process of its own: what it imports and leaves behind ends with it, and its result stays.

For what a daemon needs once, at its start: nothing else may run in this process yet, neither thread nor event loop.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar

from gateway.faults import StartBroken
from protocols.errors import PlombaError

Result = TypeVar("Result")
PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)  # found here: after the fork as little as can be


class Aside(Generic[Result]):
    """Begins `work` in a process of its own; what it returns or raises (a `PlombaError`) has to be such as pickles."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._pipe, answer = os.pipe()
        parent = os.getpid()
        self._process = os.fork()
        if not self._process:
            _end_with(parent)
            _worked(work, answer)
        os.close(answer)

    def result(self) -> Result:
        """What it returned, once.

        Raises:
            PlombaError: what it raised.
            StartBroken: it ended with neither.
        """
        with os.fdopen(self._pipe, "rb") as pipe:
            octets = pipe.read()
        _, status = os.waitpid(self._process, 0)
        if not octets:
            raise StartBroken(
                "the configuration", f"nothing, and exit status {os.waitstatus_to_exitcode(status)}", "a start"
            )
        found: Any = pickle.loads(octets)  # noqa: S301 - of our own process
        if isinstance(found, PlombaError):
            raise found
        result: Result = found
        return result


def _end_with(parent: int) -> None:
    """Linux: whoever ends the daemon while it starts, however, has ended this process too."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)


def _worked(work: Callable[[], object], answer: int) -> NoReturn:
    """What the other process does."""
    try:
        with os.fdopen(answer, "wb") as pipe:
            pipe.write(pickle.dumps(_outcome(work), pickle.HIGHEST_PROTOCOL))
        os._exit(0)
    except Exception:  # noqa: BLE001 - a bug of ours: told here, where it happened
        traceback.print_exc()
    finally:
        os._exit(1)


def _outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except PlombaError as error:
        return error
