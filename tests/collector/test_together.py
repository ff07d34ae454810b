"""Batches that came one behind the other are stored together as if each had been stored alone, whatever they are."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from chain import CONFIG, NOW_MS, AnyStore, Bench, Chain, reading

from collector import together
from collector.place import Place
from collector.store.postgresql import PostgresqlStore
from collector.store.sqlite import SqliteStore
from collector.verify import Authentic
from protocols.reading import Reading, TimeQuality
from protocols.uplink.batch import Batch
from protocols.uplink.header import Header
from protocols.uplink.records import Event, Lost, When

SEEDS = range(40)
GROUPS, MOST = 12, 14  # groups of a seed, and batches of one
WHEN = When(NOW_MS, 1, TimeQuality(True, 5))
# What of each table is told by what came alone; numbers that are given in turn are not.
TOLD = {
    "evidence": "gateway, id, epoch, seq, prev, parent_epoch, parent_seq, created_ms, config, core, header,"
    " signature, codec, body, digest, received_ms, state, fault",
    "epoch": "gateway, epoch, stored, contradictions",
    "lost": "gateway, epoch, first, last, reason, batch",
    "reading": "meter, how, moment, part, variant, gateway, epoch, seq, batch, leaf, at_ms, slot_ms, meter_s,"
    " meter_code, synchronised, uncertainty_ms, status, content, sealed, conflict",
    "record": "gateway, batch, leaf, epoch, seq, kind, sealed",
    "series": "meter, how, part, name, gateway, stored, first, newest, moment, at_ms, recent",
    "name": "gateway, device, name, read_ms",
    "tally": "gateway, readings",
    "trouble": "gateway, bus, device, event, code, at_ms, failing, epoch, seq, leaf, moment",
    "counter": "gateway, name, value",
    "incident": "gateway, kind, subject, opened_ms, closed_ms",
    "gateway": "name, contact_ms",
}
JOINED = {
    "fresh": "SELECT e.gateway, e.id FROM fresh f JOIN evidence e ON e.gateway = f.gateway AND e.n = f.n",
    "record's number": "SELECT e.id, r.leaf FROM record r JOIN evidence e ON e.gateway = r.gateway AND e.n = r.n",
    "hold": "SELECT h.gateway, h.epoch, h.batch, i.kind FROM hold h"
    " JOIN incident i ON i.gateway = h.gateway AND i.n = h.incident",
}


def told(store: AnyStore) -> dict[str, list[tuple[object, ...]]]:
    """All that a store holds of what came, in an order of its own."""
    asked = {table: f"SELECT {columns} FROM {table}" for table, columns in TOLD.items()} | JOINED  # noqa: S608
    return {name: sorted(map(tuple, store._connection.execute(sql)), key=repr) for name, sql in asked.items()}


def made(place: Place) -> AnyStore:
    """A store of the kind that the place has."""
    return SqliteStore.open(place) if isinstance(place, Path) else PostgresqlStore.open(place)


@pytest.fixture
def beside(place: Place, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyStore]:
    """A second store, where everything is stored one by one."""
    other: Place = tmp_path / "beside.sqlite3"
    if not isinstance(place, Path):
        other = dataclasses.replace(place, address=request.getfixturevalue("postgresql").database())
    with closing(made(other)) as store:
        yield store


class Site:
    """Two gateways that do what gateways do, and what they should not, drawn from a seed."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.dice = random.Random(seed)
        self.chains = [bench.chain, bench.chains["house-2"]]
        self.old: list[Batch] = []
        self.late: list[Batch] = []
        self.slot = 0

    def group(self) -> list[Batch]:
        """Some batches; seldom out of order, twice, late, missing, cloned, damaged, with readings that are there."""
        found = [self._batch(self.dice.choice(self.chains)) for _ in range(self.dice.randint(1, MOST))]
        if self.late and self.dice.random() < 0.3:
            late, self.late = self.late, []
            return late
        if self.dice.random() < 0.15:
            at = self.dice.randrange(len(found))
            self.late, found = self.late + found[at:], found[:at]
        odd = self.dice.random()
        if odd < 0.15:
            self.dice.shuffle(found)
        elif odd < 0.3 and self.old and found:
            found.insert(self.dice.randrange(len(found) + 1), self.dice.choice(self.old))
        elif odd < 0.4 and found:
            found.pop(self.dice.randrange(len(found)))
        self.old += found
        return found

    def _batch(self, chain: Chain) -> Batch:
        odd = self.dice.random()
        chain.config = CONFIG
        if odd < 0.01:
            chain.restart(forget=self.dice.random() < 0.3)
        elif odd < 0.02:
            return self._cloned(chain)
        elif odd < 0.03:
            return chain.seal_body(b"\x93\x01\x02")
        elif odd < 0.04:
            chain.config = self.dice.randbytes(32)
        records: list[Event | Lost] = []
        if odd > 0.85:
            records.append(Event(WHEN, "meter-silent", reading(0).meter, "heat"))
        if odd > 0.97:
            records.append(Lost(WHEN, chain.epoch, chain.seq + 9, chain.seq + 9, "rotten"))
        return chain.seal([self._reading() for _ in range(self.dice.randint(0 if records else 1, 5))], records)

    def _cloned(self, chain: Chain) -> Batch:
        """A batch in the place of another, or the first of an epoch that follows it; the others come late."""
        clone = chain.fork(self.dice.randrange(1_000))
        found = [clone.seal([self._reading()]), chain.seal([self._reading()])]
        clone.restart()
        found.append(clone.seal([self._reading()]))
        self.dice.shuffle(found)
        self.late += found[1 : self.dice.randint(1, 3)]
        return found[0]

    def _reading(self) -> Reading:
        self.slot += 1
        if self.dice.random() < 0.01:
            return reading(self.dice.randrange(self.slot), number=self.dice.randrange(3))
        return reading(self.slot, meter=self.dice.randint(1, 3), device=self.dice.choice(["heat", "water"]))


