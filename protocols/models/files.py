"""How a meter model's file is read: TOML, parsed once into frozen values, every fault with its place."""

from __future__ import annotations

import json
import tomllib
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from protocols.errors import ConfigurationError

STRICT = ConfigDict(extra="forbid", strict=True)  # nothing unknown, nothing converted
Model = TypeVar("Model")


class BadModel(ConfigurationError):  # noqa: N818 - named after what is wrong
    """A model's file has faults."""

    code = "PLB-C241"
    do = "correct the model's file; where it came with the product, report it"


def parse(adapter: TypeAdapter[Model], name: str, text: str) -> Model:
    """The model in a file's text, by its class's `adapter`; `name` becomes its field of this name.

    Raises:
        BadModel: every fault of the file, with its place.
    """
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
