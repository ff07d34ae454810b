"""Collects readings and records and seals them: at the end of a bus round, or 10 s after the first of them came.

Nothing is sent before its commit, and nothing is dropped silently: what does not fit one batch is split; one reading
that cannot be sealed becomes an event with its telegram's hash; what a full buffer refuses is counted and told; what
the disk does not take waits here, bounded, as the sealed batch that it is (sealing it again under the same number could
give one place two ids, should the failed commit turn out to be on the disk).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from gateway import events
from gateway.buffer import Appended, Buffer, Gap
from gateway.chain import Chain, Head
from gateway.clock import GatewayClock
from gateway.faults import BufferFull, WriteFailed
from gateway.refused import Refused
from gateway.settled import Positions, Settled, Slotted
from gateway.writer import Writer
from protocols.errors import PlombaError
from protocols.reading import Reading
from protocols.uplink import batch as batches
from protocols.uplink import limits
from protocols.uplink.batch import Batch, Circumstances, Place
from protocols.uplink.faults import FieldError, FormError, LimitError
from protocols.uplink.header import EPOCH, Core
from protocols.uplink.keys import SigningKey
from protocols.uplink.leaf import SECRET
from protocols.uplink.records import Configuration, Event, Lost, Parameter, Record

SEAL_AFTER_MS = 10_000  # of the first answer in hand: promise 1 counts from the commit
RETRY_S = 1.0  # between two tries to write what the disk did not take
PATIENCE_S = 0.5  # a poll waits no longer for a slow disk: of the jitter of 1 s that a poll may have
WAITING_READINGS = 20_000  # kept in memory while the disk takes nothing: about 20 MB of readings with telegrams
WAITING_RECORDS = 1_000
HIGH_PERCENT = 80  # of the buffer in use: an event, once
RECORDS_REFUSED = "records-refused"

log = structlog.get_logger("plomba.gateway")


@dataclass(frozen=True, slots=True)
class Seal:
    """What stays the same for every batch of this process."""

    gateway: str
    key: SigningKey
    core: Core
    configuration: bytes  # the canonical content; its SHA-256 stands in every header

    @property
    def configuration_hash(self) -> bytes:
        """SHA-256 over the configuration's content."""
        return hashlib.sha256(self.configuration).digest()


@dataclass(frozen=True, slots=True)
class _Pending:
    batch: Batch
    settled: Settled
    readings: int
    declared: tuple[Gap, ...] = ()


