"""`series`, `stands` and `latest` as an operator gives them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from chain import AnyStore
from click.testing import CliRunner
from ground_site import POINT, enter

from collector.cli import commands
from collector.faults import NoSeriesError, QuestionError
from collector.place import Place


@pytest.fixture
def config(store: AnyStore, place: Place, tmp_path: Path) -> Path:
    """The configuration of a collector whose store has one point."""
    enter(store)
    path = tmp_path / "collector.toml"
    path.write_text(f'collector = "utility"\nstore = "{place}"\n[broker]\nhost = "localhost"\n')
    return path


def run(config: Path, *words: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(commands, [*words, "--config", str(config)], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_days_are_shown_on_the_points_clock_with_what_is_missing(config: Path) -> None:
    """One line a day; the day with a gap says so."""
    lines = run(
        config, "series", POINT, "=A+", "--from", "2026-03-27", "--to", "2026-03-30", "--unit", "kWh"
    ).splitlines()
    assert lines == [
        "2026-03-27T00:00+01:00  23.750 kWh  missing  95 of 96",
        "2026-03-28T00:00+01:00  24.000 kWh  raw  96 of 96",
        "2026-03-29T00:00+01:00  23.000 kWh  raw  92 of 92",
    ]


def test_json_and_csv_say_the_same(config: Path) -> None:
    """Month by month; a cell that a spreadsheet would run is text."""
    asked = ("series", POINT, "=A+", "--from", "2026-03", "--to", "2026-04", "--by", "month", "--unit", "MWh")
    document = json.loads(run(config, *asked, "--json"), parse_float=pytest.fail)
    (row,) = csv.DictReader(io.StringIO(run(config, *asked, "--csv")))
    assert document["values"] == [row["value"]] == ["0.118750"]
    assert document["expected"] == [int(row["expected"])] == [2_972]
    assert row["channel"] == "'=A+"
    assert (row["start"], row["end"]) == ("2026-03-01T00:00+01:00", "2026-04-01T00:00+02:00")


def test_as_known_before_the_correction(config: Path) -> None:
    """The gap was found later."""
    asked = ("series", POINT, "=A+", "--from", "2026-03-27", "--to", "2026-03-28", "--known-at", "2026-04-01")
    assert "96 of 96" in run(config, *asked)


def test_stands_are_shown_with_consumption(config: Path) -> None:
    """As lines, as CSV (safe) and as JSON."""
    assert run(config, "stands", POINT, "--from", "2026-04").splitlines() == [
        "2026-04-01T00:00+02:00  4711  1-0:1.8.0  1117.0 kWh  used 117.000 kWh  normal, valid"
    ]
    first, second = csv.DictReader(io.StringIO(run(config, "stands", POINT, "--csv")))
    assert (first["consumption"], second["consumption"], second["approved"]) == ("", "117.000", "'=operator")
    assert [each["value"] for each in json.loads(run(config, "stands", POINT, "--json"))] == ["1000.0", "1117.0"]


def test_the_newest_value_of_each_channel(config: Path) -> None:
    """With when its interval ended."""
    lines = run(config, "latest", POINT).splitlines()
    assert lines[2:] == ["net  720000 J  until 2026-04-01T00:00+02:00  raw", "power  nothing yet"]
    assert [each["channel"] for each in json.loads(run(config, "latest", POINT, "--json"))] == [
        "1-0:2.8.0",
        "=A+",
        "net",
        "power",
    ]


def test_what_cannot_be_asked_says_what_can(config: Path) -> None:
    """An unknown point, a time that the clock shows twice, finer periods than the channel has."""
    with pytest.raises(NoSeriesError, match="id of a metering point"):
        run(config, "series", "nobody", "net", "--from", "2026")
    with pytest.raises(QuestionError, match="show twice"):
        run(config, "series", POINT, "net", "--from", "2026-10-25T02:30")
    with pytest.raises(QuestionError, match="hour, day, week, month, year, got 15min"):
        run(config, "series", POINT, "power", "--from", "2026", "--by", "15min")
