"""The models: one test runs them all; their examples are decoded, and so are the real telegrams of their headers."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from protocols import obis
from protocols.mbus import explain, link, telegram
from protocols.mbus.explain import ShownRecord
from protocols.mbus.meaning import identity, values
from protocols.mbus.telegram import Telegram
from protocols.models import mbus as models
from protocols.models.files import BadModel
from protocols.models.registers import key_of
from protocols.reading import Identity, Precision, Protocol

FOLDER = Path(models.__file__).with_suffix("")
M601, M302 = "kamstrup-multical-601", "kamstrup-multical-302"
FILE = (FOLDER / f"{M601}.toml").read_text(encoding="utf-8")
BATTERY = '[battery]\nsays = "often"\nsource = "frame"\n'
CLOCK = '[clock]\nsays = "as written"\nsource = "frame"\n'
HEAT = 0x04


def answered(example: models.Example) -> list[Telegram]:
    """The telegrams of an example."""
    return [telegram.decode(link.parse(bytes.fromhex(each))) for each in example.telegrams]


def records(example: models.Example) -> list[ShownRecord]:
    """What `decode` shows of them."""
    frames = [link.parse(bytes.fromhex(each)) for each in example.telegrams]
    return [record for frame in frames for record in explain.explain(frame).records]


def check_values(model: models.MbusModel, example: models.Example) -> None:
    """Every record is what the file says, under the key that the file says."""
    found, shown = values(*answered(example)), records(example)
    keys = [key_of(each.record, each.nth) for each in example.values]
    assert [each.key for each in found] == keys, model.name
    for record, wanted in zip(shown, example.values, strict=True):
        assert (record.value, record.unit, record.state) == (wanted.value, wanted.unit, wanted.state), wanted


def check_sentinels(model: models.MbusModel) -> None:
    """Each stands in an example, under a record that it may stand under, and is no value."""
    shown = [record for example in model.examples for record in records(example)]
    keys = [value.key for example in model.examples for value in values(*answered(example))]
    for sentinel in model.sentinels:
        places = {key_of(each) for each in sentinel.records}
        places = {key for register in model.registers for key in register.places() if register.key in places}
        found = [r for r, key in zip(shown, keys, strict=True) if key in places and r.raw.endswith(sentinel.octets)]
        assert found, sentinel
        assert all(record.state in ("invalid", "error-state") for record in found), sentinel


@pytest.mark.parametrize("name", models.names())
def test_a_model_is_found_and_its_examples_are_what_it_says(name: str) -> None:
    """Detection, identity, values, registers, sentinels."""
    model = models.load(name)
    seen = set()
    for example in model.examples:
        who = identity(*answered(example))
        assert models.candidates(who) == (model,)
        assert all(getattr(who, field) is not None for field in model.identity)
        check_values(model, example)
        keys = {value.key for value in values(*answered(example))}
        assert [str(key) for key in keys if model.register_of(key) is None] == []
        seen |= keys
    absent = [each.label for each in model.registers if not each.optional and seen.isdisjoint(each.places())]
    assert absent == []
    check_sentinels(model)


def test_no_two_models_claim_the_same_header() -> None:
    claimed = Counter(header for name in models.names() for header in models.load(name).headers())
    assert [header for header, count in claimed.items() if count > 1] == []
    assert len(models.names()) == 20


@pytest.mark.parametrize("name", models.names())
def test_a_model_says_where_its_facts_are_from(name: str) -> None:
    model = models.load(name)
    assert all(re.match(r"https://\S+$", each.where) and each.document and each.seen for each in model.sources.values())


def test_the_real_telegrams_of_these_models_hold_the_registers_that_they_say(telegrams: dict[str, bytes]) -> None:
    """What is in them is known, what is not optional is in them."""
    seen: Counter[str] = Counter()
    for octets in telegrams.values():
        found = telegram.decode(link.parse(octets))
        if found.identity.version is None:
            continue
        for model in models.candidates(found.identity):
            keys = {value.key for value in values(found)}
            assert [str(key) for key in keys if model.register_of(key) is None] == []
            assert [r.label for r in model.registers if not r.optional and keys.isdisjoint(r.places())] == []
            seen[model.name] += 1
    assert (len(seen), seen.total()) == (15, 22)


def test_a_clock_is_written_as_its_type_says() -> None:
    """Type F has minutes in four bytes, type I seconds in six."""
    for record, precision in (("046d", Precision.MINUTE), ("066d", Precision.SECOND)):
        clock = f'{CLOCK}settable = true\nrecord = "{record}"\nsummer = false\n'
        found = models.from_toml("own", FILE.replace("[[examples]]", f"{clock}[[examples]]", 1)).clock
        assert found is not None
        assert (found.precision, found.head.hex(), found.ci, found.summer) == (precision, record, 0x51, False)


def test_a_meter_is_looked_for_by_what_is_known_of_it() -> None:
    """Without a manufacturer nothing is said."""

    def found(manufacturer: str | None, version: int | None = None, medium: int | None = None) -> list[str]:
        who = Identity(Protocol.MBUS, manufacturer, "12345678", version, medium)
        return [model.name for model in models.candidates(who)]

    assert found("KAM", 8, 4) == [M601]
    assert found("KAM", medium=HEAT) == [M302, M601, "kamstrup-multical-603"]
    assert found("KAM", 8, 2) == found("KAN", 8, 4) == found(None, 8, 4) == []


def test_a_register_is_the_same_whatever_its_coding() -> None:
    """0C06 is BCD, 0406 an integer: one key; another storage is another register."""
    assert key_of("0c06") == key_of("0406")
    assert key_of("4406") != key_of("0406")


def test_a_proposed_name_is_the_tables_or_the_models() -> None:
    model = models.from_toml("own", FILE.replace('"heat energy"', '"heat energy", obis = "6-0:1.0.9.255"'))
    names = {each.label: each.proposed(HEAT) for each in model.registers}
    assert names["heat energy"] == obis.from_text("6-0:1.0.9.255")
    assert names["volume on the set day"] == obis.from_text("6-0:2.2.0.255")
    assert names["volume of input 1"] is None


def test_what_a_register_measures_is_the_tables_or_the_models() -> None:
    named = {each.label: each.measures() for each in models.load("itron-cyble").registers}
    assert named["days left of the battery"] == "remaining life of the battery"
    assert named["volume in steps of 0.01 m3"] == "volume"


def test_a_history_knows_its_dates_and_its_depth() -> None:
    months = models.load("rossweiner-modularis").histories[1]
    assert (months.depth, months.every, len(months.dates())) == (12, "month", 12)
    year = models.load("landis-gyr-ultraheat-t230").histories[0]
    assert year.dates() == {key_of("848f0f6d")}  # one storage dates another


def test_the_allowance_depends_on_the_meters_of_the_line() -> None:
    allowances = tuple(models.Allowance(*each) for each in ((20, 485), (60, 300)))
    steps = models.Battery("steps", "manual", None, allowances)
    assert [steps.reads_a_day(count) for count in (1, 20, 21, 60, 61)] == [485, 485, 300, 300, 300]
    assert models.load("engelmann-sensostar-2").battery.reads_a_day(60, secondary=True) == 90  # type: ignore[union-attr]
    assert steps.reads_a_day(60, secondary=True) == 300
    both = models.Battery("both", "manual", 360, allowances)
    assert [both.reads_a_day(count) for count in (1, 60)] == [240, 240]
    assert models.Battery("interval", "manual", 3_600).reads_a_day(250) == 24


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('manufacturer = "KAM"', 'manufacturer = "Kam"', "three capital letters"),
        ("versions = [0x08]", "versions = [0x108]", "from 0 to 255"),
        ("versions = [0x08]", "versions = []", "versions and media"),
        ("versions = [0x08]", 'versions = ["08"]', "valid integer"),
        ('record = "0406"', 'record = "0c06e7"', "alone"),
        ('record = "0406"', 'record = "04"', "value information"),
        ('record = "0406"', 'record = ""', "got nothing"),
        ('record = "0406"', 'record = "zz"', "hexadecimal"),
        ('record = "0414"', 'record = "0c06"', "every register once"),
        ('label = "volume"', 'label = "heat energy"', "label of its own"),
        ('label = "volume"', 'lable = "volume"', "lable"),
        ('kind = "duration"', 'kind = "time"', "registers.3.kind"),
        ('label = "volume"', 'label = "volume", obis = "6.2.0"', "OBIS"),
        ('label = "volume"', 'label = "volume", until = 0', "a storage after 0"),
        ('label = "volume"', 'label = "volume", until = 92233720368547758', "fewer than 4096"),
        ('label = "volume"', 'label = "volume", source = "rumour"', "every source named and used"),
        ('source = "frame"', 'source = "rumour"', "every source named and used"),
        ("subunit = 3", "subunit = 4", "every subunit among the inputs"),
        ("first = 1", "first = 0", "storages from 1 on"),
        ("last = 1", "last = 2", "dates of storages"),
        ("last = 1", "last = 999999999999", "at most 4096 storages"),
        ('date = "426c"', 'date = "82016c"', "dates of storages"),
        ('identity = ["manufacturer", ', 'identity = ["id", ', "each field of the identity once"),
        ('made = "by record list"', 'made = "up"', "by record list"),
        ("[[examples]]", f"{BATTERY}\n[[examples]]", "a minimum interval or allowances"),
        (
            "[[examples]]",
            f"{BATTERY}allowances = [{{ meters = 9, reads = 0 }}]\n\n[[examples]]",
            "each of at least one read",
        ),
        (
            "[[examples]]",
            '[[sentinels]]\noctets = "ff"\nrecords = ["0213"]\nsays = "-"\nsource = "frame"\n\n[[examples]]',
            "the sentinels' records",
        ),
        ("[[examples]]", f"{CLOCK}settable = true\n[[examples]]", "a record of a clock that can be set"),
        ("[[examples]]", f'{CLOCK}settable = false\nrecord = "046d"\n[[examples]]', "none of another one"),
        ("[[examples]]", f'{CLOCK}settable = true\nrecord = "026c"\n[[examples]]', "date and time in 4 or 6 bytes"),
        ("[[examples]]", f'{CLOCK}settable = true\nrecord = "0406"\n[[examples]]', "date and time in 4 or 6 bytes"),
        ("[[examples]]", f'{CLOCK}settable = true\nrecord = "046d"\nci = 256\n[[examples]]', "CI field"),
        (
            "[[examples]]",
            '[clock]\nsettable = false\nsays = "-"\nsource = "rumour"\n[[examples]]',
            "every source named",
        ),
        ("what = ", "what ", "TOML"),
    ],
)
def test_every_mistake_in_a_model_is_named(old: str, new: str, named: str) -> None:
    assert old in FILE
    with pytest.raises(BadModel, match="PLB-C241") as caught:
        models.from_toml("broken", FILE.replace(old, new, 1))
    assert named in str(caught.value)
