"""A group of verified messages in one transaction: evidence first, then each body in a savepoint of its own.

Batches that came one behind the other and hold no surprise are stored together (`together`), with the same result.

Whatever fails in a body leaves its evidence `undecoded` with the reason: stored, acknowledged, blocking nobody, tried
again at the next start. What is committed is committed as a whole; when the store does not take it, nothing counts.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from collector import together
from collector.epochs import Judgement, judge
from collector.erase.moments import forbidden
from collector.faults import MISHAPS, QuotaError, StoreBusyError, StoreFullError, UnexpectedError
from collector.restored import notice_restore
from collector.store.cases import Case
from collector.store.evidence import DECODED, UNDECODED
from collector.store.interface import Store
from collector.store.readings import Met, Place, arrivals, read_of
from collector.store.ring import Kept
from collector.store.sql import ROW_FAULTS
from collector.together import Opened
from collector.verify import Authentic, HelloHeard, Refused, StatusShown, Verified
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink import limits
from protocols.uplink.acknowledgement import Refusal
from protocols.uplink.batch import Batch
from protocols.uplink.envelope import inflate
from protocols.uplink.faults import RootError
from protocols.uplink.hello import Hello
from protocols.uplink.pack import pack
from protocols.uplink.partial import Partial
from protocols.uplink.ranges import ranges_to_wire
from protocols.uplink.records import UNSEALED, VOUCH, Lost, Record

# What a body may do to a savepoint: our own errors, a decoder's mishap, a row that does not fit. Not what says that
# the store takes nothing: a full disk is not the body's fault.
_POISON = (PlombaError, *MISHAPS, *ROW_FAULTS)
AGAIN = 8  # tries of one message, each of which may have met a group of another worker
_HELD_RECORDS = {VOUCH: "vouched", UNSEALED: "unsealed"}


@dataclass(slots=True)
class Outcome:
    """What a committed group changed; gateways in `due` get an acknowledgement."""

    stored: int = 0
    replayed: int = 0
    undecoded: int = 0
    due: set[str] = field(default_factory=set)
    hellos: dict[str, Hello] = field(default_factory=dict)
    refusals: dict[str, list[Refusal]] = field(default_factory=dict)
    opened: list[Case] = field(default_factory=list)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Outcome) -> None:
        """Take up what another group changed, that was committed later."""
        self.stored += other.stored
        self.replayed += other.replayed
        self.undecoded += other.undecoded
        self.due |= other.due
        self.hellos |= other.hellos
        for gateway, refusals in other.refusals.items():
            self.refusals.setdefault(gateway, []).extend(refusals)
        self.opened += other.opened
        self.refused += other.refused


class Ingest:
    """Writes groups to a store; `ring` refused messages are kept."""

    def __init__(self, store: Store, ring: int) -> None:
        self._store = store
        self._ring = ring
        self._erasing = False

    def commit(self, group: Sequence[Verified], now_ms: int) -> Outcome:
        """Store a group; when this returns it is on the disk.

        Raises:
            StoreFullError: it is not, and nothing of the group counts.
        """
        try:
            with _uncollected():
                return self._group(group, now_ms)
        except StoreBusyError:
            # Readings are kept by meter: another worker stores what another gateway read of the same meters. A message
            # by itself locks them in order, and none waits for one that waits for it.
            done = Outcome()
            for message in group:
                done.add(self._alone(message, now_ms))
            return done

    def _alone(self, message: Verified, now_ms: int) -> Outcome:
        for _ in range(AGAIN):
            with suppress(StoreBusyError):
                return self._group([message], now_ms)
        return self._group([message], now_ms)

    def _group(self, group: Sequence[Verified], now_ms: int) -> Outcome:
        outcome = Outcome()
        touched: set[str] = set()
        with self._store.transaction():
            self._store.gateways.lock({_sender(message) for message in group})
            self._erasing = self._store.erasures.any()
            for message in _together(group):
                match message:
                    case list():
                        self._run(message, outcome, touched, now_ms)
                    case HelloHeard():
                        self._hello(message, outcome, now_ms)
                    case StatusShown():
                        self._store.gateways.show_status(message.gateway, message.text)
                    case Refused():
                        self._refuse(message, outcome)
            for gateway in sorted(touched):
                self._judge(gateway, outcome, now_ms)
        return outcome

    def retry(self, now_ms: int) -> Outcome:
        """Decode again what could not be decoded, each batch in a transaction of its own: after an upgrade it may work.

        Raises:
            StoreFullError: the store does not take it.
        """
        outcome = Outcome()
        for n in self._store.evidence.undecoded():
            with self._store.transaction():
                gateway = self._store.evidence.row(n).gateway
                self._store.gateways.lock([gateway])
                self._erasing = self._store.erasures.any()
                row = self._store.evidence.row(n)
                if row.state != UNDECODED:
                    continue  # another worker, that started too, was faster
                try:
                    batch = row.batch()
                    body = inflate(batch.content, batch.header.body_len)
                    if hashlib.sha256(body).digest() != batch.header.body_hash:
                        continue
                except PlombaError as error:
                    self._store.evidence.mark(n, UNDECODED, str(error))
                    continue
                self._decode(n, batch, body, outcome, now_ms)
                self._judge(gateway, outcome, now_ms)
        return outcome

    def _run(self, run: list[Authentic], outcome: Outcome, touched: set[str], now_ms: int) -> None:
        """Batches that came one behind the other: together where that can be, else one by one."""
        for part in together.cut(run):
            opened = None if self._erasing else together.maybe_open(self._store, part)
            if opened is None or not self._all(opened, outcome, now_ms):
                for message in part:
                    self._evidence(message, outcome, touched, now_ms)
                continue
            outcome.stored += len(opened)
            gateways = {each.message.batch.header.gateway for each in opened}
            outcome.due |= gateways
            touched |= gateways

    def _all(self, opened: list[Opened], outcome: Outcome, now_ms: int) -> bool:
        """Store decoded batches; False where one of their rows does not fit, and nothing of them is stored then."""
        doubts: list[tuple[Batch, set[str]]] = []
        try:
            with self._store.savepoint():
                together.put(self._store, opened, now_ms)
                for each in opened:
                    batch = each.message.batch
                    doubts.append((batch, self._records(batch, each.records, len(each.came), now_ms)))
        except StoreFullError:
            raise  # nothing is wrong with the bodies
        except _POISON:
            return False
        for batch, kinds in doubts:
            for kind in sorted(kinds):
                self._case(outcome, batch, kind, batch.header.epoch, now_ms)
        return True

    def _evidence(self, message: Authentic, outcome: Outcome, touched: set[str], now_ms: int) -> None:
        batch = message.batch
        gateway, header = batch.header.gateway, batch.header
        evidence, ring = self._store.evidence, self._store.ring
        self._store.gateways.heard(gateway, now_ms)
        if evidence.has(gateway, batch.id):
            outcome.replayed += 1
            outcome.due.add(gateway)
            ring.count(gateway, "replayed")
            return
        if len(evidence.ids_at(gateway, header.epoch, header.seq)) >= limits.BRANCHES:
            error = QuotaError(f"at most {limits.BRANCHES} branches", "one more", f"seq {header.seq}")
            refusal = Refusal(header.epoch, header.seq, batch.id, "over-quota")
            self._refuse(Refused(gateway, "batch", error, refusal, batch.content.header, message.received_ms), outcome)
            return
        n = evidence.put(batch, message.received_ms)
        if n is None:
            return
        outcome.stored += 1
        outcome.due.add(gateway)
        touched.add(gateway)
        if not self._store.gateways.approved(gateway, header.config):
            self._case(outcome, batch, "config", header.config, now_ms)
        self._decode(n, batch, message.body, outcome, now_ms)

    def _decode(self, n: int, batch: Batch, body: bytes, outcome: Outcome, now_ms: int) -> None:
        try:
            with self._store.savepoint():
                doubts = self._expand(n, batch, body, now_ms)
        except StoreFullError:
            raise  # nothing is wrong with the body
        except _POISON as error:
            fault = (
                error if isinstance(error, PlombaError) else UnexpectedError("a body that decodes", repr(error)[:200])
            )
            outcome.undecoded += 1
            self._store.evidence.mark(n, UNDECODED, str(fault))
            if isinstance(error, RootError):
                self._case(outcome, batch, "root", batch.header.epoch, now_ms)
        else:
            self._store.evidence.mark(n, DECODED, None)
            for kind in sorted(doubts):
                self._case(outcome, batch, kind, batch.header.epoch, now_ms)

    def _expand(self, n: int, batch: Batch, body: bytes, now_ms: int) -> set[str]:
        """Store what the body holds; the reasons to hold the batch that are in it."""
        header, store = batch.header, self._store
        expanded = batches.expand(header, body)
        came = arrivals(Place(header.gateway, header.epoch, header.seq, batch.id, 0), expanded)
        gone = forbidden(store, batch, came) if self._erasing else set()
        if gone:  # erased by right: it does not come back, in whatever batch
            store.evidence.erase(store.evidence.row(n), Partial.of(expanded, gone))
            store.ring.count(header.gateway, "erased", len(gone))
        count = len(came)
        came = [each for each in came if each.leaf not in gone]
        met = store.readings.put_batch(came)
        new = [each for each, found in zip(came, met, strict=True) if found is Met.NEW]
        for found, times in Counter(met).items():
            if found is not Met.NEW:
                store.ring.count(header.gateway, found.value, times)
        store.series.note(new)
        store.devices.read(header.gateway, read_of(header.gateway, expanded), len(new))
        records = list(zip(expanded.records, expanded.leaves[count:], strict=True))
        return self._records(batch, records, count, now_ms, gone)

    def _records(
        self,
        batch: Batch,
        records: Sequence[tuple[Record, bytes]],
        first: int,
        now_ms: int,
        gone: Collection[int] = (),
    ) -> set[str]:
        """Store a batch's records, from leaf `first` on, but those `gone`; the reasons to hold the batch in them."""
        doubts: set[str] = set()
        header, store = batch.header, self._store
        for leaf, (record, sealed) in enumerate(records, first):
            if leaf in gone:
                continue
            wire = record.to_wire()
            kind = wire[0] if isinstance(wire[0], int) else 0
            place = Place(header.gateway, header.epoch, header.seq, batch.id, leaf)
            store.readings.put_record(place, kind, sealed)
            store.devices.note(header.gateway, (header.epoch, header.seq, leaf), record, now_ms)
            if isinstance(record, Lost):
                store.evidence.declare_lost(header.gateway, record, batch.id)
            if kind in _HELD_RECORDS:
                doubts.add(_HELD_RECORDS[kind])
        return doubts

    def _hello(self, heard: HelloHeard, outcome: Outcome, now_ms: int) -> None:
        hello = heard.hello
        clock, held = pack(hello.clock.to_wire()), pack(ranges_to_wire(hello.held))
        self._store.gateways.heard_hello(hello.gateway, clock, held, now_ms)
        outcome.due.add(hello.gateway)
        outcome.hellos[hello.gateway] = hello
        if heard.last is not None:
            case = notice_restore(self._store, heard.last, now_ms)
            outcome.opened += [case] if case else []

    def _refuse(self, refused: Refused, outcome: Outcome) -> None:
        code = refused.error.code
        outcome.refused[refused.gateway, code] += 1
        if refused.refusal is not None and refused.gateway:
            outcome.refusals.setdefault(refused.gateway, []).append(refused.refusal)
            outcome.due.add(refused.gateway)
        digest = hashlib.sha256(refused.packet).digest()
        size, head = len(refused.packet), refused.packet
        kept = Kept(refused.received_ms, refused.gateway, refused.kind, code, str(refused.error), digest, size, head)
        self._store.ring.keep(kept, self._ring)
        self._store.ring.count(refused.gateway, f"refused {code}")

    def _judge(self, gateway: str, outcome: Outcome, now_ms: int) -> None:
        """Open a case for every new incident of the gateway's epochs and hold what it concerns."""
        judgement: Judgement = judge(self._store.evidence.facts(gateway))
        cases = self._store.cases
        for incident in judgement.incidents:
            case, new = cases.report(gateway, incident.kind, incident.subject, incident.facts, now_ms)
            if case is None:
                continue
            outcome.opened += [case] if new else []
            for epoch in incident.epochs:
                cases.hold(case, epoch)

    def _case(self, outcome: Outcome, batch: Batch, kind: str, subject: bytes, now_ms: int) -> None:
        case, new = self._store.cases.report(batch.header.gateway, kind, subject, "", now_ms)
        if case is None:
            return
        outcome.opened += [case] if new else []
        self._store.cases.hold(case, batch.header.epoch, batch.id)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without a look for garbage meanwhile: decoding makes lists by the ten thousand, and no circle of them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _together(group: Sequence[Verified]) -> Iterator[list[Authentic] | HelloHeard | StatusShown | Refused]:
    """The messages in their order, batches that came one behind the other as a list."""
    run: list[Authentic] = []
    for message in group:
        if isinstance(message, Authentic):
            run.append(message)
            continue
        if run:
            yield run
            run = []
        yield message
    if run:
        yield run


def _sender(message: Verified) -> str:
    """The gateway whose rows a message writes."""
    match message:
        case Authentic():
            return message.batch.header.gateway
        case HelloHeard():
            return message.hello.gateway
    return message.gateway
