"""The daemon: wires pipe and worker, connects again with full jitter, ends on SIGTERM with the group committed."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from collector import keys
from collector.acknowledge import Packet
from collector.attribute.beside import Beside, Work
from collector.config import Config
from collector.erase.retain import Retention
from collector.expose.health import Health
from collector.faults import StoreFullError
from collector.keys import WorkerKeys
from collector.place import Server
from collector.receive import QUEUE, LivePipe, gather, receive
from collector.seat import ALONE, Seat, Seats
from collector.shares import Following, Mine
from collector.store.opening import open_seats, open_store, when_there
from collector.surroundings import Surroundings, machine
from collector.verify import Message
from collector.worker import Worker, read_trust
from protocols.errors import LinkError
from protocols.transports.pipe import Backoff, PipeSettings
from protocols.transports.tasks import end
from protocols.uplink import topics

if TYPE_CHECKING:
    from collector.expose.serve import PageServer

log = structlog.get_logger()
T = TypeVar("T")

LOOK_S = 1.0  # even with nothing owed it looks up so often, to see that it shall stop
PUBLISHING = 16  # acknowledgements on their way to the broker at one time


def run(config: Config, seat: Seat | None = None) -> None:
    """Run until SIGTERM or SIGINT; with a seat for what has to be taken from it.

    In a database without a seat it is the only worker, and waits while there are others.

    Raises:
        ConfigurationError, SecurityError, StorageError: it cannot start, and why.
    """
    own = WorkerKeys.read(config.keys_folder)
    document = read_trust(config, own)
    if seat is None and isinstance(config.store, Server):
        seat = ALONE  # what shares a database is told of each other
    seats = None if seat is None else open_seats(config.store, seat)
    store = when_there(config.store, lambda: open_store(config.store))
    surroundings = machine()
    beside = [Beside(config.store, surroundings.now_ms), Beside(config.store, surroundings.now_ms, retention(config))]
    try:
        for each in beside:
            each.start()
        worker = Worker(config, own, document, store)
        asyncio.run(serve(config, worker, surroundings, seats))
    except sqlite3.DatabaseError as error:
        raise StoreFullError("a store that can be read", str(error), str(config.store)) from error
    finally:
        for each in beside:
            each.end()
        for each in beside:
            each.stop()
        store.close()
        if seats is not None:
            seats.close()


def retention(config: Config) -> Work:
    """What ends the erasures that were begun, and erases what no purpose holds where the configuration wants it."""
    return Work(
        lambda store: Retention(store, config.purposes, config.safe_after_s * 1_000),
        "retention",
        1,
        "what no purpose holds is not erased",
        "what no purpose holds is erased again",
    )


async def serve(config: Config, worker: Worker, surroundings: Surroundings, seats: Seats | None = None) -> None:
    """Run `worker` in `surroundings` until SIGTERM or SIGINT, alone or on its seat.

    Raises:
        ConfigurationError, StorageError: it cannot start, and why.
    """
    when_there(config.store, lambda: worker.start(surroundings.now_ms()))
    await _Daemon(config, worker, surroundings, seats).run()


class _Daemon:
    """One pipe at a time and one worker."""

    def __init__(self, config: Config, worker: Worker, surroundings: Surroundings, seats: Seats | None) -> None:
        self._config = config
        self._worker = worker
        self._now_ms, self._mono_ms, self._connect = surroundings.now_ms, surroundings.mono_ms, surroundings.connect
        self._following = Following(seats, self._mono_ms)
        self._queue: asyncio.Queue[Message] = asyncio.Queue(QUEUE)
        self._stop = asyncio.Event()
        self._linked: bool | None = None
        self._health = Health()
        self._thread = ThreadPoolExecutor(1, "store")
        self._backoff = Backoff(surroundings.uniform)

    async def run(self) -> None:
        """Connect, again and again, until it shall end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        page = page_server(self._config, self._health)
        if page is not None:
            page.start()
        try:
            await self._connect_again()
        finally:
            if page is not None:
                await page.stop()
        await self._in_thread(lambda: None)  # what was given up with a connection has ended now
        log.info("stopped")

    async def _connect_again(self) -> None:
        while not self._stop.is_set():
            try:
                async with self._connect(pipe_settings(self._config)) as pipe:
                    await self._session(pipe)
            except LinkError as error:
                if self._linked is not False:
                    log.warning("no link to the broker", fault=str(error))
                self._linked = False
            self._health.linked = False
            if not self._stop.is_set():
                await self._pause(self._backoff.next_s())

    async def _session(self, pipe: LivePipe) -> None:
        """One connection's life: receive in a task of its own, work in this one."""
        greeted = await self._following.begin(pipe, self._in_thread)
        log.info("linked to the broker", host=self._config.host, port=self._config.port)
        self._linked = self._health.linked = True
        await self._greet(greeted)
        receiving = asyncio.create_task(receive(pipe, self._queue, self._now_ms))
        working = asyncio.create_task(self._work(pipe))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({receiving, working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end([receiving])
        if self._stop.is_set():
            await working
            return
        stopping.cancel()
        if working.done():
            working.result()
        await end([working])
        if receiving.done() and not receiving.cancelled() and (fault := receiving.exception()) is not None:
            raise fault

    async def _work(self, pipe: LivePipe) -> None:
        """Groups in, acknowledgements out; when stopping, what is in the queue is still committed."""
        while True:
            await self._greet(await self._following.follow(pipe, self._in_thread))
            stopping = self._stop.is_set()
            wait_ms = 0 if stopping else self._worker.wait_ms(self._mono_ms())
            group_s = 0 if stopping else self._config.group_ms / 1000
            group = await gather(self._queue, min(LOOK_S, LOOK_S if wait_ms is None else wait_ms / 1000), group_s)
            if group:
                await self._in_thread(partial(self._worker.take, group, self._now_ms()))
                self._backoff.reset()
            self._health.storing = not self._worker.full
            packets = await self._in_thread(partial(self._worker.words, self._now_ms(), self._mono_ms()))
            await self._publish(pipe, packets)
            if stopping and not group:
                return

    async def _greet(self, mine: Mine | None) -> None:
        if mine is not None:
            await self._in_thread(partial(self._worker.greet, mine))

    async def _publish(self, pipe: LivePipe, packets: Sequence[Packet]) -> None:
        for start in range(0, len(packets), PUBLISHING):
            some = packets[start : start + PUBLISHING]
            await asyncio.gather(*(pipe.publish(topics.down(each.gateway, "ack"), each.octets) for each in some))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """One call of the worker after the other, even when the one before was given up with its connection."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()


def page_server(config: Config, health: Health) -> PageServer | None:
    """The page, where one is configured; only then is anything of it loaded."""
    if config.http is None:
        return None
    from collector.expose.serve import PageServer  # noqa: PLC0415 - loads fastapi and uvicorn

    return PageServer(config, config.http, health)


def pipe_settings(config: Config) -> PipeSettings:
    """Where the broker is and who the collector is there."""
    folder = config.keys_folder
    certificate, key = folder / keys.CERTIFICATE, folder / keys.TLS
    return PipeSettings(config.host, config.port, folder / keys.CA, certificate, key, config.server_name)
