"""Faults of our own, planted from outside by substituting a part: a bench that does not find them proves nothing.

Each one is a mistake that somebody could make in good faith. No switch in the product's code knows of them.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import collector.epochs
import collector.ingest
import collector.store.readings
import gateway.buffer
import gateway.daemon
import gateway.disk
import gateway.dlms
import gateway.marks
import gateway.mbus
import gateway.schema
import protocols.mbus.link
from collector.store.evidence import EvidenceTable
from collector.store.sqlite import SqliteStore
from gateway.clock import GatewayClock
from gateway.faults import AlreadyRunning
from gateway.forward import Forward, SendBatch
from gateway.link import Link
from gateway.seal import Sealer
from protocols.mbus.session import ReadSession
from protocols.reading import Scaled, TimeQuality
from protocols.uplink.keys import PublicKey

PATIENT_TRIES = 100  # an operator comes after some minutes
METER_EPOCH_S = 946_684_800  # 2000-01-01 in Unix time

Plant = Callable[[], AbstractContextManager[None]]
BUGS: dict[str, Plant] = {}


@contextmanager
def _instead(owner: object, name: str, part: object) -> Iterator[None]:
    before = vars(owner)[name]
    setattr(owner, name, part)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _bug(owner: object, name: str) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
    """Plants what the decorated function makes of the part that is there."""

    def plant(make: Callable[[Any], object]) -> Callable[[Any], object]:
        def planted() -> AbstractContextManager[None]:
            before = vars(owner)[name]
            return _instead(owner, name, make(before))

        BUGS[make.__name__.replace("_", "-")] = planted
        return make

    return plant


@_bug(Link, "_act")
def removed_on_puback(act: Any) -> object:
    """The gateway takes the broker's PUBACK for the collector's word and removes the batch."""

    async def planted(self: Any, pipe: Any, action: Any) -> None:
        await act(self, pipe, action)
        if isinstance(action, SendBatch):
            entries = list(self._chain.entries())
            if entries and entries[-1].id != action.id:
                self._chain.remove([action.id])
                self._buffer.set_aside(action.id, "sent")

    return planted


@_bug(gateway.schema, "connect")
def buffer_synchronous_normal(connect: Any) -> object:
    """The buffer's commits are not synchronised."""

    def planted(path: Any, max_bytes: int) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(path, max_bytes)
        database.execute("PRAGMA synchronous = NORMAL")
        return database

    return planted


@_bug(SqliteStore, "open")
def store_synchronous_normal(opened: Any) -> object:
    """The collector's commits are not synchronised."""

    def planted(cls: Any, path: Any) -> SqliteStore:
        store: SqliteStore = opened.__func__(cls, path)
        store._connection.execute("PRAGMA synchronous=NORMAL")
        store.durability = lambda: None  # type: ignore[method-assign]
        return store

    return classmethod(planted)


@_bug(SqliteStore, "transaction")
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
            _instead(EvidenceTable, "has", lambda self, gateway, batch: False),
            _instead(EvidenceTable, "put", again),
            _instead(collector.store.readings, "identity", unlike),
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

        return _instead(PublicKey, "verify", lenient)

    return planted


BUGS["batches-not-verified"] = _unverified("batch")
BUGS["acknowledgements-not-verified"] = _unverified("ack")


@_bug(protocols.mbus.link, "_check_end")
def no_checksum(check: Any) -> object:
    """The M-Bus checksum is not looked at."""
    del check
    return lambda octets, size, first: None


@_bug(gateway.mbus, "check_identity")
def no_identity_check(check: Any) -> object:
    """Whoever answers at an address is taken for the meter."""
    del check
    return lambda got, expected: None


