"""Readings meet under their identity: equal ones once, different ones both, numbers exact."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
from pathlib import Path

import pytest
from chain import Bench, reading
from click.testing import CliRunner

from collector.attest import Attestor
from collector.cli_show import events, readings, refusals, status
from collector.rows import cell, values_of
from collector.shown import shown
from protocols.reading import Exchange, Float32, How, Identity, MeterTime, Precision, Scaled, Status, TimeQuality
from protocols.uplink.records import Event, When


def test_the_same_reading_in_another_batch_is_seen_again(bench: Bench) -> None:
    """Read again by another exchange with the same content: evidence only."""
    first = reading(1)
    other = dataclasses.replace(
        first, exchange=Exchange(first.exchange.at_ms + 7, 9, 10, TimeQuality(True, 5), b"again")
    )
    bench.take(bench.chain.seal([first]), bench.chain.seal([other]))
    assert bench.rows() == 1
    assert bench.store.ring.counters()["house-1", "seen-again"] == 1


def test_a_different_reading_for_one_slot_is_kept_beside_the_first_and_both_are_marked(bench: Bench) -> None:
    """A conflict decides nothing by itself."""
    bench.take(bench.chain.seal([reading(1, number=10)]), bench.chain.seal([reading(1, number=11)]))
    bench.take(bench.chain.seal([reading(1, number=11)]))
    rows = list(bench.store.readings.all())
    assert [row.conflict for row in rows] == [True, True]
    assert sorted(next(values_of(row, "ok")).value for row in rows) == ["10000", "11000"]


def test_a_batch_of_new_equal_and_different_readings_is_as_if_they_came_one_by_one(bench: Bench) -> None:
    """What met something is told apart from what was new beside it, in whichever order they stand."""
    known = [reading(1, number=10), reading(2, number=20)]
    mixed = [reading(3), reading(1, number=10), reading(4), reading(2, number=21), reading(4), reading(3, number=5)]
    bench.take(bench.chain.seal(known))
    bench.take(bench.chain.seal(mixed))
    rows = [(row.place.seq, row.place.leaf, row.conflict) for row in bench.store.readings.all()]
    assert sorted(rows) == [(1, 0, False), (1, 1, True), (2, 0, True), (2, 2, False), (2, 3, True), (2, 5, True)]
    counters = bench.store.ring.counters()
    assert (counters["house-1", "seen-again"], counters["house-1", "conflict"]) == (2, 2)
    before = list(bench.store.series.page("", 9))
    assert [each.stored for each in before] == [4]
    assert bench.store.devices.stored() == {"house-1": 4}
    bench.store.series.rebuild()
    assert list(bench.store.series.page("", 9)) == before


def test_two_readings_beside_the_slots_in_one_minute_of_the_meter_are_two(bench: Bench) -> None:
    """Each is of its own moment; the meter's clock, which shows minutes, does not own what it did not store."""
    time = MeterTime(848_000_000, Precision.MINUTE)
    first = dataclasses.replace(reading(1, number=10), slot_ms=None, meter_time=time)
    later = dataclasses.replace(first.exchange, at_ms=first.exchange.at_ms + 7_000)
    other = dataclasses.replace(reading(1, number=11), slot_ms=None, meter_time=time, exchange=later)
    bench.take(bench.chain.seal([first]), bench.chain.seal([other]))
    assert [row.conflict for row in bench.store.readings.all()] == [False, False]
    before = list(bench.store.series.page("", 9))
    assert [each.stored for each in before] == [2]
    bench.store.series.rebuild()
    assert list(bench.store.series.page("", 9)) == before


def test_a_reading_by_hand_does_not_change_how_often_a_meter_is_expected(bench: Bench) -> None:
    """Between the slots it would look like a meter that is read each few minutes, and is late soon."""
    by_hand = dataclasses.replace(reading(2), slot_ms=None)
    bench.take(bench.chain.seal([by_hand, reading(1), reading(2), reading(3)]))
    (series,) = bench.store.series.page("", 9)
    assert [later - earlier for earlier, later in itertools.pairwise(series.recent)] == [900_000, 900_000]
    bench.take(bench.chains["house-2"].seal([dataclasses.replace(by_hand, meter=reading(1, meter=2).meter)]))
    assert [len(each.recent) for each in bench.store.series.page("", 9) if each.gateway == "house-2"] == [1]


def test_devices_without_identity_are_told_apart_by_gateway_and_device(bench: Bench) -> None:
    """Two nameless meters are two meters."""
    nameless = dataclasses.replace(reading(1), meter=Identity(reading(1).meter.protocol))
    bench.take(bench.chain.seal([nameless, dataclasses.replace(nameless, device="other")]))
    bench.take(bench.chains["house-2"].seal([nameless]))
    assert bench.rows() == 3


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Scaled(-5, -3), "-0.005"),
        (Scaled(12, 3), "12000"),
        (Scaled(0, -2), "0.00"),
        (Float32(0x3F800000), "1"),
        (Float32(0xC0490FDB), "-3.141593"),
        (Float32(0x3DCCCCCD, 1), "1.000000"),
        (Float32(0x00000001, -12), "0." + "0" * 56 + "1401298"),
        (Float32(0x7FC00000), "0x7fc00000"),
    ],
)
def test_numbers_are_shown_exactly(number: Scaled | Float32, text: str) -> None:
    """Integers and powers of ten exactly; the exact value of 32 bits rounded once, to 7 digits."""
    assert shown(number) == text


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1"])
def test_no_cell_of_a_csv_file_is_a_formula(text: str) -> None:
    """What a meter or a person named cannot run in a spreadsheet; negative numbers stay numbers."""
    assert cell(text) == "'" + text
    assert cell("-12.5") == "-12.5"


