"""What no purpose holds any more goes, what one holds stays, and nothing goes in silence."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import ground_year as year
import pytest
from chain import COLLECTOR, DAY_MS, NOW_MS, AnyStore, Bench, reading
from ground_run import Year

from collector import prove
from collector.attribute.work import Attribution
from collector.cli_verify import check_octets
from collector.erase.held import held
from collector.erase.purposes import Purposes, months_before
from collector.erase.retain import COUNTS, Retention
from collector.grid import day_of, day_start
from collector.store.sqlite import SqliteStore
from protocols.uplink import keyring
from protocols.uplink.keys import SigningKey
from protocols.uplink.proof import Checked

SEAL = SigningKey.generate()
SAFE_MS = 7 * DAY_MS
LATER_MS = NOW_MS + 70 * DAY_MS
MONTHS = Purposes(63, 1_000, 1_000, remove=True)


def attributed(bench: Bench) -> None:
    """Attribution has looked at everything."""
    Attribution(bench.store).all(NOW_MS)


def looked(bench: Bench, purposes: Purposes = MONTHS, now_ms: int = LATER_MS) -> dict[str, int]:
    """What a look erases."""
    return {k: v for k, v in Retention(bench.store, purposes, SAFE_MS).all(now_ms).items() if v}


def test_days_that_are_counted_are_those_of_the_points_zone() -> None:
    """A month before the change day, at the zone's midnight; the last of a month that has no such day."""
    zone = "Europe/Budapest"
    now_ms = day_start(zone, day_of(zone, NOW_MS))
    assert Purposes(operation_months=6).fine_before(zone, now_ms) == day_start(
        zone, months_before(day_of(zone, now_ms), 6)
    )
    march = year.months(2026, 3, 3)[-1] - 1  # 31 March, summer time
    before = Purposes(operation_months=1).fine_before(zone, march)
    assert before == day_start(zone, day_of(zone, year.months(2026, 2, 2)[-1] - 1))  # 28 February, winter time
    assert Purposes().fine_before(zone, now_ms) is None


@pytest.mark.parametrize("purposes", [Purposes(), Purposes(63), Purposes(None, 1, 1, remove=True)])
def test_nothing_goes_that_is_held_for_ever_or_not_to_be_removed(bench: Bench, purposes: Purposes) -> None:
    """Without the table, without `remove`, or where diagnosis holds for ever."""
    bench.take(bench.chain.seal([reading(0, 1)]))
    attributed(bench)
    assert looked(bench, purposes) == {}
    assert bench.rows() == 1


def test_readings_go_when_diagnosis_holds_them_no_more_and_it_is_told(bench: Bench) -> None:
    """Not a day before; hashes stay, the batch verifies, journal and event have the counts; a replay is no new one."""
    sealed = bench.chain.seal([reading(0, 1), reading(0, 2)])
    bench.take(sealed)
    attributed(bench)
    assert looked(bench, now_ms=NOW_MS + 63 * DAY_MS) == {}
    assert looked(bench) == {"batches": 1, "leaves": 2, "readings": 2}
    assert bench.rows() == 0
    (row,) = bench.store.evidence.of("house-1")
    ring = keyring.from_text(prove.keys_file(bench.store, COLLECTOR, SEAL.public), "keys")
    found = check_octets(prove.batch_file(bench.store, row), ring, "erased")
    assert isinstance(found, Checked)
    assert found.erased == (0, 1)
    lines = [each[0] for each in bench.store._connection.execute("SELECT what FROM journal").fetchall()]
    assert [each for each in lines if each.startswith("retention")] == [
        "retention: erased 2 leaves, 2 readings, 1 batches, held for no purpose any more"
    ]
    assert bench.store.cases.first_bad_line() is None
    bench.restart()
    bench.take(sealed)
    assert (bench.rows(), looked(bench)) == (0, {})


def test_what_is_held_open_or_not_safe_stays_and_goes_later(bench: Bench) -> None:
    """An open case, a conflict, a batch behind a gap: named by `retained`, looked at again the next day."""
    bench.take(bench.chain.seal([reading(0, 1)]), bench.chain.seal([reading(0, 1, number=7)]))
    lost = bench.chain.seal([reading(1, 1)])
    bench.take(bench.chain.seal([reading(2, 1)]))
    pending = bench.chains["house-2"]
    first = pending.seal([reading(3, 2)])
    bench.take(pending.seal([reading(4, 2)]))
    attributed(bench)
    assert looked(bench) == {}
    assert bench.store.erasures.retained() == {"case": 1, "conflict": 2, "not-safe": 1}
    bench.now_ms = LATER_MS
    bench.take(lost, first)
    attributed(bench)
    assert looked(bench, now_ms=LATER_MS + 8 * DAY_MS) == {"batches": 2, "leaves": 2, "readings": 2}
    assert bench.store.erasures.retained() == {"conflict": 2}


