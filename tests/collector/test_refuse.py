"""What is not authentic goes to the bounded ring, is counted and never stored."""

from __future__ import annotations

import zlib

import pytest
from chain import Bench, Chain, reading

from protocols.uplink import batch as batches
from protocols.uplink import limits
from protocols.uplink.batch import KIND
from protocols.uplink.envelope import Codec, Content, close
from protocols.uplink.pack import pack

STEP = 29  # every so many bits of the packet are tried, a prime: all bit numbers come up


def test_every_flipped_bit_of_a_packet_is_refused_and_the_neighbours_are_stored(bench: Bench) -> None:
    """One bit anywhere in the packet: refused with a named error, counted, and nothing else is touched."""
    packet = bench.packet(bench.chain.seal([reading(1)]))
    flipped = []
    for bit in range(0, len(packet) * 8, STEP):
        octets = bytearray(packet)
        octets[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(octets))
    before, after = bench.chain.seal([reading(2)]), bench.chain.seal([reading(3)])
    outcome = bench.feed(bench.packet(before), *flipped, bench.packet(after))
    assert outcome.stored == 2
    assert sum(outcome.refused.values()) == len(flipped)
    assert all(code.startswith("PLB-") and code != "PLB-B301" for _, code in outcome.refused)
    assert bench.rows() == 2


def test_the_ring_keeps_the_newest_and_counts_all(bench: Bench) -> None:
    """A flood of refused messages does not grow the store."""
    bench.feed(*(b"noise %d" % number for number in range(350)))
    kept = bench.store.ring.kept()
    assert len(kept) == 100
    assert kept[-1][1].head == b"noise 349"
    assert sum(v for (_, name), v in bench.store.ring.counters().items() if name.startswith("refused")) == 350


def test_an_unregistered_gateway_adds_no_counter_of_its_own(bench: Bench) -> None:
    """Invented names do not grow the store."""
    for number in range(5):
        bench.feed(b"x", gateway=f"invented-{number}")
    assert [key for key in bench.store.ring.counters() if key[0] != ""] == []


def test_a_packet_over_the_limit_is_refused_before_it_is_opened(bench: Bench) -> None:
    """Size comes first."""
    outcome = bench.feed(bytes(limits.PACKET + 1))
    assert outcome.refused == {("house-1", "PLB-P103"): 1}


def _bombs(chain: Chain) -> dict[str, Content]:
    """Contents that would cost much if they were expanded before they are checked."""
    head = chain.seal_body(pack([bytes(32), [], [], [], [], []])).content
    zeros = zlib.compress(bytes(64 * 1024 * 1024), 9)
    return {
        "zlib": Content(head.header, head.signature, Codec.DEFLATE, zeros),
        "not deflated": Content(head.header, head.signature, Codec.DEFLATE, b"\x00" * 100),
        "another body": Content(head.header, head.signature, Codec.PLAIN, b"other"),
    }


@pytest.mark.parametrize("name", ["zlib", "not deflated", "another body"])
def test_a_body_that_its_header_does_not_name_is_not_authentic(bench: Bench, name: str) -> None:
    """A mismatch of the body is refused and counted; it is never evidence and never acknowledged."""
    content = _bombs(bench.chain)[name]
    outcome = bench.feed(close(content, KIND, "house-1", bench.box.public))
    assert outcome.refused == {("house-1", "PLB-X102"): 1}
    assert outcome.due == set()
    assert bench.store.evidence.counts("house-1") == {"decoded": 0, "undecoded": 0}


def test_an_altered_body_of_the_same_length_is_not_authentic(bench: Bench) -> None:
    """Header and signature hold, the length is right, one byte of the body is not: its hash alone tells."""
    sealed = bench.chain.seal([reading(1)])
    body = bytearray(batches.verify(sealed, bench.chain.key.public))
    body[-1] ^= 1
    content = Content(sealed.content.header, sealed.content.signature, Codec.PLAIN, bytes(body))
    outcome = bench.feed(close(content, KIND, "house-1", bench.box.public))
    assert outcome.refused == {("house-1", "PLB-X102"): 1}
    assert (outcome.due, bench.rows()) == (set(), 0)
    assert bench.store.evidence.counts("house-1") == {"decoded": 0, "undecoded": 0}


