"""What holds for all inputs: round trips, the tree, limits on the sending side, opening what is not ours."""

from __future__ import annotations

import dataclasses
import os
import random

import pytest
import refusals
import samples as s
import witness
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import PlombaError
from protocols.reading import MeterTime, Precision, Raw, Reading, Scaled, State, Text, Value
from protocols.uplink import batch as batches
from protocols.uplink import body, columns, envelope, limits, merkle, proof, topics, trust
from protocols.uplink.faults import BodyHashError, BoxError, FieldError, FormError, LimitError, ProofError, StaleError
from protocols.uplink.keys import Algorithm, PublicKey
from protocols.uplink.leaf import SealedReading, time_code, time_of
from protocols.uplink.pack import pack


@given(st.lists(st.integers(-(2**62), 2**62 - 1), max_size=200) | st.lists(st.sampled_from([0, 1, 900]), max_size=200))
def test_a_column_gives_back_what_went_in(values: list[int]) -> None:
    """Whichever form the encoder chose."""
    assert columns.decode(columns.encode(values), len(values), "column") == values


@pytest.mark.parametrize("count", [*range(1, 34), 100, 255, 256, 257])
def test_root_and_paths_are_those_of_rfc_9162(count: int) -> None:
    """Beside the recursive definition; each path proves its own leaf only."""
    leaves = [s.digest(f"leaf {i}") for i in range(count)]
    root = merkle.root(leaves)
    assert root == witness.tree(leaves)
    for index in {0, 1, count // 2, count - 1} & set(range(count)):
        steps = merkle.path(leaves, index)
        assert steps == witness.path(leaves, index)
        merkle.check_path(leaves[index], index, count, steps, root)
        for wrong in (steps[1:], [*steps, root], steps[:-1]) if steps else ([root],):
            with pytest.raises(ProofError):
                merkle.check_path(leaves[index], index, count, wrong, root)
        with pytest.raises(ProofError):
            merkle.check_path(leaves[index], index + 1, count, steps, root)


@given(st.integers(1, 40), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_readings_come_out_of_a_body_as_they_went_in(count: int, rng: random.Random) -> None:
    """Any mixture of meters, with registers that come and go, in block order."""
    readings = [rng.choice([s.heat, s.mixed])(rng.choice([0, 1])) for _ in range(count)]
    readings = [dataclasses.replace(r, values=tuple(rng.sample(r.values, len(r.values) - 1))) for r in readings]
    octets = body.encode(readings, s.all_records(), s.digest("secret"))
    expanded = body.expand(octets)
    assert body.tree(octets) == (len(expanded.leaves), expanded.root())
    assert list(expanded.leaves[:count]) == [pack(each.to_wire()) for each in expanded.readings]
    assert sorted(map(_bare, expanded.readings), key=repr) == sorted(
        map(_bare, map(SealedReading.of, readings)), key=repr
    )
    assert list(expanded.records) == s.all_records()


@pytest.mark.parametrize("name", [[], [0], b"plomba/1/batch", None, 7])
def test_a_file_whose_form_is_no_text_is_refused(name: object) -> None:
    """Found by the fuzz harness: an array cannot be looked up."""
    with pytest.raises(FieldError, match="plomba/1/batch"):
        proof.check(pack([name, b"", b"", b""]), proof.Keyring({}, {}))


@pytest.mark.parametrize(
    ("algorithm", "octets"), [(3, bytes(32)), (3, b"\1" + bytes(31)), (2, b"\4" + bytes(63) + b"\1"), (2, bytes(65))]
)
def test_a_public_key_with_which_nothing_can_be_done_is_refused(algorithm: int, octets: bytes) -> None:
    """In a request it would be registered, and stop every acknowledgement to come; found by the fuzz harness."""
    with pytest.raises(FieldError, match="a usable public key"):
        trust.key_from_wire([algorithm, octets])
    with pytest.raises(BoxError):
        PublicKey(Algorithm(algorithm), octets).seal(b"", b"")


def _bare(reading: SealedReading) -> SealedReading:
    """A reading with its values in a fixed order: a source has one order of registers for all its rows."""
    return dataclasses.replace(reading, values=tuple(sorted(reading.values, key=repr)))


def _sealed(readings: list[Reading]) -> batches.Batch:
    place = batches.Place(s.GATEWAY, s.epoch("a"), 1, None, None)
    return batches.seal(readings, [], place, s.circumstances(), s.SEALING, s.digest("secret"))


def _with(*values: Value) -> Reading:
    return dataclasses.replace(s.heat(0), values=values)


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("65 registers", _with(*(Value(s.key("06", storage=i), "Wh", Scaled(1), State.OK) for i in range(65)))),
        ("a text of 129 bytes", _with(Value(s.key("fd11"), "", Text("x" * 129), State.OK))),
        ("raw octets of 257 bytes", _with(Value(s.key("fd11"), "", Raw(b"x" * 257), State.OK))),
    ],
)
def test_the_gateway_refuses_to_seal_over_a_limit(name: str, reading: Reading) -> None:
    """The same limits as at the collector, with the same named error, before anything is signed."""
    with pytest.raises(LimitError):
        _sealed([reading])


