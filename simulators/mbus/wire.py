"""Several meters that talk at once, bit by bit: whoever draws current wins, so the line carries the AND of their bits.

A character is 11 bits: start 0, eight data bits low first, even parity, stop 1; a silent line is 1. The master's
converter reads the line as a UART does: it waits for a start bit, takes what follows as a byte whatever parity and stop
bit say, and waits for the next. Talks that begin at the same bit give the AND of their bytes, and the rest of the
longer one as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

CHARACTER_BITS = 11
DATA_BITS = 8
STOP_AT = 10


def together(talks: Iterable[tuple[int, bytes]]) -> bytes:
    """What a master reads of several talks: each begins `delay` bits after the first possible one."""
    line: list[int] = []
    for delay, octets in talks:
        line += [1] * (delay + CHARACTER_BITS * len(octets) - len(line))
        for at, bit in enumerate(_bits(octets), delay):
            line[at] &= bit
    return bytes(_read(line))


def _bits(octets: bytes) -> Iterator[int]:
    for octet in octets:
        data = [octet >> at & 1 for at in range(DATA_BITS)]
        yield from (0, *data, sum(data) & 1, 1)


def _read(line: list[int]) -> Iterator[int]:
    at = 0
    while at < len(line):
        if line[at]:
            at += 1
            continue
        data = line[at + 1 : at + 1 + DATA_BITS]
        yield sum(bit << n for n, bit in enumerate(data)) | (0xFF << len(data) & 0xFF)
        stop = line[at + STOP_AT : at + CHARACTER_BITS]
        at += CHARACTER_BITS if stop != [0] else STOP_AT  # a stop bit that is 0 may be the next start bit
