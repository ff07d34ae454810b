"""What is erased is nowhere shown any more, does not come back, and every batch still verifies."""

from __future__ import annotations

import json
import sqlite3
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
from collector.attest import Attestor
from collector.cli_verify import check_octets
from collector.erase.moments import UTC, MeterSpan
from collector.erase.plan import Plan, Planner
from collector.erase.purposes import BILLING, CASE, Purposes
from collector.erase.work import Erasing, begin, forecast
from collector.faults import ErasedError, EraseError
from collector.grid import day_of, edges
from collector.quality import each_of
from collector.store.evidence import Evidence
from collector.store.sqlite import SqliteStore
from collector.store.stands import Character
from protocols.reading import TimeQuality
from protocols.uplink import keyring
from protocols.uplink.faults import ProofError
from protocols.uplink.keys import SigningKey
from protocols.uplink.proof import Checked, Keyring
from protocols.uplink.records import Event, When

SEAL = SigningKey.generate()
NOTHING_HOLDS = ("diagnosis", "operation", "billing")


def ring(bench: Bench) -> Keyring:
    """What a third party checks with."""
    return keyring.from_text(prove.keys_file(bench.store, COLLECTOR, SEAL.public), "keys")


def row_of(store: AnyStore, batch: bytes) -> Evidence:
    """A stored batch."""
    found = store.evidence.find(batch)
    assert found is not None
    return found


def erase(store: AnyStore, plan: Plan) -> None:
    """Do it, to the end."""
    begin(store, plan, "officer", "article 17", NOW_MS)
    Erasing(store).all(NOW_MS)


def planner(store: AnyStore, *despite: str, purposes: Purposes | None = None, now_ms: int = NOW_MS) -> Planner:
    """One to whom no purpose counts but those that are not named."""
    return Planner(store, purposes or Purposes(), now_ms, despite or NOTHING_HOLDS)


def test_an_erased_leaf_is_gone_and_the_batch_still_verifies(bench: Bench) -> None:
    """Its reading is not shown; export and proofs of the others hold, and say which leaf was erased."""
    sealed = bench.chain.seal([reading(0, 1), reading(0, 2), reading(0, 3)])
    bench.take(sealed)
    erase(bench.store, planner(bench.store).leaves(row_of(bench.store, sealed.id), [1]))
    left = list(bench.store.readings.all())
    assert [each.place.leaf for each in left] == [0, 2]
    assert all(Attestor(bench.store).holds(each) for each in left)
    row = row_of(bench.store, sealed.id)
    found = check_octets(prove.batch_file(bench.store, row), ring(bench), "erased")
    assert isinstance(found, Checked)
    assert (found.id, found.erased, [index for index, _ in found.leaves]) == (sealed.id, (1,), [0, 2])
    assert isinstance(
        check_octets(prove.leaf_proof(bench.store, row, 2, COLLECTOR, SEAL), ring(bench), "proof"), Checked
    )
    with pytest.raises(ProofError):
        prove.leaf_proof(bench.store, row, 1, COLLECTOR, SEAL)
    with pytest.raises(ErasedError):
        row.batch()


def test_a_replayed_batch_does_not_bring_it_back(bench: Bench) -> None:
    """Nor does another batch that holds the same reading: it is stored without that leaf."""
    sealed = bench.chain.seal([reading(0, 1), reading(0, 2)])
    bench.take(sealed)
    erase(bench.store, planner(bench.store).leaves(row_of(bench.store, sealed.id), [0]))
    bench.restart()
    bench.take(sealed)
    again = bench.chain.seal([reading(0, 1), reading(1, 1)])
    bench.take(again)
    shown = sorted((each.place.batch == again.id, each.place.leaf) for each in bench.store.readings.all())
    assert shown == [(False, 1), (True, 1)]
    found = check_octets(prove.batch_file(bench.store, row_of(bench.store, again.id)), ring(bench), "again")
    assert isinstance(found, Checked)
    assert found.erased == (0,)


def test_a_copy_in_another_batch_goes_too(bench: Bench) -> None:
    """A reading that was seen again is in the evidence alone: it is looked for there."""
    first, second = bench.chain.seal([reading(0, 1)]), bench.chain.seal([reading(0, 1), reading(0, 2)])
    bench.take(first, second)
    erase(bench.store, planner(bench.store).leaves(row_of(bench.store, first.id), [0]))
    assert [row_of(bench.store, each.id).opened().leaves[0] for each in (first, second)] == [None, None]
    assert bench.rows() == 1