def test_the_gateway_refuses_to_seal_a_number_without_a_form() -> None:
    """Exponent 13, an integer of 65 bits, a repeated key, a text with NUL, a time outside 2000 to 2100."""
    energy = s.key("06")
    for values in (
        (Value(energy, "Wh", Scaled(1, 13), State.OK),),
        (Value(energy, "Wh", Scaled(1), State.OK), Value(energy, "Wh", Scaled(2), State.OK)),
        (Value(energy, "Wh", Text("a\0b"), State.OK),),
        (Value(energy, "Wh", Scaled(2**63), State.OK),),
    ):
        with pytest.raises((FieldError, FormError, LimitError)):
            _sealed([_with(*values)])
    early = dataclasses.replace(s.heat(0).exchange, at_ms=limits.PAST_MS - 1)
    with pytest.raises(FieldError):
        _sealed([dataclasses.replace(s.heat(0), exchange=early)])


@pytest.mark.parametrize("east_min", [-720, -1, 0, 780, 840])
def test_a_meters_time_keeps_its_offset_from_utc(east_min: int) -> None:
    """From twelve hours behind UTC to fourteen ahead of it."""
    time = MeterTime(86_400, Precision.SECOND, True, east_min)
    assert time_code(time) == 3 + 4 + 8 * (east_min + 721)
    assert time_of(time.seconds, time_code(time)) == time


@pytest.mark.parametrize("east_min", [-722, 841])
def test_an_offset_that_no_place_has_is_refused(east_min: int) -> None:
    """Before anything is stored from it."""
    with pytest.raises(FieldError):
        time_of(86_400, 3 + 8 * (east_min + 721))


def test_the_gateway_refuses_to_seal_too_many_leaves_or_bytes() -> None:
    """4,097 leaves; a body over 1 MiB; one over 256 KiB deflated."""
    with pytest.raises(LimitError):
        _sealed([_with()] * 4_097)
    rng = random.Random(1)
    for size, count in ((65_000, 17), (60_000, 5)):
        kept = [dataclasses.replace(s.exchange(i, keep=True), telegram=rng.randbytes(size)) for i in range(count)]
        with pytest.raises(LimitError):
            _sealed([dataclasses.replace(s.heat(0), exchange=each) for each in kept])


def test_a_box_opens_only_for_its_kind_gateway_and_key() -> None:
    """The info binds a message to its place; a foreign key does not open it."""
    content = s.first_batch().content
    packet = envelope.close(content, "batch", s.GATEWAY, s.COLLECTOR_BOX.public)
    boxes = {s.COLLECTOR_BOX.public.id: s.COLLECTOR_BOX}
    assert envelope.open_envelope(packet, "batch", s.GATEWAY, boxes) == content
    for kind, gateway, ring in (
        ("hello", s.GATEWAY, boxes),
        ("batch", "boiler-room-8", boxes),
        ("batch", s.GATEWAY, {s.GATEWAY_BOX.public.id: s.GATEWAY_BOX}),
        ("batch", s.GATEWAY, {s.COLLECTOR_BOX.public.id: s.GATEWAY_BOX}),
    ):
        with pytest.raises(BoxError):
            envelope.open_envelope(packet, kind, gateway, ring)


