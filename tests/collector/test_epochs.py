"""The states of epochs, in whatever order the batches come; and what they hold from billing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from chain import NOW_MS, Bench, Chain, reading
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.cases import close
from collector.epochs import Facts, Judged, Start, State, judge
from collector.faults import NotFoundError
from collector.store.sqlite import SqliteStore
from protocols.reading import TimeQuality
from protocols.uplink.batch import Batch
from protocols.uplink.header import Parent
from protocols.uplink.leaf import SealedReading
from protocols.uplink.pack import pack
from protocols.uplink.records import Lost, OtherRecord, Record, Unsealed, When

WHEN = When(1_790_000_000_000, 5, TimeQuality(True, 10))


def _states(bench: Bench) -> list[tuple[str, int | None, bool]]:
    """State, end and completeness of the epochs in the order of their first batch."""
    return [(each.state.value, each.end, each.complete) for each in bench.states().values()]


def test_the_first_epoch_is_open_and_closed_by_its_child(bench: Bench) -> None:
    """A restart names the last batch: closed there, complete, and nothing is held."""
    batches = [bench.chain.seal() for _ in range(3)]
    bench.take(*batches)
    assert _states(bench) == [("open", None, False)]
    bench.chain.restart()
    bench.take(bench.chain.seal())
    assert _states(bench) == [("closed", 3, True), ("open", None, False)]
    assert bench.store.cases.held("house-1") == 0


def test_an_epoch_is_pending_until_its_first_batch_comes(bench: Bench) -> None:
    """It is stored and acknowledged meanwhile, and lifts by itself."""
    first, second = bench.chain.seal(), bench.chain.seal()
    word = bench.word(bench.take(second))
    assert [(each.first, each.last) for each in word.stored] == [(2, 2)]
    assert _states(bench) == [("pending", None, False)]
    assert [row.held for row in bench.store.readings.all()] == [("pending",)]
    assert bench.store.cases.held("house-1") == 1
    bench.take(first)
    assert _states(bench) == [("open", None, False)]
    assert bench.store.cases.held("house-1") == 0
    assert [row.held for row in bench.store.readings.all()] == [(), ()]


def test_a_missing_number_is_a_named_gap_until_it_is_declared_lost(bench: Bench) -> None:
    """The gap stays named; a `lost` record settles it, and completeness with it."""
    chain = bench.chain
    first, _, third = chain.seal(), chain.seal(), chain.seal()
    bench.take(first, third)
    epoch = chain.epoch
    assert bench.states()[epoch].gaps == ((2, 2),)
    chain.restart()
    bench.take(chain.seal())
    assert (bench.states()[epoch].state, bench.states()[epoch].complete) == (State.CLOSED, False)
    bench.take(chain.seal(records=[Lost(WHEN, epoch, 2, 2, "rotten")]))
    assert bench.states()[epoch] == Judged(epoch, State.CLOSED, 3, True, ())


def test_a_parent_that_never_came_is_pending_with_all_of_it_missing(bench: Bench) -> None:
    """What a child says of its parent is named before any batch of the parent comes."""
    chain = bench.chain
    chain.seal()
    chain.seal()
    epoch = chain.epoch
    chain.restart()
    bench.take(chain.seal())
    assert bench.states()[epoch] == Judged(epoch, State.PENDING, 2, False, ((1, 2),))


def test_memory_lost_is_an_orphan_held_until_an_operator_closes_the_case(bench: Bench) -> None:
    """Stored, acknowledged, shown, held; one case for the incident; released by a named person."""
    chain = bench.chain
    bench.take(chain.seal([reading(1)]))
    chain.restart(forget=True)
    outcome = bench.take(chain.seal([reading(2)]))
    bench.take(chain.seal([reading(3)]))
    assert [each.kind for each in outcome.opened] == ["orphan"]
    assert len(bench.store.cases.all()) == 1
    assert bench.states()[chain.epoch].state is State.ORPHAN
    assert [row.held for row in bench.store.readings.all()] == [(), ("orphan",), ("orphan",)]
    close(bench.store, 1, "R. Roe", "buffer replaced", bench.now_ms)
    bench.take(chain.seal([reading(4)]))
    assert [row.held for row in bench.store.readings.all()] == [(), (), (), ()]
    assert bench.store.cases.first_bad_line() is None
    with pytest.raises(NotFoundError):
        close(bench.store, 1, "R. Roe", "again", bench.now_ms)


def test_a_rolled_back_image_breaks_the_parent_and_the_child(bench: Bench) -> None:
    """The child names a number below what is stored: alarm, all kept, held, acknowledged."""
    chain = bench.chain
    bench.take(chain.seal([reading(1)]))
    image = chain.fork(44)
    bench.take(chain.seal([reading(2)]))
    image.restart()
    outcome = bench.take(image.seal([reading(3)]))
    assert {each.state for each in bench.states().values()} == {State.BROKEN}
    assert [each.kind for each in outcome.opened] == ["broken"]
    assert bench.rows() == 3
    assert bench.store.cases.held("house-1") == 3
    assert len(bench.word(outcome).stored) == 2


def test_a_clone_breaks_its_epoch_and_both_branches_are_kept_and_acknowledged(bench: Bench) -> None:
    """One (epoch, number) with two ids: each branch gets a range that its own gateway can walk."""
    chain = bench.chain
    bench.take(chain.seal([reading(1)]))
    clone = chain.fork(45)
    mine, other = [chain.seal([reading(2)]), chain.seal([reading(3)])], [clone.seal([reading(4)])]
    outcome = bench.take(*mine, *other)
    word = bench.word(outcome)
    assert _states(bench) == [("broken", None, False)]
    assert {(each.first, each.last, each.id) for each in word.stored} == {(1, 3, mine[1].id), (1, 2, other[0].id)}
    assert bench.rows() == 4


def test_two_children_of_one_parent_break_all_three(bench: Bench) -> None:
    """A copied state folder: both go on from the same batch."""
    chain = bench.chain
    bench.take(chain.seal())
    copy = chain.fork(46)
    chain.restart()
    copy.restart()
    bench.take(chain.seal())
    assert [each.state for each in bench.states().values()] == [State.CLOSED, State.OPEN]
    bench.take(copy.seal())
    assert {each.state for each in bench.states().values()} == {State.BROKEN}


def test_no_more_than_16_branches_are_kept_for_one_number(bench: Bench) -> None:
    """The seventeenth is refused by name and stays at its gateway."""
    chain = bench.chain
    bench.take(chain.seal())
    forks = [chain.fork(100 + number).seal() for number in range(17)]
    outcome = bench.take(*forks)
    assert outcome.stored == 16
    assert [each.code for each in outcome.refusals["house-1"]] == ["over-quota"]


def test_a_configuration_that_is_not_approved_is_held_until_an_operator_approves_it(bench: Bench) -> None:
    """Closing the case approves it for what comes later as well."""
    chain = bench.chain
    chain.config = bytes(32)
    outcome = bench.take(chain.seal([reading(1)]))
    assert [each.kind for each in outcome.opened] == ["config"]
    assert [row.held for row in bench.store.readings.all()] == [("config",)]
    close(bench.store, 1, "R. Roe", "new meter", bench.now_ms)
    assert bench.take(chain.seal([reading(2)])).opened == []
    assert [row.held for row in bench.store.readings.all()] == [(), ()]


def test_code_older_than_its_parents_is_held(bench: Bench) -> None:
    """An update that was taken back is shown; 0.10 is newer than 0.9."""
    chain = bench.chain
    chain.core = "0.9.0"
    bench.take(chain.seal())
    chain.restart()
    chain.core = "0.10.0"
    assert bench.take(chain.seal()).opened == []
    chain.restart()
    chain.core = "0.9.9"
    assert [each.kind for each in bench.take(chain.seal()).opened] == ["core-older"]


LATE = Unsealed(When(NOW_MS, 1, TimeQuality(True, 1)), pack(SealedReading.of(reading(7)).to_wire()), None)


@pytest.mark.parametrize(("record", "name"), [(OtherRecord(5, (5, b"x")), "vouched"), (LATE, "unsealed")])
def test_vouched_and_unsealed_records_hold_their_batch(bench: Bench, record: Record, name: str) -> None:
    """What was not under the seal from the start waits for a person."""
    outcome = bench.take(bench.chain.seal([reading(1)], [record]))
    assert [each.kind for each in outcome.opened] == [name]
    assert [row.held for row in bench.store.readings.all()] == [(name,)]


def _story(seed: int) -> list[Batch]:
    """Restarts, lost memory, clones and roll-backs of one gateway, as its batches."""
    rng = random.Random(seed)
    chain = Chain("house-1", seed)
    machines, sealed = [chain], list[Batch]()
    for _ in range(14):
        machine = rng.choice(machines)
        match rng.randrange(8):
            case 0:
                machine.restart(forget=rng.random() < 0.3)
            case 1 if len(machines) < 3:
                machines.append(machine.fork(rng.randrange(10**6)))
            case _:
                batch = machine.seal()
                if rng.random() < 0.85:
                    sealed.append(batch)
    return sealed


@given(seed=st.integers(0, 400), order=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_order_of_arrival_gives_the_same_states(
    tmp_path_factory: pytest.TempPathFactory, seed: int, order: random.Random
) -> None:
    """States, ends, gaps and completeness depend on what came, never on when."""
    sealed = _story(seed)
    shuffled = sealed.copy()
    order.shuffle(shuffled)
    folder: Path = tmp_path_factory.mktemp("order")
    seen = []
    for name, batches in (("a", sealed), ("b", shuffled)):
        store = SqliteStore.open(folder / name)
        with store.transaction():
            for batch in batches:
                store.evidence.put(batch, 1)
        seen.append(judge(store.evidence.facts("house-1")))
        store.close()
    assert seen[0].epochs == seen[1].epochs
    assert set(seen[0].incidents) == set(seen[1].incidents)


def test_a_number_beyond_the_closed_end_breaks_the_epoch() -> None:
    """Whether the child or the batch beyond it came first."""
    start = Start(b"a", None, 1, "1")
    child = Start(b"c", Parent(b"p", 2), 2, "1")
    judged = judge([Facts(b"p", (start,), ((1, 3),)), Facts(b"q", (child,), ((1, 1),))])
    assert [each.state for each in judged.epochs.values()] == [State.BROKEN, State.BROKEN]
