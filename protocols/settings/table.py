"""What the tables of a settings file are written with: frozen dataclasses, each key annotated with what is said of it.

Nothing here checks anything, and nothing here imports what does: a daemon keeps its settings for months and has them
checked once. `model` makes of such a class the one that a file is read by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Key:
    """Beside a field's type: what the key is, in a sentence, and how it may be written."""

    description: str
    examples: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Beside a type: what a value may be; `strict` false: it is made of what TOML has in its place."""

    ge: int | None = None
    le: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    strict: bool | None = None
    discriminator: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Beside a type: what is expected, where type and limits do not say it, and what to do otherwise."""

    words: str
    do: str = ""
