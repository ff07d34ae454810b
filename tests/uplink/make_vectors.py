"""Write the known answers and the must-refuse cases: `python tests/uplink/make_vectors.py` from the checkout.

Everything but boxes and P-256 signatures is deterministic, so that a run that changes a file has changed the contract;
the random ones are only made when their file is missing.
"""

from __future__ import annotations

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import refusals  # noqa: E402
import samples as s  # noqa: E402

from protocols.uplink import batch as batches  # noqa: E402
from protocols.uplink import envelope, proof, request, trust  # noqa: E402
from protocols.uplink.acknowledgement import Acknowledgement, Refusal  # noqa: E402
from protocols.uplink.hello import Hello, Signed  # noqa: E402
from protocols.uplink.keys import PublicKey, fingerprint  # noqa: E402
from protocols.uplink.ranges import Range  # noqa: E402

Case = dict[str, object]


def keys() -> Case:
    """Every key of the vectors: phrase, public key, id, fingerprint."""
    named: dict[str, PublicKey] = {
        "gateway sealing": s.SEALING.public,
        "gateway sealing in a secure element": s.SEALING_P256.public,
        "gateway box": s.GATEWAY_BOX.public,
        "collector ack": s.ACK.public,
        "collector seal": s.SEAL.public,
        "collector box": s.COLLECTOR_BOX.public,
        "trust": s.TRUST.public,
    }
    return {
        phrase: {
            "private": s.digest(phrase).hex(),
            "algorithm": int(key.algorithm),
            "public": key.octets.hex(),
            "id": key.id.hex(),
            "fingerprint": fingerprint(key.octets),
        }
        for phrase, key in named.items()
    }


def batch_case(batch: batches.Batch) -> Case:
    """All that is computed of one batch."""
    body = batches.verify(batch, s.SEALING.public)
    expanded = batches.expand(batch.header, body)
    return {
        "header": batch.content.header.hex(),
        "id": batch.id.hex(),
        "signature": batch.content.signature.hex(),
        "body": body.hex(),
        "body_hash": batch.header.body_hash.hex(),
        "leaves": [leaf.hex() for leaf in expanded.leaves],
        "salts": [each.hex() for each in expanded.salts],
        "leaf_hashes": [each.hex() for each in expanded.hashes()],
        "root": expanded.root().hex(),
    }


def files(batch: batches.Batch) -> Case:
    """The three exported forms: the batch, a proof of each kind of leaf, the batch with two leaves erased."""
    body = batches.verify(batch, s.SEALING.public)
    expanded = batches.expand(batch.header, body)
    statement = proof.Statement(
        s.COLLECTOR, s.SEAL.public.id, s.GATEWAY, s.SEALING.public, batch.id, s.START_MS + 20_000
    )
    indexes = range(len(expanded.leaves))
    return {
        "batch": proof.export_batch(batch, body).hex(),
        "proofs": [proof.export_proof(batch, expanded, index, statement, s.SEAL).hex() for index in indexes],
        "erased": proof.export_erased(batch, expanded, [0, 3]).hex(),
        "erased_leaves": [0, 3],
    }


def acknowledgement(first: batches.Batch, second: batches.Batch) -> Acknowledgement:
    """Two stored, one of them safe, one refused."""
    stored = Range(first.header.epoch, 1, 2, second.id)
    safe = Range(first.header.epoch, 1, 1, first.id)
    refused = Refusal(s.epoch("b"), 7, s.digest("a refused batch"), "unknown-key")
    return Acknowledgement(
        s.COLLECTOR,
        s.GATEWAY,
        1,
        77,
        s.digest("nonce")[:16],
        s.START_MS + 30_000,
        (stored,),
        (safe,),
        (refused,),
        16,
        1,
        (1,),
        s.digest("journal"),
    )


def hello(first: batches.Batch, second: batches.Batch, last: Signed | None) -> Hello:
    """What the gateway holds."""
    held = (Range(s.epoch("z"), 40, 41, s.digest("the batch before")), Range(first.header.epoch, 1, 2, second.id))
    nonce = s.digest("nonce")[:16]
    return Hello(s.GATEWAY, s.SEALING.public.id, first.header.epoch, nonce, held, last, 1, (1,), s.clock())


def trust_document() -> trust.Trust:
    """The first trust document."""
    return trust.Trust(
        1,
        s.COLLECTOR,
        None,
        (),
        (b"a certificate in DER",),
        s.ACK.public,
        None,
        s.SEAL.public,
        (s.COLLECTOR_BOX.public,),
        (s.TRUST.public,),
        (1,),
    )


def signed_messages(first: batches.Batch, second: batches.Batch) -> Case:
    """Header and signature of each small message."""
    ack = acknowledgement(first, second).to_bytes()
    ack_signature = s.ACK.sign("ack", ack)
    greeting = hello(first, second, Signed(ack, ack_signature)).to_bytes()
    config = first.header.config
    wanted = request.Request(s.GATEWAY, s.SEALING.public, s.GATEWAY_BOX.public, b"a request in DER", config)
    return {
        "ack": {"header": ack.hex(), "signature": ack_signature.hex()},
        "hello": {"header": greeting.hex(), "signature": s.SEALING.sign("hello", greeting).hex()},
        "trust": {"file": trust.sign(trust_document(), [s.TRUST]).hex(), "hash": trust_document().hash.hex()},
        "request": {"file": request.sign(wanted, s.SEALING).hex()},
    }


def packets(first: batches.Batch, messages: Case) -> Case:
    """One packet of each kind, boxed once and kept."""
    plain: dict[str, envelope.Content] = {"batch": first.content}
    for kind in ("hello", "ack"):
        parts = messages[kind]
        assert isinstance(parts, dict)
        header, signature = bytes.fromhex(parts["header"]), bytes.fromhex(parts["signature"])
        plain[kind] = envelope.Content(header, signature, envelope.Codec.PLAIN, b"")
    receiver = {"ack": s.GATEWAY_BOX.public}
    return {
        kind: envelope.close(content, kind, s.GATEWAY, receiver.get(kind, s.COLLECTOR_BOX.public)).hex()
        for kind, content in plain.items()
    }


def secure_element() -> Case:
    """A batch sealed with P-256: the signature is random, the header is not."""
    batch = s.first_batch(s.SEALING_P256)
    return {"header": batch.content.header.hex(), "signature": batch.content.signature.hex()}


def deterministic() -> dict[str, Case]:
    """The files that a run must reproduce."""
    first = s.first_batch()
    second = s.second_batch(first)
    return {
        "keys": keys(),
        "batches": {"first": batch_case(first), "second": batch_case(second)},
        "files": files(first),
        "messages": signed_messages(first, second),
        "refuse": {name: list(case) for name, case in refusals.cases().items()},
    }


def main() -> None:
    """Write all files."""
    for name, case in deterministic().items():
        write(name, case)
    first = s.first_batch()
    for name, case in (
        ("packets", packets(first, signed_messages(first, s.second_batch(first)))),
        ("p256", secure_element()),
    ):
        if not (HERE / "vectors" / f"{name}.json").exists():
            write(name, case)


def write(name: str, case: Case) -> None:
    """One file, keys in order of making."""
    (HERE / "vectors" / f"{name}.json").write_text(json.dumps(case, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
