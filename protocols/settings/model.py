"""The class that a file is read by, made from the plain one in which its settings are kept."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from protocols.settings.table import Key, Limits

Table = TypeVar("Table")


class Model(BaseModel):
    """A table of a file: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    table: ClassVar[type[Any]]


_MODELS: dict[type[Any], type[Model]] = {}  # by their tables: each is made once


def model_of(table: type[Any]) -> type[Model]:
    """The model of a dataclass whose fields are annotated with `Key`, and of all the tables within it."""
    if table not in _MODELS:
        _MODELS[table] = _made(table)
    return _MODELS[table]


def _made(table: type[Any]) -> type[Model]:
    hints = get_type_hints(table, include_extras=True)
    found: dict[str, Any] = {
        each.name: (_modelled(hints[each.name]), ... if each.default is MISSING else each.default)
        for each in fields(table)
    }
    made = create_model(table.__name__, __base__=Model, __doc__=table.__doc__, __module__=table.__module__, **found)
    made.table = table
    return made


def value_of(found: Any) -> Any:
    """What was read as a model, as its table, with all the tables within it; anything else as it is."""
    if isinstance(found, tuple):
        return tuple(value_of(each) for each in found)
    if not isinstance(found, Model):
        return found
    return found.table(**{name: value_of(getattr(found, name)) for name in type(found).model_fields})


def checked(table: type[Table], values: Mapping[str, Any]) -> Table:
    """A table of these values: arrays as tuples, a table within it as a mapping or as it is.

    Raises:
        pydantic.ValidationError: every fault of them.
    """
    found: Table = value_of(model_of(table).model_validate({key: _written(each) for key, each in values.items()}))
    return found


def _written(value: Any) -> Any:
    """A value as a file has it."""
    if isinstance(value, tuple):
        return tuple(map(_written, value))
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _modelled(hint: Any) -> Any:
    """A type with models in the place of tables, and what pydantic takes in the place of our words."""
    if is_dataclass(hint) and isinstance(hint, type):
        return model_of(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[(_modelled(arguments[0]), *map(_field, arguments[1:]))]
    if origin in {Union, types.UnionType}:
        return Union[tuple(map(_modelled, arguments))]  # noqa: UP007 - of as many as there are
    return types.GenericAlias(tuple, tuple(map(_modelled, arguments))) if origin is tuple else hint


def _field(said: Any) -> Any:
    match said:
        case Key():
            return Field(description=said.description, examples=list(said.examples) or None)
        case Limits():
            return Field(**{name: each for name, each in asdict(said).items() if each is not None})
        case _:
            return said