def test_every_flipped_bit_of_a_packet_is_refused() -> None:
    """The envelope is authenticated to the last bit."""
    packet = envelope.close(s.second_batch(s.first_batch()).content, "batch", s.GATEWAY, s.COLLECTOR_BOX.public)
    boxes = {s.COLLECTOR_BOX.public.id: s.COLLECTOR_BOX}
    for bit in range(len(packet) * 8):
        flipped = bytearray(packet)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PlombaError):
            envelope.open_envelope(bytes(flipped), "batch", s.GATEWAY, boxes)


def test_a_packet_over_the_limit_is_refused_by_both_sides() -> None:
    """320 KiB and a byte, before anything is decrypted; the sender does not make one."""
    with pytest.raises(LimitError):
        envelope.open_envelope(bytes(limits.PACKET + 1), "batch", s.GATEWAY, {})
    content = envelope.Content(b"h", bytes(64), envelope.Codec.PLAIN, os.urandom(limits.PACKET))
    with pytest.raises(LimitError):
        envelope.close(content, "batch", s.GATEWAY, s.COLLECTOR_BOX.public)


def test_a_deflated_bomb_is_inflated_no_further_than_declared() -> None:
    """64 MiB of zeros behind a header that declares 1 MiB."""
    content = envelope.Content(b"", bytes(64), envelope.Codec.DEFLATE, refusals.deflated_bomb())
    with pytest.raises(BodyHashError):
        envelope.inflate(content, limits.BODY)


@pytest.mark.parametrize("tail", [b"\0", b"more"])
def test_bytes_behind_a_deflated_body_are_refused(tail: bytes) -> None:
    """One body, one coding, nothing behind it."""
    content = s.first_batch().content
    assert content.codec is envelope.Codec.DEFLATE
    longer = dataclasses.replace(content, body=content.body + tail)
    with pytest.raises(BodyHashError):
        envelope.inflate(longer, s.first_batch().header.body_len)


def test_padding_makes_every_plaintext_a_multiple_of_64() -> None:
    """For every length of body, so also where a length field grows by a byte."""
    for size in range(180, 340):
        content = envelope.Content(b"h" * 9, bytes(64), envelope.Codec.PLAIN, bytes(size))
        packet = envelope.close(content, "batch", s.GATEWAY, s.COLLECTOR_BOX.public)
        boxes = {s.COLLECTOR_BOX.public.id: s.COLLECTOR_BOX}
        assert envelope.open_envelope(packet, "batch", s.GATEWAY, boxes).body == bytes(size)


def test_topics_name_their_shard_and_nothing_else_passes() -> None:
    """A topic with another gateway's shard, a foreign kind or a slash too many is refused."""
    topic = topics.up("boiler-room-7", "batch")
    assert topics.parse(topic) == topics.Topic("boiler-room-7", True, "batch")
    assert topics.down("boiler-room-7", "ack").endswith("/down/ack")
    for wrong in (
        topic.replace(topics.shard("boiler-room-7"), "3f" if topics.shard("boiler-room-7") != "3f" else "00"),
        topic + "/x",
        topic.replace("batch", "ack"),
        topic.replace("plomba", "Plomba"),
        topic.replace("boiler-room-7", "BOILER"),
        "",
    ):
        with pytest.raises(FieldError):
            topics.parse(wrong)


def test_a_trust_document_is_followed_forwards_and_never_back() -> None:
    """n+1 names the hash of n and is signed by a trust key of both."""
    import make_vectors  # noqa: PLC0415

    first, other = make_vectors.trust_document(), s.signing("trust, renewed")
    second = dataclasses.replace(first, number=2, previous=first.hash, trusts=(other.public,))
    assert trust.read(trust.sign(second, [s.TRUST, other]), first) == second
    with pytest.raises(StaleError):
        trust.read(trust.sign(first, [s.TRUST]), second)
    with pytest.raises(StaleError):
        trust.read(trust.sign(dataclasses.replace(second, number=3), [s.TRUST, other]), first)
    for signers in ([s.TRUST], [other], [s.signing("a stranger")]):
        with pytest.raises(PlombaError):
            trust.read(trust.sign(second, signers), first)
