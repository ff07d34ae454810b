"""Nothing is silently well: what gateways report as failing, what was never read, what came twice and differs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from chain import NOW_MS, Bench, reading
from pages import SLOT_MS, Served, fill, heat

from collector.expose.times import once_late_since_ms, usual_ms
from collector.store import schema
from collector.store.devices import devices_of
from collector.store.sqlite import SqliteStore
from gateway.config import configuration_content
from gateway.config_file import read_configuration
from protocols.reading import TimeQuality
from protocols.uplink.pack import pack
from protocols.uplink.records import Configuration, Event, Parameter, When

ROOT = Path(__file__).resolve().parents[2]
NOT_THERE = "PLB-L101: expected an open port, got [Errno 2] could not open port; check that the converter is"


def when(minute: int = 0) -> When:
    """A minute after the start."""
    return When(NOW_MS + minute * 60_000, minute, TimeQuality(True, 20))


def event(code: str, device: str | None, *parameters: Parameter, minute: int = 0) -> Event:
    """Something a gateway reports."""
    return Event(when(minute), code, None, device, parameters)


def configured(*devices: str, bus: str = "riser") -> Configuration:
    """What a gateway says is configured."""
    rows = [[name, 0, nth, ["KAM", None, None, None], 1] for nth, name in enumerate(devices)]
    return Configuration(when(), pack([1, "house-1", [[bus, rows]]]))


def test_a_failed_bus_is_said_at_once(bench: Bench, tmp_path: Path) -> None:
    """Readings are young and every seal holds; the statement, the cards and the numbers say what is not read."""
    fill(bench)
    failed = event("bus-failed", None, "riser", "PLB-L101", NOT_THERE, minute=75)
    bench.take(bench.chain.seal(records=[configured("heat-attic", "heat-cellar"), failed]))
    with Served(bench, tmp_path) as site:
        found = site.json("/api/v1/status")
        assert (found["well"], found["late"], found["failing"]) == (False, 0, 2)
        assert found["statement"] == (
            "bus riser at house-1 failed since 2026-09-21 15:28:20 UTC: the port cannot be opened (PLB-L101);"
            " not read: heat-attic, heat-cellar"
        )
        cards = {each["device"]: each["failing"] for each in site.json("/api/v1/meters")["meters"]}
        assert (cards["heat-attic"]["what"], cards["heat-attic"]["code"]) == ("bus", "PLB-L101")
        assert cards["flat-3"] is None
        assert "bus riser failed since 2026-09-21 15:28:20 UTC, PLB-L101" in site.ask("/")[2]
        numbers = site.ask("/metrics")[2].splitlines()
        assert 'plomba_devices_failing{gateway="house-1"} 2.0' in numbers
        assert 'plomba_buses_failing{gateway="house-1"} 1.0' in numbers


def test_a_recovery_makes_it_well_again(bench: Bench, tmp_path: Path) -> None:
    """The newest of failed and recovered decides, whatever order they come in."""
    fill(bench)
    chain = bench.chain
    failed = chain.seal(records=[event("poll-failed", "flat-3", "riser", "PLB-M101", "text", minute=80)])
    recovered = chain.seal(records=[event("poll-recovered", "flat-3", "riser", "PLB-M101", minute=81)])
    with Served(bench, tmp_path) as site:
        bench.take(failed)
        assert site.json("/api/v1/status")["statement"].startswith(
            "flat-3 at house-1 not answering since 2026-09-21 15:33:20 UTC: not one byte came within"
        )
        bench.take(recovered)
        assert site.json("/api/v1/status")["well"]


def test_a_recovery_that_comes_before_its_failure_stays(bench: Bench) -> None:
    """By the place in the chain, also with a clock that was set back."""
    chain = bench.chain
    failed = chain.seal(records=[event("poll-failed", "flat-3", "riser", "PLB-M101", "text", minute=9)])
    bench.take(chain.seal(records=[event("poll-recovered", "flat-3", "riser", "PLB-M101", minute=2)]), failed)
    assert bench.store.devices.failing() == []


def test_a_start_forgets_what_failed_before_it(bench: Bench) -> None:
    """The new process says again what still fails; what comes late from the old one changes nothing."""
    chain = bench.chain
    failed = [event("poll-failed", name, "riser", "PLB-M101", "text", minute=1) for name in ("a", "b")]
    first, late = chain.seal(records=failed[:1]), chain.seal(records=failed[1:])
    chain.restart()
    bench.take(first, chain.seal(records=[event("start", None, "0.1.0", minute=3)]), late)
    assert bench.store.devices.failing() == []
    bench.take(chain.seal(records=[event("poll-failed", "a", "riser", "PLB-M103", "text", minute=4)]))
    assert [(each.device, each.code) for each in bench.store.devices.failing()] == [("a", "PLB-M103")]


def test_a_device_that_never_answered_appears_by_its_name(bench: Bench, tmp_path: Path) -> None:
    """With its failure; one that only is configured is called never read after an hour."""
    bench.take(bench.chain.seal([heat(0)], [configured("heat-cellar", "ghost", "shy")]))
    bench.take(bench.chain.seal(records=[event("poll-failed", "ghost", "riser", "PLB-M101", "text", minute=1)]))
    with Served(bench, tmp_path) as site:
        bench.now_ms = NOW_MS + 120_000
        found = site.json("/api/v1/meters")
        assert [each["device"] for each in found["meters"]] == ["heat-cellar"]
        assert [(each["device"], each["late"]) for each in found["unread"]] == [("ghost", False), ("shy", False)]
        assert found["unread"][0]["failing"]["code"] == "PLB-M101"
        page = site.ask("/")[2]
        assert "ghost" in page
        assert "not answering since 2026-09-21 14:14:20 UTC, PLB-M101" in page
        assert site.json("/api/v1/status")["never_read"] == 2
        bench.now_ms = NOW_MS + 3_700_000
        assert "1 configured meter never read: shy" in site.json("/api/v1/status")["wrong"]


def test_the_newest_configuration_counts(bench: Bench) -> None:
    """What an older one names, or what no version of ours made, is expected no more."""
    older = bench.chain.seal(records=[configured("gone")])
    bench.take(bench.chain.seal(records=[configured("here")]), older)
    assert [(each.bus, each.device) for each in bench.store.devices.configured()] == [("riser", "here")]
    bench.take(bench.chain.seal(records=[Configuration(when(1), b"\x90")]))
    assert bench.store.devices.configured() == []


def test_a_device_that_answers_is_not_read_in_full(bench: Bench, tmp_path: Path) -> None:
    """Its load profile failed, or the recovery did not reach us: still not well, and not called silent."""
    fill(bench)
    bench.take(bench.chain.seal(records=[event("poll-failed", "flat-3", "riser", "PLB-M101", "text", minute=1)]))
    with Served(bench, tmp_path) as site:
        found = site.json("/api/v1/status")["statement"]
        assert found.startswith("flat-3 at house-1 not read in full since 2026-09-21 14:14:20 UTC")


def test_unread_devices_are_bounded_by_the_limit(bench: Bench, tmp_path: Path) -> None:
    """The status counts all of them."""
    bench.take(bench.chain.seal(records=[configured(*(f"m-{each}" for each in range(9)))]))
    with Served(bench, tmp_path) as site:
        assert len(site.json("/api/v1/meters?limit=3")["unread"]) == 3
        assert site.json("/api/v1/status")["never_read"] == 9


def test_the_content_that_a_gateway_seals_is_understood() -> None:
    """Of the example configuration, all buses and devices."""
    found = read_configuration(ROOT / "config" / "gateway.example.toml")
    expected = {(bus.name, device.name) for bus in found.bus for device in bus.device}
    assert set(devices_of(configuration_content(found))) == expected
    assert len(expected) > 3


def test_many_failures_are_counted(bench: Bench, tmp_path: Path) -> None:
    """Three in sentences, the others by name."""
    fill(bench)
    failed = [event("poll-failed", f"m-{each}", "riser", "PLB-M102", "text") for each in range(9)]
    bench.take(bench.chain.seal(records=failed))
    with Served(bench, tmp_path) as site:
        wrong = site.json("/api/v1/status")["wrong"]
        assert len(wrong) == 4
        assert wrong[-1] == "6 more failing: m-3, m-4, m-5 and 3 more"


def test_another_meter_in_its_place_is_a_failure(bench: Bench, tmp_path: Path) -> None:
    """Said as such."""
    fill(bench)
    bench.take(bench.chain.seal(records=[event("identity-mismatch", "flat-3", "riser", "PLB-M114", "text")]))
    with Served(bench, tmp_path) as site:
        assert "flat-3 at house-1 has another meter in its place since" in site.json("/api/v1/status")["statement"]


def test_a_version_2_store_is_raised_with_what_it_knows(bench: Bench, tmp_path: Path) -> None:
    """Failures, configured devices, names and counts, as a store that was filled anew has them."""
    fill(bench)
    failed = event("poll-failed", "flat-3", "riser", "PLB-M101", "text", minute=80)
    bench.take(bench.chain.seal(records=[configured("flat-3"), failed]))
    tables = ("trouble", "configured", "name", "tally")
    sql = bench.store._connection
    before = {each: sql.execute(f"SELECT * FROM {each}").fetchall() for each in tables}  # noqa: S608 - names of tables
    for each in tables:
        sql.execute(f"DROP TABLE {each}")
    sql.execute("DROP INDEX reading_conflict")
    for each in re.findall(r"CREATE TABLE (\w+)", schema.MIGRATIONS[3] + schema.MIGRATIONS[4]):
        sql.execute(f"DROP TABLE {each}")
    sql.execute("PRAGMA user_version=2")
    raised = SqliteStore.open(tmp_path / "collector.sqlite3")
    assert raised._connection.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
    after = {each: raised._connection.execute(f"SELECT * FROM {each}").fetchall() for each in tables}  # noqa: S608
    assert after == before
    raised.close()


def test_the_distance_is_that_of_the_slots(bench: Bench, tmp_path: Path) -> None:
    """A first reading late in its slot and one at the next: a quarter of an hour, not 46 s; nobody is late."""
    first, second = reading(0), reading(1)
    late = dataclasses.replace(first.exchange, at_ms=NOW_MS + SLOT_MS - 46_000)
    bench.take(bench.chain.seal([dataclasses.replace(first, exchange=late)]), bench.chain.seal([second]))
    with Served(bench, tmp_path) as site:
        bench.now_ms = NOW_MS + SLOT_MS + 120_000
        meter = site.json("/api/v1/meters")["meters"][0]
        assert (meter["late"], meter["series"][0]["usual_s"]) == (False, 900)
        bench.now_ms = NOW_MS + 3 * SLOT_MS + 1_000
        assert site.json("/api/v1/status")["late"] == 1


def test_a_meter_that_was_read_once_becomes_late(bench: Bench, tmp_path: Path) -> None:
    """After an hour, and it is said that its cadence is not known."""
    bench.take(bench.chain.seal([reading(0)]))
    with Served(bench, tmp_path) as site:
        bench.now_ms = NOW_MS + 3_600_000
        assert site.json("/api/v1/status")["late"] == 0
        assert "Read once: how often is not known yet" in site.ask("/")[2]
        bench.now_ms += 1_000
        assert site.json("/api/v1/meters")["meters"][0]["late"]
        assert "plomba_meters_late 1.0" in site.ask("/metrics")[2]


@pytest.mark.parametrize(("at_ms", "hours"), [(0, 1), (14 * 3_600_000, 28)])
def test_one_reading_says_how_long_its_slot_is_at_least(at_ms: int, hours: int) -> None:
    """A daily meter that was first read at 14:00 is not late at 15:00."""
    assert usual_ms([0]) is None
    assert once_late_since_ms(at_ms, 0, at_ms + hours * 3_600_000) is None
    assert once_late_since_ms(at_ms, 0, at_ms + hours * 3_600_000 + 1) == at_ms + hours * 3_600_000


def test_readings_that_came_twice_and_differ_are_said(bench: Bench, tmp_path: Path) -> None:
    """In the statement, as a number, and on the card under which names."""
    bench.take(bench.chain.seal([reading(0, device="heat"), reading(1, device="heat")]))
    bench.take(bench.chain.seal([reading(1, device="copy")]))
    with Served(bench, tmp_path) as site:
        bench.now_ms = NOW_MS + SLOT_MS + 5_000
        bench.greet(bench.chain.hello())
        bench.greet(bench.chains["house-2"].hello(), "house-2")
        found = site.json("/api/v1/status")
        assert (found["statement"], found["conflicts"]) == ("1 reading came twice and differs: copy, heat", 1)
        assert "plomba_readings_in_conflict 1.0" in site.ask("/metrics")[2].splitlines()
        assert site.json("/api/v1/meters")["meters"][0]["also_read_as"] == ["copy"]
        assert "also read as copy" in site.ask("/")[2]


def test_the_count_of_readings_never_falls(bench: Bench, tmp_path: Path) -> None:
    """A meter that moves takes no reading from the gateway that it came from."""
    bench.take(bench.chain.seal([reading(0), reading(1)]))
    bench.take(bench.chains["house-2"].seal([reading(2)]))
    with Served(bench, tmp_path) as site:
        numbers = site.ask("/metrics")[2].splitlines()
        assert 'plomba_readings_stored_total{gateway="house-1"} 2.0' in numbers
        assert 'plomba_readings_stored_total{gateway="house-2"} 1.0' in numbers
