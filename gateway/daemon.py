"""The daemon: wires the parts and waits for SIGTERM; it decides nothing about data."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import structlog

from gateway import enrol, events
from gateway.about import About
from gateway.answers import Answers
from gateway.buses import Shared, guests, pollers, pushing, slotted
from gateway.clock import GatewayClock
from gateway.config import Configuration, configuration_content, configuration_hash
from gateway.core import core_of_this_program
from gateway.exchanging import Exchanging, lending
from gateway.forward import Forward
from gateway.link import Conversation, Link, Party
from gateway.lock import FolderLock
from gateway.manager import READY, STOPPING
from gateway.salvage import declared
from gateway.seal import Seal, Sealer
from gateway.settled import Positions
from gateway.start import Opened, open_all
from gateway.supervise import supervised, trust_when_accepted
from gateway.surroundings import Surroundings, machine
from gateway.writer import ThreadWriter
from protocols.transports.pipe import PipeSettings
from protocols.transports.tasks import end
from protocols.uplink.records import TimeCorrection

FIRST_SPACE = "free space, or replace the disk, before the daemon is stopped: what waits in memory ends with it"
STOP_S = 8.0  # for the polls in hand after SIGTERM; with the last seal it stays under 10 s
WATCH_S = 1.0  # between looks at the system's clock

log = structlog.get_logger("plomba.gateway")


def run(configuration: Configuration) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        PlombaError: it could not start, with the reason.
    """
    configuration.state_folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    lock = FolderLock(configuration.state_folder)
    try:
        asyncio.run(serve(configuration, machine()))
    finally:
        lock.close()


async def serve(configuration: Configuration, surroundings: Surroundings) -> None:
    """Run in `surroundings` until SIGTERM or SIGINT; the state folder is the caller's alone.

    Raises:
        PlombaError: it could not start, with the reason.
    """
    opened = await open_all(configuration, surroundings)
    if opened is not None:
        await _Daemon(configuration, surroundings, opened).run()


class _Daemon:
    """The parts of one process."""

    def __init__(self, configuration: Configuration, surroundings: Surroundings, opened: Opened) -> None:
        known, gateway = opened.known, configuration.gateway
        self._configuration, self._surroundings, self._opened = configuration, surroundings, opened
        self._writer = ThreadWriter()
        self._clock = GatewayClock(surroundings.clock, known.signed_ms, known.sealed_ms)
        self._core = core_of_this_program()
        positions = Positions(known.rows)
        self._sealer = Sealer(
            Seal(gateway, opened.keys.sealing, self._core, configuration_content(configuration)),
            self._clock,
            opened.buffer,
            self._writer,
            opened.chain,
            known.head,
            slotted(configuration),
            positions,
            surroundings.random,
            self._wake_link,
        )
        self._pushing = pushing(configuration, self._clock, self._sealer, self._writer)
        acquaint = None if self._pushing is None else self._pushing.acquaint
        shared, lines, writer = Shared.of(configuration, self._writer), surroundings.lines, self._writer
        self._pollers = pollers(
            configuration, known.slots, positions, self._clock, self._sealer, lines, writer, acquaint, shared=shared
        )
        about = About(self._core, configuration_hash(configuration), os.getpid())
        asked = guests(configuration, self._pollers)
        lend = lending(self._pollers)
        self._exchanging = Exchanging(configuration, self._clock, self._sealer, shared, lend, lines)
        self._answers = Answers(opened.buffer, self._writer, self._clock, about, asked)
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
            ("local", self._answer),
        ]
        if self._pushing is not None:
            parts.append(("push", self._pushing.run))
        self._tasks = [asyncio.create_task(supervised(name, part)) for name, part in parts]
        manager = self._surroundings.manager
        living = asyncio.create_task(manager.live())
        manager.tell(READY)
        await stop.wait()
        manager.tell(STOPPING)
        for poller in self._pollers:
            poller.stop()
        await asyncio.wait(polling, timeout=STOP_S)
        left = await end((*self._tasks, *polling))
        if left:
            log.error("parts-left", parts=left)
        if self._pushing is not None:
            await self._pushing.settle()
        self._sealer.note_event(events.STOP)
        await self._sealer.flush()
        if lost := self._sealer.unwritten:  # the disk took nothing to the end, so nothing but the log can tell
            log.error(events.READINGS_LOST, readings=lost, do=FIRST_SPACE)
        await self._writer.do(self._opened.buffer.close)
        self._writer.close()
        await end([living])
        log.info("stopped")

    def _say_start(self) -> None:
        salvaged = self._opened.salvaged
        self._sealer.begin_epoch("start" if salvaged is None else "buffer damaged")
        self._sealer.note_event(events.START, self._core.version)
        for code, count, aside in self._opened.told:
            self._sealer.note_event(code, count, aside)
        if salvaged is not None:
            log.error(events.BUFFER_SALVAGED, whole=len(salvaged.whole), gaps=len(salvaged.gaps))
        for lost in declared(
            self._opened.known.gaps, self._clock.when()
        ):  # of this start, or of one that was cut short
            self._sealer.note(lost)
        held, buses = len(self._opened.chain), len(self._pollers)
        log.info("started", gateway=self._configuration.gateway, core=self._core.version, buses=buses, held=held)

    async def _run_link(self) -> None:
        configuration, opened, surroundings = self._configuration, self._opened, self._surroundings
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
            surroundings.connect,
            Forward(opened.chain, surroundings.uniform, known.window),
            opened.chain,
            opened.buffer,
            self._writer,
            self._sealer,
            self._clock,
            Conversation(known.order, known.last_ack),
            surroundings.random,
            surroundings.uniform,
        )
        self._answers.link = self._link
        await self._link.run()

    async def _answer(self) -> None:
        """What commands on this machine ask while the daemon runs."""
        try:
            verbs = {**self._answers.verbs(), **self._exchanging.verbs()}
            async with self._surroundings.local(self._configuration.state_folder, verbs):
                await asyncio.Event().wait()
        except OSError as error:  # without it everything but these commands works
            log.error("no-local-socket", error=str(error))

    def _wake_link(self) -> None:
        if self._link is not None:
            self._link.wake()

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            step = self._clock.check()
            if step is None:
                continue
            log.warning(events.CLOCK_STEP, by_ms=step.by_ms, slots=step.mark)
            self._sealer.note_event(events.CLOCK_STEP, step.by_ms, *step.told)
            if step.corrects:
                times = (step.from_mono_ms, step.mono_ms, step.by_ms)
                self._sealer.note(TimeCorrection(self._clock.when(), self._clock.boot, *times))
