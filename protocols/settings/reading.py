"""Turns a document into a frozen value of a class, or into all the problems that it has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from protocols.settings.document import Document, header
from protocols.settings.locate import KeyPath
from protocols.settings.problems import Problem, misplaced, secret, shortened
from protocols.settings.words import SIMILAR, Slot, choices, expected, follow, likely, nearest, tables_in

Settings = TypeVar("Settings", bound=BaseModel)

NOT_HERE = "no secret in this file: secrets only by file or credential"
_PATHS = re.compile(r"_(file|folder)$|^(port|store)$")  # keys of paths
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read(document: Document, model: type[Settings], advice: str = "") -> tuple[Settings | None, list[Problem]]:
    """The value in a document and its problems; the value is None where there are any.

    Args:
        document: what was loaded.
        model: the class of the whole file; strict, and without room for unknown keys.
        advice: what to do with a secret that stands in the file.
    """
    problems = [
        document.problem((*path, key), NOT_HERE, "one in it (not shown)", do=advice)
        for path, key in _secrets(document.table)
    ]
    problems += _controls(document)
    value = None
    try:
        value = model.model_validate(document.table)
    except ValidationError as error:
        known = {each.key for each in problems}
        found = [_problem(document, model, each) for each in _told(model, error.errors(include_url=False))]
        problems += [each for each in found if each.key not in known]
    problems = [*document.problems, *document.of_writer(problems)]
    return (None if problems else value), problems


def _told(model: type[BaseModel], errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """The errors that are named: one slip is one problem, so that a key that is only misspelt is not missing too."""
    renamed = set()
    for each in errors:
        if each["type"] == "extra_forbidden":
            path, slot = follow(model, each["loc"])
            renamed.add((*path[:-1], _near(str(path[-1]), slot)))
    return [
        each
        for each in errors
        if not _follows(each) and not (each["type"] == "missing" and follow(model, each["loc"])[0] in renamed)
    ]


def _problem(document: Document, model: type[BaseModel], error: ErrorDetails) -> Problem:
    path, slot = follow(model, error["loc"])
    key = str(path[-1]) if path else ""
    match error["type"]:
        case "extra_forbidden":
            return _unknown(document, model, path, slot)
        case "missing":
            return _missing(document, path, slot, key)
        case "union_tag_not_found" | "union_tag_invalid":
            tag = "protocol" if not error.get("ctx") else str(error["ctx"]["discriminator"]).strip("'")
            options = tuple(str(error["ctx"].get("expected_tags", "")).replace("'", "").split(", "))
            words = f"one of {', '.join(options)}" if any(options) else "a known word"
            got = document.written((*path, tag))
            return document.problem((*path, tag), words, got, do=f"{tag} says what kind of table this is")
        case "too_long" if get_origin(slot.kind) is tuple:
            most = slot.limit("max_length")
            count = len(error["input"])
            do = "share them between several buses, or several gateways"
            what = (
                f"at most {most} tables {header((*path, 0))}" if _tables(error["input"]) else f"at most {most} values"
            )
            return document.problem(path, what, f"{count}", do=do, at=(*path, most))
        case _:
            return _unfit(document, path, slot, error["input"])


def _unknown(document: Document, model: type[BaseModel], path: KeyPath, slot: Slot) -> Problem:
    name = str(path[-1])
    known = list(slot.table.model_fields) if slot.table is not None else []
    near = _near(name, slot)
    got = repr(name) if name.isprintable() else "one with control characters"
    if near:
        return document.problem(path, "a known key", got, near=repr(near), do=f"rename it to {near}")
    homes = [each for each, table in tables_in(model) if name in table.model_fields]
    homes.sort(key=lambda home: -_together(home, path))
    if homes:
        got = f"{got}, which belongs to {_home(homes[0])}"
        return document.problem(path, f"a key of {_home(path[:-1])}", got, do=_move(name, homes[0]))
    return document.problem(path, "a known key", got, do=f"keys that may stand here: {', '.join(sorted(known))}")


def _near(name: str, slot: Slot) -> str:
    """The key of a table that is most like a name; empty where none is."""
    known = list(slot.table.model_fields) if slot.table is not None else []
    return next(iter(difflib.get_close_matches(name.lower(), known, 1, SIMILAR)), "")


def _together(home: KeyPath, path: KeyPath) -> int:
    """How far two paths go together, whatever the numbers: `port` in a meter belongs to its bus, not to the broker."""
    names = [each for each in path if isinstance(each, str)]
    return sum(
        one == other for one, other in zip(filter(lambda each: isinstance(each, str), home), names, strict=False)
    )


def _home(path: KeyPath) -> str:
    return header(path) if path else "the top of the file"


def _move(name: str, home: KeyPath) -> str:
    if not home:
        return f"move {name} to the top of the file, before the first [table]: below a header it belongs to that table"
    return f"move {name} into {header(home)}"


def _missing(document: Document, path: KeyPath, slot: Slot, key: str) -> Problem:
    line = likely(slot, key)
    words = expected(slot, path)
    if "table" in words:
        return document.problem(
            path, words, "nothing", do=f"add {words.rpartition(' ')[2]} with its keys", at=path[:-1]
        )
    where = _home(path[:-1]) if path[:-1] else "the top of the file, before the first [table]"
    do = f"add {key} to {where}: {_meaning(slot)}" + (f"; an example is {line}" if line else "")
    return document.problem(path, words, "nothing", do=do, at=path[:-1])


def _meaning(slot: Slot) -> str:
    """What a field is, in the words of its description's first part."""
    words = (slot.field.description or "") if slot.field is not None else ""
    words = words.partition(";")[0].rstrip(".") or "with its own value"
    plain = words[1:2].islower() and not words.startswith("Modbus")  # others begin with an abbreviation
    return words[:1].lower() + words[1:] if plain else words


