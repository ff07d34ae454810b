"""Evidence first: what is authentic is stored whatever its body is, what is not is only counted."""

from __future__ import annotations

from chain import Bench, Chain, reading
from cryptography.hazmat.primitives.asymmetric import ec

from collector import report
from protocols.reading import TimeQuality
from protocols.uplink.keys import SigningKey
from protocols.uplink.leaf import SealedReading
from protocols.uplink.pack import pack
from protocols.uplink.records import Unsealed, When


def test_a_batch_is_stored_decoded_and_acknowledged(bench: Bench) -> None:
    """The main path: receive, verify, store, decode, acknowledge."""
    batch = bench.chain.seal([reading(1), reading(2)])
    outcome = bench.take(batch)
    word = bench.word(outcome)
    assert bench.rows() == 2
    assert [(each.epoch, each.first, each.last, each.id) for each in word.stored] == [
        (batch.header.epoch, 1, 1, batch.id)
    ]
    assert word.safe == ()


def test_ten_thousand_replays_change_nothing(bench: Bench) -> None:
    """A batch that comes again adds no row and is counted."""
    batch = bench.chain.seal()
    packet = bench.packet(batch)
    bench.feed(packet)
    for _ in range(100):
        bench.feed(*[packet] * 100)
    assert bench.rows() == 1
    assert bench.store.ring.counters()["house-1", "replayed"] == 10_000


def test_another_gateways_seal_under_this_topic_is_refused(bench: Bench) -> None:
    """Signer and topic must be the same, whatever the broker let through."""
    foreign = bench.chains["house-2"].seal()
    outcome = bench.feed(bench.packet(foreign, "house-1"), gateway="house-1")
    assert outcome.stored == 0
    assert outcome.refused == {("house-1", "PLB-X104"): 1}


def test_an_unknown_key_is_named_as_refused_and_not_stored(bench: Bench) -> None:
    """The gateway keeps what it sealed with a key that was never registered."""
    stranger = Chain("house-1", 9)
    stranger.box = bench.chain.box
    batch = stranger.seal()
    word = bench.word(bench.take(batch))
    assert [(each.id, each.code) for each in word.refused] == [(batch.id, "unknown-key")]
    assert word.stored == ()


def test_a_gateway_with_a_secure_elements_key_is_verified_by_its_algorithm(bench: Bench) -> None:
    """P-256: the algorithm belongs to the registered key, never to the message."""
    chain = Chain("house-3", 7, key=SigningKey(ec.generate_private_key(ec.SECP256R1())))
    bench.chains[chain.name] = chain
    with bench.store.transaction():
        bench.store.gateways.add(chain.name, chain.box.public, chain.key.public, bench.now_ms)
        bench.store.gateways.approve(chain.name, chain.config, bench.now_ms)
    bench.restart()
    batch = chain.seal()
    assert [each.id for each in bench.word(bench.take(batch), "house-3").stored] == [batch.id]


def test_a_retired_key_still_settles_what_it_sealed(bench: Bench) -> None:
    """Retired is not revoked: what waits in the buffer under the old key is taken."""
    bench.store.gateways.set_key_state("house-1", bench.chain.key.public.id, "retired")
    bench.restart()
    assert bench.take(bench.chain.seal()).stored == 1


def test_one_gateways_flood_of_refusals_leaves_the_others_word_alone(bench: Bench) -> None:
    """A refusal is counted for its gateway; the neighbour's batch is stored in the same group."""
    stranger = Chain("house-1", 9)
    batch = bench.chains["house-2"].seal()
    outcome = bench.take(*(stranger.seal() for _ in range(40)), batch)
    assert outcome.stored == 1
    assert len(bench.word(outcome, "house-1").refused) == 16


def test_a_reading_that_was_sealed_late_is_shown_and_held(bench: Bench) -> None:
    """G12: an `unsealed` record is stored, acknowledged and no reading to bill; a case asks the operator."""
    late = SealedReading.of(reading(3))
    when = When(bench.now_ms, 1, TimeQuality(True, 1))
    sealed = bench.chain.seal(records=[Unsealed(when, pack(late.to_wire()), None)])
    outcome = bench.take(sealed)
    assert (outcome.stored, outcome.undecoded, bench.rows()) == (1, 0, 0)
    assert [case.kind for case in outcome.opened] == ["unsealed"]
    assert bench.word(outcome).stored[0].id == sealed.id
    (shown,) = report.events(bench.store, None)
    assert (shown["record"], shown["kind"], shown["device"]) == ("unsealed", "unsealed", "heat")
