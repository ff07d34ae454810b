"""The contract's vectors: known answers, must-refuse cases, and a second reader that agrees."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

import make_vectors
import pytest
import refusals
import samples as s
import witness

from protocols.errors import PlombaError
from protocols.uplink import (
    acknowledgement,
    body,
    columns,
    envelope,
    header,
    hello,
    limits,
    pack,
    proof,
    request,
    trust,
)
from protocols.uplink import batch as batches

VECTORS = pathlib.Path(__file__).parent / "vectors"
RING = proof.Keyring(
    {s.SEALING.public.id: (s.GATEWAY, s.SEALING.public)}, {s.SEAL.public.id: (s.COLLECTOR, s.SEAL.public)}
)
READERS: dict[str, Callable[[bytes], object]] = {
    "form": lambda octets: pack.unpack(octets, limits.BODY, "form"),
    "header": header.Header.from_bytes,
    "body": body.expand,
    "column": lambda octets: columns.decode(pack.unpack(octets, limits.BODY, "column"), 3, "column"),
    "hello": hello.Hello.from_bytes,
    "ack": acknowledgement.Acknowledgement.from_bytes,
    "file": lambda octets: proof.check(octets, RING),
}


def load(name: str) -> Any:
    """One file of vectors."""
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


REFUSE: dict[str, tuple[str, str, list[tuple[str, int]]]] = load("refuse")


@pytest.mark.parametrize("name", ["keys", "batches", "files", "messages", "refuse"])
def test_making_the_vectors_again_changes_nothing(name: str) -> None:
    """A change of the wire form shows here before it shows in the field."""
    made = json.loads(json.dumps(make_vectors.deterministic()[name]))
    assert made == load(name)


@pytest.mark.parametrize("name", sorted(REFUSE))
def test_each_broken_rule_is_refused_with_its_named_error(name: str) -> None:
    """The readers of both sides are these: what one refuses, both refuse."""
    reader, code, parts = REFUSE[name]
    with pytest.raises(PlombaError) as caught:
        READERS[reader](refusals.octets_of(parts))
    assert caught.value.code == code, str(caught.value)


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_second_reader_finds_the_same_leaves_hashes_and_root(which: str) -> None:
    """The witness knows only docs/uplink.md."""
    case, key = load("batches")[which], load("keys")["gateway sealing"]
    octets, content = bytes.fromhex(case["header"]), bytes.fromhex(case["body"])
    witness.verify(1, bytes.fromhex(key["public"]), "batch", octets, bytes.fromhex(case["signature"]))
    fields = witness.read(octets)
    assert isinstance(fields, list)
    assert hashlib.sha256(content).digest() == fields[14]
    assert len(content) == fields[13]
    found = witness.leaves(content)
    body_fields = witness.read(content)
    assert isinstance(body_fields, list)
    assert isinstance(body_fields[0], bytes)
    salts = witness.salts(body_fields[0], len(found))
    hashes = [witness.leaf_hash(salt, leaf) for salt, leaf in zip(salts, found, strict=True)]
    assert [leaf.hex() for leaf in found] == case["leaves"]
    assert [each.hex() for each in hashes] == case["leaf_hashes"]
    assert witness.tree(hashes) == fields[12] == bytes.fromhex(case["root"])
    assert hashlib.sha256(octets).hexdigest() == case["id"]


def test_a_second_reader_follows_each_proof_to_the_root() -> None:
    """Path, statement and both signatures, without the product's code."""
    case, keys = load("files"), load("keys")
    hashes = [bytes.fromhex(each) for each in load("batches")["first"]["leaf_hashes"]]
    for index, digits in enumerate(case["proofs"]):
        wire: Any = witness.read(bytes.fromhex(digits))
        name, octets, signature, shown, salt, leaf, path, statement, word = wire
        assert (name, shown) == ("plomba/1/proof", index)
        assert witness.leaf_hash(salt, leaf) == hashes[index]
        assert path == witness.path(hashes, index)
        witness.verify(1, bytes.fromhex(keys["gateway sealing"]["public"]), "batch", octets, signature)
        witness.verify(1, bytes.fromhex(keys["collector seal"]["public"]), "statement", statement, word)


