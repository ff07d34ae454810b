"""What acknowledgements may and may not change: nothing forged, altered, foreign or old frees a batch."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from gateway_parts import COLLECTOR, GATEWAY, Centre, Rig
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chain import Chain, Entry, Mark
from gateway.faults import WrongCollector
from gateway.marks import NO_ORDER, Change, Order, accept, change
from protocols.errors import PlombaError
from protocols.uplink.acknowledgement import Acknowledgement, Refusal
from protocols.uplink.faults import StaleError
from protocols.uplink.keys import BoxKey, SigningKey
from protocols.uplink.ranges import Range

EPOCH, OTHER = b"e" * 16, b"o" * 16


def name(seq: int, epoch: bytes = EPOCH) -> bytes:
    return epoch + seq.to_bytes(16, "big")


def chain_of(count: int, missing: frozenset[int] = frozenset(), epoch: bytes = EPOCH) -> Chain:
    entries = [
        Entry(n, name(n, epoch), epoch, n, name(n - 1, epoch) if n > 1 else None, 0, 100)
        for n in range(1, count + 1)
        if n not in missing
    ]
    return Chain(entries)


def acknowledged(
    chain: Chain,
    stored: tuple[Range, ...] = (),
    safe: tuple[Range, ...] = (),
    *,
    order: Order = (1, 2),
    last: Order = (1, 1),
    nonce: bytes | None = None,
    asked: bytes | None = None,
    listed: tuple[Range, ...] = (),
    refused: tuple[Refusal, ...] = (),
) -> Change:
    ack = Acknowledgement(COLLECTOR, GATEWAY, *order, nonce, 0, stored, safe, refused, 16, 1, (1,), None)
    found = change(ack, chain, EPOCH, last, asked, listed)
    chain.set_marks(found.marks, found.refused)
    return found


def upto(first: int, last: int, epoch: bytes = EPOCH) -> Range:
    return Range(epoch, first, last, name(last, epoch))


def marked(chain: Chain) -> dict[int, Mark]:
    return {entry.seq: chain.mark_of(entry.id) for entry in chain.entries() if chain.mark_of(entry.id)}


def test_a_range_marks_what_prev_reaches_and_ends_at_a_hole() -> None:
    """Batch 4 is gone: of 2..7 only 5..7 are reached."""
    chain = chain_of(9, frozenset({4}))
    acknowledged(chain, (upto(2, 7),))
    assert marked(chain) == dict.fromkeys((5, 6, 7), Mark.STORED)


def test_a_range_with_an_id_that_is_not_ours_marks_nothing() -> None:
    """The numbers alone say nothing."""
    chain = chain_of(5)
    acknowledged(chain, (Range(EPOCH, 1, 9, b"x" * 32),))
    assert marked(chain) == {}


@pytest.mark.parametrize("found", [Range(EPOCH, 1, 3, name(5)), Range(OTHER, 1, 5, name(5))])
def test_id_epoch_and_number_must_all_match(found: Range) -> None:
    """Our own id at another place is not ours."""
    chain = chain_of(5)
    acknowledged(chain, (found,), (found,))
    assert marked(chain) == {}


def test_a_mark_only_grows_while_no_hello_asks() -> None:
    """An acknowledgement that does not name a batch takes nothing back."""
    chain = chain_of(5)
    acknowledged(chain, safe=(upto(1, 3),))
    acknowledged(chain, (upto(1, 5),))
    assert marked(chain) == {1: Mark.SAFE, 2: Mark.SAFE, 3: Mark.SAFE, 4: Mark.STORED, 5: Mark.STORED}


def test_the_answer_to_our_hello_replaces_the_marks_of_what_it_listed() -> None:
    """What was listed and is not confirmed is unmarked and named; what was not listed keeps its mark."""
    chain = chain_of(6)
    acknowledged(chain, safe=(upto(1, 6),))
    found = acknowledged(chain, (upto(1, 2),), nonce=b"n" * 16, asked=b"n" * 16, listed=(upto(1, 4),))
    assert marked(chain) == {1: Mark.STORED, 2: Mark.STORED, 5: Mark.SAFE, 6: Mark.SAFE}
    assert {chain.get(batch).seq for batch in found.taken_back if chain.get(batch)} == {1, 2, 3, 4}  # type: ignore[union-attr]


def test_an_answer_to_an_older_hello_replaces_nothing() -> None:
    """Only the latest nonce counts."""
    chain = chain_of(3)
    acknowledged(chain, safe=(upto(1, 3),))
    found = acknowledged(chain, nonce=b"o" * 16, asked=b"n" * 16, listed=(upto(1, 3),))
    assert not found.answered
    assert len(marked(chain)) == 3


def test_a_higher_generation_clears_all_marks() -> None:
    """A restored collector starts from what it says itself."""
    chain = chain_of(4)
    acknowledged(chain, safe=(upto(1, 4),))
    found = acknowledged(chain, (upto(1, 1),), order=(2, 1), last=(1, 9))
    assert found.cleared
    assert marked(chain) == {1: Mark.STORED}
    assert [entry.seq for entry in chain.unstored()] == [2, 3, 4]


@pytest.mark.parametrize("last", [3, 9])
def test_another_id_at_our_place_or_beyond_our_end_contradicts(last: int) -> None:
    """Somebody continues our epoch: a clone, or we were rolled back."""
    assert acknowledged(chain_of(5), (Range(EPOCH, 1, last, b"x" * 32),)).contradicts


def test_another_epoch_never_contradicts() -> None:
    """Old epochs are the collector's to judge."""
    assert not acknowledged(chain_of(5), (Range(OTHER, 1, 99, b"x" * 32),)).contradicts


