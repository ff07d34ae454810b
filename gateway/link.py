"""The link: drives `forward` over the pipe, takes acknowledgements, connects again with full jitter.

A link that fails never stops polling: it logs the first failure and the recovery, and tries again. Every packet is made
when it is sent, to the newest box key of the trust document, after the batch's seal was checked once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from gateway import events
from gateway.buffer import Buffer
from gateway.chain import Chain, Entry, Mark
from gateway.clock import GatewayClock
from gateway.faults import BufferDamaged, WriteFailed
from gateway.forward import AT_ONCE, Action, Forward, SendBatch, SendHello
from gateway.marks import Change, Heard, Order, accept, change
from gateway.seal import Sealer
from gateway.steps import Step
from gateway.tries import Tries
from gateway.writer import Writer
from protocols.errors import PlombaError
from protocols.transports.pipe import PipeSettings
from protocols.transports.tls import check_dates
from protocols.uplink import batch as batches
from protocols.uplink import envelope, hello, limits, topics
from protocols.uplink.envelope import Codec, Content
from protocols.uplink.faults import SignerError
from protocols.uplink.hello import Hello, Signed
from protocols.uplink.keys import BoxKey, PublicKey, SigningKey
from protocols.uplink.pack import Wire
from protocols.uplink.ranges import Range
from protocols.uplink.records import Lost, TimeCorrection
from protocols.uplink.trust import Trust

TICK_S = 1.0  # the state machine is asked at least so often
REJECTED = "acknowledgements-rejected"  # counters that `status` shows
IGNORED = "messages-ignored"
ROTTEN = "seal does not hold"
READING, WRITING = "reading", "writing"  # of the buffer: a failure of each is told once
ONLINE, OFFLINE = b"online", b"offline"  # on up/status: unsigned, only displayed

log = structlog.get_logger("plomba.gateway")


class LivePipe(Protocol):
    """What the link needs of a connection; `protocols.transports.mqtt.Pipe` is one."""

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Receive what is published on these topics."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker."""

    def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """What comes in: topic and payload."""

    def peer_certificate(self) -> bytes:
        """The broker's certificate (DER)."""


Connect = Callable[[PipeSettings], AbstractAsyncContextManager[LivePipe]]


@dataclass(frozen=True, slots=True)
class Party:
    """Who speaks to whom."""

    gateway: str
    sealing: SigningKey
    box: BoxKey
    trust: Trust


@dataclass(slots=True)
class Conversation:
    """What was said last: the order and bytes of the last acknowledgement, and the hello that is not answered yet."""

    order: Order
    last_ack: Signed | None
    nonce: bytes | None = None
    listed: tuple[Range, ...] = ()
    said_mono_ms: int = 0


