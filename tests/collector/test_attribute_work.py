"""Attribution at work: killed anywhere, held and released, in conflict, beside another one; each ends as if alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import ground_year as year
import pytest
from chain import AnyStore
from ground_run import Year

from collector.attribute.explain import NO_CHANNEL, NOT_ENTERED, unplaced
from collector.attribute.work import RUNNING_MS, SETTLE_MS, Attribution
from collector.grid import day_of
from collector.master.channels import Cadence
from collector.master.dated import Act, Span
from collector.place import Place
from collector.quality import each_of
from collector.store.opening import open_store
from collector.store.sqlite import SqliteStore
from protocols.reading import Scaled

CONFIG = 'collector = "utility"\nstore = "collector.sqlite3"\n[broker]\nhost = "localhost"\n'
NAME = "collector.sqlite3"


def heat(store: AnyStore, heat: int = 1, water: int = 0, electricity: int = 0, month: int = 10) -> Year:
    """A month of points, entered; nothing is read yet."""
    bounds = year.months(2025, month, month)
    run = Year(store, year.sites(electricity, heat, water, bounds), bounds)
    run.enter(run.sites)
    return run


def rows(path: Path) -> list[tuple[object, ...]]:
    """What there is of series, without who and when."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT point, channel, past, step_s, day, version, packed, quality, origin FROM curve"
            " ORDER BY point, channel, step_s, day, version"
        ).fetchall()


def written(path: Path) -> int:
    """How many pages are written."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM curve").fetchone()[0])


def states(run: Year, at_ms: int, name: str = "heat") -> list[str]:
    """State and reason of each interval of the day that an instant is in."""
    day = day_of(year.ZONE, at_ms)
    (page,) = run.store.curves.pages(run.sites[0].point, name, run.sites[0].cadence, day, day)
    return [f"{each.state} {each.reason}".strip() for each in each_of(page.runs())]


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_and_makes_no_version_twice(tmp_path: Path) -> None:
    """Kill -9 of the real command, each time some pages further on: the same pages as in one go, each once."""
    folder, other = tmp_path / "killed", tmp_path / "whole"
    folder.mkdir()
    store = SqliteStore.open(folder / NAME)
    run = heat(store, 1, 1, 1)
    run.read()
    run.read_late()
    store.close()
    (folder / "collector.toml").write_text(CONFIG)
    shutil.copytree(folder, other)
    command = [sys.executable, "-m", "collector.cli", "attribute", "--once", "--json", "--config"]
    kills = 0
    for more in (1, 20, 60, 90):
        child = subprocess.Popen([*command, str(folder / "collector.toml")], stdout=subprocess.DEVNULL)
        while child.poll() is None and written(folder / NAME) < more:
            time.sleep(0.002)
        kills += child.poll() is None
        child.kill()
        child.wait()
    assert kills
    for each in (folder, other):
        subprocess.run([*command, str(each / "collector.toml")], check=True, stdout=subprocess.DEVNULL)
    assert rows(folder / NAME) == rows(other / NAME)
    assert {row[5] for row in rows(folder / NAME)} == {1}


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    """Counts of what was looked at and reckoned; a second run has nothing to do."""
    store = SqliteStore.open(tmp_path / NAME)
    run = heat(store)
    run.read()
    run.read_late()
    store.close()
    (tmp_path / "collector.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "collector.cli", "attribute", "--once", "--json"]
    told = []
    for _ in range(2):
        done = subprocess.run([*command, "--config", str(tmp_path / "collector.toml")], check=True, capture_output=True)
        told.append(json.loads(done.stdout))
    assert (told[0]["readings"], told[0]["failed"], told[0]["unplaced"], told[0]["due"]) == (run.readings, {}, [], 0)
    assert told[0]["values"] == [{"state": "raw", "reason": "", "values": 745}]
    assert (told[1]["readings"], told[1]["pages"], told[1]["versions"]) == (0, 0, 0)


def test_two_at_once_do_not_undo_each_other(store: AnyStore, place: Place) -> None:
    """Two processes' connections, step by step in turn: every month is right, every page has one version."""
    run = heat(store, 2, 1)
    run.read()
    run.read_late()
    second = open_store(place)
    two = [Attribution(store), Attribution(second)]
    now_ms = run.bench.now_ms
    while any([each.step(now_ms, wait=False) is not None for each in two]):  # noqa: C419 - both step
        pass
    assert list(run.misses()) == []
    versions = store._connection.execute("SELECT DISTINCT version FROM curve").fetchall()
    assert versions == [(1,)]


