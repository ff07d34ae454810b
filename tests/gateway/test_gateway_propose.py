"""The configuration that a scan prints: it passes the check, and every meter that was found is in it."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import propose
from gateway.battery import uses
from gateway.config import MbusBus, MbusDevice
from gateway.config_file import check_configuration
from gateway.lines import Place
from gateway.propose import block, stable
from protocols.mbus.search import Found
from protocols.mbus.select import Secondary
from protocols.mbus.sweep import Answering
from protocols.mbus.walk import code_of
from protocols.models import mbus as models

HEAT = Secondary.of("603000012D2C3504")
BASE = """gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "broker"
port = 8883
"""
PORT = Place("/dev/ttyUSB7")


def appended(folder: Path, printed: str) -> MbusBus:
    """The line in a configuration that had none before."""
    path = folder / "gateway.toml"
    path.write_text(BASE + printed, encoding="utf-8")
    found = check_configuration(path)
    assert found.configuration is not None, "\n".join(str(each) for each in found.faults)
    (bus,) = found.configuration.bus
    assert isinstance(bus, MbusBus)
    return bus


def test_a_meter_without_an_address_of_its_own_is_proposed_by_its_number(tmp_path: Path) -> None:
    other = replace(HEAT, id="60300002")
    found: list[Found | Answering] = [
        Found(HEAT, 0),
        Found(other, 5),
        Found(replace(HEAT, id="60300003"), 5),
        Answering(7, None),
    ]
    devices = appended(tmp_path, block(found, PORT, "riser")).device
    assert [(each.name, each.address, each.secondary) for each in devices] == [
        ("heat-60300001", None, "60300001"),
        ("heat-60300002", None, "60300002"),
        ("heat-60300003", None, "60300003"),
        ("meter-7", 7, None),
    ]
    assert [each.manufacturer for each in devices] == ["KAM"] * 3 + [None]
    assert {each.identity.version for each in devices[:3]} == {0x35}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Found(replace(HEAT, id="6030000F"), 0), "0 is no address of its own, and F in its number"),
        (Answering(0, None), "0 is no address of its own, and its answer has no number"),
    ],
)
def test_what_cannot_be_configured_stands_there_with_the_reason(found: Found | Answering, reason: str) -> None:
    printed = block([found], PORT, "riser")
    assert printed.startswith(f"# {reason}")
    assert all(line.startswith("# ") for line in printed.splitlines())


def test_a_manufacturer_that_has_no_letters_is_left_out(tmp_path: Path) -> None:
    (device,) = appended(tmp_path, block([Found(replace(HEAT, manufacturer=0), 1)], PORT, "riser")).device
    assert (device.manufacturer, device.id) == (None, "60300001")


@pytest.mark.parametrize(
    ("place", "parity"),
    [
        (Place("/dev/ttyS0", 300, "8N1"), "none"),
        (Place("tcp://192.0.2.30:10001", 9600, "8E1"), "even"),
        (Place('/dev/a "b" \\ c', 2400, "8O1"), "odd"),
    ],
)
def test_the_line_is_written_as_it_was_searched(tmp_path: Path, place: Place, parity: str) -> None:
    bus = appended(tmp_path, block([Found(HEAT, 1)], place, "my line"))
    assert Place.of(bus) == place
    assert (bus.name, bus.parity) == ("my line", parity)


def test_a_port_is_written_by_the_path_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has one; another one's is not taken."""
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    for name in ("ttyUSB0", "ttyUSB1"):
        (tmp_path / name).touch()
        (by_id / f"usb-{name}").symlink_to(tmp_path / name)
    (tmp_path / "ttyS0").touch()
    monkeypatch.setattr(propose, "STABLE", by_id)
    monkeypatch.chdir(tmp_path)
    assert stable("ttyUSB1") == str(by_id / "usb-ttyUSB1")
    assert stable("ttyS0") == os.path.abspath("ttyS0")  # noqa: PTH100 - as it is written


@pytest.mark.parametrize("seed", range(6))
def test_every_found_meter_is_there_once_and_all_of_it_passes_the_check(tmp_path: Path, seed: int) -> None:
    """Numbers, makers, versions and addresses that are often equal, impossible or wildcards: 100 lines each."""
    dice = random.Random(seed)
    for _ in range(100):
        plates = {
            Secondary(
                dice.choice(("12345678", "00000000", "1234567A", "1F345678")),
                dice.choice((0x2C2D, 0x6A49, 0, 0xFFFF)),
                dice.choice((1, 2, 255)),
                dice.choice((4, 7, 255)),
            )
            for _ in range(dice.randrange(1, 8))
        }
        found: list[Found | Answering] = [Found(each, dice.choice((0, 1, 2, 3, 250, 251, 255))) for each in plates]
        found += [Answering(9, None)] if dice.random() < 0.5 else []
        printed = block(found, PORT, "riser")
        told = printed.count("# [[bus.device]]")
        devices: tuple[MbusDevice, ...] = ()
        if told < len(found):
            devices = appended(tmp_path, printed).device
        assert len(devices) + told == len(found)
        assert len({each.name for each in devices}) == len(devices)
        assert told or all(each.address or each.secondary for each in devices)


def headed(name: str, number: str) -> Secondary:
    """A meter of this model."""
    letters, version, medium = sorted(models.load(name).headers())[0]
    return Secondary(number, code_of(letters), version, medium)


@pytest.mark.parametrize(
    ("name", "addresses", "cadence_s"),
    [
        ("kamstrup-multical-302", [1], 3_600),
        ("kamstrup-multical-603", [1], 900),
        ("elster-f96-plus", [1], 900),
        ("engelmann-waterstar", [1], 900),
        ("engelmann-sensostar-2", [1], 900),
        ("engelmann-sensostar-2", [0] * 20, 900),
        ("engelmann-sensostar-2", [0] * 21, 960),
        ("engelmann-sensostar-2", [0] * 61, 1_662),
        ("engelmann-sensostar-2", [0] * 121, 3_200),
    ],
)
def test_no_battery_is_asked_more_often_than_it_is_made_for(
    tmp_path: Path, name: str, addresses: list[int], cadence_s: int
) -> None:
    """A line of meters of one model, by address or by number: the check has no hint about their batteries."""
    found = [Found(headed(name, f"{n:08}"), address) for n, address in enumerate(addresses, 1)]
    bus = appended(tmp_path, block(found, PORT, "riser"))
    assert {each.cadence_s for each in bus.device} == {cadence_s}
    assert [use for use in uses(bus) if use.too_often] == []


@pytest.mark.parametrize("own", [True, False])
def test_all_known_models_on_one_line_pass_the_check(tmp_path: Path, own: bool) -> None:
    found = [Found(headed(name, f"{n:08}"), n if own else 0) for n, name in enumerate(models.names(), 1)]
    bus = appended(tmp_path, block(found, PORT, "riser"))
    assert len(bus.device) == len(found)
    assert [use for use in uses(bus) if use.too_often] == []
