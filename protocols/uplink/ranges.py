"""Ranges `[epoch, from, to, id]`: the batches from..to of the chain that ends in the batch with `id`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocols.uplink.faults import FieldError
from protocols.uplink.header import EPOCH
from protocols.uplink.keys import HASH
from protocols.uplink.pack import Fields, Wire


@dataclass(frozen=True, slots=True)
class Range:
    """Batches `first`..`last` of one epoch, bound to the id of `last`."""

    epoch: bytes
    first: int
    last: int
    id: bytes

    def to_wire(self) -> list[Wire]:
        """The array of 4."""
        return [self.epoch, self.first, self.last, self.id]

    @classmethod
    def from_wire(cls, value: Wire, where: str) -> Range:
        """Parse the array of 4."""
        fields = Fields(value, f"{where}.range", 4)
        found = cls(
            fields.octets("epoch", EPOCH), fields.integer("from", 1), fields.integer("to", 1), fields.octets("id", HASH)
        )
        if found.first > found.last:
            raise FieldError("from <= to", f"{found.first} > {found.last}", f"{where}.range")
        return found


def ranges_to_wire(ranges: Sequence[Range]) -> list[Wire]:
    """An array of ranges."""
    return [each.to_wire() for each in ranges]


def ranges_from_wire(value: list[Wire], where: str) -> tuple[Range, ...]:
    """Parse an array of ranges (its length was checked by the caller)."""
    return tuple(Range.from_wire(each, where) for each in value)
