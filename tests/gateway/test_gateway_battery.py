"""Battery meters: `check` says how often they may be asked, and where the configuration asks more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway import battery
from gateway.battery import uses
from gateway.cli import main
from gateway.config import MbusBus, MbusDevice
from gateway.config_file import read_configuration
from protocols.models import mbus as models

HEAD = """
gateway = "cellar-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "broker.example"
port = 8883
[[bus]]
protocol = "mbus"
name = "riser"
port = "/dev/ttyUSB0"
"""
M302 = 'manufacturer = "KAM"\nversion = 48\nmedium = 4'
SENSOSTAR = 'manufacturer = "EFE"\nversion = 1\nmedium = 4'
M603 = 'manufacturer = "KAM"\nversion = 53\nmedium = 12'
M601 = 'manufacturer = "KAM"\nversion = 8\nmedium = 4'
F96 = 'manufacturer = "ELS"\nversion = 47\nmedium = 4'


def configured(folder: Path, *meters: tuple[int, str]) -> Path:
    """A configuration of meters by cadence and identity."""
    path = folder / "gateway.toml"
    tables = [
        f'[[bus.device]]\nname = "meter {at}"\naddress = {at}\ncadence_s = {cadence_s}\n{identity}\n'
        for at, (cadence_s, identity) in enumerate(meters, 1)
    ]
    path.write_text("\n".join([HEAD, *tables]))
    return path


def check(path: Path, *arguments: str) -> str:
    """What it prints, without the notes on keys that are not there."""
    result = CliRunner().invoke(main, ["check", "--config", str(path), *arguments])
    assert result.exit_code == 3, result.output
    return result.output


def rows(folder: Path, *meters: tuple[int, str]) -> list[dict[str, Any]]:
    """The part of --json on batteries."""
    found: list[dict[str, Any]] = json.loads(check(configured(folder, *meters), "--json"))["batteries"]
    return found


def test_a_cadence_that_is_shorter_than_the_batterys_is_a_hint_with_the_right_one(tmp_path: Path) -> None:
    output = check(configured(tmp_path, (900, M302)))
    lines = output[output.index("batteries") :].splitlines()
    assert lines[1].startswith(
        "hint meter meter 1: Kamstrup MULTICAL 302, asked 96 times a day; its battery: at most 24"
    )
    assert "24 times a day and 3600 s apart (MULTICAL 302: asking down to once an hour" in lines[1]
    assert lines[1].endswith("; repeated questions and second looks at a doubtful reading come on top")
    assert lines[2].strip().startswith("set cadence_s to 3600 or more; a meter with mains supply may be")


def test_a_battery_that_is_asked_too_often_counts_among_the_hints(tmp_path: Path) -> None:
    """So that the exit code is 3 where all else is well."""
    well, spent = (check(configured(tmp_path, (cadence_s, M302))).splitlines()[-1] for cadence_s in (3600, 900))
    before, after = (int(each.removeprefix("usable, ").removesuffix(" hints")) for each in (well, spent))
    assert after == before + 1


@pytest.mark.parametrize(
    ("cadence_s", "identity", "mark", "interval_s", "allowed"),
    [
        (3600, M302, "ok", 3600, 24),
        (3599, M302, "hint", 3600, 24),
        (10, M603, "ok", 10, 8640),
        (9, M603, "hint", 10, 8640),
        (180, F96, "ok", 180, 480),
        (179, F96, "hint", 180, 480),
        (179, SENSOSTAR, "ok", None, 485),
        (178, SENSOSTAR, "hint", None, 485),
        (1, M601, "ok", None, None),  # no source says it
    ],
)
def test_the_limit_is_the_models(
    cadence_s: int, identity: str, mark: str, interval_s: int | None, allowed: int | None, tmp_path: Path
) -> None:
    (row,) = rows(tmp_path, (cadence_s, identity))
    assert (row["mark"], row["minimum_interval_s"], row["allowed_a_day"]) == (mark, interval_s, allowed)
    assert row["sure"]


def test_a_days_budget_shrinks_with_the_meters_of_the_line(tmp_path: Path) -> None:
    """A SensoStar spends for what others are asked: 485 answers with 20 on the line, 300 with 21."""
    others = [(3600, "")] * 19
    assert rows(tmp_path, (200, SENSOSTAR), *others)[0]["mark"] == "ok"
    (row, *_) = rows(tmp_path, (200, SENSOSTAR), *others, (3600, ""))
    assert (row["mark"], row["allowed_a_day"], row["reads_a_day"]) == ("hint", 300, 432)


def test_a_meter_that_is_selected_by_its_number_has_the_smaller_budget() -> None:
    """A SensoStar with 60 meters on its line: 90 answers a day by secondary address."""
    others = [MbusDevice(name=f"other {at}", address=at, cadence_s=3600) for at in range(1, 60)]
    by_address = MbusDevice(name="heat", address=60, manufacturer="EFE", version=1, medium=4, cadence_s=900)
    by_number = replace(by_address, address=None, secondary="12345678")
    lines = (
        MbusBus(protocol="mbus", name="riser", port="p", device=(each, *others)) for each in (by_address, by_number)
    )
    allowed = [uses(line)[0].allowed_a_day for line in lines]
    assert allowed == [300, 90]


def test_of_several_models_the_strictest_counts_and_it_is_said_how_to_be_sure(tmp_path: Path) -> None:
    output = check(configured(tmp_path, (900, 'manufacturer = "KAM"\nmedium = 4')))
    assert "meter 1: perhaps Kamstrup MULTICAL 302 or Kamstrup MULTICAL 601 or Kamstrup MULTICAL 603, asked" in output
    assert "may be asked as it is; version and medium tell its model" in output


@pytest.mark.parametrize(
    ("identity", "text"),
    [
        ("", "no model known; manufacturer, version and medium would tell it"),
        ('manufacturer = "XYZ"\nversion = 1\nmedium = 4', "no model known"),
        (M601, "Kamstrup MULTICAL 601, asked 1440 times a day; no source says how often its battery allows"),
    ],
)
def test_what_is_not_known_is_said_and_is_no_hint(identity: str, text: str, tmp_path: Path) -> None:
    output = check(configured(tmp_path, (60, identity)))
    assert f"ok   meter meter 1: {text}\n" in output


def test_the_cadence_that_is_named_keeps_to_every_models_limits(tmp_path: Path) -> None:
    """Whatever the model: what `check` tells the technician to set is then well."""
    for name in models.names():
        model = models.load(name)
        manufacturer, version, medium = min(model.headers())
        identity = f'manufacturer = "{manufacturer}"\nversion = {version}\nmedium = {medium}'
        bus = read_configuration(configured(tmp_path, (1, identity))).bus[0]
        assert isinstance(bus, MbusBus)
        (use,) = battery.uses(bus)
        assert use.too_often == (model.battery is not None)
        if use.too_often:
            (row,) = rows(tmp_path, (use.right_cadence_s, identity))
            assert row["mark"] == "ok"
            (row,) = rows(tmp_path, (use.right_cadence_s - 1, identity))
            assert row["mark"] == "hint"
