"""The configuration: parsed once, all faults at once, and what of it stands under the seal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import MbusBus, configuration_content, configuration_hash
from gateway.config_file import check_configuration, read_configuration
from gateway.faults import BadConfiguration, ConfigurationUnreadable
from protocols.uplink.pack import unpack

GOOD = """\ufeff
gateway = "boiler-room-7"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "broker"
port = 8883
[[bus]]
name = "cellar"
protocol = "mbus"
port = "/dev/serial/by-id/usb"
[[bus.device]]
name = "heat"
address = 1
cadence_s = 900
id = "1a7f2044"
[[bus.device]]
name = "water"
address = 2
cadence_s = 900
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(BadConfiguration) as caught:
        read_configuration(written(folder, text))
    assert all(f"{each}" in str(caught.value) for each in caught.value.problems)
    return {each.key: each.expected for each in caught.value.problems}


def test_a_good_file_is_read_with_defaults_and_paths_of_its_own(tmp_path: Path) -> None:
    """With a byte order mark, as editors leave it."""
    found = read_configuration(written(tmp_path, GOOD))
    assert found.state_folder == tmp_path / "state"
    assert isinstance(found.bus[0], MbusBus)
    assert found.bus[0].mode == "8E1"
    assert found.bus[0].port == "/dev/serial/by-id/usb"
    assert found.buffer.max_bytes == 64 * 1024 * 1024
    assert found.bus[0].device[0].identity.id == "1A7F2044"


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    """Types, ranges, unknown and missing keys, doubled names and addresses; a misspelt key is not missing too."""
    bad = GOOD.replace("port = 8883", 'port = "8883"').replace("cadence_s = 900", "cadense_s = 900", 1)
    bad = bad.replace("address = 2", "address = 1").replace('"water"', '"heat"').replace("boiler-room-7", "Boiler")
    bad = bad.replace("cadence_s = 900", "")
    found = faults(tmp_path, bad)
    assert set(found) == {
        "gateway",
        "broker.port",
        "bus[0].device[1].cadence_s",
        "bus[0].device[0].cadense_s",
        "bus[0].device[1].address",
        "bus[0].device[1].name",
    }


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ('cadence = "daily at 0:10"', "cadence"),
        ('cadence = "daily at 24:00"', "cadence"),
        ('cadence = "7 min"', "cadence"),
        ('cadence = "monthly on 32 at 00:10"', "cadence"),
        ('cadence = "1 h"\ncadence_s = 900', "cadence_s"),
        ('cadence = "1 h"\nbilling = "1 h"', "billing"),
        ('cadence = "1 h"\ntimezone = "Europe/Praque"', "timezone"),
    ],
)
def test_a_cadence_that_says_nothing_is_refused_at_its_place(tmp_path: Path, given: str, key: str) -> None:
    """Times and days that do not exist, steps that do not divide the day, both keys, and zones nobody knows."""
    assert set(faults(tmp_path, GOOD.replace("cadence_s = 900", given, 1))) == {f"bus[0].device[0].{key}"}


def test_times_without_a_zone_are_a_hint_and_the_gateways_zone_is_that_of_its_meters(tmp_path: Path) -> None:
    """Nobody means UTC by "at 00:10"; a meter may have a zone of its own."""
    text = GOOD.replace("cadence_s = 900", 'cadence = "daily at 00:10, until 06:00"')
    assert [each.key for each in check_configuration(written(tmp_path, text)).problems] == [
        "bus[0].device[0].cadence",
        "bus[0].device[1].cadence",
    ]
    zoned = text.replace("[broker]", 'timezone = "Europe/Prague"\n[broker]')
    zoned = zoned.replace("address = 2", 'address = 2\ntimezone = "Europe/Lisbon"')
    checked = check_configuration(written(tmp_path, zoned))
    assert checked.problems == ()
    assert checked.configuration is not None
    assert [each.zone for each in checked.configuration.bus[0].device] == ["Europe/Prague", "Europe/Lisbon"]


def test_one_meter_under_two_names_is_refused(tmp_path: Path) -> None:
    """G13: it would be billed twice; the same number from another manufacturer is another meter."""
    again = GOOD + '[[bus.device]]\nname = "twin"\naddress = 9\ncadence_s = 900\nid = "1A7F2044"\n'
    assert set(faults(tmp_path, again)) == {"bus[0].device[2].id"}
    other = again + 'manufacturer = "ZZZ"\n'
    assert len(read_configuration(written(tmp_path, other)).bus[0].device) == 3


@pytest.mark.parametrize("address", ["0", "251", "1.5", '"1"', "true"])
def test_an_address_out_of_range_or_of_another_type_is_refused(tmp_path: Path, address: str) -> None:
    """Primary addresses are 1 to 250."""
    assert set(faults(tmp_path, GOOD.replace("address = 2", f"address = {address}"))) == {"bus[0].device[1].address"}


@pytest.mark.parametrize("text", ["gateway = ", "\xff"])
def test_what_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    """With the parser's words."""
    path = tmp_path / "gateway.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationUnreadable):
        read_configuration(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(ConfigurationUnreadable):
        read_configuration(tmp_path / "none")


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("address = 1\n", "address = 3\n", True),
        ('id = "1a7f2044"', 'id = "1a7f2045"', True),
        ('"heat"', '"cold"', True),
        ('"cellar"', '"attic"', True),
        ("cadence_s = 900", "cadence_s = 60", False),
        ('host = "broker"', 'host = "other"', False),
        ("1a7f2044", "1A7F2044", False),
        ("address = 2\n", 'secondary = "20448817"\n', True),
        ('port = "/dev/serial/by-id/usb"', 'url = "tcp://192.0.2.30:10001"', False),
    ],
)
def test_the_hash_changes_with_what_changes_a_sealed_value_or_its_attribution(
    tmp_path: Path, old: str, new: str, changes: bool
) -> None:
    """R27: and with nothing else."""
    before = configuration_hash(read_configuration(written(tmp_path, GOOD)))
    after = configuration_hash(read_configuration(written(tmp_path, GOOD.replace(old, new))))
    assert (before != after) is changes


def test_a_selection_has_a_place_of_its_own_in_the_content(tmp_path: Path) -> None:
    """The number stands where an address would, however its letters are written; what narrows it counts, too."""
    selected = GOOD.replace("address = 2\n", 'secondary = "1c448817"\n')
    hashes = [
        configuration_hash(read_configuration(written(tmp_path, text)))
        for text in (
            selected,
            selected.replace("1c448817", "1C448817"),
            GOOD.replace("address = 2\n", 'address = 2\nid = "1C448817"\n'),
            selected.replace('"1c448817"', '"1c448817"\nmanufacturer = "KAM"'),
        )
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    content: Any = unpack(configuration_content(read_configuration(written(tmp_path, selected))), 1_000, "content")
    ((name, devices),) = content[2]
    assert name == "cellar"
    assert [each[:4] for each in devices] == [
        ["heat", 1, 1, [None, "1A7F2044", None, None]],
        ["water", 1, "1C448817", [None, "1C448817", None, None]],
    ]