def test_a_held_batch_feeds_when_its_case_is_closed(store: SqliteStore) -> None:
    """What is held leaves a gap that says so; what is released is attributed, and what is held later is taken out."""
    run = heat(store)
    run.read()
    run.read_late()
    run.attribute()
    noon = run.bounds[0] + 10 * year.DAY_MS + 12 * year.HOUR_MS
    assert set(states(run, noon)) == {"raw"}
    epoch = run.bench.chain.epoch
    with store.transaction():
        case, _ = store.cases.report("house-1", "clone", b"x", "", run.bench.now_ms)
        assert case is not None
        store.cases.hold(case, epoch)
    run.attribute()
    assert set(states(run, noon)) == {"missing held"}
    with store.transaction():
        store.cases.close(case.n, "operator", "it was none", run.bench.now_ms)
    run.attribute()
    assert list(run.misses()) == []


def test_a_reading_that_comes_in_two_versions_feeds_no_more(store: SqliteStore) -> None:
    """Attributed already, then contradicted: both intervals beside it are missing, and only that day is new."""
    run = heat(store)
    run.read()
    run.read_late()
    run.attribute()
    before = run.versions()
    noon = run.bounds[0] + 10 * year.DAY_MS + 12 * year.HOUR_MS
    site = run.sites[0]
    found = next(each for each in year.rows(site, noon, noon))
    value = replace(found.values[0], number=Scaled(7))
    run.bench.take(run.bench.chain.seal([replace(found, values=(value,))]))
    run.attribute()
    told = states(run, noon)
    assert [place for place, each in enumerate(told) if each != "raw"] == [11, 12]
    assert {told[11], told[12]} == {"missing conflict"}
    assert run.versions() == before + 1


def test_a_page_that_still_runs_has_a_version_an_hour(store: SqliteStore) -> None:
    """Read every hour of a day and looked at each time: what settles first and what is running waits."""
    run = heat(store)
    day = run.bounds[0] + 3 * year.DAY_MS
    now_ms = day
    for reading in year.rows(run.sites[0], day, day + 23 * year.HOUR_MS):
        run.bench.take(run.bench.chain.seal([reading]))
        for later in (0, SETTLE_MS, SETTLE_MS + 10, 20 * 60_000):
            now_ms = reading.exchange.at_ms + later
            while run.attribution.step(now_ms) is not None:
                pass
    versions = store.curves.versions("H000", "heat", Cadence.HOUR, day_of(year.ZONE, day))
    times = [each.act.at_ms for each in versions]
    assert len(versions) > 10
    assert all(after - before >= RUNNING_MS for before, after in pairwise(times))


def test_what_reaches_no_series_is_explained(store: SqliteStore) -> None:
    """A meter that nobody entered; one that is installed where no channel wants it."""
    bounds = year.months(2025, 10, 10)
    run = Year(store, year.sites(0, 1, 1, bounds), bounds)
    run.read()
    run.read_late()
    assert {each.why for each in unplaced(store)} == {NOT_ENTERED}
    run.enter(run.sites)
    run.attribute()
    assert list(unplaced(store)) == []
    water = next(each for each in store.master.channels.all(point="W000"))
    with store.transaction(), store.master.acting(Act("operator", run.bench.now_ms + 1, "")) as change:
        change.end(water, water.span.from_ms)
    assert {each.why for each in unplaced(store)} == {NO_CHANNEL}


def test_a_channel_whose_register_changes_has_both(store: SqliteStore) -> None:
    """From an instant on it is fed by another register: each interval by the one that held then."""
    run = heat(store, 0, 0, 1)
    run.read()
    run.read_late()
    channel = next(each for each in store.master.channels.all(point="E000", name="A+"))
    at_ms = run.bounds[0] + 10 * year.DAY_MS + 12 * year.HOUR_MS
    with store.transaction(), store.master.acting(Act("operator", run.bench.now_ms + 1, "")) as change:
        change.correct(replace(channel, register="A-", span=Span(at_ms)))
    run.attribute()
    day = day_of(year.ZONE, at_ms)
    pages = {name: store.curves.pages("E000", name, Cadence.QUARTER, day, day)[0].values() for name in ("A+", "A-")}
    assert pages["A+"][56:] == pages["A-"][56:]
    assert pages["A+"][:56] != pages["A-"][:56]
