"""Whose readings are: what meters say of themselves against what was entered, and the device map. Knows no store.

A mark is one number that identifies ("1 id 12345678"). Two identities are of one meter when nothing that both say
differs and at least one mark is equal: a utility knows the number on the plate, a reading says version and medium too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from collector.master.meters import Mapped
from protocols.reading import Identity, NativeKey

_MARKS = ("id", "fabrication", "plate", "logical_name", "system_title")
_SAID = tuple(each.name for each in fields(Identity))


@dataclass(frozen=True, slots=True)
class Shown:
    """Whose the values of a reading are: by the device map, all others of `meter` (None: nobody's)."""

    meter: str | None
    mapped: tuple[Mapped, ...]

    def owner(self, key: NativeKey) -> tuple[str, str | None] | None:
        """The meter of a value, and its register where the device map names it; None: nobody's."""
        for each in self.mapped:
            if each.key == key:
                return each.meter, each.register
        return None if self.meter is None else (self.meter, None)


def shown_by(rows: Sequence[Mapped], sub: str | None, by_identity: Callable[[], str | None]) -> Shown:
    """Whose the values of a device are: `rows` are those of the device map for it at the instant, in its order.

    `by_identity` finds the meter (its serial) that says of itself what the reading says.
    """
    mine = [each for each in rows if each.sub is None or each.sub == sub]
    whole = sorted((each for each in mine if each.key is None), key=lambda each: each.sub is None)
    keyed = tuple(sorted((each for each in mine if each.key is not None), key=lambda each: each.sub is None))
    return Shown(whole[0].meter if whole else by_identity(), keyed)


def marks(identity: Identity) -> list[str]:
    """The marks of an identity, the strongest first."""
    said = [(name, getattr(identity, name)) for name in _MARKS]
    texts = [(name, value.hex() if isinstance(value, bytes) else value) for name, value in said if value is not None]
    return [f"{int(identity.protocol)} {name} {text}" for name, text in texts]


def likeness(one: Identity, other: Identity) -> int:
    """In how much two identities agree; 0: they are of two meters, or nothing says that they are of one."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in _SAID]
    both = [(left, right) for left, right in pairs if left is not None and right is not None]
    if any(left != right for left, right in both) or not set(marks(one)) & set(marks(other)):
        return 0
    return len(both)
