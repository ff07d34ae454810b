"""What acknowledgements say: only what is committed, in ranges that a gateway can walk, in rising order."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from chain import DAY_MS, AnyStore, Bench, reading
from postgres import Postgresql

from collector.cases import close
from collector.faults import StoreFullError
from collector.place import Place, Server
from collector.store.postgresql import PostgresqlStore
from collector.store.sqlite import SqliteStore
from protocols.reading import TimeQuality
from protocols.uplink import limits
from protocols.uplink.acknowledgement import Acknowledgement
from protocols.uplink.batch import Batch
from protocols.uplink.hello import Signed
from protocols.uplink.keys import SigningKey
from protocols.uplink.ranges import Range
from protocols.uplink.records import Lost, When


def _ranges(found: tuple[Range, ...]) -> list[tuple[int, int]]:
    return [(each.first, each.last) for each in found]


def test_an_acknowledgement_names_only_ids_that_are_stored(bench: Bench) -> None:
    """Over random losses, repeats and restarts of the collector, every named id is in the store."""
    rng = random.Random(3)
    sealed: list[Batch] = []
    for _ in range(30):
        batch = bench.chain.seal()
        sealed.append(batch)
        if rng.random() < 0.1:
            bench.chain.restart()
        some = [each for each in sealed if rng.random() < 0.2]
        if not some:
            continue
        word = bench.word(bench.take(*some))
        for each in word.stored:
            walked = [b for b in sealed if b.header.epoch == each.epoch and each.first <= b.header.seq <= each.last]
            assert len(walked) == each.last - each.first + 1
            assert walked[-1].id == each.id
            assert all(bench.store.evidence.has("house-1", b.id) for b in walked)


def test_the_number_rises_over_restarts(bench: Bench) -> None:
    """It is on the disk before the packet leaves."""
    batch = bench.chain.seal()
    orders = []
    for _ in range(3):
        orders.append(bench.word(bench.take(batch)).order)
        bench.restart()
    assert orders == [(1, 1), (1, 2), (1, 3)]


def test_at_most_one_a_second_for_each_gateway(bench: Bench) -> None:
    """What is owed waits for its second; nothing is owed twice."""
    first = bench.take(bench.chain.seal())
    bench.word(first)
    bench.acknowledger.owe("house-1")
    bench.acknowledger.owe("house-2")
    boxes = {chain.name: chain.box.public for chain in bench.chains.values()}
    assert bench.acknowledger.wait_ms(bench.mono_ms) == 0
    assert [each.gateway for each in bench.acknowledger.make(boxes, bench.now_ms, bench.mono_ms + 999)] == ["house-2"]
    assert bench.acknowledger.wait_ms(bench.mono_ms + 999) == 1
    assert [each.gateway for each in bench.acknowledger.make(boxes, bench.now_ms, bench.mono_ms + 1000)] == ["house-1"]
    assert bench.acknowledger.wait_ms(bench.mono_ms + 1000) is None


def test_a_hole_cuts_the_range(bench: Bench) -> None:
    """The gateway walks back from the id: a range never spans what is missing."""
    sealed = [bench.chain.seal() for _ in range(5)]
    word = bench.word(bench.take(*sealed[:2], *sealed[3:]))
    assert sorted(_ranges(word.stored)) == [(1, 2), (4, 5)]


def test_a_batch_that_was_declared_lost_and_comes_after_all_is_named_as_stored(bench: Bench) -> None:
    """A gateway that has it back (a restored image) must not send it for ever."""
    chain = bench.chain
    first, second = chain.seal(), chain.seal()
    lost = Lost(When(bench.now_ms, 1, TimeQuality(True, 1)), chain.epoch, 2, 2, "rotten")
    third, fourth = chain.seal(records=[lost]), chain.seal()
    bench.take(first, third, fourth)
    word = bench.word(bench.take(second))
    # By itself: a gateway that does not have it back could not walk through it to 1.
    assert sorted((each.first, each.last) for each in word.stored) == [(1, 1), (2, 2), (3, 4)]


def test_a_number_declared_lost_cuts_the_range(bench: Bench) -> None:
    """The gateway does not have it: the walk would stop there."""
    chain = bench.chain
    sealed = [chain.seal() for _ in range(4)]
    lost = Lost(When(bench.now_ms, 1, TimeQuality(True, 1)), chain.epoch, 2, 2, "rotten")
    sealed.append(chain.seal(records=[lost]))
    word = bench.word(bench.take(sealed[0], *sealed[2:]))
    assert sorted(_ranges(word.stored)) == [(1, 1), (3, 5)]


def test_the_answer_to_a_hello_covers_what_it_lists_and_spans_none_of_its_holes(bench: Bench) -> None:
    """Cut to the lists, ended at batches that the gateway has shown, with its nonce."""
    sealed = [bench.chain.seal() for _ in range(10)]
    bench.take(*sealed[:7], sealed[8])
    epoch = bench.chain.epoch
    held = [Range(epoch, 2, 3, sealed[2].id), Range(epoch, 5, 10, sealed[9].id)]
    word = bench.word(bench.greet(bench.chain.hello(held, nonce=b"n" * 16)))
    assert word.nonce == b"n" * 16
    assert sorted((each.first, each.last, each.id) for each in word.stored) == [
        (2, 3, sealed[2].id),
        (5, 7, sealed[6].id),
        (9, 9, sealed[8].id),
    ]


def test_safe_comes_a_week_after_the_commit_along_a_prefix(bench: Bench) -> None:
    """Only what is old enough, from the epoch's start on, without a gap."""
    sealed = [bench.chain.seal() for _ in range(6)]
    bench.take(*sealed[:2])
    bench.now_ms += DAY_MS
    bench.take(sealed[2], sealed[4])
    bench.now_ms += 6 * DAY_MS
    assert _ranges(bench.word(bench.take(sealed[0])).safe) == [(1, 2)]
    bench.now_ms += 2 * DAY_MS
    word = bench.word(bench.take(sealed[0]))
    assert _ranges(word.safe) == [(1, 3)]
    assert word.safe[0].id == sealed[2].id
    bench.take(sealed[3])
    bench.now_ms += 8 * DAY_MS
    assert _ranges(bench.word(bench.take(sealed[0])).safe) == [(1, 5)]