def test_the_newest_reading_that_is_shown_is_one_that_is_left(bench: Bench) -> None:
    """The list of meters points at no reading that is gone, and names no meter of which none is left."""
    bench.take(bench.chain.seal([reading(0, 1), reading(0, 2)]))
    last = bench.chain.seal([reading(4, 1)])
    bench.take(last)
    erase(bench.store, planner(bench.store).leaves(row_of(bench.store, last.id), [0]))
    newest = {each.meter: each.moment for each in bench.store.series.page("", 10)}
    assert sorted(newest.values()) == [f"slot {NOW_MS}"] * 2
    others = [each for each in bench.store.readings.all() if each.place.leaf == 1]
    erase(bench.store, planner(bench.store).leaves(row_of(bench.store, others[0].place.batch), [0, 1]))
    assert bench.store.series.page("", 10) == []


def test_what_a_purpose_holds_stays_until_it_is_named(bench: Bench) -> None:
    """Without purposes in the configuration everything is held; a conflict holds whatever they say."""
    sealed = bench.chain.seal([reading(0, 1)])
    bench.take(sealed, bench.chain.seal([reading(0, 1, number=7)]))
    held = Planner(bench.store, Purposes(), NOW_MS).leaves(row_of(bench.store, sealed.id), [0])
    assert not held
    assert not planner(bench.store).leaves(row_of(bench.store, sealed.id), [0])
    assert planner(bench.store, *NOTHING_HOLDS, CASE).leaves(row_of(bench.store, sealed.id), [0])


def test_a_list_of_erasures_is_done_again_in_a_restored_store(bench: Bench) -> None:
    """An older store has the batch still, or gets it from its gateway: neither shows it afterwards."""
    first, second = bench.chain.seal([reading(0, 1)]), bench.chain.seal([reading(1, 1)])
    bench.take(first)
    listed = [planner(bench.store).leaves(row_of(bench.store, first.id), [0]).to_json()]
    bench.take(second)
    listed.append(planner(bench.store).leaves(row_of(bench.store, second.id), [0]).to_json())
    with bench.store.transaction():  # the backup had the first alone
        bench.store._connection.execute("DELETE FROM evidence WHERE id = ?", (second.id,))
        bench.store._connection.execute("DELETE FROM reading WHERE batch = ?", (second.id,))
    for each in listed:
        begin(bench.store, Plan.from_json(each), "officer", "article 17", NOW_MS)
    for each in listed:  # given twice it is one act
        begin(bench.store, Plan.from_json(each), "officer", "article 17", NOW_MS)
    Erasing(bench.store).all(NOW_MS)
    bench.take(second)
    assert bench.rows() == 0
    assert [row_of(bench.store, each.id).opened().leaves for each in (first, second)] == [(None,), (None,)]
    assert len(bench.store.erasures.all()) == 2


def test_a_list_that_is_none_is_refused() -> None:
    """With what was expected."""
    with pytest.raises(EraseError):
        Plan.from_json({"what": "something"})


def quarter_hours(store: AnyStore) -> Year:
    """A month of an electricity point, read and attributed."""
    bounds = year.months(2025, 10, 10)
    run = Year(store, year.sites(1, 0, 0, bounds), bounds)
    run.enter(run.sites)
    run.read()
    run.read_late()
    run.attribute()
    return run


def states(run: Year, at_ms: int) -> dict[int, str]:
    """State and reason of each interval of the local day of an instant, by when it begins."""
    site, day = run.sites[0], day_of(year.ZONE, at_ms)
    (page,) = run.store.curves.pages(site.point, "A+", site.cadence, day, day)
    starts = edges(year.ZONE, site.cadence, day)
    words = [f"{each.state} {each.reason}".strip() for each in each_of(page.runs())]
    return dict(zip(starts, words, strict=False))


