"""What a key may hold, in a technician's words, taken from the class that loads it."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from protocols.settings.document import header
from protocols.settings.locate import KeyPath
from protocols.settings.table import Wanted

SIMILAR = 0.6  # of two words, as difflib measures it: 'adress' and 'address' are 0.92


@dataclass(frozen=True, slots=True)
class Slot:
    """What stands at a path: its type without None, its limits, its field; `table` is the class it belongs to."""

    kind: Any
    limits: tuple[Any, ...] = ()
    field: FieldInfo | None = None
    table: type[BaseModel] | None = None

    @property
    def wanted(self) -> Wanted | None:
        """The words that were given with it."""
        return next((each for each in self.limits if isinstance(each, Wanted)), None)

    def limit(self, name: str) -> Any:
        """A limit (ge, le, max_length) where there is one."""
        return next((getattr(each, name) for each in self.limits if hasattr(each, name)), None)


def slot_of(annotation: Any, field: FieldInfo | None = None, table: type[BaseModel] | None = None) -> Slot:
    """The slot of an annotation; a field's own limits count too."""
    limits: list[Any] = []
    kind = _bare(annotation, limits)
    limits[:0] = field.metadata if field is not None else []
    return Slot(kind, tuple(limits), field, table)


def follow(model: type[BaseModel], place: tuple[int | str, ...]) -> tuple[KeyPath, Slot]:
    """The path in the file and the slot of a place as pydantic names it, which has the tags of unions in it."""
    slot = Slot(model)
    path: list[int | str] = []
    for each in place:
        if isinstance(each, int):
            slot = slot_of(next(iter(get_args(slot.kind)), str))
            path.append(each)
        elif members := _members(slot.kind):
            slot = Slot(members.get(each, slot.kind))
        elif (table := _table(slot.kind)) is not None and each in table.model_fields:
            slot = slot_of(table.model_fields[each].annotation, table.model_fields[each], table)
            path.append(each)
        else:
            slot = Slot(str, table=_table(slot.kind))
            path.append(each)
    return tuple(path), slot


def tables_in(model: type[BaseModel], path: KeyPath = ()) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    """Every table of a file with its path; the elements of an array of tables are numbered 0."""
    yield path, model
    for name, field in model.model_fields.items():
        slot = slot_of(field.annotation, field, model)
        inner = (*path, name)
        if get_origin(slot.kind) is tuple:
            slot, inner = slot_of(get_args(slot.kind)[0]), (*inner, 0)
        for table in _members(slot.kind).values() or filter(None, [_table(slot.kind)]):
            yield from tables_in(table, inner)


def expected(slot: Slot, path: KeyPath) -> str:
    """What is expected at a path: "a whole number from 1 to 250"."""
    if slot.wanted is not None:
        return slot.wanted.words
    if get_origin(slot.kind) is Literal:
        return f"one of {', '.join(_toml(each) for each in get_args(slot.kind))}"
    if get_origin(slot.kind) is tuple:
        inner = slot_of(get_args(slot.kind)[0])
        tables = _members(inner.kind) or _table(inner.kind)
        return f"one or more tables {header((*path, 0))}" if tables else f"a list [...] of {expected(inner, path)}"
    if _table(slot.kind) is not None or _members(slot.kind):
        return f"a table {header(path)}"
    return _plain(slot)


def choices(slot: Slot) -> tuple[Any, ...]:
    """The values that a slot is limited to, where it is."""
    return get_args(slot.kind) if get_origin(slot.kind) is Literal else ()


def nearest(value: Any, options: tuple[Any, ...]) -> str:
    """The option that is most like `value`, as it is written in TOML; empty where none is."""
    numbers = [each for each in options if isinstance(each, int)]
    if numbers and isinstance(value, int | float) and not isinstance(value, bool):
        return _toml(min(numbers, key=lambda each: abs(each - value)))
    found = difflib.get_close_matches(str(value).lower(), [str(each) for each in options], 1, SIMILAR)
    return next((_toml(each) for each in options if str(each) in found), "")


def likely(slot: Slot, key: str) -> str:
    """A line that shows how a missing key may be written."""
    examples = (slot.field.examples or []) if slot.field is not None else []
    example = next(iter([*examples, *choices(slot)]), None)
    if example is None:
        return ""
    return f"{key} = {_toml(example)}"


def _bare(annotation: Any, limits: list[Any]) -> Any:
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        for each in metadata:
            limits.extend(each.metadata if isinstance(each, FieldInfo) else [each])
        return _bare(annotation, limits)
    if get_origin(annotation) in {Union, types.UnionType}:
        some = [each for each in get_args(annotation) if each is not type(None)]
        return _bare(some[0], limits) if len(some) == 1 else annotation
    return annotation


def _table(kind: Any) -> type[BaseModel] | None:
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _members(kind: Any) -> dict[str, type[BaseModel]]:
    """The classes of a union by their tag (the value of the key that chooses between them)."""
    if get_origin(kind) not in {Union, types.UnionType}:
        return {}
    found = {}
    for table in filter(None, map(_table, get_args(kind))):
        for field in table.model_fields.values():
            if get_origin(field.annotation) is Literal and field.is_required():
                found.update(dict.fromkeys(get_args(field.annotation), table))
    return found


def _plain(slot: Slot) -> str:
    if slot.kind is bool:
        return "true or false"
    if slot.kind is int:
        return _whole_number(slot.limit("ge"), slot.limit("le"))
    return "a path in quotes" if slot.kind is Path else _text(slot)


def _whole_number(least: int | None, most: int | None) -> str:
    if least is not None and most is not None:
        return f"a whole number from {least} to {most}"
    return f"a whole number of at least {least}" if least is not None else "a whole number"


def _text(slot: Slot) -> str:
    most = slot.limit("max_length")
    return f"a text in quotes of 1 to {most} characters" if most else "a text in quotes"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return str(value) if isinstance(value, int) else f'"{value}"'
