"""A table whose rows hold for a time and are known for a time: nothing in it is overwritten.

What is laid over a row closes it (it is known until then) and writes again, under the new act, what of it still holds
before and after. So every question has an answer as known at any instant, and that answer never changes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

from collector.master.dated import Act, Span, covered
from collector.store.master_words import Form, W

FOREVER = 2**63 - 1  # as "known at": what is known now
_KNOWN = "known_from_ms <= ? AND (known_to_ms IS NULL OR known_to_ms > ?)"


@dataclass(frozen=True, slots=True)
class Version(Generic[W]):
    """A row as it was once known: by whom it was entered, and until when it was known (None: still)."""

    word: W
    act: Act
    known_to_ms: int | None


class DatedTable(Generic[W]):
    """The table of one word."""

    def __init__(self, connection: sqlite3.Connection, form: Form[W]) -> None:
        self._sql = connection
        self.form: Form[W] = form
        self._columns = (*form.columns, "from_ms", "to_ms")
        self._select = f"SELECT {', '.join(self._columns)} FROM {form.table} WHERE {_KNOWN}"  # noqa: S608 - constants

    def at(self, at_ms: int, known_ms: int | None = None, **only: object) -> list[W]:
        """What holds at an instant, as known at `known_ms` (None: now); `only` are columns and their values."""
        return self.during(Span(at_ms, at_ms + 1), known_ms, **only)

    def during(self, span: Span, known_ms: int | None = None, **only: object) -> list[W]:
        """What holds at any time of the span, by key and time."""
        until = FOREVER if span.to_ms is None else span.to_ms
        where = "".join(f" AND {column} = ?" for column in only)
        rows = self._sql.execute(
            f"{self._select} AND from_ms < ? AND (to_ms IS NULL OR to_ms > ?){where} ORDER BY {self._order}",
            (*_known(known_ms), until, span.from_ms, *only.values()),
        )
        return [self._word(row) for row in rows]

    def all(self, known_ms: int | None = None, **only: object) -> list[W]:
        """Everything that ever held, as known at `known_ms`, by key and time."""
        where = "".join(f" AND {column} = ?" for column in only)
        rows = self._sql.execute(f"{self._select}{where} ORDER BY {self._order}", (*_known(known_ms), *only.values()))
        return [self._word(row) for row in rows]

    def page(self, after: str, limit: int, known_ms: int | None = None) -> list[W]:
        """The rows of the next `limit` things whose first key is above `after`."""
        first = self.form.columns[0]
        rows = self._sql.execute(
            f"{self._select} AND {first} IN (SELECT DISTINCT {first} FROM {self.form.table} WHERE {first} > ?"  # noqa: S608 - constants
            f" ORDER BY {first} LIMIT ?) ORDER BY {self._order}",
            (*_known(known_ms), after, limit),
        )
        return [self._word(row) for row in rows]

    def versions(self, **only: object) -> list[Version[W]]:
        """Every row that was ever entered, the oldest knowledge first."""
        where = " AND ".join(f"{column} = ?" for column in only) or "1 = 1"
        rows = self._sql.execute(
            f"SELECT {', '.join(self._columns)}, known_from_ms, known_to_ms, who, why FROM {self.form.table}"  # noqa: S608 - constants
            f" WHERE {where} ORDER BY known_from_ms, {self._order}",
            tuple(only.values()),
        )
        return [Version(self._word(row[:-4]), Act(row[-2], row[-4], row[-1]), row[-3]) for row in rows]

    def add(self, word: W, act: Act) -> list[Span]:
        """Let this hold where nothing of this thing holds."""
        self._insert(word, act)
        return [word.span]

    def lay(self, word: W, act: Act) -> list[Span]:
        """Let this hold in its span, over whatever held there; where that is different from before."""
        olds = self.during(word.span, None, **self.form.key(word))
        if olds == [word]:  # nothing is said anew
            return []
        self._cut(olds, word.span, act)
        self._insert(word, act)
        row = self.form.to_row(word)
        same = [common for old in olds if self.form.to_row(old) == row and (common := old.span.common(word.span))]
        return _without(word.span, same)

    def says(self, rows: list[W], word: W) -> bool:
        """Whether rows, in the order of time, say in all of a word's span what it says."""
        same = all(self.form.to_row(each) == self.form.to_row(word) for each in rows)
        return same and covered((each.span for each in rows), word.span)

    def cut(self, word: W, span: Span, act: Act) -> None:
        """Let nothing of this thing hold in a span."""
        self._cut(self.during(span, None, **self.form.key(word)), span, act)

    def _cut(self, olds: list[W], span: Span, act: Act) -> None:
        """Close rows that hold in the span, and write again what is left of them."""
        for old in olds:
            self._close(old, act)
            for left in _left(old.span, span):
                self._insert(self.form.piece(old, left), act)

    def _close(self, word: W, act: Act) -> None:
        """Known until now; what this same act entered was never known to anybody."""
        key = {**self.form.key(word), "from_ms": word.span.from_ms}
        where = " AND ".join(f"{column} = ?" for column in key)
        table = self.form.table
        self._sql.execute(f"DELETE FROM {table} WHERE {where} AND known_from_ms = ?", (*key.values(), act.at_ms))  # noqa: S608 - constants
        self._sql.execute(
            f"UPDATE {table} SET known_to_ms = ? WHERE {where} AND known_to_ms IS NULL",  # noqa: S608 - constants
            (act.at_ms, *key.values()),
        )

    def _insert(self, word: W, act: Act) -> None:
        values = (*self.form.to_row(word), word.span.from_ms, word.span.to_ms, act.at_ms, None, act.who, act.why)
        columns = ", ".join((*self._columns, "known_from_ms", "known_to_ms", "who", "why"))
        marks = ", ".join("?" * len(values))
        self._sql.execute(f"INSERT INTO {self.form.table} ({columns}) VALUES ({marks})", values)  # noqa: S608 - constants

    @property
    def _order(self) -> str:
        return ", ".join((*self.form.columns[: self.form.keys], "from_ms"))

    def _word(self, row: Sequence[Any]) -> W:
        return self.form.from_row(row[:-2], Span(row[-2], row[-1]))


def _known(known_ms: int | None) -> tuple[int, int]:
    instant = FOREVER if known_ms is None else known_ms
    return instant, instant


def _left(old: Span, cut: Span) -> list[Span]:
    """What is left of a span without another that meets it."""
    left = [Span(old.from_ms, cut.from_ms)] if old.from_ms < cut.from_ms else []
    if cut.to_ms is not None and (old.to_ms is None or cut.to_ms < old.to_ms):
        left.append(Span(cut.to_ms, old.to_ms))
    return left


def _without(span: Span, same: list[Span]) -> list[Span]:
    """What of a span is in none of those."""
    rest = [span]
    for each in same:
        rest = [left for part in rest for left in (_left(part, each) if part.common(each) else [part])]
    return rest