@pytest.mark.slow
def test_a_span_of_a_point_is_gone_from_readings_evidence_and_series(store: AnyStore) -> None:
    """Over the change day in autumn: what lies within is missing with its reason, beside it everything is as it was."""
    run = quarter_hours(store)
    point, zone = run.sites[0].point, year.ZONE
    day = day_of(zone, run.bounds[-1]) - 6  # Sunday, 26 October 2025
    bounds = edges(zone, run.sites[0].cadence, day)
    assert len(bounds) == 101
    before = [(start, states(run, start)) for start in (bounds[0] - 1, bounds[-1])]
    erase(store, planner(store).point(point, bounds[8], bounds[16]))
    found = states(run, bounds[0])
    assert [found[each] for each in bounds[8:16]] == ["missing erased"] * 8
    assert all("missing" not in found[each] for each in (*bounds[:8], *bounds[16:100]))
    assert [(start, states(run, start)) for start, _ in before] == before
    times = [int(each.moment.rpartition(" ")[2]) for each in store.series.page("", 10)]
    assert times
    run.bench.now_ms += 10_000
    run.correct_factor(run.sites[0], bounds[4], Fraction(2))
    run.attribute()
    again = states(run, bounds[0])
    assert [again[each] for each in bounds[8:16]] == ["missing erased"] * 8
    versions = store.curves.versions(point, "A+", run.sites[0].cadence, day)
    assert len(versions) > 1
    assert all(version.values()[8:16] == [None] * 8 for version in versions)


def test_stands_go_with_what_they_rest_on_only_when_billing_is_named(store: AnyStore) -> None:
    """The readings that a held stand names stay, so that it can be proven; then all goes."""
    run = quarter_hours(store)
    point, span = run.sites[0].point, (run.bounds[0] - year.DAY_MS, run.bounds[-1])
    turn = [each.stand for each in store.stands.of(point, *span) if each.stand.character is Character.NORMAL]
    assert turn
    held = planner(store, "diagnosis", "operation").point(point, *span)
    assert any(BILLING in each for each in held.held)
    erase(store, held)
    kept = {each.stand.at_ms for each in store.stands.of(point, *span)}
    assert {each.at_ms for each in turn} <= kept
    rows = sum(1 for _ in store.readings.all())
    assert 0 < rows < run.readings
    erase(store, planner(store).point(point, *span))
    assert not [each for each in store.stands.of(point, *span) if each.stand.character is Character.NORMAL]
    assert sum(1 for _ in store.readings.all()) < rows


CONFIG = 'collector = "utility"\nstore = "collector.sqlite3"\n[broker]\nhost = "localhost"\n'
COMMAND = [sys.executable, "-m", "collector.cli"]


def told(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the collector in a folder."""
    config = ["--config", str(folder / "collector.toml")]
    return subprocess.run([*COMMAND, *words, *config], capture_output=True, text=True, timeout=120, check=False)


def filled(folder: Path, batches: int) -> list[tuple[bytes, list[bytes]]]:
    """A store in a folder with batches of two meters; their ids and the leaves of the first meter."""
    folder.mkdir()
    (folder / "collector.toml").write_text(CONFIG)
    store = SqliteStore.open(folder / "collector.sqlite3")
    bench = Bench(store)
    sealed = [bench.chain.seal([reading(2 * n + k, meter) for k in (0, 1) for meter in (1, 2)]) for n in range(batches)]
    for each in sealed:
        bench.take(each)
    found = []
    for each in sealed:
        leaves = row_of(bench.store, each.id).opened().leaves
        found.append((each.id, [leaf for leaf in leaves if leaf is not None and b"00000001" in leaf]))
    store.close()
    return found


def test_nothing_of_an_erased_leaf_is_left_in_the_files_of_sqlite(tmp_path: Path) -> None:
    """Not in the file's free pages, not in its log, while another process has the store open."""
    folder = tmp_path / "site"
    batches = filled(folder, 8)
    other = SqliteStore.open(folder / "collector.sqlite3")
    leaves = [leaf for _, mine in batches for leaf in mine]
    octets = b"".join(each.read_bytes() for each in folder.glob("collector.sqlite3*"))
    assert all(leaf in octets for leaf in leaves)
    for batch, mine in batches:
        numbers = [index for index, leaf in enumerate(row_of(other, batch).opened().leaves) if leaf in mine]
        options = [word for index in numbers for word in ("--leaf", str(index))]
        despite = [word for each in NOTHING_HOLDS for word in ("--despite", each)]
        shown = told(folder, "erase", "--batch", batch.hex(), *options, *despite)
        assert (shown.returncode, shown.stdout.count("leaf")) == (0, len(numbers)), shown.stderr
        done = told(folder, "erase", "--batch", batch.hex(), *options, *despite, "--yes", "--why", "article 17")
        assert done.returncode == 0, done.stderr
    octets = b"".join(each.read_bytes() for each in folder.glob("collector.sqlite3*"))
    other.close()
    assert not any(leaf in octets for leaf in leaves)
    listed = json.loads(told(folder, "erasures", "--json").stdout)
    assert [(each["why"], each["counts"]["leaves"]) for each in listed] == [("article 17", 2)] * 8


@pytest.mark.slow
def test_killed_in_the_middle_an_erasure_is_finished_later(tmp_path: Path) -> None:
    """Kill -9 of the command again and again: at the end all is gone that one go takes, and the act is one."""
    folder = tmp_path / "site"
    filled(folder, 200)
    store = SqliteStore.open(folder / "collector.sqlite3")
    key = next(each.meter for each in store.series.page("", 1))
    span = MeterSpan(key, NOW_MS, NOW_MS + 10_000 * year.QUARTER_MS, UTC)
    plan = Plan("meter", meters=[span], gateways={"house-1"})
    (tmp_path / "list.json").write_text(
        json.dumps([{"at_ms": NOW_MS, "who": "officer", "why": "article 17", "subject": plan.to_json()}])
    )
    config = ["--config", str(folder / "collector.toml")]
    kills = 0
    while not (acts := store.erasures.all()) or acts[0].done_ms is None:
        reached = acts[0].reached if acts else -1
        command = [*COMMAND, "erase", "--list", str(tmp_path / "list.json"), "--yes", *config]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
            while running.poll() is None and (not (now := store.erasures.all()) or now[0].reached <= reached + 30):
                time.sleep(0.001)
            kills += running.poll() is None
            running.kill()
    assert kills >= 3
    assert len(store.erasures.all()) == 1
    assert key not in {each.meter for each in store.series.page("", 10)}
    assert all(sum(leaf is None for leaf in row.opened().leaves) == 2 for row in store.evidence.of("house-1"))
    assert len(list(store.readings.all())) == 400
    assert store.cases.first_bad_line() is None
    store.close()


def test_a_version_4_store_is_raised(tmp_path: Path) -> None:
    """The tables are added, what was in it stays."""
    path = tmp_path / "old.sqlite3"
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent / "store_version_4.sql").read_text())
    old.execute("INSERT INTO journal VALUES (1, 2, 'kept', x'00')")
    old.commit()
    old.close()
    raised = SqliteStore.open(path)
    assert not raised.erasures.any()
    assert raised._connection.execute("SELECT what FROM journal").fetchall() == [("kept",)]
    raised.close()