def test_a_header_that_names_another_gateway_than_topic_and_key_is_refused(bench: Bench) -> None:
    """House-1 seals with its own key for house-2, and publishes on its own topic: nothing is stored for either."""
    impostor = Chain("house-2", 5, bench.chain.key, bench.chain.box)
    sealed = impostor.seal([reading(1)])
    outcome = bench.feed(close(sealed.content, KIND, "house-1", bench.box.public), gateway="house-1")
    assert outcome.refused == {("house-1", "PLB-X104"): 1}
    assert (outcome.stored, outcome.due, bench.rows()) == (0, set(), 0)


@pytest.mark.parametrize("kind", ["batch", "hello"])
def test_a_neighbours_seal_on_this_gateways_topic_is_refused_and_not_named_to_it(bench: Bench, kind: str) -> None:
    """Gateway A's topic with B's seal: somebody publishes for another, and A's buffer has nothing to do with it."""
    other = bench.chains["house-2"]
    content = other.seal([reading(1)]).content if kind == "batch" else other.hello()
    outcome = bench.feed(close(content, kind, "house-1", bench.box.public), gateway="house-1", kind=kind)
    assert outcome.refused == {("house-1", "PLB-X104"): 1}
    assert (outcome.stored, outcome.due, outcome.refusals) == (0, set(), {})


@pytest.mark.parametrize(
    "plain",
    [b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 5_000, b"\xdf\xff\xff\xff\xff", b"\x81\x01\x02"],
)
def test_msgpack_bombs_are_refused_with_a_named_error(bench: Bench, plain: bytes) -> None:
    """Lengths of gigabytes, deep nesting and maps, sealed to our box and outside of it."""
    padded = plain + bytes(-len(plain) % limits.PADDING)
    box = bench.box.public
    packet = pack([1, box.id, box.seal(padded, b"plomba/1/batch/house-1")])
    outcome = bench.feed(plain, packet)
    assert sum(outcome.refused.values()) == 2
    assert all(code.startswith("PLB-P10") for _, code in outcome.refused)


def test_a_bad_seal_and_a_revoked_key_are_named_to_the_gateway(bench: Bench) -> None:
    """The gateway learns why its batch is not stored; it keeps it."""
    chain = bench.chain
    batch = chain.seal()
    content = Content(batch.content.header, bytes(64), batch.content.codec, batch.content.body)
    bad = bench.feed(close(content, KIND, "house-1", bench.box.public))
    bench.store.gateways.set_key_state("house-1", chain.key.public.id, "revoked")
    bench.restart()
    revoked = bench.take(batch)
    assert [(each.id, each.code) for each in bad.refusals["house-1"]] == [(batch.id, "bad-seal")]
    assert [(each.id, each.code) for each in revoked.refusals["house-1"]] == [(batch.id, "revoked")]
    assert bench.rows() == 0


def test_a_status_is_shown_and_nothing_else(bench: Bench) -> None:
    """The last will is unsigned: it is displayed, without control characters, and proves nothing."""
    outcome = bench.feed(b"gone\x1b[2J", kind="status")
    assert outcome.due == set()
    assert bench.store.gateways.contacts()[0].status == "gone?[2J"
    assert bench.store.gateways.contacts()[0].contact_ms is None


def test_a_hello_signed_by_another_gateway_is_refused(bench: Bench) -> None:
    """Signer and topic must be the same for hellos too."""
    foreign = bench.chains["house-2"].hello()
    outcome = bench.greet(foreign, "house-1")
    assert outcome.hellos == {}

    assert outcome.refused == {("house-1", "PLB-X104"): 1}
