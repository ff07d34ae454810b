"""What objects are called, and what their access modes mean."""

from __future__ import annotations

import pytest

from protocols import obis
from protocols.dlms import naming, rights
from protocols.dlms.listing import ASSOCIATION, CURRENT, Listed, Right


@pytest.mark.parametrize(
    ("class_id", "name", "said"),
    [
        (3, "1-0:1.8.0.255", "active energy import"),
        (3, "1-0:1.8.2.255", "active energy import, tariff 2"),
        (3, "1-0:1.8.0.1", "active energy import, period 1"),
        (7, "1-0:99.1.0.255", "load profile 1"),
        (7, "0-0:98.1.0.255", "billing profile"),
        (7, "0-0:99.98.4.255", "event log 4"),
        (1, "0-0:43.1.17.255", "invocation counter of client 17"),
        (64, "0-0:43.0.0.255", "security"),
        (15, "0-0:40.0.0.255", "association"),
        (40, "0-0:25.9.1.255", "push 1"),
        (8, "0-0:1.0.0.255", "clock"),
        (8, "0-1:1.0.0.255", "clock, channel 1"),
        (3, "0-1:24.2.1.255", "register"),
        (199, "0-0:199.1.2.255", "class 199"),
    ],
)
def test_objects_are_named_by_what_they_are(class_id: int, name: str, said: str) -> None:
    """By their OBIS name; what nobody knows by its class."""
    assert naming.name(class_id, obis.from_text(name)) == said


@pytest.mark.parametrize(
    ("version", "modes", "said"),
    [
        (0, (1, 1, 3), "read 1-2; read and write 3; call method 1"),
        (1, (1, 1, 0), "read 1-2; no access 3; call method 1"),
        (2, (4, 6, 9), "read, authenticated 1; read and write, authenticated 2; mode 9 3; call method 1"),
        (3, (1, 0x2D, 0), "read 1; read, authenticated request, encrypted request, authenticated answer 2; no access 3;"
            " call method 1"),
    ],
)  # fmt: skip
def test_modes_are_numbers_or_bits_by_the_version_of_the_association(
    version: int, modes: tuple[int, ...], said: str
) -> None:
    """The list says which, where the association lists itself."""
    listed = Listed(3, 0, bytes(6), tuple(Right(n, mode) for n, mode in enumerate(modes, 1)), (Right(1, 1),))
    own = Listed(ASSOCIATION, version, CURRENT)
    assert rights.version((listed, own)) == version
    assert rights.summary(listed, version) == said


def test_a_meter_that_says_nothing_of_rights() -> None:
    """Is not called one that allows nothing."""
    assert rights.summary(Listed(3, 0, bytes(6)), 0) == "not said"
