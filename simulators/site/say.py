"""What a demo says while it runs: calm lines, and on a terminal one line of progress that is written over."""

from __future__ import annotations

import sys
import time
from typing import TextIO

QUIET_S = 15.0  # without a terminal a line of progress is printed at most so often
CLEAR = "\r\x1b[K"


class Say:
    """Writes to `out` (standard error by default): what the demo says is talk, not data."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stderr if out is None else out
        self._live = self._out.isatty()
        self._pending = False
        self._printed = 0.0

    def line(self, text: str = "") -> None:
        """A line that stays."""
        self._write(f"{CLEAR if self._pending else ''}{text}\n")
        self._pending = False
        self._printed = time.monotonic()

    def progress(self, text: str) -> None:
        """A line that the next one takes the place of."""
        if self._live:
            self._write(f"{CLEAR}{text}")
            self._pending = True
        elif time.monotonic() - self._printed >= QUIET_S:
            self.line(text)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
