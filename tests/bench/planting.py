"""How a mistake of ours is planted from outside: a part is substituted as long as a run lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

Plant = Callable[[], AbstractContextManager[None]]
BUGS: dict[str, Plant] = {}


@contextmanager
def instead(owner: object, name: str, part: object) -> Iterator[None]:
    """With another part in its place."""
    before = vars(owner)[name]
    setattr(owner, name, part)
    try:
        yield
    finally:
        setattr(owner, name, before)


def bug(owner: object, name: str) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
    """Plants what the decorated function makes of the part that is there."""

    def plant(make: Callable[[Any], object]) -> Callable[[Any], object]:
        def planted() -> AbstractContextManager[None]:
            before = vars(owner)[name]
            return instead(owner, name, make(before))

        BUGS[make.__name__.replace("_", "-")] = planted
        return make

    return plant
