"""Logging: lines on stderr; under journald with the priority prefix that it understands.

Metering never waits for its log, nor ends with it: a line that stderr does not take at once - a full disk, a reader
that hangs or is gone - is dropped and counted, and the next line that is taken says how many were.
"""

from __future__ import annotations

import os
import select

import structlog
from structlog.typing import EventDict, WrappedLogger

STDERR = 2
PIECE = 4_096  # bytes: a pipe that takes any without waiting takes so many (PIPE_BUF); sockets take more
PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}  # syslog's


def set_up() -> None:
    """Send everything to stderr."""
    under_journald = "JOURNAL_STREAM" in os.environ
    lines = Lines(STDERR)
    stamp = [] if under_journald else [structlog.processors.TimeStamper("iso", utc=True)]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *stamp,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"], drop_missing=True),
            *([_with_priority] if under_journald else []),
        ],
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )


class Lines:
    """Writes lines to a file descriptor; what that does not take is dropped and counted."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        self._lost = 0

    def msg(self, line: str) -> None:
        """One line, and before it how many were lost since the last one that was taken."""
        lost = f"log lines lost: {self._lost}\n" if self._lost else ""
        self._lost = 0 if self._taken(f"{lost}{line}\n".encode(errors="replace")) else self._lost + 1

    debug = info = warning = error = critical = exception = msg

    def _taken(self, octets: bytes) -> bool:
        """Whether all of it was written, without waiting."""
        try:
            while octets and any(events & select.POLLOUT for _, events in self._room.poll(0)):
                octets = octets[os.write(self._descriptor, octets[:PIECE]) :]
        except OSError:
            return False
        return not octets


def _with_priority(logger: WrappedLogger, name: str, line: EventDict | str) -> str:
    return f"<{PRIORITIES.get(name, 6)}>{line}"
