"""How a meter model's file is read: TOML, parsed once into frozen values, every fault with its place.

The library that parses takes more memory than all models: it is loaded with the first file that is read. A process that
was handed what another one has read (`loaded`, `take_over`) never loads it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from protocols.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import ConfigDict, TypeAdapter

STRICT: ConfigDict = {"extra": "forbid", "strict": True}  # nothing unknown, nothing converted
Model = TypeVar("Model")
_LOADED: dict[tuple[str, str], Any] = {}  # by protocol and name


class BadModel(ConfigurationError):  # noqa: N818 - named after what is wrong
    """A model's file has faults."""

    code = "PLB-C241"
    do = "correct the model's file; where it came with the product, report it"


def once(protocol: str, name: str, read: Callable[[], Model]) -> Model:
    """The model of a name, which is read the first time that it is wanted."""
    if (protocol, name) not in _LOADED:
        _LOADED[protocol, name] = read()
    model: Model = _LOADED[protocol, name]
    return model


def loaded() -> Mapping[tuple[str, str], Any]:
    """All models that this process has read, by protocol and name."""
    return dict(_LOADED)


def take_over(models: Mapping[tuple[str, str], Any]) -> None:
    """Know what another process of ours has `loaded`."""
    _LOADED.update(models)


def parse(adapter: TypeAdapter[Model], name: str, text: str) -> Model:
    """The model in a file's text, by its class's `adapter`; `name` becomes its field of this name.

    Raises:
        BadModel: every fault of the file, with its place.
    """
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        # As JSON, because strict parsing takes arrays and tables from there only; a date of TOML becomes a text.
        file = json.dumps({**tomllib.loads(text), "name": name}, default=str)
        return adapter.validate_json(file)
    except tomllib.TOMLDecodeError as error:
        raise BadModel("a TOML file", str(error), name) from None
    except ValidationError as error:
        found = "; ".join(f"{_place(each['loc'])}: {each['msg']}" for each in error.errors())
        raise BadModel("a model", found, name) from None


def _place(place: tuple[int | str, ...]) -> str:
    return ".".join(str(each) for each in place) or "the file"
