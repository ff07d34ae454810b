"""Readings that are taken while a key cannot be read: kept on the disk as they are, sealed later as `unsealed` records.

Metering does not wait for keys. What is read without one goes into the buffer's quarantine, durable like a batch, its
slots settled so that nothing is read twice. When the key is back, everything in quarantine is sealed in an epoch of its
own before anything else; each batch and the release of its rows are one commit. The collector holds such records from
billing until an operator closes the case: the seal says what this gateway claims, not where it was since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gateway import events
from gateway.buffer import Buffer
from gateway.chain import Head
from gateway.clock import GatewayClock
from gateway.faults import BufferFull, WriteFailed
from gateway.seal import WAITING_READINGS, Seal
from gateway.settled import Positions, Settled, Slotted
from gateway.writer import Writer
from protocols.errors import PlombaError
from protocols.reading import Reading
from protocols.uplink import batch as batches
from protocols.uplink.batch import Batch, Circumstances, Place
from protocols.uplink.header import EPOCH
from protocols.uplink.leaf import SECRET, SealedReading, leaf_from_bytes
from protocols.uplink.pack import pack
from protocols.uplink.records import Configuration, Event, Record, Unsealed

ROWS = 16  # of one batch: with the longest answers kept (16 telegrams of 261 bytes) far below a body's limit

log = structlog.get_logger("plomba.gateway")


class Quarantine:
    """Takes readings from the pollers while there is no key, in place of the sealer."""

    def __init__(self, buffer: Buffer, writer: Writer, devices: Slotted, positions: Positions) -> None:
        self._buffer, self._writer, self._devices, self._positions = buffer, writer, devices, positions
        self._waiting: list[Reading] = []
        self._trouble: str | None = None
        self._lock = asyncio.Lock()  # several buses end their rounds at one time

    def take(self, found: list[Reading]) -> None:
        """Readings of one poll; beyond `WAITING_READINGS` in memory they are refused, as the log says each time."""
        if len(self._waiting) + len(found) > WAITING_READINGS:
            log.error("readings-refused", readings=len(found), waiting=len(self._waiting))
            return
        self._waiting.extend(found)
        self._positions.took(Settled.by(found, self._devices).rows)

    @property
    def has_room(self) -> bool:
        """Whether what came last was written."""
        return self._trouble is None

    def note(self, event: Event) -> None:
        """An event without a key is only logged, which the poller has done."""

    async def round_over(self) -> None:
        """A bus round is done: everything in hand goes to the disk in one commit, or waits for the next round."""
        async with self._lock:
            await self._keep(list(self._waiting))

    async def _keep(self, readings: list[Reading]) -> None:
        """What is taken meanwhile is behind these readings and stays in hand."""
        leaves = [(_leaf(each), each.exchange) for each in readings]
        rows = [(leaf, each.telegram if each.keep else None) for leaf, each in leaves if leaf is not None]
        settled = Settled.by(readings, self._devices)
        try:
            await self._writer.do(lambda: self._buffer.quarantine(rows, settled))
        except (WriteFailed, BufferFull) as error:
            if self._trouble != error.code:
                self._trouble = error.code
                log.error(events.WRITE_FAILED, error=str(error))
            return
        self._trouble = None
        self._positions.committed(settled.rows)
        del self._waiting[: len(readings)]


def _leaf(reading: Reading) -> bytes | None:
    """A reading's leaf, when it can be sealed later: one that cannot is told now and holds up no other."""
    try:
        leaf = pack(SealedReading.of(reading).to_wire())
        SealedReading.from_wire(leaf_from_bytes(leaf))
    except PlombaError as error:
        log.error(events.READING_REFUSED, device=reading.device, error=str(error))
        return None
    return leaf


def seal_quarantined(
    buffer: Buffer, seal: Seal, clock: GatewayClock, head: Head | None, random: Callable[[int], bytes]
) -> int:
    """Seal what is in quarantine, in an epoch of its own; how many readings that were.

    What the buffer does not take stays in quarantine for the next start.
    """
    epoch, done = random(EPOCH), 0
    while rows := buffer.quarantined(ROWS):
        records: list[Record] = [Unsealed(clock.when(), row.leaf, row.telegram) for row in rows]
        if not done:
            reason = Event(clock.when(), events.EPOCH_NEW, None, None, ("unsealed readings",))
            records = [Configuration(clock.when(), seal.configuration), reason, *records]
        batch = _sealed(records, seal, clock, head, epoch, random)
        try:
            entry = buffer.append(batch, Settled(), len(rows), [row.n for row in rows]).entry
        except (WriteFailed, BufferFull) as error:
            log.error(events.WRITE_FAILED, error=str(error))
            break
        head = Head(entry.epoch, entry.seq, entry.id)
        done += len(rows)
    return done


def _sealed(
    records: list[Record],
    seal: Seal,
    clock: GatewayClock,
    head: Head | None,
    epoch: bytes,
    random: Callable[[int], bytes],
) -> Batch:
    fresh = head is None or head.epoch != epoch
    place = Place(
        seal.gateway,
        epoch,
        1 if fresh or head is None else head.seq + 1,
        None if head is None else head.id,
        head.parent if fresh and head is not None else None,
    )
    at = Circumstances(clock.utc_ms(), clock.shown(), seal.core, seal.configuration_hash)
    return batches.seal([], records, place, at, seal.key, random(SECRET))
