"""Models of DLMS meters: each file is sound, and what contradicts itself is refused with its place."""

from __future__ import annotations

import pytest

from protocols import obis
from protocols.dlms import clock as clocks
from protocols.dlms import pushed
from protocols.dlms.notification import DataNotification
from protocols.mbus.explain import written
from protocols.models.dlms import UnknownDlmsModel, from_toml, load, names
from protocols.models.files import BadModel
from protocols.reading import Value

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


@pytest.mark.parametrize("name", [each for each in names() if load(each).examples])
def test_the_example_of_a_model_shows_what_it_says(name: str) -> None:
    """Names, numbers, units and the offset of its time, from the bytes of a real meter."""
    for example in load(name).examples:
        sent = DataNotification.from_bytes(bytes.fromhex(example.octets))
        items = pushed.items(sent.body, pushed.Kept())
        found = {_name(each): (written(each.number), each.unit) for each in pushed.values(items, pushed.Kept())}
        assert {each.obis: found[each.obis] for each in example.values} == {
            each.obis: (each.value, each.unit) for each in example.values
        }
        assert [each for each in found if each.startswith("1-")] == [
            each.obis for each in example.values if each.obis.startswith("1-")
        ]
        time = pushed.time_of(items) or (clocks.from_bytes(sent.moment).time if sent.moment else None)
        assert (None if time is None else time.deviation_min) == example.offset_min


def test_six_models_and_more_have_an_example_from_a_meter() -> None:
    """All but what a companion standard says of any meter."""
    assert len(names()) >= 7
    assert [each for each in names() if not load(each).examples] == ["idis"]


def _name(value: Value) -> str:
    name = value.key.parts[1]
    assert isinstance(name, bytes)
    return obis.shown(name)


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ('range_ends = "none"', "range_ends"),
        ('offset_sign = "other"', "offset_sign"),
        ('association = "40.0.1"', "OBIS"),
        ("answer_ms = 99", "answer_ms"),
        ("pause_ms = 10001", "pause_ms"),
    ],
)
def test_ways_that_are_none_are_refused(line: str, where: str) -> None:
    """As in a meter's block; those that are known are taken."""
    good = 'range_ends = "local"\noffset_sign = "reversed"\nassociation = "0-0:40.0.1.255"\nanswer_ms = 8000\n'
    assert from_toml("good", good + GOOD).answer_ms == 8_000
    with pytest.raises(BadModel, match=where):
        from_toml("bad", f"{line}\n{GOOD}")


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
