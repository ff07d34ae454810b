"""The daemon: wires the parts and waits for SIGTERM; it decides nothing about data."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from gateway import enrol, events
from gateway.buffer import Buffer, Known
from gateway.buses import cadences, pollers
from gateway.chain import Chain
from gateway.clock import GatewayClock, system_sources
from gateway.config import Configuration, configuration_content
from gateway.core import core_of_this_program
from gateway.forward import Forward
from gateway.keyless import read_meanwhile
from gateway.link import Conversation, Link, Party
from gateway.lock import FolderLock
from gateway.quarantine import seal_quarantined
from gateway.salvage import Salvaged, open_or_salvage
from gateway.seal import Seal, Sealer
from gateway.supervise import supervised, trust_when_accepted
from gateway.writer import ThreadWriter
from protocols.transports.pipe import PipeSettings
from protocols.uplink.faults import KeyFileError
from protocols.uplink.records import TimeCorrection

STOP_S = 8.0  # for the polls in hand after SIGTERM; with the last seal it stays under 10 s
WATCH_S = 1.0  # between looks at the system's clock

log = structlog.get_logger("plomba.gateway")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a start finds in the state folder."""

    buffer: Buffer
    chain: Chain
    known: Known
    salvaged: Salvaged | None
    keys: enrol.Keys


def run(configuration: Configuration) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        PlombaError: it could not start, with the reason.
    """
    configuration.state_folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    lock = FolderLock(configuration.state_folder)
    try:
        opened = _open(configuration)
        if opened is not None:
            asyncio.run(_Daemon(configuration, opened).run())
    finally:
        lock.close()


def _open(configuration: Configuration) -> Opened | None:
    """All that a start needs; None where SIGTERM came while a key could not be read."""
    size, stamp = configuration.buffer, str(time.time_ns() // 1_000_000)
    keys, trouble = _keys(configuration)
    trusted = [] if keys is None else [keys.sealing.public]
    buffer, salvaged = open_or_salvage(configuration.state_folder, size.max_bytes, size.reserve_bytes, trusted, stamp)
    if keys is None and trouble is not None:
        if not buffer.own_keys():  # nothing was ever sealed here: it is the set-up that lacks keys
            buffer.close()
            raise trouble
        keys = asyncio.run(read_meanwhile(configuration, buffer, trouble))
    if keys is None:
        buffer.close()
        return None
    buffer.remember_key(keys.sealing.public)
    _seal_quarantined(configuration, buffer, keys)
    return Opened(buffer, buffer.chain(), buffer.known(), salvaged, keys)


def _keys(configuration: Configuration) -> tuple[enrol.Keys | None, KeyFileError | None]:
    try:
        return enrol.read_keys(configuration.keys_folder), None
    except KeyFileError as error:
        return None, error


def _seal_quarantined(configuration: Configuration, buffer: Buffer, keys: enrol.Keys) -> None:
    known = buffer.known()
    clock = GatewayClock(system_sources(), known.signed_ms, known.sealed_ms)
    seal = Seal(configuration.gateway, keys.sealing, core_of_this_program(), configuration_content(configuration))
    count = seal_quarantined(buffer, seal, clock, known.head, os.urandom)
    if count:
        log.warning("quarantine-sealed", readings=count)


class _Daemon:
    """The parts of one process."""

    def __init__(self, configuration: Configuration, opened: Opened) -> None:
        known, gateway = opened.known, configuration.gateway
        self._configuration, self._opened = configuration, opened
        self._writer = ThreadWriter()
        self._clock = GatewayClock(system_sources(), known.signed_ms, known.sealed_ms)
        self._uniform = random.SystemRandom().uniform
        self._core = core_of_this_program()
        self._sealer = Sealer(
            Seal(gateway, opened.keys.sealing, self._core, configuration_content(configuration)),
            self._clock,
            opened.buffer,
            self._writer,
            opened.chain,
            known.head,
            cadences(configuration),
            os.urandom,
            self._wake_link,
        )
        self._pollers = pollers(configuration, known.slots, self._clock, self._sealer)
        self._link: Link | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """From the first record to the last seal."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._say_start()
        polling = [asyncio.create_task(supervised("poller", each.run)) for each in self._pollers]
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("sealer", self._sealer.run),
            ("clock", self._watch_clock),
            ("link", self._run_link),
        ]
        self._tasks = [asyncio.create_task(supervised(name, part)) for name, part in parts]
        await stop.wait()
        for poller in self._pollers:
            poller.stop()
        await asyncio.wait(polling, timeout=STOP_S)
        for task in (*self._tasks, *polling):
            task.cancel()
        await asyncio.gather(*self._tasks, *polling, return_exceptions=True)
        self._sealer.note_event(events.STOP)
        await self._sealer.flush()
        await self._writer.do(self._opened.buffer.close)
        self._writer.close()
        log.info("stopped")

    def _say_start(self) -> None:
        salvaged = self._opened.salvaged
        self._sealer.begin_epoch("start" if salvaged is None else "buffer damaged")
        self._sealer.note_event(events.START, self._core.version)
        if salvaged is not None:
            self._sealer.note_event(events.BUFFER_SALVAGED, len(salvaged.whole), salvaged.aside.name)
            for lost in salvaged.lost(self._clock.when()):
                self._sealer.note(lost)
            log.error(events.BUFFER_SALVAGED, whole=len(salvaged.whole), gaps=len(salvaged.gaps))
        held, buses = len(self._opened.chain), len(self._pollers)
        log.info("started", gateway=self._configuration.gateway, core=self._core.version, buses=buses, held=held)

    async def _run_link(self) -> None:
        # aiomqtt too: polling does not wait for it.
        from protocols.transports.mqtt import connect  # noqa: PLC0415

        configuration, opened = self._configuration, self._opened
        folder, broker, known = configuration.keys_folder, configuration.broker, opened.known
        trust = await trust_when_accepted(configuration)
        party = Party(configuration.gateway, opened.keys.sealing, opened.keys.box, trust)
        settings = PipeSettings(
            broker.host,
            broker.port,
            folder / enrol.TLS_CA,
            folder / enrol.TLS_CERTIFICATE,
            folder / enrol.TLS_KEY,
            broker.server_name,
        )
        self._link = Link(
            party,
            settings,
            connect,
            Forward(opened.chain, self._uniform, known.window),
            opened.chain,
            opened.buffer,
            self._writer,
            self._sealer,
            self._clock,
            Conversation(known.order, known.last_ack),
            os.urandom,
            self._uniform,
        )
        await self._link.run()

    def _wake_link(self) -> None:
        if self._link is not None:
            self._link.wake()

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            step = self._clock.check()
            if step is None:
                continue
            log.warning(events.CLOCK_STEP, by_ms=step.by_ms)
            self._sealer.note_event(events.CLOCK_STEP, step.by_ms)
            if step.corrects:
                times = (step.from_mono_ms, step.mono_ms, step.by_ms)
                self._sealer.note(TimeCorrection(self._clock.when(), self._clock.boot, *times))
