"""The simulators' own record of what they answered: JSON lines, on their way to the disk before the answer's bytes.

Counting a run compares the collector with this file, never with the product's own counters. A line also keeps the
meter's registers, so that a simulator that was killed continues where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TAIL = 1 << 20  # bytes read back at a start: hundreds of answers; the whole file only where a meter is not among them


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: the intact frame as the meter made it, and what happened to it on the wire (None: nothing).

    `repeat` says that the master asked with the same frame count bit again and got the same telegram. `kind` is
    "answer", or "row" for a row that the meter put into its load profile, whose own time is then `time`; `telegram` is
    empty for a row.
    """

    at_ms: int
    meter: str
    address: int
    telegram: str
    damaged: str | None
    repeat: bool
    values: dict[str, dict[str, int | str]]
    registers: dict[str, int] = field(default_factory=dict)
    kind: str = "answer"
    time: str | None = None

    def to_json(self) -> str:
        """One line; `damaged` is false or the kind of fault."""
        row = asdict(self)
        row["damaged"] = self.damaged or False
        return json.dumps(row, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Answered:
        """The line that `to_json` wrote."""
        row: dict[str, Any] = json.loads(line)
        row["damaged"] = row["damaged"] or None
        return cls(**row)


class Record:
    """Appends to the record at `path`; a line torn by a kill is cut off first (its answer was never sent)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab")
        self._cut_torn_line()

    def append(self, answered: Answered) -> None:
        """Write one line and hand it to the kernel: a killed process does not lose it."""
        self._file.write(answered.to_json().encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def last(self, meters: frozenset[str]) -> dict[str, Answered]:
        """The last line of each of `meters` that has one."""
        size = self.path.stat().st_size
        found = self._last_after(max(0, size - TAIL), meters)
        return found if len(found) == len(meters) or size <= TAIL else self._last_after(0, meters)

    def _last_after(self, start: int, meters: frozenset[str]) -> dict[str, Answered]:
        found: dict[str, Answered] = {}
        with self.path.open("rb") as file:
            if start:
                file.seek(start)
                file.readline()
            for line in file:
                answered = Answered.from_json(line.decode())
                if answered.meter in meters:
                    found[answered.meter] = answered
        return found

    def _cut_torn_line(self) -> None:
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size - TAIL)
            file.seek(start)
            tail = file.read()
        if tail and not tail.endswith(b"\n"):
            self._file.truncate(start + tail.rfind(b"\n") + 1)


def read(path: Path) -> Iterator[Answered]:
    """All whole lines of a record; the last one may be written just now."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            yield Answered.from_json(line)