class Link:
    """One gateway's conversation with its collector.

    Args:
        party: who speaks to whom.
        settings: the pipe's; the last will is added here.
        connect: opens a pipe.
        forward: decides what is sent when.
        chain: what is held.
        buffer: where contents and marks are, by way of `writer`.
        sealer: takes events and lost records; begins a new epoch.
        clock: set by signed time.
        talk: what was said before this start.
        random: secure random bytes.
        uniform: for jitter.
    """

    def __init__(
        self,
        party: Party,
        settings: PipeSettings,
        connect: Connect,
        forward: Forward,
        chain: Chain,
        buffer: Buffer,
        writer: Writer,
        sealer: Sealer,
        clock: GatewayClock,
        talk: Conversation,
        random: Callable[[int], bytes],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._party, self._connect, self._forward, self._chain = party, connect, forward, chain
        self._buffer, self._writer, self._sealer, self._clock = buffer, writer, sealer, clock
        self._talk, self._random = talk, random
        self._status_topic = topics.up(party.gateway, "status")
        self._settings = replace(settings, will_topic=self._status_topic, will_payload=OFFLINE)
        self._tries = Tries(uniform)
        self._wake = asyncio.Event()
        self._hearing = asyncio.Lock()
        self._trouble: str | None = None
        self._apart = False
        self._unsaved_marks: dict[bytes, Mark] = {}
        self._unsaved_refused: dict[bytes, str | None] = {}
        self._untold = {READING, WRITING}

    def wake(self) -> None:
        """Something new is to be sent."""
        self._wake.set()

    async def run(self) -> None:
        """Stay connected; never returns."""
        now_s = asyncio.get_running_loop().time
        while True:
            self._tries.begun(now_s())
            try:
                await self._converse()
            except (PlombaError, OSError) as error:
                self._failed(error)
            finally:
                self._forward.disconnected()
            await asyncio.sleep(self._tries.pause_s(now_s()))

    async def _converse(self) -> None:
        unset = self._clock.unset
        async with self._connect(replace(self._settings, ignore_dates=unset)) as pipe:
            wanted = [topics.down(self._party.gateway, kind) for kind in topics.DOWN]
            await pipe.subscribe(wanted)
            await pipe.publish(self._status_topic, ONLINE)
            if self._trouble is not None:
                log.info("link-recovered", host=self._settings.host)
                self._trouble = None
            self._forward.connected(self._clock.mono_ms())
            tasks = {asyncio.create_task(self._receive(pipe)), asyncio.create_task(self._send(pipe, unset))}
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()

    def _failed(self, error: Exception) -> None:
        """Log when the reason changes, not at every try."""
        code = error.code if isinstance(error, PlombaError) else type(error).__name__
        if code != self._trouble:
            self._trouble = code
            log.warning("link-failed", error=str(error))

    async def _send(self, pipe: LivePipe, unchecked: bool) -> None:
        """Do what is due; a certificate taken without a clock is checked before anything but a hello leaves."""
        while True:
            if unchecked and not self._clock.unset:
                check_dates(pipe.peer_certificate(), self._clock.utc_ms())
                unchecked = False
            now_ms = self._clock.mono_ms()
            actions = self._forward.next_actions(now_ms, self._clock.utc_ms(), self._clock.unset, AT_ONCE)
            for action in actions:
                await self._act(pipe, action)
            if any(isinstance(each, SendBatch) for each in actions):
                continue  # there may be more of them
            wait_s = min(self._forward.wait_ms(self._clock.mono_ms()) / 1000, TICK_S)
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def _act(self, pipe: LivePipe, action: Action) -> None:
        match action:
            case SendHello(held):
                kind, content = hello.KIND, self._hello(held)
            case SendBatch(batch):
                found = await self._checked(batch)
                if found is None:
                    self._forward.unread(batch)
                    return
                kind, content = batches.KIND, found
        party = self._party
        packet = envelope.close(content, kind, party.gateway, party.trust.boxes[-1])
        await pipe.publish(topics.up(party.gateway, kind), packet)

    def _hello(self, held: tuple[Range, ...]) -> Content:
        party, talk = self._party, self._talk
        talk.nonce, talk.listed = self._random(hello.NONCE), held
        talk.said_mono_ms = self._clock.mono_ms()
        said = Hello(
            party.gateway,
            party.sealing.public.id,
            self._sealer.epoch,
            talk.nonce,
            held,
            talk.last_ack,
            party.trust.number,
            (limits.VERSION,),
            self._clock.shown(),
        ).to_bytes()
        return Content(said, party.sealing.sign(hello.KIND, said), Codec.PLAIN, b"")

    async def _checked(self, batch: bytes) -> Content | None:
        """A batch's content whose seal holds; one that does not is set aside and declared lost."""
        entry = self._chain.get(batch)
        if entry is None:
            return None
        try:
            content, keys = await self._writer.do(lambda: (self._buffer.content(batch), self._keys()))
            if content is None:
                return None
            parsed = batches.parse(content)
            if parsed.id != batch or parsed.header.key not in keys:
                raise SignerError("the batch that was sealed here", parsed.id.hex(), "buffer")
            batches.verify(parsed, keys[parsed.header.key])
        except WriteFailed as error:  # not now: the others go, and this one is tried again in its turn
            self._tell(READING, error)
            return None
        except PlombaError as error:
            await self._declare_lost(entry, error)
            return None
        self._untold.add(READING)
        return content

    def _keys(self) -> dict[bytes, PublicKey]:
        """With which this gateway ever sealed; the present one also where the buffer's table of them is damaged.

        In the writer's thread.
        """
        own = self._party.sealing.public
        try:
            kept = self._buffer.own_keys()
        except BufferDamaged:
            kept = {}
        return {**kept, own.id: own}

    async def _declare_lost(self, entry: Entry, error: PlombaError) -> None:
        log.error(events.BATCH_ROTTEN, seq=entry.seq, error=str(error))
        code = error.code
        self._chain.remove([entry.id])
        try:  # first: until the record below is committed, the gap is kept there
            await self._writer.do(lambda: self._buffer.set_aside(entry.id, code))
        except WriteFailed as failed:  # a damaged page: the next start sets the whole file aside
            log.error(events.WRITE_FAILED, error=str(failed))
        self._sealer.note_event(events.BATCH_ROTTEN, entry.epoch, entry.seq, code)
        self._sealer.note(Lost(self._clock.when(), entry.epoch, entry.seq, entry.seq, ROTTEN))

    async def _receive(self, pipe: LivePipe) -> None:
        async for topic, payload in pipe.messages():
            kind = topics.parse(topic).kind
            if kind != "ack":
                # Commands and new trust documents are fields of a later issue: counted, never obeyed.
                await self._count(IGNORED, kind)
                continue
            await self.hear(payload)

    async def hear(self, packet: bytes) -> tuple[Heard, Change] | PlombaError:
        """Take over an acknowledgement, however it came: what it says and what that changed, or why it does not count.

        One that does not count is counted as that.
        """
        async with self._hearing:
            try:
                party = self._party
                heard = accept(packet, party.gateway, party.box, party.trust, self._talk.order)
            except PlombaError as error:
                await self._count(REJECTED, error.code)
                return error
            found = await self._take(heard)
        self._wake.set()
        return heard, found

    async def _take(self, heard: Heard) -> Change:
        """Take over an acknowledgement: on the disk and in memory."""
        ack, talk, chain = heard.ack, self._talk, self._chain
        nonce, held, said_mono_ms = talk.nonce, talk.listed, talk.said_mono_ms  # another hello may leave meanwhile
        found = change(ack, chain, self._sealer.epoch, talk.order, nonce, held)
        first_seqs = sorted(entry.seq for entry in map(chain.get, found.taken_back) if entry is not None)
        now_ms = self._clock.mono_ms()
        meta: dict[str, Wire] = {
            "order": list(ack.order),
            "last_ack": [heard.signed.header, heard.signed.signature],
            "last_ack_ms": [self._clock.utc_ms()],
            "window": [ack.window],
        }
        if found.answered:
            meta["signed_ms"] = [self._clock.floor_with(ack.time_ms)]
        await self._keep(found, meta)
        chain.set_marks(
            {batch: mark for batch, mark in found.marks.items() if batch in chain},
            {batch: code for batch, code in found.refused.items() if batch in chain},
        )
        if found.cleared:
            self._forward.forget()
            self._sealer.note_event(events.GENERATION, talk.order[0], ack.generation)
        talk.order, talk.last_ack = ack.order, heard.signed
        self._forward.acknowledged(now_ms, ack.window, found.answered)
        self._tries.answered()
        if found.answered:
            talk.nonce = None if talk.nonce == nonce else talk.nonce
            listed = (entry.id for reach in held for entry in chain.walk(reach))
            missing = [batch for batch in listed if chain.mark_of(batch) is Mark.NONE]
            self._forward.not_stored(missing, said_mono_ms, now_ms)
            round_trip_ms = self._clock.mono_ms() - said_mono_ms  # with the time that the disk took
            self._compare(ack.time_ms, round_trip_ms)
            self._correct(self._clock.signed(ack.time_ms, round_trip_ms))
        if first_seqs:
            self._sealer.note_event(events.MARK_TAKEN_BACK, len(first_seqs), first_seqs[0])
        if found.contradicts:
            log.error("chain-contradicted", epoch=self._sealer.epoch.hex())
            self._sealer.begin_epoch("contradicted")
        return found

    async def _keep(self, found: Change, meta: dict[str, Wire]) -> None:
        """Write what changed; what the disk does not take is written with the next acknowledgement.

        Until then it counts in memory only, where it stops resending and frees nothing.
        """
        self._unsaved_marks |= found.marks
        self._unsaved_refused |= found.refused
        marks, refused = dict(self._unsaved_marks), dict(self._unsaved_refused)
        try:
            await self._writer.do(lambda: self._buffer.mark(marks, refused, meta))
        except WriteFailed as error:
            self._tell(WRITING, error)
            return
        self._untold.add(WRITING)
        self._unsaved_marks.clear()
        self._unsaved_refused.clear()

    def _tell(self, what: str, error: WriteFailed) -> None:
        """Log the first failure of a disk that the sealer has not told of, not every one."""
        if what in self._untold:
            self._untold.remove(what)
            if not self._sealer.failing:
                log.error(events.WRITE_FAILED, error=str(error))

    def _compare(self, time_ms: int, round_trip_ms: int) -> None:
        """Say when our clock and the collector's part, and when they agree again; neither moves the other."""
        apart_ms = self._clock.apart_ms(time_ms, round_trip_ms)
        if bool(apart_ms) != self._apart:
            self._apart = bool(apart_ms)
            self._sealer.note_event(events.CLOCK_APART, apart_ms)
            log.warning(events.CLOCK_APART, collector_ahead_ms=apart_ms)

    def _correct(self, step: Step | None) -> None:
        """Signed time set the clock: what was stamped since is corrected by a record, never rewritten."""
        if step is None:
            return
        self._sealer.note_event(events.CLOCK_SET, step.by_ms, "collector", *step.told)
        self._sealer.note(
            TimeCorrection(self._clock.when(), self._clock.boot, step.from_mono_ms, step.mono_ms, step.by_ms)
        )
        log.info(events.CLOCK_SET, by_ms=step.by_ms)

    async def _count(self, name: str, code: str) -> None:
        try:
            await self._writer.do(lambda: self._buffer.count(name, code))
        except WriteFailed as error:
            log.error(events.WRITE_FAILED, error=str(error))