def test_no_more_ranges_than_the_contract_allows(bench: Bench) -> None:
    """The newest and the oldest come first; the packet fits its limit."""
    sealed = [bench.chain.seal() for _ in range(260)]
    outcome = bench.take(*sealed[::2])
    word = bench.word(outcome)
    found = _ranges(word.stored)
    assert len(found) == limits.RANGES
    assert (1, 1) in found
    assert (259, 259) in found


@pytest.fixture
def backup(store: AnyStore, place: Place, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], AnyStore]:
    """Makes an older copy of the store."""

    def copy() -> AnyStore:
        if isinstance(place, Path):
            store._connection.execute("VACUUM INTO ?", (str(tmp_path / "older"),))
            return SqliteStore.open(tmp_path / "older")
        store.close()  # it connects again when it is asked
        cluster: Postgresql = request.getfixturevalue("postgresql")
        return PostgresqlStore.open(Server(cluster.database(place.address)))

    return copy


def test_a_collector_restored_in_silence_raises_the_generation_and_says_nothing_safe(
    bench: Bench, backup: Callable[[], AnyStore]
) -> None:
    """A hello that shows our own later word is enough: alarm, new generation, the gateway offers all again."""
    first, second = bench.chain.seal(), bench.chain.seal()
    bench.take(first)
    older = backup()
    last = bench.signed_word(bench.take(second))
    restored = _restored(bench, older)
    epoch = bench.chain.epoch
    outcome = restored.greet(bench.chain.hello([Range(epoch, 1, 2, second.id)], last))
    word = restored.word(outcome)
    assert [each.kind for each in outcome.opened] == ["restored"]
    assert word.order > Acknowledgement.from_bytes(last.header).order
    assert word.generation == 2
    assert _ranges(word.stored) == [(1, 1)]
    restored.now_ms += 30 * DAY_MS
    assert restored.word(restored.take(second)).safe == ()
    close(older, 1, "R. Roe", "archive merged", restored.now_ms)
    restored.now_ms += 30 * DAY_MS
    assert _ranges(restored.word(restored.take(first)).safe) == [(1, 2)]


def _restored(bench: Bench, older: AnyStore) -> Bench:
    """The same collector, gateways and keys over an older store."""
    other = Bench.__new__(Bench)
    other.__dict__.update(bench.__dict__)
    other.store = older
    other.restart()
    return other


def test_a_restored_collector_is_noticed_by_an_id_that_it_does_not_hold(
    bench: Bench, backup: Callable[[], AnyStore]
) -> None:
    """Even when the numbers have caught up meanwhile."""
    first, second = bench.chain.seal(), bench.chain.seal()
    bench.take(first)
    older = backup()
    last = bench.signed_word(bench.take(second))
    restored = _restored(bench, older)
    for _ in range(3):
        restored.word(restored.take(first))
    outcome = restored.greet(bench.chain.hello([], last))
    assert [each.kind for each in outcome.opened] == ["restored"]
    again = restored.greet(bench.chain.hello([], last))
    assert again.opened == []
    assert older.gateways.generation() == 2


def test_a_word_that_is_not_ours_raises_nothing(bench: Bench) -> None:
    """A gateway cannot make the collector doubt itself with a signature of its own."""
    word = Acknowledgement(
        bench.collector, "house-1", 99, 99, None, bench.now_ms, (), (), (), 64, 1, (1,), None
    ).to_bytes()
    forged = Signed(word, SigningKey.generate().sign("ack", word))
    outcome = bench.greet(bench.chain.hello([], forged))
    assert outcome.opened == []
    assert bench.store.gateways.generation() == 1


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_full_disk_acknowledges_nothing_and_recovers(bench: Bench) -> None:
    """What was not committed is not named; the same batch is taken when there is room again."""
    bench.take(bench.chain.seal([reading(99)]))
    pages = bench.store._connection.execute("PRAGMA page_count").fetchone()[0]
    bench.store._connection.execute(f"PRAGMA max_page_count={pages}")
    large = bench.chain.seal([reading(slot, meter) for slot in range(40) for meter in range(40)])
    with pytest.raises(StoreFullError):
        bench.take(large)
    assert bench.rows() == 1
    bench.store._connection.execute("PRAGMA max_page_count=1000000")
    word = bench.word(bench.take(large))
    assert _ranges(word.stored) == [(1, 2)]
    assert bench.rows() == 1_601