class Sealer:
    """Owns the chain's end.

    Args:
        seal: who seals.
        clock: for headers and deadlines.
        buffer: takes sealed batches, by way of `writer`.
        chain: what is held; batches are added after their commit.
        head: the newest batch ever sealed here.
        devices: those whose slots a batch settles, with when they are read for bills.
        positions: where load profiles ended; told what was taken, committed and refused.
        random: secure random bytes.
        sealed: called after each commit.
    """

    def __init__(
        self,
        seal: Seal,
        clock: GatewayClock,
        buffer: Buffer,
        writer: Writer,
        chain: Chain,
        head: Head | None,
        devices: Slotted,
        positions: Positions,
        random: Callable[[int], bytes],
        sealed: Callable[[], None] = lambda: None,
    ) -> None:
        self._seal, self._clock, self._buffer, self._writer = seal, clock, buffer, writer
        self._chain, self._devices, self._positions = chain, devices, positions
        self._random, self._sealed = random, sealed
        self._head, self.epoch = head, random(EPOCH)
        self._readings: list[Reading] = []
        self._records: list[Record] = []
        self._first_mono_ms: int | None = None
        self._pending: _Pending | None = None
        self._full = self._high = self._failing = False
        self._refused = Refused(buffer, writer)
        self._lock, self._wake = asyncio.Lock(), asyncio.Event()
        self._round_due = False
        self._sealing: asyncio.Task[None] | None = None
        self._flushing: asyncio.Future[None] | None = None  # the latest: asyncio itself keeps no hold of it

    @property
    def full(self) -> bool:
        """Whether the buffer refused the last readings."""
        return self._full

    @property
    def has_room(self) -> bool:
        """Whether the last batch was taken: while it was not, load profiles stay in their meters."""
        return not (self._full or self._failing)

    @property
    def failing(self) -> bool:
        """Whether the disk did not take the last batch."""
        return self._failing

    def begin_epoch(self, reason: str) -> None:
        """A new epoch: at start, and when an acknowledgement contradicts our chain."""
        self.epoch = self._random(EPOCH)
        self._records.insert(0, self._event(events.EPOCH_NEW, reason))
        self._records.insert(0, Configuration(self._clock.when(), self._seal.configuration))
        self._touch()

    def take(self, found: list[Reading]) -> None:
        """Readings of one poll; beyond `WAITING_READINGS` they are refused and counted."""
        if len(self._readings) + len(found) > WAITING_READINGS:
            self._refused.add(found)
            return
        self._readings.extend(found)
        self._positions.took(Settled.by(found, self._devices).rows)
        self._touch()

    def note(self, record: Record) -> None:
        """A record for the next batch; beyond `WAITING_RECORDS` the oldest event gives way."""
        if len(self._records) >= WAITING_RECORDS:
            oldest = next((i for i, each in enumerate(self._records) if isinstance(each, Event)), 0)
            del self._records[oldest]
        self._records.append(record)
        self._touch()

    def note_event(self, code: str, *parameters: Parameter) -> None:
        """An event of the gateway itself."""
        self.note(self._event(code, *parameters))

    @property
    def unwritten(self) -> int:
        """How many readings are in memory alone."""
        return len(self._readings) + (0 if self._pending is None else self._pending.readings)

    async def round_over(self) -> None:
        """A bus round is done: seal what is in hand; where the disk takes its time, that goes on while others poll."""
        self._round_due = True
        if self._sealing is None or self._sealing.done():
            self._sealing = asyncio.create_task(self._seal_rounds())
        sealing = self._sealing
        await asyncio.wait({sealing}, timeout=PATIENCE_S)
        if sealing.done():
            sealing.result()

    async def run(self) -> None:
        """Seal what waits too long; never returns."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._readings or self._records or self._pending:
                await asyncio.sleep(self._wait_s())
                if self._wait_s() <= 0 or self._failing:
                    await self.flush()
                if self._failing or self._full:
                    await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Seal and commit everything in hand, as far as the disk takes it.

        Where the caller is cancelled meanwhile it goes on to its end, and the next flush waits for that: what the
        writer commits must be known here, else the next batch would take the same place in the chain.
        """
        self._flushing = asyncio.ensure_future(self._flush())
        await asyncio.shield(self._flushing)

    async def _flush(self) -> None:
        async with self._lock:
            if self._pending is not None and not await self._commit(self._pending):
                return
            readings, records = self._readings, self._records
            if not readings and (not records or self._full):
                return
            self._readings, self._records, self._first_mono_ms = [], [], None
            await self._seal_all(readings, records)

    async def _seal_rounds(self) -> None:
        """Seal until no round has ended since the last look."""
        while self._round_due:
            self._round_due = False
            await self.flush()

    async def _seal_all(self, readings: list[Reading], records: list[Record]) -> None:
        parts: list[tuple[list[Reading], list[Record]]] = [(readings, records)]
        while parts:
            mine, beside = parts.pop()
            if not mine and not beside:
                continue
            sealed = self._try(mine, beside)
            if sealed is None:
                parts.extend(reversed(self._halved(mine, beside)))
                continue
            declared = tuple((each.epoch, each.first, each.last) for each in beside if isinstance(each, Lost))
            if not await self._commit(_Pending(sealed, Settled.by(mine, self._devices), len(mine), declared)):
                self._put_back(parts)
                return

    def _try(self, readings: Sequence[Reading], records: Sequence[Record]) -> Batch | None:
        """The sealed batch, or None where it has to be split."""
        head, fresh = self._head, self._head is None or self._head.epoch != self.epoch
        place = Place(
            self._seal.gateway,
            self.epoch,
            1 if fresh or head is None else head.seq + 1,
            None if head is None else head.id,
            head.parent if fresh and head is not None else None,
        )
        at = Circumstances(self._clock.utc_ms(), self._clock.shown(), self._seal.core, self._seal.configuration_hash)
        try:
            return batches.seal(readings, records, place, at, self._seal.key, self._random(SECRET))
        except (LimitError, FieldError, FormError) as error:
            if len(readings) + len(records) == 1:
                self._unsealable(error, *readings, *records)
            return None

    def _halved(self, readings: list[Reading], records: list[Record]) -> list[tuple[list[Reading], list[Record]]]:
        """Two parts, records first; a single leaf that cannot be sealed is none (its event was noted)."""
        if len(readings) + len(records) == 1:
            return []
        if readings and records:
            return [([], records), (readings, [])]
        half = len(readings) // 2 + len(records) // 2
        return [(readings[:half], records[:half]), (readings[half:], records[half:])]

    def _unsealable(self, error: PlombaError, leaf: Reading | Record) -> None:
        text = str(error).encode()[: limits.TEXT].decode(errors="ignore")
        log.error("leaf-refused", error=str(error))
        if isinstance(leaf, Reading):
            digest = hashlib.sha256(leaf.exchange.telegram).digest()
            self.note_event(events.READING_REFUSED, error.code, leaf.device, digest, text)
        elif not isinstance(leaf, Event) or leaf.code != events.RECORD_REFUSED:
            self.note_event(events.RECORD_REFUSED, error.code, text)

    async def _commit(self, pending: _Pending) -> bool:
        """Write one batch; False where it has to wait in memory."""
        try:
            done = await self._writer.do(
                lambda: self._buffer.append(pending.batch, pending.settled, pending.readings, declared=pending.declared)
            )
        except BufferFull:
            self._pending = None
            await self._refuse(pending)
            return True
        except WriteFailed as error:
            self._pending = pending
            self._changed_failing(error)
            return False
        self._pending = None
        self._positions.committed(pending.settled.rows)
        self._committed(done)
        await self._count_refused()
        await self._count_told()
        return True

    def _committed(self, done: Appended) -> None:
        entry = done.entry
        self._chain.remove(done.removed)
        self._chain.add(entry)
        self._head = Head(entry.epoch, entry.seq, entry.id)
        self._watch_level(done.percent)
        if done.unsafe:
            self.note_event(events.UNSAFE_REMOVED, len(done.unsafe))
            log.warning(events.UNSAFE_REMOVED, batches=len(done.unsafe))
        if self._failing:
            self._failing = False
            self.note_event(events.WRITE_RECOVERED, len(self._readings), self._refused.told())
            log.info(events.WRITE_RECOVERED, waited=len(self._readings))
        if self._full or self._refused.so_far:  # also what was refused before this process began
            self._full = False
            refused = self._refused.told()
            self.note_event(events.BUFFER_ROOM, refused)
            log.info(events.BUFFER_ROOM, refused=refused)
        self._sealed()

    async def _refuse(self, pending: _Pending) -> None:
        """The buffer is full of what may not be removed: readings are refused and counted, polling goes on."""
        found = batches.expand(pending.batch.header, batches.verify(pending.batch, self._seal.key.public))
        self._refused.add(found.readings)
        self._positions.refused(pending.settled.rows)
        if not self._full:
            self._full = True
            log.error(events.BUFFER_FULL)
            self.note_event(events.BUFFER_FULL, self._refused.so_far)
        for record in found.records:
            self.note(record)
        await self._count_refused()

    async def _count_told(self) -> None:
        try:
            await self._refused.sealed()
        except WriteFailed as error:
            self._changed_failing(error)

    async def _count_refused(self) -> None:
        try:
            await self._refused.keep()
        except WriteFailed as error:
            self._changed_failing(error)

    def _changed_failing(self, error: WriteFailed) -> None:
        if not self._failing:
            self._failing = True
            log.error(events.WRITE_FAILED, error=str(error))
            self.note_event(events.WRITE_FAILED, error.code)

    def _watch_level(self, percent: int) -> None:
        if percent >= HIGH_PERCENT and not self._high:
            self._high = True
            self.note_event(events.BUFFER_HIGH, percent)
            log.warning(events.BUFFER_HIGH, percent=percent)
        elif percent < HIGH_PERCENT - 10:
            self._high = False

    def _put_back(self, parts: list[tuple[list[Reading], list[Record]]]) -> None:
        for readings, records in parts:
            self._readings = readings + self._readings
            self._records = records + self._records
        self._touch()

    def _touch(self) -> None:
        if self._first_mono_ms is None:
            self._first_mono_ms = self._clock.mono_ms()
        self._wake.set()

    def _wait_s(self) -> float:
        if self._first_mono_ms is None:
            return RETRY_S if self._pending is None else 0.0
        return max(0.0, (self._first_mono_ms + SEAL_AFTER_MS - self._clock.mono_ms()) / 1000)

    def _event(self, code: str, *parameters: Parameter) -> Event:
        return Event(self._clock.when(), code, None, None, parameters)
