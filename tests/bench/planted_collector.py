"""Mistakes of the collector, and of what both sides verify."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from planting import BUGS, Plant, bug, instead

import collector.acknowledge
import collector.epochs
import collector.ingest
import collector.store.readings
import collector.verify
from collector.store.cases import Cases
from collector.store.evidence import EvidenceTable
from collector.store.readings import Arrival, Met, Readings
from collector.store.ring import Ring
from collector.store.sqlite import SqliteStore
from collector.verify import Authentic, Checker, Message
from protocols.uplink import batch as batches
from protocols.uplink.envelope import inflate, open_envelope
from protocols.uplink.faults import BodyHashError
from protocols.uplink.keys import PublicKey


@bug(SqliteStore, "open")
def store_synchronous_normal(opened: Any) -> object:
    """The collector's commits are not synchronised."""

    def planted(cls: Any, path: Any) -> SqliteStore:
        store: SqliteStore = opened.__func__(cls, path)
        store._connection.execute("PRAGMA synchronous=NORMAL")
        store.durability = lambda: None  # type: ignore[method-assign]
        return store

    return classmethod(planted)


@bug(Readings, "put")
def first_content_not_marked(put: Any) -> object:
    """Of several contents of a reading only the later ones are marked."""

    def planted(self: Any, *given: Any) -> Met:
        met: Met = put(self, *given)
        if met is Met.CONFLICT:
            self._sql.execute("UPDATE reading SET conflict = 0 WHERE variant = 0")
        return met

    return planted


@bug(Ring, "keep")
def ring_without_limit(keep: Any) -> object:
    """Every refused message is kept."""
    return lambda self, refused, limit: keep(self, refused, 1_000_000)


@bug(SqliteStore, "transaction")
def acknowledged_before_commit(transaction: Any) -> object:
    """The collector commits every twentieth group only, and answers each."""
    counts: dict[int, int] = {}

    @contextmanager
    def planted(self: Any) -> Iterator[None]:
        connection = self._connection
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        yield
        counts[id(self)] = counts.get(id(self), 0) + 1
        if counts[id(self)] % 20 == 0:
            connection.execute("COMMIT")

    del transaction
    return planted


def _no_deduplication() -> AbstractContextManager[None]:
    put, identity = EvidenceTable.put, collector.store.readings.identity
    times = iter(range(10**9))

    def again(self: Any, batch: Any, received_ms: int) -> int | None:
        n = put(self, batch, received_ms)
        if n is None:
            query = "SELECT n FROM evidence WHERE gateway = ? AND id = ?"
            n = self._sql.execute(query, (batch.header.gateway, batch.id)).fetchone()[0]
        return n

    def unlike(name: str, reading: Any) -> tuple[bytes, int, str, int]:
        meter, how, moment, part = identity(name, reading)
        return meter, how, f"{moment} {next(times)}", part

    @contextmanager
    def planted() -> Iterator[None]:
        with (
            instead(EvidenceTable, "has", lambda self, gateway, batch: False),
            instead(EvidenceTable, "put", again),
            instead(collector.store.readings, "identity", unlike),
        ):
            yield

    return planted()


BUGS["no-deduplication"] = _no_deduplication


def _unverified(kind: str) -> Plant:
    def planted() -> AbstractContextManager[None]:
        verify = PublicKey.verify

        def lenient(self: Any, what: str, header: bytes, signature: bytes) -> None:
            if what != kind:
                verify(self, what, header, signature)

        return instead(PublicKey, "verify", lenient)

    return planted


BUGS["batches-not-verified"] = _unverified("batch")
BUGS["acknowledgements-not-verified"] = _unverified("ack")
BUGS["hellos-not-verified"] = _unverified("hello")


@bug(collector.ingest, "notice_restore")
def restore_unnoticed(notice: Any) -> object:
    """The collector does not see that it is an older copy of itself."""
    del notice
    return lambda store, last, now_ms: None


@bug(collector.epochs, "_broken")
def conflict_not_named(broken: Any) -> object:
    """A cloned or restored gateway stands in the facts, and no case says so."""
    del broken
    return lambda facts, children: []


@bug(Readings, "put")
def conflict_swallowed(put: Any) -> object:
    """What is there already is taken for the same, whatever it says."""

    def planted(self: Any, came: Arrival) -> Met:
        known = self.at(came.meter, came.how, came.moment, came.part)
        return put(self, came) if known is None else Met.AGAIN

    return planted


@bug(EvidenceTable, "_contradiction")
def two_ids_not_noticed(contradiction: Any) -> object:
    """Two batches of one number stand beside one another as if they were one."""
    del contradiction
    return lambda self, gateway, epoch, seq: None


@bug(Cases, "hold")
def case_without_hold(hold: Any) -> object:
    """A case is opened, and what it is about goes to billing."""
    del hold
    return lambda self, case, epoch, batch=b"": None


@bug(Checker, "_batch")
def body_hash_unchecked(check: Any) -> object:
    """A genuine header vouches for any body."""

    def planted(self: Any, message: Message) -> Authentic:
        try:
            found: Authentic = check(self, message)
        except BodyHashError:
            gateway = message.topic.gateway
            batch = batches.parse(open_envelope(message.packet, batches.KIND, gateway, self.boxes))
            body = inflate(batch.content, batch.header.body_len)
            return Authentic(batch, body, message.received_ms)
        return found

    return planted


@bug(collector.epochs, "_judged")
def gaps_not_told(judged: Any) -> object:
    """Numbers that are missing are not listed."""
    return lambda *arguments: dataclasses.replace(judged(*arguments), gaps=())


@bug(Cases, "hold")
def orphans_go_to_billing(hold: Any) -> object:
    """An epoch that hangs on nothing has its case, and is billed."""

    def planted(self: Any, case: Any, epoch: bytes, batch: bytes = b"") -> None:
        if case.kind != "orphan":
            hold(self, case, epoch, batch)

    return planted


@bug(Readings, "put_record")
def records_not_stored(put: Any) -> object:
    """What is beside the readings in a batch is dropped."""
    del put
    return lambda self, place, kind, sealed: None


@bug(collector.verify, "_same_signer")
def another_name_taken(same: Any) -> object:
    """Who may publish here may do it in another's name."""
    del same
    return lambda topic, signer: None