def test_what_attribution_has_not_looked_at_stays(bench: Bench) -> None:
    """Else its values would be lost."""
    bench.take(bench.chain.seal([reading(0, 1)]))
    assert looked(bench) == {}
    assert bench.store.erasures.retained() == {"not-attributed": 1}


def month(store: AnyStore) -> Year:
    """A month of an electricity point, read and attributed."""
    bounds = year.months(2025, 10, 10)
    run = Year(store, year.sites(1, 0, 0, bounds), bounds)
    run.enter(run.sites)
    run.read()
    run.read_late()
    run.attribute()
    return run


def pages(run: Year) -> dict[int, list[int | None]]:
    """The values of each day."""
    site = run.sites[0]
    first, last = (day_of(year.ZONE, each) for each in run.bounds)
    return {each.day: each.values() for each in run.store.curves.pages(site.point, "A+", site.cadence, first, last)}


@pytest.mark.slow
def test_series_stay_when_their_readings_go_and_stands_keep_theirs(store: AnyStore) -> None:
    """Over a change day; a corrected factor changes no day of which the readings are gone. Then the days go, too."""
    run = month(store)
    values = pages(run)
    assert any(len(each) == 100 for each in values.values())
    assert looked(run.bench)["readings"] > 0
    rows = list(store.readings.all())
    origins = {
        origin.first
        for version in store.stands.of(run.sites[0].point, 0, NOW_MS)
        for origin in version.stand.origin
        if version.stand.meter
    }
    assert 0 < len(rows) <= len(origins) * 8 < run.readings
    run.bench.now_ms = LATER_MS
    run.correct_factor(run.sites[0], run.bounds[0] + 5 * DAY_MS, Fraction(2))
    run.attribute()
    assert pages(run) == values
    stood = len(store.stands.of(run.sites[0].point, 0, NOW_MS))
    shorter = Purposes(63, 11, 1_000, remove=True)
    assert looked(run.bench, shorter)["pages"] > 0
    limit = shorter.fine_before(year.ZONE, LATER_MS)
    assert limit is not None
    assert pages(run) == {day: each for day, each in values.items() if day >= day_of(year.ZONE, limit)}
    assert len(store.stands.of(run.sites[0].point, 0, NOW_MS)) == stood
    rows_held = {each.what: each.count for each in held(store, shorter, LATER_MS)}
    assert rows_held["batches with all their readings"] == 0
    assert rows_held["stands"] == stood


@pytest.mark.slow
def test_killed_in_the_middle_retention_goes_on_and_counts_once(tmp_path: Path) -> None:
    """Kill -9 of the real command: at the end as much is told as one go erases."""
    (tmp_path / "collector.toml").write_text(
        'collector = "utility"\nstore = "collector.sqlite3"\n[broker]\nhost = "localhost"\n'
        "[retention]\nremove = true\ndiagnosis_days = 63\n"
    )
    store = SqliteStore.open(tmp_path / "collector.sqlite3")
    bench = Bench(store)
    bench.now_ms = NOW_MS - 200 * 10 * DAY_MS  # the command goes by the machine's clock
    for number in range(200):
        bench.take(bench.chain.seal([reading(number, 1), reading(number, 2)]))
    attributed(bench)
    command = [sys.executable, "-m", "collector.cli", "retention", "--once", "--json"]
    kills = 0
    while int(store.due.progress("retention") or 0) < 200:
        reached = int(store.due.progress("retention") or 0)
        words = [*command, "--config", str(tmp_path / "collector.toml")]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            while running.poll() is None and int(store.due.progress("retention") or 0) <= reached + 30:
                time.sleep(0.001)
            kills += running.poll() is None
            running.kill()
    assert kills >= 3
    done = subprocess.run(
        [*command, "--config", str(tmp_path / "collector.toml")], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["batches"] == {}
    assert store.due.progress(COUNTS) == "{}"
    lines = [each[0] for each in store._connection.execute("SELECT what FROM journal").fetchall()]
    told = [each for each in lines if each.startswith("retention")]
    assert told == ["retention: erased 400 leaves, 400 readings, 200 batches, held for no purpose any more"]
    assert bench.rows() == 0
    store.close()
