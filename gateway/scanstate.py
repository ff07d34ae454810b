"""The file that a scan goes on from when it was left: line and choices that it was begun with, and how far it came.

It is a file of the technician's, so nothing in it is trusted: its size, its depth and each value have their limits.
What is not this scan's, or no state at all, is refused by name; nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from gateway.faults import StateOfAnother, StateUnusable
from gateway.files import sync_folder, write_whole
from gateway.lines import Place
from gateway.propose import stable
from protocols.mbus.search import SecondarySearch
from protocols.mbus.sweep import PrimarySearch
from protocols.mbus.timing import Timing
from protocols.mbus.walk import Choices

MAX_SIZE = 8 * 1024 * 1024  # bytes: a search of which every selection is reported as unclear comes to half of it
SHOWN = 120  # characters of what a file holds, in an error
AnySearch = PrimarySearch | SecondarySearch
Begun = Mapping[str, str | int | bool | None]  # by the names of the options, without their dashes


def begun(at: Place, primary: bool, reads: bool, choices: Choices, expected: int | None) -> Begun:
    """What a scan is begun with; a port by the path that stays."""
    return {
        "line": at.at if at.remote else stable(at.at),
        "baud": at.baud,
        "mode": at.mode,
        "primary": primary,
        "reads": reads,
        "letters": choices.letters,
        "every-manufacturer": choices.every_manufacturer,
        "expect": expected,
    }


def to_bytes(asked: Begun, search: AnySearch) -> bytes:
    """The file's content."""
    return json.dumps({"begun": dict(asked), "search": search.to_row()}, indent=1).encode()


def from_bytes(octets: bytes, asked: Begun, timing: Timing, where: str) -> AnySearch:
    """The search that goes on where the file `where` has it.

    Raises:
        StateOfAnother: it was begun on another line, or with other choices.
        StateUnusable: it is no scan's state.
    """
    try:
        if len(octets) > MAX_SIZE:
            raise ValueError(f"more than {MAX_SIZE} bytes")
        row = json.loads(octets.decode("utf-8"))
        theirs, search = (_table(row, name) for name in ("begun", "search"))
        _compare(theirs, asked, where)
        kind = PrimarySearch if asked["primary"] else SecondarySearch
        return kind.from_row({**search, **_choices(asked)}, timing)
    except RecursionError:
        raise StateUnusable("the state of a scan", "brackets in brackets, too deep to be one", where) from None
    except ValueError as error:
        raise StateUnusable("the state of a scan", f"none: {_cut(str(error))}", where) from error


def maybe_read(path: Path, asked: Begun, timing: Timing) -> AnySearch | None:
    """The search that was left; None where there is no file.

    Raises:
        StateOfAnother, StateUnusable: as in `from_bytes`.
        OSError: it cannot be read.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise StateUnusable("the state of a scan", "no regular file", str(path))
    with path.open("rb") as file:
        return from_bytes(file.read(MAX_SIZE + 1), asked, timing, str(path))


def write(path: Path, asked: Begun, search: AnySearch) -> None:
    """Keep how far the search is, durably; OSError where that cannot be."""
    write_whole(path, to_bytes(asked, search))


def remove(path: Path) -> None:
    """The scan is done and was shown; OSError where the file cannot be removed."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def _choices(asked: Begun) -> dict[str, object]:
    """As a search's own row names them: they stand there, too, and those of the command count."""
    names = {"reads": "reads", "letters": "letters", "every_manufacturer": "every-manufacturer", "expected": "expect"}
    return {name: asked[option] for name, option in names.items()}


def _table(row: object, name: str) -> dict[str, object]:
    found = row.get(name) if isinstance(row, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"no table {name!r} in it")
    return found


def _compare(theirs: Mapping[str, object], mine: Begun, where: str) -> None:
    other = [name for name, value in mine.items() if name not in theirs or theirs[name] != value]
    if other:
        was, now = (", ".join(f"{each} {_shown(of.get(each))}" for each in other) for of in (theirs, mine))
        raise StateOfAnother(f"what the scan was begun with: {was}", now, where)


def _shown(value: object) -> str:
    words: dict[object, str] = {None: "not given", True: "yes", False: "no"}
    plain = value is None or isinstance(value, bool)
    return words[value] if plain else _cut(repr(value) if isinstance(value, str) else str(value))


def _cut(text: str) -> str:
    text = "".join(each if each.isprintable() else "?" for each in text[: SHOWN + 1])
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
