"""The tree over the leaves of a batch: RFC 9162 section 2.1, SHA-256, leaves prefixed 00 and nodes 01.

Which leaf hash goes in is the business of `leaf`; here are only the tree, its paths and their check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

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
    sha256 = hashlib.sha256
    while len(level) > 1:
        # Pairing from the left and carrying an odd last one up gives the same tree as the recursive definition.
        paired = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
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


def branches(leaves: Sequence[bytes], shown: Iterable[int]) -> list[bytes]:
    """What `root_of` needs beside the leaves `shown`: no hash twice, and none that follows from them.

    Level by level from the leaves upwards, and from the left in each.
    """
    found: list[bytes] = []
    level, known = list(leaves), sorted(set(shown))
    while len(level) > 1:
        found += [level[each ^ 1] for each in known if each ^ 1 < len(level) and each ^ 1 not in known]
        paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
        known = sorted({each // 2 for each in known})
    return found


def root_of(shown: Mapping[int, bytes], count: int, steps: Sequence[bytes]) -> bytes:
    """The root over `count` leaves, of which the hashes of some are `shown` and `steps` are their `branches`.

    Raises:
        ProofError: an index that no leaf has, or steps that are not exactly those that are needed.
    """
    if not shown or not 0 <= min(shown) <= max(shown) < count <= limits.LEAVES:
        raise ProofError(f"indices below {count} leaves", f"{sorted(shown)[:3]}", "proof")
    level, left = dict(shown), iter(steps)
    while count > 1:
        above: dict[int, bytes] = {}
        for each in sorted(level):
            beside = each ^ 1
            if each // 2 in above:
                continue
            if beside >= count:
                above[each // 2] = level[each]
                continue
            other = level[beside] if beside in level else next(left, None)
            if other is None:
                raise ProofError("as many steps as the tree demands", "fewer", "proof")
            above[each // 2] = node(other, level[each]) if each % 2 else node(level[each], other)
        level, count = above, (count + 1) // 2
    if next(left, None) is not None:
        raise ProofError("a path that ends at the root", "more steps", "proof")
    return level[0]
