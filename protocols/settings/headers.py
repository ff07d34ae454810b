"""Headers of tables that are nearly known ones: [[buses]] for [[bus]], [bus] for [[bus]], a meter before any bus.

TOML reads them without complaint, and then blames whatever comes next.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from protocols.settings.document import shown_path
from protocols.settings.locate import Header, KeyPath, Places
from protocols.settings.problems import Problem, source_line
from protocols.settings.words import SIMILAR, tables_in

Names = tuple[str, ...]

_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*[=:]")


@dataclass(frozen=True, slots=True)
class Table:
    """A known table: whether there may be several, and its keys."""

    array: bool
    keys: frozenset[str]


Known = Mapping[Names, Table]


@dataclass(frozen=True, slots=True)
class _Slip:
    """A header that is not as it should be: the names that are meant (() for none: its table is skipped), and words."""

    names: Names
    expected: str
    got: str
    do: str
    near: str = ""


def known_tables(model: type[BaseModel]) -> Known:
    """The tables that a file may have, by their names."""
    found: dict[Names, Table] = {}
    for path, table in tables_in(model):
        names = tuple(each for each in path if isinstance(each, str))
        before = found[names].keys if names in found else frozenset()
        if names:
            found[names] = Table(isinstance(path[-1], int), before | set(table.model_fields))
    return found


def mend_headers(
    file: str, lines: tuple[str, ...], written: tuple[str, ...], places: Places, known: Known
) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """The lines with every header as it is probably meant, and a problem for each that is not so."""
    text = "\n".join(lines)
    counts: dict[Names, int] = {}
    problems, now = [], list(lines)
    headers = places.headers
    for number, header in enumerate(headers):
        line = text.count("\n", 0, header.begins)
        until = text.count("\n", 0, headers[number + 1].begins) if number + 1 < len(headers) else len(lines)
        slip = _slip(header, known, counts, _keys(lines[line + 1 : until]))
        names = header.names if slip is None else slip.names
        if slip is not None:
            problems.append(_problem(file, written[line], line + 1, text, header, slip, known, counts))
            now[line : until if not names else line + 1] = _instead(text, header, names, known, until - line)
        counts[names] = counts.get(names, 0) + 1
    return tuple(now), tuple(problems)


def _instead(text: str, header: Header, names: Names, known: Known, count: int) -> list[str]:
    if not names:
        return ["#"] * count
    start, end = text.rfind("\n", 0, header.begins) + 1, text.find("\n", header.ends)
    return [
        text[start : header.begins] + _shown(names, known[names].array) + text[header.ends : end if end >= 0 else None]
    ]


def _slip(header: Header, known: Known, counts: Mapping[Names, int], keys: set[str]) -> _Slip | None:
    table, parent = known.get(header.names), header.names[:-1]
    if table is None:
        return _misspelt(header, known, counts)
    if table.array and parent in known and not counts.get(parent):
        return _orphan(header.names, known, keys)
    if table.array and not header.array:
        shown = _shown(header.names, True)
        do = f"write the header with double brackets: {shown}"
        return _Slip(
            header.names, f"one or more tables {shown}", f"{_shown(header.names, False)} in single brackets", do
        )
    if header.array and not table.array and not counts.get(header.names):
        shown = _shown(header.names, False)
        do = f"write the header with single brackets: {shown}"
        return _Slip(header.names, f"one table {shown}", f"{_shown(header.names, True)} in double brackets", do)
    return None


def _misspelt(header: Header, known: Known, counts: Mapping[Names, int]) -> _Slip | None:
    near = _nearest(header.names, known)
    if not near or (not known[near].array and counts.get(near)) or (near[:-1] and not counts.get(near[:-1])):
        return None
    shown = _shown(near, known[near].array)
    if header.array or known[near].array:
        return _Slip(near, "a known table", _shown(header.names, header.array), f"write {shown}", shown)
    return _Slip(near, "a known key", repr(header.names[-1]), f"rename it to {near[-1]}: {shown}", repr(near[-1]))


def _orphan(names: Names, known: Known, keys: set[str]) -> _Slip:
    """A table of an array that is not there yet: with the outer one's keys it is the outer one."""
    mine, outer = known[names].keys, known[names[:-1]].keys
    shown, got = _shown(names[:-1], True), f"{_shown(names, True)} before any"
    if keys & (outer - mine) and not keys & (mine - outer):
        return _Slip(names[:-1], f"{shown} first", got, f"write {shown}: the keys below are its keys", shown)
    return _Slip((), f"{shown} first", got, f"write {shown} and its keys above it")


def _nearest(names: Names, known: Known) -> Names:
    """The known table that is most like it: of as many names, or one that ends with it."""
    alike = {".".join(each): each for each in known if len(each) == len(names)}
    alike |= {each[-1]: each for each in known if len(names) == 1 and len(each) > 1}
    found = difflib.get_close_matches(".".join(names).lower(), list(alike), 1, SIMILAR)
    return alike[found[0]] if found else ()


def _problem(
    file: str, source: str, line: int, text: str, header: Header, slip: _Slip, known: Known, counts: Mapping[Names, int]
) -> Problem:
    at = next((n for n, (a, b) in enumerate(zip(header.names, slip.names, strict=False)) if a != b), -1)
    column = header.starts[at] - text.rfind("\n", 0, header.starts[at])
    key = shown_path(_path(header.names, slip.names, known, counts))
    width = len(header.names[at])
    return Problem(
        file, line, column, key, slip.expected, slip.got, slip.near, slip.do, source=source_line(source), width=width
    )


def _path(names: Names, meant: Names, known: Known, counts: Mapping[Names, int]) -> KeyPath:
    path: list[str | int] = []
    for number, name in enumerate(names, 1):
        path.append(name)
        outer = meant[:number]
        if number < len(names) and outer in known and known[outer].array and counts.get(outer):
            path.append(counts[outer] - 1)
    return tuple(path)


def _keys(lines: tuple[str, ...]) -> set[str]:
    return {found.group(1) for found in map(_KEY.match, lines) if found}


def _shown(names: Names, array: bool) -> str:
    name = ".".join(names)
    return f"[[{name}]]" if array else f"[{name}]"
