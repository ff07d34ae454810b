"""The two daemons as nodes of a bench: the product's own wiring, each life of it a process that may end at any instant.

A life ends by SIGTERM (the daemon stops in order), by a kill (what was written is there) or by a power cut (what was
not synced is at stake). The next life finds the disk that the last one left.
"""

from __future__ import annotations

import random
import signal
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import msgpack
from crashdisk import CrashDisk
from dwelling import Dwelling
from keyring import COLLECTOR, Centre, Edge
from memory_broker import Broker, Door, MemoryPipe
from virtual import Life
from world import START_MS, World

from collector import daemon as collector_daemon
from collector.config import Config
from collector.store.sqlite import SqliteStore
from collector.surroundings import Surroundings as CollectorSurroundings
from collector.worker import Worker
from gateway import daemon as gateway_daemon
from gateway.clock import Discipline, Sources
from gateway.config import BufferSize, Configuration
from gateway.config_file import configuration_from
from gateway.lines import Lines
from gateway.schema import BUFFER_FILE
from gateway.surroundings import Surroundings
from protocols.errors import PlombaError
from protocols.transports.pipe import PipeSettings
from protocols.transports.serial import PortMissing
from protocols.transports.tcp import ConnectionRefused

RESTART_S = 5.0  # systemd's pause before a service that failed is started again
RING = 64  # refused messages that the collector keeps
STORE = "collector.sqlite3"
UNSEALED_MS = 60_000  # what was read is sealed by then
DEAD_MS = -(10**15)  # a clock that stands at its beginning, in 1970


@dataclass(slots=True)
class Span:
    """A time in which a process ran, by the true clock (ms); `to_ms` None while it runs. `how` it ended."""

    from_ms: int
    to_ms: int | None = None
    how: str = ""