def test_a_record_is_erased_by_its_leaf(bench: Bench) -> None:
    """The gateway's event is not shown any more, the reading beside it is; the batch verifies."""
    event = Event(When(bench.now_ms, 1, TimeQuality(True, 5)), "restart", None, None, ("power", 3))
    sealed = bench.chain.seal([reading(0, 1)], [event])
    bench.take(sealed)
    erase(bench.store, planner(bench.store).leaves(row_of(bench.store, sealed.id), [1]))
    assert (bench.rows(), list(bench.store.readings.records())) == (1, [])
    found = check_octets(prove.batch_file(bench.store, row_of(bench.store, sealed.id)), ring(bench), "erased")
    assert isinstance(found, Checked)
    assert found.erased == (1,)


def test_what_cannot_be_told_apart_is_refused(bench: Bench) -> None:
    """A batch that is not decoded, a leaf and a point that are not there, an empty span."""
    whole, other = bench.chain.seal([reading(0, 1)]), bench.chain.seal_body(b"no body")
    bench.take(whole, other)
    plans = planner(bench.store)
    with pytest.raises(EraseError, match="decoded"):
        plans.leaves(row_of(bench.store, other.id), [0])
    with pytest.raises(EraseError, match="a leaf from 0 to 0"):
        plans.leaves(row_of(bench.store, whole.id), [1])
    with pytest.raises(EraseError, match="a metering point"):
        plans.point("nowhere", 0, DAY_MS)
    with pytest.raises(EraseError, match="a span"):
        plans.point("nowhere", 5, 6)


def test_the_dry_run_says_how_much_and_changes_nothing(bench: Bench) -> None:
    """As many as go then."""
    sealed = bench.chain.seal([reading(0, 1), reading(0, 2)])
    bench.take(sealed)
    plan = planner(bench.store).leaves(row_of(bench.store, sealed.id), [0, 1])
    assert forecast(bench.store, plan) == {"leaves": 2, "readings": 2}
    assert bench.rows() == 2
    erase(bench.store, plan)
    (act,) = bench.store.erasures.all()
    assert act.counts == {"batches": 1, "leaves": 2, "readings": 2}
    assert (act.who, act.why, act.at_ms, act.done_ms) == ("officer", "article 17", NOW_MS, NOW_MS)