@_bug(gateway.dlms, "_row_reading")
def row_by_our_clock(made: Any) -> object:
    """A row of a load profile gets the quarter of an hour that the gateway's clock shows."""

    def planted(*arguments: Any) -> object:
        reading = made(*arguments)
        seconds = (reading.exchange.at_ms // 1000 - METER_EPOCH_S) // 900 * 900
        return dataclasses.replace(reading, meter_time=dataclasses.replace(reading.meter_time, seconds=seconds))

    return planted


@_bug(gateway.dlms, "_fresh")
def row_skipped(fresh: Any) -> object:
    """Reading goes on one row too late."""
    return lambda found, last, newest: fresh(found, last, newest)[0 if last is None else 1 :]


@_bug(Sealer, "begin_epoch")
def epoch_goes_on(begin: Any) -> object:
    """A start goes on in the epoch that the buffer remembers."""

    def planted(self: Any, reason: str) -> None:
        begin(self, reason)
        if self._head is not None:
            self.epoch = self._head.epoch

    return planted


@_bug(gateway.buffer, "_NEXT_STORED")
def unstored_removed(query: Any) -> object:
    """When the buffer is full the oldest batch goes, whatever is known of it."""
    return str(query).replace("mark > 0", "mark >= 0")


@_bug(collector.ingest, "notice_restore")
def restore_unnoticed(notice: Any) -> object:
    """The collector does not see that it is an older copy of itself."""
    del notice
    return lambda store, last, now_ms: None


@_bug(gateway.buffer, "_settle")
def slots_not_settled(settle: Any) -> object:
    """Which slots were read is not written with the batch."""
    return lambda database, settled: settle(database, dataclasses.replace(settled, slots=()))


@_bug(Forward, "_is_due")
def never_sent_again(due: Any) -> object:
    """A batch is sent once."""
    del due
    return lambda self, entry, now_ms: entry.id not in self._tries


@_bug(Link, "_declare_lost")
def lost_in_silence(declare: Any) -> object:
    """A batch whose seal does not hold goes without a word."""
    del declare

    async def planted(self: Any, entry: Any, error: Any) -> None:
        self._chain.remove([entry.id])
        self._buffer.set_aside(entry.id, error.code)

    return planted


@_bug(GatewayClock, "quality")
def unset_clock_called_good(quality: Any) -> object:
    """A clock that knows no time says that it does."""
    del quality
    return lambda self: TimeQuality(synchronised=True, uncertainty_ms=5)


@_bug(ReadSession, "_ask")
def frame_count_bit_stands(ask: Any) -> object:
    """The frame count bit is never toggled: a meter repeats its last answer for ever."""

    def planted(self: Any) -> object:
        self._slave.fcb = True
        return ask(self)

    return planted


@_bug(gateway.mbus, "values")
def power_of_ten_lost(values: Any) -> object:
    """Values of a tariff are ten times too high."""

    def tenfold(value: Any) -> object:
        number = value.number
        if "/1/0/0" in str(value.key) and isinstance(number, Scaled):
            return dataclasses.replace(value, number=Scaled(number.mantissa, number.exponent + 1))
        return value

    return lambda *telegrams: tuple(tenfold(each) for each in values(*telegrams))


@_bug(gateway.disk.Disk, "_write")
def sent_before_commit(write: Any) -> object:
    """The buffer says that a batch is there and commits it with the next one."""
    del write

    def planted(self: Any, work: Callable[[sqlite3.Connection], Any]) -> Any:
        with self._faults():
            database = self.opened()
            if database.in_transaction:
                database.execute("COMMIT")
            database.execute("BEGIN IMMEDIATE")
            return work(database)

    return planted


@_bug(Sealer, "_commit")
def forgotten_when_not_written(commit: Any) -> object:
    """What the disk does not take is dropped."""

    async def planted(self: Any, pending: Any) -> bool:
        if not await commit(self, pending):
            self._pending = None
        return True

    return planted


@_bug(collector.epochs, "_broken")
def conflict_not_named(broken: Any) -> object:
    """A cloned or restored gateway stands in the facts, and no case says so."""
    del broken
    return lambda facts, children: []


@_bug(gateway.dlms.DlmsReader, "read")
def registers_of_the_visit_before(read: Any) -> object:
    """What was read is handed on at the next visit."""
    kept: dict[tuple[int, str], Any] = {}

    async def planted(self: Any, due: Any) -> Any:
        found = await read(self, due)
        before = kept.get((id(self), due.device.name))
        kept[id(self), due.device.name] = found[0].values
        return found if before is None else [dataclasses.replace(found[0], values=before)]

    return planted


@_bug(gateway.daemon, "open_all")
def start_refused_after_a_kill(open_all: Any) -> object:
    """A log that was left behind is taken for another program's."""
    tries: dict[str, int] = {}

    async def planted(configuration: Any, *others: Any) -> Any:
        log = configuration.state_folder / f"{gateway.schema.BUFFER_FILE}-wal"
        if log.exists() and tries.setdefault(configuration.gateway, 0) < PATIENT_TRIES:
            tries[configuration.gateway] += 1
            raise AlreadyRunning("no other program on this buffer", "its log", str(log))
        tries[configuration.gateway] = 0
        return await open_all(configuration, *others)

    return planted
