"""Logging: lines on stderr; under journald with the priority prefix that it understands."""

from __future__ import annotations

import os
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}  # syslog's


def set_up() -> None:
    """Send everything to stderr."""
    under_journald = "JOURNAL_STREAM" in os.environ
    stamp = [] if under_journald else [structlog.processors.TimeStamper("iso", utc=True)]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *stamp,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"], drop_missing=True),
            *([_with_priority] if under_journald else []),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _with_priority(logger: WrappedLogger, name: str, line: EventDict | str) -> str:
    return f"<{PRIORITIES.get(name, 6)}>{line}"