@pytest.mark.parametrize("seed", SEEDS)
def test_together_is_as_one_by_one(bench: Bench, beside: AnyStore, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same tables, the same counts, the same cases, group by group."""
    alone, site, opened = Bench.__new__(Bench), Site(bench, seed), list[int]()
    alone.__dict__.update(bench.__dict__)
    alone.store = beside
    with beside.transaction():
        for chain in bench.chains.values():
            beside.gateways.add(chain.name, chain.box.public, chain.key.public, NOW_MS)
            beside.gateways.approve(chain.name, CONFIG, NOW_MS)
    alone.restart()
    groups = ([bench.chain.seal([reading(-n)]) for n in range(1, 5)], *(site.group() for _ in range(GROUPS)))
    for group in groups:
        for each in (bench, alone):
            each.now_ms += 60_000
        with monkeypatch.context() as patch:
            patch.setattr(together, "put", _counted(opened))
            mine = bench.take(*group)
        with monkeypatch.context() as patch:
            patch.setattr(together, "maybe_open", lambda store, run: None)
            other = alone.take(*group)
        assert (mine.stored, mine.replayed, mine.undecoded, mine.due) == (
            other.stored,
            other.replayed,
            other.undecoded,
            other.due,
        )
        assert told(bench.store) == told(beside)
    assert opened  # else this compares the one way with itself


def _counted(opened: list[int]) -> object:
    put = together.put

    def counted(store: AnyStore, batches: list[together.Opened], now_ms: int) -> None:
        put(store, batches, now_ms)
        opened.append(len(batches))

    return counted


def test_what_may_contradict_what_is_known_is_looked_at_alone(bench: Bench) -> None:
    """The first of an epoch, one number twice, a branch within a group or beside it, an epoch that another follows."""
    chain, continues = bench.chain, bench.store.evidence.continues
    first, second = chain.seal(), chain.seal()
    clone = chain.fork(9)
    third, fourth, fifth, others = chain.seal(), chain.seal(), chain.seal(), [clone.seal(), clone.seal(), clone.seal()]
    assert [continues(each) for each in ([first], [second, first], [second], [fourth, fifth])] == [0, 0, 1, 1]
    assert [continues(each) for each in ([third, others[0]], [third, others[1]], [others[0], fourth])] == [0, 0, 0]
    bench.take(first, second)
    assert [continues(each) for each in ([second], [third], [fourth], [others[0]])] == [0, 1, 1, 1]
    bench.take(others[0])
    assert [continues(each) for each in ([third], [third, fourth], [fourth], [others[1]], [fifth])] == [0, 0, 0, 1, 1]
    bench.take(fifth)
    sixth = chain.seal()
    assert [continues(each) for each in ([others[1]], [fourth], [others[1], others[2]], [sixth])] == [0, 0, 0, 1]
    chain.restart()
    bench.take(chain.seal())
    assert not continues([sixth])


def test_a_row_that_does_not_fit_takes_back_all_and_each_is_stored_alone(bench: Bench) -> None:
    """A reading that is there, in the middle of a group of good ones: it is seen again, the others are new."""
    chain = bench.chain
    bench.take(chain.seal([reading(1)]))
    outcome = bench.take(chain.seal([reading(2)]), chain.seal([reading(1), reading(3)]), chain.seal([reading(4)]))
    assert (outcome.stored, outcome.undecoded, bench.rows()) == (3, 0, 4)
    assert bench.store.ring.counters()["house-1", "seen-again"] == 1
    assert [each.stored for each in bench.store.series.page("", 9)] == [4]


def test_the_batches_of_one_question_are_bounded() -> None:
    """However long a run is: what is decoded at a time stays small, and an epoch's first batch is looked at alone."""
    chain = Chain()
    sealed = [chain.seal([reading(n)]) for n in range(4)]
    chain.restart()
    sealed.append(chain.seal([reading(9)]))
    run = [Authentic(each, b"", NOW_MS) for each in sealed]
    assert [[each.batch.header.seq for each in part] for part in together.cut(run)] == [[1], [2, 3, 4], [1]]
    large = [
        dataclasses.replace(each, batch=dataclasses.replace(each.batch, header=_of(each.batch, together.LEAVES // 2)))
        for each in run[1:4]
    ]
    assert [len(part) for part in together.cut(large)] == [2, 1]


def _of(batch: Batch, leaves: int) -> Header:
    return dataclasses.replace(batch.header, leaves=leaves)
