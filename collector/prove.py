"""What leaves the collector to be checked by others: whole batches, proofs of one leaf, batches with leaves erased."""

from __future__ import annotations

from collections.abc import Iterable

from collector.faults import EvidenceAlteredError, NotFoundError
from collector.store.evidence import Evidence
from collector.store.interface import Store
from protocols.uplink import batch as batches
from protocols.uplink import keyring, proof
from protocols.uplink.batch import Batch
from protocols.uplink.body import Expanded
from protocols.uplink.keys import PublicKey, SigningKey
from protocols.uplink.partial import Partial
from protocols.uplink.proof import Statement


def checked(store: Store, row: Evidence) -> tuple[Batch, bytes, PublicKey]:
    """A stored batch, its body and its key, all verified again.

    Raises:
        EvidenceAlteredError: the row was changed since it was received.
        ErasedError: leaves of it were erased.
        SecurityError: seal or body do not hold.
    """
    batch = row.batch()
    key = _key(store, batch)
    return batch, batches.verify(batch, key), key


def opened(store: Store, row: Evidence) -> tuple[Batch, Expanded | Partial, PublicKey]:
    """A stored batch, its leaves and its key, all verified again; leaves may have been erased.

    Raises:
        EvidenceAlteredError: the row was changed since it was received, or last erased from.
        SecurityError: seal or leaves do not hold.
    """
    if not row.erased:
        batch, body, key = checked(store, row)
        return batch, batches.expand(batch.header, body), key
    batch = row.head()
    key = _key(store, batch)
    key.verify(batches.KIND, batch.content.header, batch.content.signature)
    return batch, row.opened(), key


def find(store: Store, batch: bytes) -> Evidence:
    """A stored batch by its id.

    Raises:
        NotFoundError: there is none.
    """
    row = store.evidence.find(batch)
    if row is None:
        raise NotFoundError("the id of a stored batch", batch.hex(), "the store")
    return row


def batch_file(store: Store, row: Evidence) -> bytes:
    """The batch as a file for `verify`; one of which leaves were erased without their content."""
    if row.erased:
        batch, left, _ = opened(store, row)
        return proof.export_erased(batch, left)
    batch, body, _ = checked(store, row)
    return proof.export_batch(batch, body)


def leaf_proof(store: Store, row: Evidence, leaf: int, collector: str, seal: SigningKey) -> bytes:
    """The proof of one leaf, with our statement of its key and of when the batch came.

    Raises:
        NotFoundError: the batch has no such leaf.
        ProofError: its content was erased.
    """
    batch, leaves, key = opened(store, row)
    _leaves([leaf], batch)
    statement = Statement(collector, seal.public.id, batch.header.gateway, key, batch.id, row.received_ms)
    return proof.export_proof(batch, leaves, leaf, statement, seal)


def erased_batch(store: Store, row: Evidence, leaves: Iterable[int]) -> bytes:
    """The batch without the content of some leaves.

    Raises:
        NotFoundError: the batch has no such leaf.
    """
    batch, found, _ = opened(store, row)
    gone = list(leaves)
    _leaves(gone, batch)
    return proof.export_erased(batch, found, gone)


def keys_file(store: Store, collector: str, seal: PublicKey) -> str:
    """All public keys that a third party needs, those of retired and revoked ones included."""
    gateways = [
        ("gateway", each.name, known.key) for each in store.gateways.register().values() for known in each.keys.values()
    ]
    return keyring.to_text([*gateways, ("collector", collector, seal)])


def _key(store: Store, batch: Batch) -> PublicKey:
    registered = store.gateways.register().get(batch.header.gateway)
    known = None if registered is None else registered.keys.get(batch.header.key)
    if known is None:
        raise EvidenceAlteredError("a registered key", batch.header.key.hex(), f"batch {batch.id.hex()}")
    return known.key


def _leaves(leaves: Iterable[int], batch: Batch) -> None:
    for leaf in leaves:
        if not 0 <= leaf < batch.header.leaves:
            got, where = f"leaf {leaf}", f"batch {batch.id.hex()}"
            raise NotFoundError(f"a leaf from 0 to {batch.header.leaves - 1}", got, where)
