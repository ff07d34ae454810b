"""What a search that was left kept in plain values, read back: each within its limits, for it comes from a file."""

from __future__ import annotations

from collections.abc import Mapping

MAX_FOUND = 2_000  # meters: eight lines full
MAX_SENTENCE = 300  # characters
MAX_NUMBER = 10**12  # of whatever is counted
MAX_ADDRESS = 255  # a meter's, as it stands in its frames


def whole(value: object, most: int = MAX_NUMBER) -> int:
    """A number from 0 to `most` in a state; ValueError where it is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"expected a number from 0 to {most}, got {value!r} in a search's state")
    return value


def sentences(value: object) -> list[str]:
    """What was told, in a state: it goes to a terminal; ValueError where it is anything else."""
    told = [each for each in _list(value) if isinstance(each, str)]
    if len(told) != len(_list(value)) or not all(len(each) <= MAX_SENTENCE and each.isprintable() for each in told):
        raise ValueError(f"expected sentences of at most {MAX_SENTENCE} characters in a search's state")
    return told


def meters(value: object) -> list[Mapping[str, object]]:
    """The meters that were found, in a state; ValueError where they are none, or more than a line bears."""
    found = rows(value)
    if len(found) > MAX_FOUND:
        raise ValueError(f"expected at most {MAX_FOUND} meters, got {len(found)} in a search's state")
    return found


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {value!r} in a search's state")
    return value


def rows(value: object) -> list[Mapping[str, object]]:
    """A list of objects in a state; ValueError where it is none."""
    rows = _list(value)
    if any(not isinstance(row, dict) for row in rows):
        raise ValueError("expected objects in a search's state")
    return [row for row in rows if isinstance(row, dict)]
