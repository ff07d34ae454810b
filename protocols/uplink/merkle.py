"""The tree over the leaves of a batch: RFC 9162 section 2.1, SHA-256, leaves prefixed 00 and nodes 01.

Which leaf hash goes in is the business of `leaf`; here are only the tree, its paths and their check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from protocols.uplink import limits
from protocols.uplink.faults import ProofError


def node(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over at least one leaf hash (RFC 9162: the left half is the largest power of two below the count)."""
    level = list(leaves)
    if not level:
        raise ValueError("expected at least one leaf, got none")
    while len(level) > 1:
        # Pairing from the left and carrying an odd last one up gives the same tree as the recursive definition.
        paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion path of leaf `index`, from the leaf upwards (RFC 9162 section 2.1.3.1)."""
    found: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            found.append(level[sibling])
        paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
        index //= 2
    return found


def check_path(leaf: bytes, index: int, count: int, steps: Sequence[bytes], expected: bytes) -> None:
    """Check that `leaf` is number `index` of `count` leaves under the root `expected` (RFC 9162 section 2.1.3.2).

    Raises:
        ProofError: it is not, or the path is not exactly as long as the tree demands.
    """
    if not 0 <= index < count <= limits.LEAVES:
        raise ProofError(f"an index below {count} leaves", f"{index}", "proof")
    position, last, value = index, count - 1, leaf
    for step in steps:
        if last == 0:
            raise ProofError("a path that ends at the root", "more steps", "proof")
        if position % 2 or position == last:
            value = node(step, value)
            while position % 2 == 0 and position:
                position, last = position // 2, last // 2
        else:
            value = node(value, step)
        position, last = position // 2, last // 2
    if last != 0 or value != expected:
        raise ProofError(f"root {expected.hex()[:16]}...", f"{value.hex()[:16]}...", "proof")