def _unfit(document: Document, path: KeyPath, slot: Slot, value: Any) -> Problem:
    words = expected(slot, path)
    got = _got(document, path, value)
    near = nearest(value, choices(slot))
    return document.problem(path, words, got, near=near, do=_step(slot, words, value, path))


def _got(document: Document, path: KeyPath, value: Any) -> str:
    if not document.lines:
        return "a table" if isinstance(value, dict) else shortened(repr(value))
    if isinstance(value, dict) and not document.places.of(path).text:
        return f"{header(path)} in single brackets"
    return "an empty list" if value == () else document.written(path)


def _step(slot: Slot, words: str, value: Any, path: KeyPath) -> str:
    if slot.wanted is not None and slot.wanted.do:
        return slot.wanted.do
    if words.startswith("one or more tables"):
        return f"write the header with double brackets: {header((*path, 0))}"
    if slot.kind is int or (choices(slot) and isinstance(choices(slot)[0], int)):
        return _number_step(value, bool(choices(slot)))
    if not isinstance(value, str) and slot.kind is not bool and get_origin(slot.kind) is not tuple:
        table = words.startswith("a table")
        return f"write {header(path)} on a line of its own and its keys below it" if table else "put it in quotes"
    return f"write {words}" + (", in lower case and without quotes" if slot.kind is bool else "")


def _number_step(value: Any, chosen: bool) -> str:
    if isinstance(value, str):
        return "write the number without quotes" if value.strip().isdigit() else "write a number, without quotes"
    if isinstance(value, float):
        return "write the number without a decimal point"
    if isinstance(value, int) and not isinstance(value, bool):
        return "choose one of these" if chosen else "choose a number within these limits"
    return "write a number"


def _follows(error: ErrorDetails) -> bool:
    """Whether an array is "too short" only because of the faults in its elements, which are named themselves."""
    return error["type"] == "too_short" and bool(error["input"])


def _tables(value: Any) -> bool:
    return bool(value) and isinstance(value[0], dict)


def _secrets(table: dict[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """The keys that seem to hold a secret."""
    for key, value in table.items():
        if misplaced(key, value) or (secret(key) and not isinstance(value, dict)):
            yield path, key
        for number, each in enumerate(value if isinstance(value, tuple) else (value,)):
            if isinstance(each, dict):
                yield from _secrets(each, (*path, key, number) if isinstance(value, tuple) else (*path, key))


def _controls(document: Document) -> list[Problem]:
    """Texts with control characters: mostly Windows paths whose backslashes meant something else."""
    return [
        document.problem(path, "text without control characters", document.written(path), do=_plain_step(path))
        for path, value in leaves(document.table)
        if isinstance(value, str) and _CONTROL.search(value)
    ]


def _plain_step(path: KeyPath) -> str:
    if _PATHS.search(str(path[-1])):
        return "write a path with / or in single quotes, '...': in double quotes \\t and \\n are tab and line end"
    return "write it on one line, without tabs and line ends: in double quotes \\t and \\n are such"


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that is no table and no list, with its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    elif isinstance(value, tuple):
        for number, each in enumerate(value):
            yield from leaves(each, (*path, number))
    else:
        yield path, value
