"""What the page says in words: a code once with its meaning, values that can be told apart, the next command."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from chain import NOW_MS, Bench
from pages import Served, fill, heat, profile

from collector.shown import utc
from protocols.reading import NativeKey, Reading, Scaled, State, TimeQuality, Value
from protocols.uplink.records import Event, When

RAW = "PLB-L101: expected an open port, got [Errno 2] could not open port /dev/ttyUSB0; check that the conv"


def two_flows(first: State = State.OK) -> Reading:
    """A meter with two flows that differ in the key alone."""
    flows = tuple(
        Value(NativeKey.mbus(vib, 0, 0, 0, 0), "m3/h", Scaled(number, -3), state)
        for vib, number, state in ((b"\x3b", 412, first), (b"\x3e", 415, State.OK))
    )
    found = heat(0)
    return dataclasses.replace(found, values=(*found.values[:2], *flows, found.values[-1]))


def test_a_missed_slot_is_told_with_its_times(bench: Bench, tmp_path: Path) -> None:
    """From and to as instants, not as numbers."""
    when, slot = When(NOW_MS, 0, TimeQuality(True, 20)), (1_793_488_200_000, 1_793_509_200_000)
    bench.take(bench.chain.seal(records=[Event(when, "slot-missed", None, "heat", ("riser", *slot, "billing"))]))
    with Served(bench, tmp_path) as site:
        found = site.json("/api/v1/events")["events"][0]
    assert found["bus"] == "riser"
    assert found["text"].endswith(": 2026-10-31 23:10:00 UTC, 2026-11-01 05:00:00 UTC, billing")


def test_an_event_says_its_code_once_and_what_it_means(bench: Bench, tmp_path: Path) -> None:
    """The bus in its own place, the advice whole, the raw text folded away."""
    when = When(NOW_MS, 0, TimeQuality(True, 20))
    bench.take(bench.chain.seal(records=[Event(when, "bus-failed", None, None, ("riser", "PLB-L101", RAW))]))
    with Served(bench, tmp_path) as site:
        found = site.json("/api/v1/events")["events"][0]
        assert (found["bus"], found["text"], found["fault"], found["raw"]) == ("riser", "bus failed", "PLB-L101", RAW)
        assert found["meaning"] == "The port cannot be opened."
        assert found["do"].endswith("and the user may open it")
        row = site.ask("/")[2].partition('id="events"')[2]
        outside, _, folded = row.partition("<details")
        assert outside.count("PLB-L101") == 1
        assert "Errno" not in outside
        assert "Errno" in folded


def test_a_step_of_a_gateways_clock_says_which_slots_it_cut(bench: Bench, tmp_path: Path) -> None:
    """The two instants in words; one that set the clock by more than fifty years is a number of ms all the same."""
    when = When(NOW_MS, 0, TimeQuality(True, 20))
    cut = (11_000, "adjusted", NOW_MS // 1000 * 1000 - 11_000, NOW_MS // 1000 * 1000)
    back = (-1_700_000_000_000, "invalid", cut[2], cut[2])
    records = [Event(when, "clock-step", None, None, each) for each in (cut, back)]
    bench.take(bench.chain.seal(records=records))
    with Served(bench, tmp_path) as site:
        texts = [each["text"] for each in site.json("/api/v1/events")["events"]]
    before, after = (utc(each).replace("T", " ")[:19] + " UTC" for each in cut[2:])
    assert f"gateway's clock stepped: 11000 ms, adjusted, {before}, {after}" in texts
    assert f"gateway's clock stepped: -1700000000000 ms, invalid, {before}, {before}" in texts


def test_two_values_with_one_label_show_their_keys(bench: Bench, tmp_path: Path) -> None:
    """And only those."""
    bench.take(bench.chain.seal([two_flows()]))
    with Served(bench, tmp_path) as site:
        values = site.json("/api/v1/meters")["meters"][0]["series"][0]["newest"]["values"]
        assert [each["key"] for each in values if each["alike"]] == ["mbus:3b/0/0/0/0/0", "mbus:3e/0/0/0/0/0"]
        page = site.ask("/")[2]
        assert '<span class="quiet key">mbus:3e/0/0/0/0/0</span>' in page
        assert '<span class="quiet key">mbus:06/0/0/0/0/0</span>' not in page


def test_an_invalid_value_stands_behind_the_valid_one(bench: Bench, tmp_path: Path) -> None:
    """Of the same quantity."""
    bench.take(bench.chain.seal([two_flows(State.INVALID)]))
    with Served(bench, tmp_path) as site:
        values = site.json("/api/v1/meters")["meters"][0]["series"][0]["newest"]["values"]
        assert [each["state"] for each in values if each["label"] == "flow"] == ["ok", "invalid"]


def test_a_number_without_a_unit_is_an_identifier(bench: Bench, tmp_path: Path) -> None:
    """No spaces in a fabrication number; in an amount there are."""
    bench.take(bench.chain.seal([heat(0)]))
    with Served(bench, tmp_path) as site:
        page = site.ask("/")[2]
        assert "<bdi>80012345</bdi>" in page
        assert "<bdi>1\u202f000\u202f000</bdi>" in page


def test_rows_are_since_a_time_by_the_meters_clock(bench: Bench, tmp_path: Path) -> None:
    """Not ours."""
    bench.take(bench.chain.seal([profile(0)]))
    with Served(bench, tmp_path) as site:
        assert "since 2026-09-17 22:40:00 by the meter" in site.ask("/")[2]


def test_an_open_case_names_the_command(bench: Bench, tmp_path: Path) -> None:
    """With its number, as --help has it."""
    fill(bench)
    bench.chain.config = bytes(32)
    bench.take(bench.chain.seal([heat(5, "new", 77)]))
    with Served(bench, tmp_path) as site:
        assert site.json("/api/v1/status")["wrong"] == [
            "1 case open: an operator must decide, with plomba-collector close-case 1 --config collector.toml"
            " --who ... --why ..."
        ]