def test_a_second_reader_opens_every_packet() -> None:
    """HPKE by its own key schedule, the padding, and the content."""
    keys = load("keys")
    for kind, digits in load("packets").items():
        wire: Any = witness.read(bytes.fromhex(digits))
        version, name, box = wire
        receiver = keys["gateway box" if kind == "ack" else "collector box"]
        assert (version, name.hex()) == (1, receiver["id"])
        info = f"plomba/1/{kind}/{s.GATEWAY}".encode()
        plain = witness.open_box(bytes.fromhex(receiver["private"]), box, info)
        assert len(plain) % 64 == 0
        content: Any = witness.read(plain)
        assert not any(content[4])
        signer = "collector ack" if kind == "ack" else "gateway sealing"
        witness.verify(1, bytes.fromhex(keys[signer]["public"]), kind, content[0], content[1])


def test_our_reader_opens_what_the_second_one_seals() -> None:
    """The other direction, with an ephemeral key of its own."""
    box = witness.seal_box(witness.opening(bytes(range(32)), s.COLLECTOR_BOX.public.octets, b"info"), b"plain")
    assert s.COLLECTOR_BOX.open(box, b"info") == b"plain"


def test_our_reader_opens_every_packet() -> None:
    """The same packets, by the product."""
    messages = load("messages")
    for kind, digits in load("packets").items():
        box = s.GATEWAY_BOX if kind == "ack" else s.COLLECTOR_BOX
        content = envelope.open_envelope(bytes.fromhex(digits), kind, s.GATEWAY, {box.public.id: box})
        if kind == "batch":
            batch = batches.parse(content)
            batches.expand(batch.header, batches.verify(batch, s.SEALING.public))
        else:
            assert content.header.hex() == messages[kind]["header"]


def test_a_batch_sealed_by_a_secure_element_verifies_with_both_readers() -> None:
    """P-256: signature r and s, 32 bytes each."""
    case, key = load("p256"), load("keys")["gateway sealing in a secure element"]
    octets, signature = bytes.fromhex(case["header"]), bytes.fromhex(case["signature"])
    s.SEALING_P256.public.verify("batch", octets, signature)
    witness.verify(2, bytes.fromhex(key["public"]), "batch", octets, signature)


def test_small_messages_read_back_as_they_were_made() -> None:
    """Hello, acknowledgement, trust document and request survive their own bytes."""
    messages = load("messages")
    for kind, reader in (("hello", hello.Hello), ("ack", acknowledgement.Acknowledgement)):
        octets = bytes.fromhex(messages[kind]["header"])
        assert reader.from_bytes(octets).to_bytes() == octets
    assert trust.read(bytes.fromhex(messages["trust"]["file"])) == make_vectors.trust_document()
    assert request.read(bytes.fromhex(messages["request"]["file"])).gateway == s.GATEWAY


def test_an_erased_batch_verifies_and_holds_neither_secret_nor_erased_leaf() -> None:
    """What the law takes is gone, the seal over the rest still holds."""
    case = load("files")
    erased, batch = bytes.fromhex(case["erased"]), load("batches")["first"]
    shown = {index for index, _ in proof.check(erased, RING).leaves}
    assert shown == set(range(len(batch["leaves"]))) - set(case["erased_leaves"])
    assert s.digest("secret 1") not in erased
    for index in case["erased_leaves"]:
        assert bytes.fromhex(batch["leaves"][index]) not in erased


def test_every_exported_form_is_found_altered_whichever_bit_is_flipped() -> None:
    """All bits of a batch, a proof and an erased batch."""
    case = load("files")
    for digits in (case["batch"], case["proofs"][0], case["erased"]):
        whole = bytes.fromhex(digits)
        proof.check(whole, RING)
        for bit in range(len(whole) * 8):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(PlombaError):
                proof.check(bytes(flipped), RING)