@pytest.fixture
def config(bench: Bench, tmp_path: Path) -> Path:
    """A configuration for the bench's store."""
    path = tmp_path / "collector.toml"
    path.write_text('collector = "utility"\n[broker]\nhost = "localhost"\n')
    return path


def test_every_flipped_bit_of_stored_readings_is_found(bench: Bench) -> None:
    """R03: a row of the table is only believed when the evidence, verified again, bears it out."""
    batches = [bench.chain.seal([reading(5 * each + n) for n in range(5)]) for each in range(20)]
    bench.take(*batches)
    attestor = Attestor(bench.store)
    rows = list(bench.store.readings.all())
    assert len(rows) == 100
    for row in rows:
        assert attestor.holds(row)
        for bit in range(len(row.sealed) * 8):
            flipped = bytearray(row.sealed)
            flipped[bit // 8] ^= 1 << bit % 8
            assert not attestor.holds(dataclasses.replace(row, sealed=bytes(flipped)))


def test_an_altered_reading_is_named_and_never_passes_for_sealed(bench: Bench, config: Path) -> None:
    """Somebody writes another number into the table: exit code 3, its rows say so, the others stay ok."""
    bench.take(bench.chain.seal([reading(1), reading(2)]))
    sealed = next(iter(bench.store.readings.all())).sealed
    forged = sealed.replace(bytes.fromhex("cd03e9"), bytes.fromhex("cd03ea"))
    assert forged != sealed
    bench.store._connection.execute("UPDATE reading SET sealed = ? WHERE sealed = ?", (forged, sealed))
    done = CliRunner().invoke(readings, ["--config", str(config), "--json"])
    assert done.exit_code == 3
    assert "is not what was sealed" in done.stderr
    shown_rows = json.loads(done.stdout)
    assert [row["seal"] for row in shown_rows if row["value"] == "1002000"] == ["altered", "ok"]


def test_the_values_of_a_partial_answer_are_held_wherever_they_are_shown(bench: Bench, config: Path) -> None:
    """An answer that broke off, or that nothing confirmed, never passes for a clean one; other status bits do."""
    cut = dataclasses.replace(reading(1), status=Status.PARTIAL | Status.POWER_LOW)
    low = dataclasses.replace(reading(2), status=Status.POWER_LOW)
    bench.take(bench.chain.seal([cut, low]))
    assert [row.held for row in bench.store.readings.all()] == [("partial",), ()]
    run = CliRunner().invoke
    lines = run(readings, ["--config", str(config)]).stdout.splitlines()
    assert [line.endswith("held: partial") for line in lines] == [True, True, False, False]
    rows = json.loads(run(readings, ["--config", str(config), "--json"]).stdout)
    assert [row["held"] for row in rows] == ["partial", "partial", "", ""]


def test_the_commands_show_what_is_stored(bench: Bench, config: Path) -> None:
    """Status, readings, refusals and events say it in JSON and CSV."""
    event = Event(When(bench.now_ms, 1, TimeQuality(False, None)), "clock-step", None, None, (5, b"\x01"))
    chain = bench.chain
    bench.take(chain.seal([reading(1), reading(2)]), chain.seal(records=[event]))
    bench.feed(b"noise")
    run = CliRunner().invoke
    said = json.loads(run(status, ["--config", str(config), "--json"]).stdout)
    assert said["gateways"][0]["epochs"][0]["state"] == "open"
    assert said["gateways"][0]["stored"] == 2
    assert said["refused"] == {"PLB-P101": 1}
    rows = json.loads(run(readings, ["--config", str(config), "--json"]).stdout)
    assert [(row["meter"], row["value"], row["unit"]) for row in rows][:2] == [
        ("mbus:KAM/00000001", "1001000", "Wh"),
        ("mbus:KAM/00000001", "0.008", "m3"),
    ]
    table = list(csv.DictReader(io.StringIO(run(readings, ["--config", str(config), "--csv"]).stdout)))
    assert [row["value"] for row in table] == [row["value"] for row in rows]
    assert json.loads(run(refusals, ["--config", str(config), "--json"]).stdout)[0]["code"] == "PLB-P101"
    assert json.loads(run(events, ["--config", str(config), "--json"]).stdout)[0]["parameters"] == [5, "01"]
    for each in (status, readings, refusals, events):
        assert run(each, ["--config", str(config)]).exit_code == 0


def test_a_push_that_was_sealed_twice_is_one_reading(bench: Bench) -> None:
    """A power cut between seal and confirmation: the meter sends it again, under another time of ours and seal."""
    time = MeterTime(848_700_000, Precision.SECOND, deviation_min=60)
    first = dataclasses.replace(reading(1), how=How.PUSH, slot_ms=None, meter_time=time)
    again = dataclasses.replace(
        first, exchange=Exchange(first.exchange.at_ms + 90_000, 9, 0, TimeQuality(True, 5), b"sent again")
    )
    later = dataclasses.replace(first, meter_time=dataclasses.replace(time, seconds=time.seconds + 60))
    bench.take(bench.chain.seal([first]), bench.chain.seal([again]), bench.chain.seal([later]))
    assert bench.rows() == 2
