"""Enter a sheet of master data: all of it in one act, or nothing and every fault told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector.faults import MasterDataError, NotEnteredError, OverlapError, SheetError
from collector.master.channels import Channel
from collector.master.csvlines import BYTES
from collector.master.dated import Act
from collector.master.meters import Installation, Mapped, Meter, Register
from collector.master.points import Point, Supply
from collector.master.sheet import CELL_OF, FAULTS, Placed, Sheet
from collector.store.interface import Store
from collector.store.master import Change
from protocols.settings.problems import Problem

CORRECT = "give --correct if this line is right and what was entered is wrong from then on"

NAMES: dict[type, str] = {
    Point: "points",
    Supply: "supplies",
    Meter: "meters",
    Register: "registers",
    Mapped: "mapped",
    Installation: "installations",
    Channel: "channels",
}


@dataclass(frozen=True, slots=True)
class Entered:
    """What an import did, or would do: by word how many are new or changed, how many held already, spans marked."""

    file: str
    dry: bool
    rows: int
    changed: dict[str, int]
    there: int
    marked: int

    @property
    def row(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": True,
            "file": self.file,
            "dry_run": self.dry,
            "lines": self.rows,
            "entered": self.changed,
            "there_already": self.there,
            "to_recompute": self.marked,
            "problems": [],
        }

    @property
    def sentence(self) -> str:
        """For people."""
        new = ", ".join(f"{count} {word}" for word, count in self.changed.items()) or "nothing new"
        would = "would be entered" if self.dry else "entered"
        told = f"{self.file}: {self.rows} lines; {would}: {new}; {self.there} there already"
        return f"{told}; {self.marked} spans to compute again" if self.marked else told


class _DryRun(Exception):  # noqa: N818 - no error: it takes the transaction back
    pass


def octets_of(path: Path) -> bytes:
    """All of a sheet's file.

    Raises:
        SheetError: it cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            return file.read(BYTES + 1)
    except OSError as error:
        raise SheetError("a file that can be read", str(error.strerror), str(path)) from None


def enter(store: Store, sheet: Sheet, file: str, act: Act, *, correct: bool = False, dry: bool = False) -> Entered:
    """Enter what a sheet says; where something else holds, only `correct` lets the sheet count.

    Raises:
        SheetError: with every fault; nothing was entered.
    """
    problems = list(sheet.problems)
    changed: Counter[str] = Counter()
    broken = set(sheet.broken)
    marked = 0
    try:
        with store.transaction():
            before = store.master.marks.count()
            with store.master.acting(act) as change:
                for placed in sheet.words:
                    problem = _one(store, change, placed, broken, correct, changed)
                    if problem:
                        problems.append(problem)
                        broken |= {(CELL_OF[type(placed.word)], placed.row.text(CELL_OF[type(placed.word)]))}
            marked = store.master.marks.count() - before
            if dry or problems:
                raise _DryRun
    except _DryRun:
        pass
    if problems:
        told = sorted(problems, key=lambda each: (each.line, each.column))[:FAULTS]
        raise SheetError("lines without a fault", f"{len(problems)}", file, told)
    return Entered(file, dry, sheet.rows, dict(changed), len(sheet.words) - changed.total(), marked)


def _one(
    store: Store,
    change: Change,
    placed: Placed,
    broken: set[tuple[str, str]],
    correct: bool,
    changed: Counter[str],
) -> Problem | None:
    word, row = placed.word, placed.row
    count = change.changes
    try:
        with store.savepoint():
            if correct:
                change.set(word)
            else:
                change.enter(word)
    except OverlapError as error:
        return row.problem(CELL_OF[type(word)], error.expected, error.got, CORRECT)
    except NotEnteredError as error:
        if broken & {(name, row.text(name)) for name in ("point", "meter")}:
            return None  # it is missing because another line has a fault
        return row.fault(CELL_OF[type(word)], error)
    except MasterDataError as error:
        return row.fault(CELL_OF[type(word)], error)
    if change.changes > count:
        changed[NAMES[type(word)]] += 1
    return None
