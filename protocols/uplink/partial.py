"""A batch whose leaves were erased in part: the bytes and salts of those that are left, the hashes of all.

On the wire each leaf is `[salt, leaf]`, or `[hash]` of an erased one; the batch's secret is not there. The root
over the hashes is the one that was signed, so that what is left, and that nothing else was there, can still be proven.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from protocols.uplink import limits, merkle
from protocols.uplink.body import Expanded
from protocols.uplink.faults import CountError, FieldError, RootError
from protocols.uplink.header import Header
from protocols.uplink.keys import HASH
from protocols.uplink.leaf import SALT, leaf_hash
from protocols.uplink.pack import Fields, Wire

WHERE = "plomba/1/erased"


@dataclass(frozen=True, slots=True)
class Partial:
    """The leaves of a batch in order: hashes of all, salt and bytes of those that are left (None: erased)."""

    digests: tuple[bytes, ...]
    salts: tuple[bytes | None, ...]
    leaves: tuple[bytes | None, ...]

    @classmethod
    def of(cls, whole: Expanded, gone: Collection[int] = ()) -> Partial:
        """A whole batch without the content of the leaves `gone` (indexes from 0)."""
        return cls(tuple(whole.hashes()), whole.salts, whole.leaves).without(gone)

    @classmethod
    def from_wire(cls, wire: list[Wire], header: Header) -> Partial:
        """Parse the leaves, and check them against the header.

        Raises:
            FieldError, FormError, LimitError, CountError: which rule they break.
            RootError: they do not have the root that was signed.
        """
        found = [_leaf(each) for each in wire]
        if len(found) != header.leaves:
            raise CountError(f"{header.leaves} leaves", f"{len(found)}", WHERE)
        digests = tuple(digest for digest, _, _ in found)
        if merkle.root(digests) != header.root:
            raise RootError(f"root {header.root.hex()[:16]}...", "another root", WHERE)
        return cls(digests, tuple(salted for _, salted, _ in found), tuple(leaf for _, _, leaf in found))

    def to_wire(self) -> list[Wire]:
        """As `from_wire` takes them."""
        return [
            [digest] if leaf is None else [salted, leaf]
            for digest, salted, leaf in zip(self.digests, self.salts, self.leaves, strict=True)
        ]

    def without(self, gone: Collection[int]) -> Partial:
        """The same without the content of more leaves."""
        salts = tuple(None if index in gone else each for index, each in enumerate(self.salts))
        leaves = tuple(None if index in gone else each for index, each in enumerate(self.leaves))
        return Partial(self.digests, salts, leaves)

    def hashes(self) -> list[bytes]:
        """The leaf hashes, in order."""
        return list(self.digests)

    @property
    def erased(self) -> tuple[int, ...]:
        """The indexes of the leaves whose content is gone."""
        return tuple(index for index, leaf in enumerate(self.leaves) if leaf is None)


def leaves_in(fields: Fields) -> list[Wire]:
    """The field of a form that holds the leaves of a batch: at least one."""
    return fields.array("leaves", limits.LEAVES, 1)


def _leaf(wire: Wire) -> tuple[bytes, bytes | None, bytes | None]:
    if isinstance(wire, list) and len(wire) == 1:
        return Fields(wire, "erased leaf", 1).octets("hash", HASH), None, None
    if not isinstance(wire, list) or len(wire) != 2:
        raise FieldError("[salt, leaf], or [hash] of an erased one", "something else", WHERE)
    fields = Fields(wire, "leaf", 2)
    salted, leaf = fields.octets("salt", SALT), fields.octets("leaf")
    return leaf_hash(salted, leaf), salted, leaf
