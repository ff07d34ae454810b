"""Columns that most bodies have are read a short way: with the result of the long one, also where they break a rule."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import samples as s
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocols.errors import PlombaError
from protocols.reading import Reading, Scaled
from protocols.uplink import block, body, columns, limits
from protocols.uplink.pack import Wire, repack, unpack

BLOCKS = 3  # where they stand in a body
NUMBERS = (-13, -1, 0, 1, 2, 4, 5, 12, 13, 96, limits.INT64_MAX, limits.INT64_MIN)
STRANGE: tuple[Any, ...] = (False, True, None, "1", b"\1", [])


def curve(count: int) -> list[Reading]:
    """So many rows of one meter with one register."""
    heat = s.heat(0)
    (value, *_) = heat.values
    return [
        dataclasses.replace(heat, values=(dataclasses.replace(value, number=Scaled(7 * row, -2)),))
        for row in range(count)
    ]


def outcome(octets: bytes) -> object:
    """What comes of a body: its leaves, or the refusal."""
    try:
        return body.expand(octets).leaves
    except PlombaError as error:
        return type(error), str(error)


def long_way(octets: bytes) -> object:
    """The same, without short ways."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((block, "_maybe_only"), (block, "_maybe_usual"), (block, "maybe_same")):
            patch.setattr(module, name, lambda *_: None)
        patch.setattr(columns, "maybe_same", lambda *_: None)
        return outcome(octets)


def paths(value: Wire, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """The ways to all elements."""
    found = [path] if path else []
    if isinstance(value, list):
        found += [each for at, element in enumerate(value) for each in paths(element, (*path, at))]
    return found


def changed(value: Any, path: tuple[int, ...], element: object) -> Any:
    """A copy with another element there; of an array for an empty one, one with a zero more."""
    at, *rest = path
    copy = list(value)
    if rest:
        copy[at] = changed(copy[at], tuple(rest), element)
    elif element == [] and isinstance(copy[at], list):
        copy[at] = [*copy[at], 0]
    else:
        copy[at] = element
    return copy


def opened(count: int) -> list[Any]:
    """The body of a curve."""
    tree = unpack(body.encode(curve(count), [], s.digest("secret")), limits.BODY, "body")
    assert isinstance(tree, list)
    return tree


def elements(count: int) -> list[Any]:
    """What may stand in a place: a number, something else, a column of one number."""
    return [*NUMBERS, *STRANGE, *(columns.encode([only] * count) for only in NUMBERS)]


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_a_block_is_read_the_short_way_as_it_is_the_long_way(count: int) -> None:
    """A curve, and each that somebody who can sign made of it by a change in one place."""
    tree = opened(count)
    assert outcome(repack(tree)) == long_way(repack(tree))
    for path in paths(tree[BLOCKS]):
        for element in elements(count):
            tried = [*tree[:BLOCKS], changed(tree[BLOCKS], path, element), *tree[BLOCKS + 1 :]]
            assert outcome(repack(tried)) == long_way(repack(tried)), (path, element)


@given(st.sampled_from([1, 3, 96]), st.data())
@settings(max_examples=500, deadline=None)
def test_so_it_is_where_two_places_are_changed(count: int, data: st.DataObject) -> None:
    """One rule broken may hide the other: which one is told, and that one is."""
    tree = opened(count)
    for _ in range(2):
        path = data.draw(st.sampled_from(paths(tree[BLOCKS])))
        tree[BLOCKS] = changed(tree[BLOCKS], path, data.draw(st.sampled_from(elements(count))))
    octets = repack(tree)
    assert outcome(octets) == long_way(octets)


@given(st.lists(st.sampled_from((*NUMBERS, False, True)), max_size=6), st.integers(0, 97))
@example([1, 5, 1, 0, 95], 96)
@example([1, False, 96], 96)
@example([True, 0, 96], 96)
@example([1, 0, 0], 0)
@example([1, 5, 1, 0, 0], 1)
def test_what_all_rows_have_is_what_is_decoded(column: list[Wire], count: int) -> None:
    """Told at once only where each row has it."""
    only = columns.maybe_same(column, count)
    assert only is None or columns.decode(column, count, "here") == [only] * count


def test_a_usual_curve_goes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would compare nothing."""
    octets = body.encode(curve(96), [], s.digest("secret"))
    monkeypatch.setattr(block, "_numbers", None)
    assert len(body.expand(octets).leaves) == 96
