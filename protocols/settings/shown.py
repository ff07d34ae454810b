"""What a configuration comes to: every key with its value, and whether that is the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from protocols.settings.document import shown_path
from protocols.settings.locate import KeyPath

NOT_SET = "not set"


@dataclass(frozen=True, slots=True)
class Row:
    """A key, its value as TOML writes it (`NOT_SET`: none), and whether the file does not give it."""

    key: str
    value: str
    default: bool


def rows(value: Any, given: Mapping[str, Any], absolute: Mapping[str, Path] | None = None) -> list[Row]:
    """Every key of a configuration, of which a file has those that are `given`.

    `absolute` has the paths of those that are written relative to the file.
    """
    places = absolute or {}
    return [
        Row(shown_path(path), _written(places.get(shown_path(path), each)), default)
        for path, each, default in _walk(value, given)
    ]


def table(found: list[Row]) -> list[str]:
    """The rows as lines; a default is marked."""
    width = min(40, max(len(each.key) for each in found))
    return [f"  {each.key:{width}} = {each.value}{_note(each)}" for each in found]


def _note(row: Row) -> str:
    return "   (default)" if row.default and row.value != NOT_SET else ""


def _walk(value: Any, given: Mapping[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any, bool]]:
    for name in _keys(value):
        found, inner = getattr(value, name), (*path, name)
        if _keys(found):
            yield from _walk(found, given.get(name, {}), inner)
        elif isinstance(found, tuple) and found and _keys(found[0]):
            for number, each in enumerate(found):
                yield from _walk(each, given[name][number], (*inner, number))
        else:
            yield inner, found, name not in given


def _keys(value: Any) -> list[str]:
    """The keys of a table; none of any other value."""
    if isinstance(value, BaseModel):
        return list(type(value).model_fields)
    return [each.name for each in fields(value)] if is_dataclass(value) else []


def _written(value: Any) -> str:
    match value:
        case None:
            return NOT_SET
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case tuple():
            return f"[{', '.join(_written(each) for each in value)}]"
        case _:
            return f'"{value}"'
