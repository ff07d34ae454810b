"""Sets of sequence numbers as sorted, disjoint runs (first, last): small however many numbers they hold."""

from __future__ import annotations

from collections.abc import Iterable

Runs = tuple[tuple[int, int], ...]


def union(*sets: Iterable[tuple[int, int]]) -> Runs:
    """All numbers of all sets (each any collection of runs, in any order)."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(run for each in sets for run in each):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def minus(left: Runs, right: Runs) -> Runs:
    """The numbers of `left` that are not in `right`."""
    found: list[tuple[int, int]] = []
    holes = iter(right)
    hole = next(holes, None)
    for first, last in left:
        start = first
        while hole is not None and hole[1] < start:
            hole = next(holes, None)
        while hole is not None and hole[0] <= last:
            if hole[0] > start:
                found.append((start, hole[0] - 1))
            start = hole[1] + 1
            if hole[1] > last:
                break
            hole = next(holes, None)
        if start <= last:
            found.append((start, last))
    return tuple(found)


def common(left: Runs, right: Runs) -> Runs:
    """The numbers in both."""
    return minus(left, minus(left, right))


def top(runs: Runs) -> int:
    """The highest number, 0 where there is none."""
    return runs[-1][1] if runs else 0


def prefix(runs: Runs) -> int:
    """The number up to which all from 1 on are there, 0 where 1 is missing."""
    return runs[0][1] if runs and runs[0][0] == 1 else 0


def add(runs: Runs, number: int) -> Runs:
    """`runs` with one more number; the usual case, the next number, is quick."""
    if runs and number == runs[-1][1] + 1:
        return (*runs[:-1], (runs[-1][0], number))
    return union(runs, ((number, number),))
