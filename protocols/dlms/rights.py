"""What access modes mean (Blue Book 4.4.3 and 4.4.4): numbers up to version 2 of the association's class, bits in 3."""

from __future__ import annotations

from itertools import groupby

from protocols.dlms.listing import ASSOCIATION, Listed, Right

BITS_FROM = 3  # the version of the class from which a mode is a set of bits
MODES = (
    "no access",
    "read",
    "write",
    "read and write",
    "read, authenticated",
    "write, authenticated",
    "read and write, authenticated",
)
METHOD_MODES = ("no access", "call", "call, authenticated")
READ, WRITE = 0x01, 0x02
PROTECTED = (
    (0x04, "authenticated request"),
    (0x08, "encrypted request"),
    (0x10, "signed request"),
    (0x20, "authenticated answer"),
    (0x40, "encrypted answer"),
    (0x80, "signed answer"),
)


def version(listed: tuple[Listed, ...]) -> int:
    """The version of the association's class, which says what its modes mean; 0 where it does not list itself."""
    return max((each.version for each in listed if each.class_id == ASSOCIATION), default=0)


def attribute(mode: int, of: int) -> str:
    """The access mode of an attribute, in an association of version `of`."""
    if of < BITS_FROM:
        return MODES[mode] if 0 <= mode < len(MODES) else f"mode {mode}"
    access = [word for bit, word in ((READ, "read"), (WRITE, "write")) if mode & bit]
    return _with(" and ".join(access), mode)


def method(mode: int, of: int) -> str:
    """The access mode of a method; a meter that writes a boolean means the first two."""
    if of < BITS_FROM:
        return METHOD_MODES[mode] if 0 <= mode < len(METHOD_MODES) else f"mode {mode}"
    return _with("call" if mode & READ else "", mode)


def summary(listed: Listed, of: int) -> str:
    """Who may do what with an object, in one line: attributes of one mode together, methods behind them."""
    attributes = [f"{attribute(mode, of)} {numbers}" for mode, numbers in _together(listed.attributes)]
    methods = [f"{method(mode, of)} method {numbers}" for mode, numbers in _together(listed.methods)]
    return "; ".join([*attributes, *methods]) or "not said"


def _with(access: str, mode: int) -> str:
    if not access:
        return "no access"
    return ", ".join([access, *(word for bit, word in PROTECTED if mode & bit)])


def _together(rights: tuple[Right, ...]) -> list[tuple[int, str]]:
    """Modes in the order in which they come first, each with its numbers, as 1-3, 7."""
    modes = dict.fromkeys(each.mode for each in rights)
    return [(mode, _ranges(sorted(each.number for each in rights if each.mode == mode))) for mode in modes]


def _ranges(numbers: list[int]) -> str:
    runs = [list(run) for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    ends = [(run[0][1], run[-1][1]) for run in runs]
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ends)