def test_a_refusal_is_kept_until_the_batch_is_stored() -> None:
    """And one with another id is not ours."""
    chain = chain_of(2)
    refusals = (Refusal(EPOCH, 1, name(1), "revoked"), Refusal(EPOCH, 2, b"x" * 32, "revoked"))
    acknowledged(chain, refused=refusals)
    assert chain.refusals() == {name(1): "revoked"}
    acknowledged(chain, (upto(1, 1),))
    assert chain.refusals() == {}


def test_forged_altered_foreign_and_old_acknowledgements_free_nothing(tmp_path: Path) -> None:
    """Ten thousand of them, all naming every batch as safe: each is refused by name, none is used."""
    rig, box = Rig(tmp_path), BoxKey.generate()
    asyncio.run(rig.seal(5))
    centre, stranger, dice = Centre(box), SigningKey.generate(), random.Random(1)
    good = centre.say(safe=[rig.all()])
    last = accept(good, GATEWAY, box, centre.trust, NO_ORDER).ack.order
    for turn in range(10_000):
        kind = turn % 4
        packet = bytearray(good)
        if kind == 0:  # forged: another key
            packet = bytearray(centre.say(safe=[rig.all()], key=stranger))
        elif kind == 1:  # altered: one bit
            packet[dice.randrange(len(packet))] ^= 1 << dice.randrange(8)
        elif kind == 2:  # foreign: another gateway's, sealed to us all the same
            packet = bytearray(centre.say(safe=[rig.all()], collector="other"))
        with pytest.raises(PlombaError):
            accept(bytes(packet), GATEWAY, box, centre.trust, last)
    assert rig.chain.marked() == {}


def test_an_old_acknowledgement_is_stale_and_a_foreign_one_is_named() -> None:
    """The two faults that a valid signature does not exclude."""
    box = BoxKey.generate()
    centre = Centre(box)
    packet = centre.say()
    with pytest.raises(StaleError):
        accept(packet, GATEWAY, box, centre.trust, (1, 1))
    with pytest.raises(WrongCollector):
        accept(centre.say(collector="other"), GATEWAY, box, centre.trust, (1, 1))


ranges = st.builds(
    lambda epoch, one, two, ours: Range(
        epoch, min(one, two), max(one, two), name(max(one, two), epoch) if ours else b"x" * 32
    ),
    st.sampled_from([EPOCH, OTHER]),
    st.integers(1, 15),
    st.integers(1, 15),
    st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.lists(ranges, max_size=4), st.lists(ranges, max_size=4)), max_size=6))
def test_whatever_is_acknowledged_only_what_was_named_by_its_own_chain_is_marked(
    said: list[tuple[list[Range], list[Range]]],
) -> None:
    """Every mark has a range with an id of ours at or above the batch, in its epoch."""
    chain = chain_of(12, frozenset({6}))
    for stored, safe in said:
        acknowledged(chain, tuple(stored), tuple(safe))
    named = [each for pair in said for part in pair for each in part if each.id in chain and each.epoch == EPOCH]
    for seq, mark in marked(chain).items():
        assert any(each.first <= seq <= each.last for each in named), (seq, mark)
