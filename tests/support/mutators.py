"""What is done to good inputs to make hostile ones: to bytes, to the tree inside a msgpack value, to lines of text.

A mutator takes dice and the corpus and gives one input. The same dice give the same input.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import msgpack

Mutator = Callable[[random.Random, Sequence[bytes]], bytes]

LONGEST = 16 * 1024  # bytes that an input is made to grow to: beyond, only the time to make it grows
# Lengths, counts and numbers at which decoders go wrong: ends of ranges, long forms, more than there is.
_ODD = """
00 01 02 7e 7f 80 81 fe ff 0000 00ff 7fff 8000 ffff 8180 82ffff 84ffffffff 84000000ff 85ffffffffff 0984ffffffff
0184ffffffff ffffffff 7fffffff 80000000 ffffffffffffffff 7fffffffffffffff dcffff ddffffffff c6ffffffff
"""
ODD = tuple(map(bytes.fromhex, _ODD.split()))
NUMBERS = (-1, 0, 1, 2, 12, 13, 255, 4_096, 4_097, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, -(2**63), 2**64 - 1)
# Beside numbers: what a decoder of one form may meet in its place. The last five have no form in the contract.
KINDS: tuple[object, ...] = (
    *(None, True, False, "", "a", "\U0001f600" * 40, "x" * 129, b"", bytes(8), bytes(16), bytes(32), b"x" * 300),
    *([], [0], [[[[[[[0]]]]]]], [[]] * 9, [0] * 4_097, 1.5, float("nan"), {}, {"a": 1}, msgpack.ExtType(5, b"x")),
)
TOKENS = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|[A-Za-z0-9_.+-]+|\s+|.", re.DOTALL)
_WRITTEN = r"""
[ ] [[ ]] { } = " ' ''' \ \u0000 \ud800 # . , - + 0 007 0x1f 1e999 nan inf -1 9223372036854775808 true false
1979-05-27T07:32:00Z 25:00:00 null yes on ä bus device broker [bus] [[bus.device]]
"""
WRITTEN = (*_WRITTEN.split(), 3 * '"', *"\0 \r\n\x7f\ufeff\u2028")


def octets(dice: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One to four changes to a good input; now and then random bytes, or a piece many times over."""
    if dice.random() < 0.05:
        return dice.randbytes(dice.randrange(80))
    found = bytearray(dice.choice(corpus))
    for _ in range(dice.choice((1, 1, 2, 4))):
        dice.choice(_CHANGES)(dice, found, corpus)
    if dice.random() < 0.002:
        found *= max(1, LONGEST // max(1, len(found)))
    return bytes(found)


def trees(dice: random.Random, corpus: Sequence[bytes]) -> bytes:
    """A good msgpack value with one to three of its elements changed, or a change to its bytes."""
    if dice.random() < 0.2:
        return octets(dice, corpus)
    tree = msgpack.unpackb(dice.choice(corpus), strict_map_key=False)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        tree = _grafted(dice, tree)
    try:
        return bytes(msgpack.packb(tree, use_bin_type=True))
    except (OverflowError, ValueError, TypeError):
        return octets(dice, corpus)


def texts(dice: random.Random, corpus: Sequence[bytes]) -> bytes:
    """A good text with tokens exchanged, doubled, cut or moved, or a change to its bytes."""
    if dice.random() < 0.2:
        return octets(dice, corpus)
    tokens = TOKENS.findall(dice.choice(corpus).decode())
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(tokens) + 1)
        match dice.randrange(5):
            case 0:
                tokens[at : at + 1] = [dice.choice(WRITTEN)]
            case 1:
                tokens[at:at] = [dice.choice(WRITTEN)]
            case 2:
                del tokens[at : at + dice.randrange(1, 12)]
            case 3:
                start = dice.randrange(len(tokens) + 1)
                tokens[at:at] = tokens[start : start + dice.randrange(1, 40)]
            case _:
                tokens[at : at + 1] = [dice.choice(tokens or [""])]
    return "".join(tokens).encode("utf-8", "surrogatepass")


def edits(dice: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Random bytes: for decoders that take an input as a list of changes to something large."""
    return dice.randbytes(dice.randrange(1, 9) * len(corpus[0]))


def _flip(dice: random.Random, found: bytearray, _: Sequence[bytes]) -> None:
    if found:
        found[dice.randrange(len(found))] ^= 1 << dice.randrange(8)


def _set(dice: random.Random, found: bytearray, _: Sequence[bytes]) -> None:
    at = dice.randrange(len(found) + 1)
    found[at : at + 1] = dice.randbytes(1)


def _cut(dice: random.Random, found: bytearray, _: Sequence[bytes]) -> None:
    del found[dice.randrange(len(found) + 1) :]


def _remove(dice: random.Random, found: bytearray, _: Sequence[bytes]) -> None:
    at = dice.randrange(len(found) + 1)
    del found[at : at + dice.randrange(1, 5)]


def _insert(dice: random.Random, found: bytearray, _: Sequence[bytes]) -> None:
    at = dice.randrange(len(found) + 1)
    found[at:at] = dice.randbytes(dice.randrange(1, 5))


def _odd(dice: random.Random, found: bytearray, _: Sequence[bytes]) -> None:
    at, odd = dice.randrange(len(found) + 1), dice.choice(ODD)
    found[at : at + dice.choice((0, 1, len(odd)))] = odd


def _double(dice: random.Random, found: bytearray, _: Sequence[bytes]) -> None:
    at = dice.randrange(len(found) + 1)
    piece = found[at : at + dice.randrange(1, 40)]
    to = dice.randrange(len(found) + 1)
    found[to:to] = piece * dice.choice((1, 1, 2, 8))


def _splice(dice: random.Random, found: bytearray, corpus: Sequence[bytes]) -> None:
    other = dice.choice(corpus)
    found[dice.randrange(len(found) + 1) :] = other[dice.randrange(len(other) + 1) :]


_CHANGES = (_flip, _flip, _set, _cut, _remove, _insert, _odd, _odd, _double, _splice)


def _grafted(dice: random.Random, tree: object) -> object:
    """The tree with one element changed, at any depth."""
    if isinstance(tree, list) and tree and dice.random() < 0.9:
        return _changed(dice, tree)
    if isinstance(tree, bytes) and tree and dice.random() < 0.5:
        return _inside(dice, tree)
    if isinstance(tree, int) and not isinstance(tree, bool) and dice.random() < 0.6:
        return tree + dice.choice((-1, 1, 2, 256, -1_000_000))
    return dice.choice(NUMBERS) if dice.random() < 0.4 else dice.choice(KINDS)


def _changed(dice: random.Random, tree: list[object]) -> list[object]:
    """An array without one of its elements, with one twice, with two exchanged, or with a change inside one."""
    at, found = dice.randrange(len(tree)), list(tree)
    match dice.randrange(12):
        case 0:
            del found[at]
        case 1:
            found.insert(at, tree[at])
        case 2:
            other = dice.randrange(len(tree))
            found[at], found[other] = tree[other], tree[at]
        case _:
            found[at] = _grafted(dice, tree[at])
    return found


def _inside(dice: random.Random, held: bytes) -> bytes:
    """Bytes in a tree: a tree of their own where they are one, else changed as bytes."""
    try:
        inner = msgpack.unpackb(held, strict_map_key=False)
        if isinstance(inner, list):
            return bytes(msgpack.packb(_grafted(dice, inner), use_bin_type=True))
    except (ValueError, OverflowError, TypeError, msgpack.UnpackException):
        pass
    return octets(dice, [held])