class Node:
    """A process on a disk of its own."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.door: Door
        self.spans: list[Span] = []
        self.wrong: dict[object, int] = {}  # by how much (ms) each fault puts the wall clock wrong
        self.refusals: list[str] = []  # starts that ended in an error with a name
        self.frozen = False  # the operating system does not run it (SIGSTOP)
        self._life: Life | None = None
        self._disks = 0
        self._finished: Callable[[], None] | None = None
        self._root = world.folder / name
        self._root.mkdir()
        first = self._next_folder()
        first.mkdir()
        self.disk = CrashDisk(first, world.dice(f"disk {name}"))
        self._dice = world.dice(f"node {name}")

    @property
    def running(self) -> bool:
        """Whether a process lives."""
        return self._life is not None

    @property
    def clock_dead(self) -> bool:
        """Whether the machine came up without any idea of the time."""
        return DEAD_MS in self.wrong.values()

    def wall_ms(self) -> int:
        """What the machine's wall clock shows."""
        now_ms = self.world.now_ms()
        return now_ms - START_MS if self.clock_dead else now_ms + sum(self.wrong.values())

    def boot(self) -> None:
        """A process starts, unless one runs."""
        if self._life is not None:
            return
        self._life = life = Life(f"{self.name} {len(self.spans)}")
        self.spans.append(Span(self.world.now_ms()))
        with self.world.loop.begin(life):
            self.world.loop.create_task(self._run(life))

    def power_cut(self, off_s: float) -> None:
        """The power fails now and comes back later."""
        self._end("cut", off_s, lambda: self.disk.cut(self._next_folder()))

    def power_cut_at(self, operation: int, off_s: float) -> None:
        """The power fails at the n-th operation on the disk from now."""
        life, loop = self._life, self.world.loop
        if life is None or self.disk.dead:
            return

        def fail() -> None:
            loop.end_life(life)  # this very step goes on to its next pause; it reaches nobody any more
            self.world.after(0, self.power_cut, off_s)

        self.disk.cut_at(operation, fail)

    def kill(self, off_s: float) -> None:
        """SIGKILL; started again later."""
        self._end("kill", off_s, self._left_disk)

    def stop(self, off_s: float, then: Callable[[], None] | None = None) -> None:
        """SIGTERM; started again later (or `then` is called)."""
        life = self._life
        if life is None:
            return
        self._finished = then or (lambda: self.world.after(off_s, self.boot))
        self.world.loop.send_signal(life, signal.SIGTERM)

    def replace_disk(self, image: Path, off_s: float) -> None:
        """Somebody puts an older image in place while the process is down."""

        def older() -> CrashDisk:
            self.disk.close()
            folder = self._next_folder()
            folder.mkdir()
            for each in image.iterdir():
                (folder / each.name).write_bytes(each.read_bytes())
            return CrashDisk(folder, self.disk.dice)

        self._end("replaced", off_s, older)

    def snapshot(self, to: Path) -> None:
        """A backup of the disk as it is now."""
        self.disk.snapshot(to)

    def serve(self, folder: Path) -> Coroutine[Any, Any, None]:
        """The process on the disk at `folder`."""
        raise NotImplementedError

    async def _run(self, life: Life) -> None:
        failed = False
        try:
            await self.serve(self.disk.folder)
        except PlombaError as error:
            failed = True
            self.refusals.append(f"{error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding of the bench
            failed = True
            self.world.unexpected.append(f"{self.name}: {error!r}")
        self.world.after(0, self._ended, life, failed)

    def _ended(self, life: Life, failed: bool) -> None:
        """The process ended by itself, as it was told or because it could not go on."""
        if life != self._life:
            return
        finished, self._finished = self._finished, None
        if failed or finished is None:
            self._end("failed" if failed else "left", RESTART_S, self._left_disk)
            return
        self._bury("stop", self._left_disk)
        finished()

    def _end(self, how: str, off_s: float, next_disk: Callable[[], CrashDisk]) -> None:
        if self._life is None:
            return
        self._bury(how, next_disk)
        self.world.after(off_s, self.boot)

    def _bury(self, how: str, next_disk: Callable[[], CrashDisk]) -> None:
        assert self._life is not None
        self.world.loop.end_life(self._life)
        self._life, self._finished = None, None
        self.spans[-1].to_ms, self.spans[-1].how = self.world.now_ms(), how
        self.door.break_all("its peer ended")
        full = self.disk.capacity is not None
        left, self.disk = self.disk, next_disk()
        left.scrap()
        if full:
            self.disk.fill()
        self.world.count(f"{'gateway' if isinstance(self, GatewayNode) else 'collector'} {how}")

    def _left_disk(self) -> CrashDisk:
        """The disk as a process leaves it; where the power failed in its last write, as the power left it."""
        folder = self._next_folder()
        return self.disk.cut(folder) if self.disk.dead else self.disk.kill(folder)

    def _next_folder(self) -> Path:
        self._disks += 1
        return self._root / f"disk-{self._disks}"


class GatewayNode(Node):
    """A gateway on its meters."""

    def __init__(self, world: World, name: str, broker: Broker, dwelling: Dwelling, edge: Edge, max_bytes: int) -> None:
        self._broker, self.dwelling, self.edge = broker, dwelling, edge
        self._table = dwelling.table(name) | {
            "keys_folder": str(edge.folder),
        }
        self._size = BufferSize(max_bytes=max_bytes, reserve_bytes=0)
        self._lines = Lines(dwelling.port.open, dwelling.open_tcp)
        self._mono_base_ms = 0
        self._boot = b""
        super().__init__(world, name)
        self.door = broker.door(name)
        self._new_machine()

    @property
    def configuration(self) -> Configuration:
        """What this life is told."""
        table = self._table | {"state_folder": str(self.disk.folder)}
        found = configuration_from(table, self.disk.folder, self.name)
        return replace(found, buffer=self._size)  # smaller than a file may ask for: it is soon full

    def power_cut(self, off_s: float) -> None:
        """The machine goes down with it: another boot id, the monotonic clock from the beginning."""
        super().power_cut(off_s)
        self._new_machine()

    def heard(self) -> tuple[int, int]:
        """Generation and number of the last acknowledgement that it accepted."""
        row = self._asked("SELECT value FROM meta WHERE name = 'order'")
        generation, number = (0, 0) if row is None else msgpack.unpackb(row[0])
        return generation, number

    def unstored_since_ms(self) -> int:
        """Since when (ms, by its own clock) what was read may be here alone."""
        (first,) = self._asked("SELECT min(created_ms) FROM batch WHERE mark = 0") or (None,)
        return (self.world.now_ms() if first is None else int(first)) - UNSEALED_MS

    def clone(self, name: str) -> GatewayNode:
        """A copy of the machine as it is now, that runs beside it on meters which do not answer."""
        twin = GatewayNode(self.world, name, self._broker, self.dwelling, self.edge, self._size.max_bytes)
        twin._table, twin._lines = self._table, Lines(_no_port, _no_host)
        twin.disk.close()
        folder = twin._next_folder()
        self.disk.snapshot(folder)
        twin.disk = CrashDisk(folder, twin.disk.dice)
        return twin

    def serve(self, folder: Path) -> Coroutine[Any, Any, None]:
        """The gateway's daemon."""
        return gateway_daemon.serve(self.configuration, self._surroundings())

    def _asked(self, query: str) -> Any:
        """A row of the buffer, None where there is none, or nothing can be read."""
        with closing(sqlite3.connect(self.disk.folder / BUFFER_FILE)) as database:
            try:
                return database.execute(query).fetchone()
            except (sqlite3.Error, UnicodeDecodeError):
                return None

    def _new_machine(self) -> None:
        self._boot = self._dice.randbytes(16)
        self._mono_base_ms = self.world.now_ms() - 20_000  # it was up for a while before we are

    def _surroundings(self) -> Surroundings:
        dice = random.Random(self._dice.random())
        sources = Sources(
            self.wall_ms,
            lambda: self.world.now_ms() - self._mono_base_ms,
            lambda: Discipline(False, None) if self.clock_dead else Discipline(True, 20),
            self._boot,
        )
        silent = nullcontext()  # no command asks
        return Surroundings(sources, dice.randbytes, dice.uniform, self._connect, self._lines, lambda *_: silent)

    def _connect(self, settings: PipeSettings) -> AbstractAsyncContextManager[MemoryPipe]:
        return self._broker.connect(self.door, settings)


def last_words(store: Path) -> dict[str, int]:
    """The number of the last acknowledgement to each gateway, as a copy of the store knows it."""
    with closing(sqlite3.connect(store)) as database:
        return dict(database.execute("SELECT name, ack_number FROM gateway"))


def _no_port(port: str, baud: int, mode: str) -> NoReturn:
    raise PortMissing("a port", "none", port)


async def _no_host(host: str, port: int, timeout_s: float) -> NoReturn:
    raise ConnectionRefused("a connection", "refused", host)


class CollectorNode(Node):
    """The collector; `register` is called with the store before its first life."""

    def __init__(self, world: World, broker: Broker, centre: Centre, safe_after_s: int) -> None:
        super().__init__(world, COLLECTOR)
        self._broker, self.centre, self._safe_after_s = broker, centre, safe_after_s
        self.door = broker.door(COLLECTOR)

    @property
    def config(self) -> Config:
        """What this life is told."""
        folder = self.disk.folder
        return Config(COLLECTOR, folder / STORE, folder, "localhost", 8883, None, self._safe_after_s, 64, 50, RING)

    def register(self, gateways: list[tuple[str, Edge, bytes]]) -> None:
        """Enrol gateways: name, keys, approved configuration's hash."""
        store = SqliteStore.open(self.disk.folder / STORE)
        with store.transaction():
            for name, edge, approved in gateways:
                store.gateways.add(name, edge.box.public, edge.sealing.public, self.world.now_ms())
                store.gateways.approve(name, approved, self.world.now_ms())
        store.close()

    def serve(self, folder: Path) -> Coroutine[Any, Any, None]:
        """The collector's daemon."""
        return self._serve(self.config)

    async def _serve(self, config: Config) -> None:
        store = SqliteStore.open(config.store)
        worker = Worker(config, self.centre.own, self.centre.document, store)
        dice = random.Random(self._dice.random())
        surroundings = CollectorSurroundings(
            self.wall_ms,
            self.world.now_ms,
            dice.uniform,
            lambda settings: self._broker.connect(self.door, settings),
        )
        try:
            await collector_daemon.serve(config, worker, surroundings)
        finally:
            store.close()
