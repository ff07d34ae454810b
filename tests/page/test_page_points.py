"""Series, stands and newest values of metering points over HTTP: as described, exact, refused with codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from chain import Bench
from ground_parts import BUDAPEST, at
from ground_site import END, POINT, enter
from pages import Served

from collector.expose.pointviews import LatestViews, SeriesColumns, StandViews

PLACE = f"/api/v1/points/{quote(POINT)}"
IMPORT = quote("=A+", safe="")


@pytest.fixture
def asked(bench: Bench, tmp_path: Path) -> Iterator[Served]:
    """The API over a store with one metering point; it is a month later."""
    enter(bench.store)
    bench.now_ms = at(BUDAPEST, "2026-05-01")
    with Served(bench, tmp_path) as running:
        yield running


def test_a_series_is_columns_of_decimal_text(asked: Served) -> None:
    """A day of quarters: start, step and values; states as runs, and not a float in it."""
    status, _, text = asked.ask(f"{PLACE}/series/{IMPORT}?from=2026-03-27&to=2026-03-28&by=15min&unit=kWh")
    assert status == 200
    found = SeriesColumns.model_validate(json.loads(text, parse_float=pytest.fail))
    assert (found.start, found.step_s, found.count) == ("2026-03-26T23:00:00.000Z", 900, 96)
    assert found.values == (None, *["0.250"] * 95)
    assert [(each.count, each.state) for each in found.states] == [(1, "missing"), (95, "raw")]
    assert (found.starts, found.expected) == (None, None)


def test_days_around_a_change_of_clocks_have_their_own_lengths(asked: Served) -> None:
    """Of 24 and 23 hours: each says when it begins and how many intervals it has."""
    found = SeriesColumns.model_validate(asked.json(f"{PLACE}/series/{IMPORT}?from=2026-03-28&to=2026-03-30&unit=kWh"))
    assert found.starts == ("2026-03-27T23:00:00.000Z", "2026-03-28T23:00:00.000Z")
    assert (found.step_s, found.values, found.expected) == (None, ("24.000", "23.000"), (96, 92))


def test_a_computed_channel_and_what_was_known_then(asked: Served) -> None:
    """The gap was not known at first; since then the difference has a gap, too."""
    span = "from=2026-03-27&to=2026-03-27T02:00&by=hour&unit=kWh&decimals=1"
    now = asked.json(f"{PLACE}/series/net?{span}")
    assert (now["values"], now["present"], now["expected"]) == (["0.6", "0.8"], [3, 4], [4, 4])
    assert [each["state"] for each in now["states"]] == ["missing", "raw"]
    known = asked.json(f"{PLACE}/series/net?{span}&known_at={END}")
    assert (known["values"], known["known_at"]) == (["0.8", "0.8"], "2026-03-31T22:00:00.000Z")


def test_stands_have_consumption_and_character(asked: Served) -> None:
    """In the unit that the register shows."""
    found = StandViews.model_validate(asked.json(f"{PLACE}/stands")).stands
    assert [(each.value, each.consumption) for each in found] == [("1000.0", None), ("1117.0", "117.000")]
    assert {(each.character, each.at[-6:], each.unit) for each in found} <= {
        ("normal", "+01:00", "kWh"),
        ("normal", "+02:00", "kWh"),
    }


def test_the_newest_values_of_a_point(asked: Served) -> None:
    """Of every channel, computed ones too."""
    found = LatestViews.model_validate(asked.json(f"{PLACE}/latest")).channels
    newest = {each.channel: each.latest for each in found}
    assert {name: each and (each.values, each.to) for name, each in newest.items()} == {
        "1-0:2.8.0": (("180000",), "2026-03-31T22:00:00.000Z"),
        "=A+": (("900000",), "2026-03-31T22:00:00.000Z"),
        "net": (("720000",), "2026-03-31T22:00:00.000Z"),
        "power": None,
    }


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/points/nobody/series/net?from=2026", 404, "PLB-C342"),
        (f"{PLACE}/series/other?from=2026", 404, "PLB-C342"),
        (f"{PLACE}/series/power?from=2026&by=15min", 422, "PLB-C341"),
        (f"{PLACE}/series/net?from=yesterday", 422, "PLB-C341"),
        (f"{PLACE}/series/net?from=2026-03-29T02:30", 422, "PLB-C341"),
        (f"{PLACE}/series/net?from=2026&to=2025", 422, "PLB-C341"),
        (f"{PLACE}/series/net?from=1990&by=hour", 422, "PLB-C341"),
        (f"{PLACE}/series/net?from=2026&unit=m3", 422, "PLB-C321"),
        (f"{PLACE}/series/net?from=2026&decimals=13", 422, "PLB-C311"),
        (f"{PLACE}/series/net?since=2026", 422, "PLB-C311"),
        (f"{PLACE}/series/net", 422, "PLB-C311"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_with_a_code(asked: Served, path: str, status: int, code: str) -> None:
    """The same codes as the commands have."""
    got, headers, text = asked.ask(path)
    assert (got, json.loads(text)["code"]) == (status, code)
    assert headers["content-type"] == "application/problem+json"


def test_the_description_names_the_addresses_of_points(asked: Served) -> None:
    """Its paths are those that answer, and the columns are described."""
    made = asked.json("/api/openapi.json")
    path = made["paths"]["/api/v1/points/{point}/series/{channel}"]["get"]
    names = {each["name"] for each in path["parameters"]}
    assert {"from", "to", "by", "unit", "decimals", "known_at"} <= names
    assert "from" in made["components"]["schemas"]["SeriesColumns"]["properties"]
