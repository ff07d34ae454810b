"""What SQLite does not say of its write-ahead log: that commits behind a rotten one are there and were left out.

SQLite takes the log's frames up to the first whose sum does not hold, for that is how a power cut leaves a log, and
says nothing. But a commit of ours is only begun when the one before it is synced: of what a power cut tears at most one
commit stands in the log behind the tear, and no second one. Two or more say that what was durable has rotted. Where the
last commit rots, or the last but one, nothing tells that from a power cut.

Format: sqlite.org/fileformat2.html, "The WAL File Format".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.schema import PAGE, SIDE_FILES

HEADER, FRAME = 32, 24  # bytes of the file's header and of a frame's
MAGIC = {0x377F0682: "<", 0x377F0683: ">"}  # and the order of the bytes in which sums are made
SUM = 0xFFFF_FFFF
MOST = 64 * 1024 * 1024  # bytes: more than a log of ours ever has
TORN = 1  # commits behind a tear that a power cut can leave


@dataclass(frozen=True, slots=True)
class Frame:
    """One page in the log: whether it ends a commit, and whether its sum follows from the frames before."""

    commits: bool
    holds: bool


def commits_left_out(database: Path) -> int:
    """Commits that were durable and that SQLite will leave out of `database`, at least; 0 where nothing says so.

    Raises:
        OSError: the log does not read.
    """
    log = database.with_name(database.name + SIDE_FILES[0])
    if not log.exists() or not HEADER < log.stat().st_size <= MOST:
        return 0
    found = list(frames(log.read_bytes()))
    first = next((n for n, each in enumerate(found) if not each.holds), len(found))
    behind = sum(each.commits for each in found[first:])
    return behind if behind > TORN else 0


def frames(octets: bytes) -> Iterator[Frame]:
    """The frames of a log as they were written since it was begun anew; older ones behind them have other salts."""
    if len(octets) < HEADER:
        return  # it is just begun
    order = MAGIC.get(int.from_bytes(octets[:4], "big"), "<")
    sums = summed((0, 0), octets[:24], order)
    holds = sums == struct.unpack(">2I", octets[24:HEADER])
    salts = octets[16:24] if holds else octets[HEADER + 8 : HEADER + 16]
    for at in range(HEADER, len(octets) - FRAME - PAGE + 1, FRAME + PAGE):
        head, page = octets[at : at + FRAME], octets[at + FRAME : at + FRAME + PAGE]
        if head[8:16] != salts and holds:
            return
        if holds:
            sums = summed(summed(sums, head[:8], order), page, order)
            holds = sums == struct.unpack(">2I", head[16:])
        yield Frame(head[8:16] == salts and head[4:8] != bytes(4), holds)


def summed(sums: tuple[int, int], octets: bytes, order: str) -> tuple[int, int]:
    """The sum of the log with these bytes, a multiple of eight."""
    one, two = sums
    words = struct.unpack(f"{order}{len(octets) // 4}I", octets)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & SUM
        two = (two + second + one) & SUM
    return one, two
