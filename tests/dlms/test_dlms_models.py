"""Models of DLMS meters: each file is sound, and what contradicts itself is refused with its place."""

from __future__ import annotations

import pytest

from protocols.models.dlms import UnknownDlmsModel, from_toml, load, names
from protocols.models.files import BadModel

GOOD = """what = "a meter"
[source]
document = "its manual"
where = "https://meter.example"
seen = "all of it"
[[logs]]
name = "0-0:99.98.0.255"
events = { 3 = "power up" }
[adjusting]
method = "shift"
least_s = 3
most_s = 60
"""


@pytest.mark.parametrize("name", names())
def test_every_model_is_sound(name: str) -> None:
    """It says where its facts come from."""
    model = load(name)
    assert model.source.where
    assert all(log.codes() for log in model.logs)


def test_a_model_says_the_names_of_codes_and_the_limits_of_adjusting() -> None:
    """Numbers as keys are digits in TOML."""
    model = from_toml("good", GOOD)
    assert model.logs[0].codes() == {3: "power up"}
    assert model.adjusting is not None
    assert (model.adjusting.least_s, model.adjusting.most_s, model.adjusting.a_day) == (3, 60, 1)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("least_s = 3", "least_s = 61", "adjusting"),
        ("most_s = 60", "most_s = 901", "adjusting"),
        ('"shift"', '"push"', "adjusting.method"),
        ("3 =", "three =", "logs.0"),
        ("0-0:99.98.0.255", "99.98", "logs.0"),
        ('what = "a meter"', 'what = "a meter"\nfurther_profiles = ["0-0:99.98.0.255"]', "each profile and log once"),
        ('what = "a meter"', 'what = "a meter"\nmaker = "X"', "maker"),
    ],
)
def test_what_contradicts_itself_is_refused(old: str, new: str, where: str) -> None:
    """The place is named."""
    with pytest.raises(BadModel, match=where):
        from_toml("bad", GOOD.replace(old, new, 1))


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    """And those that there are."""
    with pytest.raises(UnknownDlmsModel, match="perhaps idis; known are idis"):
        load("idiss")
