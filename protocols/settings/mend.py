"""Reads on after a slip, so that one run names every mistake of a file.

A header that is nearly a known one and a line that is no TOML are problems; the text is read once more with what was
probably meant. Nothing that was guessed is ever used: a document with problems is no configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel

from protocols.settings.document import Document, guessed, table_of, text_in
from protocols.settings.headers import Known, known_tables, mend_headers
from protocols.settings.locate import Places, locate
from protocols.settings.problems import Problem
from protocols.settings.syntax import Guess, meant

ROUNDS = 40  # lines that are no TOML and are named in one run
WORK = 2 * 1024 * 1024  # characters that all rounds together look at: some seconds


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text on its way to be TOML: its lines now, what was found, and how often each line was guessed."""

    lines: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    guesses: Mapping[int, int] = field(default_factory=dict)

    def after(self, found: Guess, problem: Problem) -> _Reading | None:
        """With the line as it is probably meant; None where reading on would only guess."""
        times = self.guesses.get(found.line, 0)
        line = meant(self.lines[found.line - 1], found, times)
        if line is None:
            return None
        lines = (*self.lines[: found.line - 1], line, *self.lines[found.line :])
        problems = self.problems if times else (*self.problems, problem)
        return _Reading(lines, problems, {**self.guesses, found.line: times + 1})


def load(path: Path, model: type[BaseModel]) -> Document | tuple[Problem, ...]:
    """The document in a file, with the problems that were read over; or why there is none."""
    text = text_in(path)
    return (text,) if isinstance(text, Problem) else parse(str(path), text, model)


def parse(file: str, text: str, model: type[BaseModel]) -> Document | tuple[Problem, ...]:
    """The document in a text; or its faults as TOML, where it cannot be read over them."""
    written, known = tuple(text.split("\n")), known_tables(model)
    now = _Reading(written)
    for _ in range(max(1, min(ROUNDS, WORK // (len(text) + 1)))):
        now, places = _with_headers(now, file, written, known)
        found = table_of("\n".join(now.lines), places)
        if not isinstance(found, Guess):
            return Document(file, found, places, written, now.problems, frozenset(now.guesses))
        problem = guessed(file, written, found)
        after = now.after(found, problem)
        if after is None:
            return now.problems if found.line in now.guesses else (*now.problems, problem)
        now = after
    return now.problems


def _with_headers(now: _Reading, file: str, written: tuple[str, ...], known: Known) -> tuple[_Reading, Places]:
    places = locate("\n".join(now.lines))
    lines, problems = mend_headers(file, now.lines, written, places, known)
    if not problems:
        return now, places
    return replace(now, lines=lines, problems=(*now.problems, *problems)), locate("\n".join(lines))
