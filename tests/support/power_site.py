"""A site of real processes, of which the gateway's state and the collector's store lie on disks that can be cut.

What was promised is looked at from outside, right before a cut: every batch that the gateway's buffer shows as sealed
or that the collector has, and every batch that the gateway has marked because an acknowledgement said so. After the cut
a copy of what is on the disk then is looked at, so that the daemon finds the disk itself untouched.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from power import PowerDisk

from gateway.schema import BUFFER_FILE
from gateway.tries import CAP_S
from simulators.record import read
from simulators.site.count import Count, Run, count
from simulators.site.held import Verdict, stored_readings, verify_all
from simulators.site.link import Link
from simulators.site.parts import Down, PartError, now_ms
from simulators.site.setup import Site

STORE_FILE = "collector.sqlite3"
CADENCE_S = 1  # every bus is read each second, so that batches come often
CADENCE_MS = CADENCE_S * 1000
# Around a cut of the gateway: a round under way was sealed with the next one, and a start takes its time. What was
# sealed is known by its id, so that no slot's excuse hides the loss of a batch.
BEFORE_MS, AFTER_MS = 1_000, 3_000
LOOK_S = 0.02  # between two looks at a database
QUIET_MS = 600  # after a slot's begin its rounds are over: meters are frozen then
SETTLE_S = 2.5  # a round under way ends, with meters that fall silent in it, and is sealed
SOON_S = 3.0  # a promise that a cut waits for comes so soon, or the cut does not wait
COME_S = CAP_S + 30.0  # what shall come has come by then: after an outage a gateway waits so long by itself
DRAIN_S = 45.0  # after the freeze, and once more after a start
BATCHES = "SELECT id FROM batch"
MARKED = "SELECT id FROM batch WHERE mark > 0"
UNMARKED = "SELECT id FROM batch WHERE mark = 0"
EVIDENCE = "SELECT id FROM evidence"
HASTY = {
    "gateway": """
from gateway import schema
proper = schema.connect
def hasty(*given):
    made = proper(*given)
    made.execute("PRAGMA synchronous = NORMAL")
    return made
schema.connect = hasty
from gateway.cli import main
main()
""",
    "collector": """
from collector.store.sqlite import SqliteStore
proper = SqliteStore.open
def hasty(path):
    made = proper(path)
    made._connection.execute("PRAGMA synchronous = NORMAL")
    return made
SqliteStore.open = hasty
SqliteStore.durability = lambda store: None
from collector.cli import main
main()
""",
}


@dataclass(frozen=True, slots=True)
class Cut:
    """What one power cut did: how many batches were promised until then, which are gone, whether the file is sound."""

    promised: int
    lost: frozenset[bytes]
    sound: bool


@dataclass(frozen=True, slots=True)
class End:
    """What is there in the end.

    Batches sealed, those of them that the collector does not hold, those that the gateway does not know to be there,
    cases that the collector opened; the count of readings, and what `verify` says of every batch.
    """

    sealed: int
    lost: int
    waiting: int
    cases: tuple[str, ...]
    count: Count
    verdict: Verdict


async def prepare(folder: Path) -> Site:
    """A site that is set up and has never run; `PowerSite` starts from here as often as it is asked."""
    site = Site(folder)
    await site.set_up()
    await site.link.stop()
    toml, collector = site.folder / "gateway" / "gateway.toml", site.folder / "collector"
    text = re.sub(r"cadence_s = \d+", f"cadence_s = {CADENCE_S}", toml.read_text())
    toml.write_text(text.replace("baud = 2400", "baud = 38400"))
    (collector / STORE_FILE).rename(collector / "fresh.sqlite3")
    toml = collector / "collector.toml"
    toml.write_text(toml.read_text().replace(STORE_FILE, f"store/{STORE_FILE}"))
    (collector / "store").mkdir()
    (site.folder / "gateway" / "state").mkdir()
    return site


class PowerSite:
    """One life of a prepared site; `state` and `store` are folders on which disks are mounted before `start`.

    Args:
        site: as `prepare` made it.
        scratch: a folder for copies.
    """

    def __init__(self, site: Site, scratch: Path) -> None:
        self.site, self._scratch = site, scratch
        self.state, self.store = site.folder / "gateway" / "state", site.folder / "collector" / "store"
        self.downs: list[Down] = []
        self.sealed: set[bytes] = set()
        self.marked: set[bytes] = set()
        self._began_ms = 0
        self._commands = {name: site.part(name).command for name in site.killable}

    @property
    def buffer(self) -> Path:
        """The gateway's buffer."""
        return self.state / BUFFER_FILE

    async def start(self, *, linked: bool = True) -> None:
        """Start everything on empty disks; without a link the gateway speaks to nobody until `site.link.mend()`."""
        site = self.site
        site.link = Link(site.broker_port)
        await site.link.start()
        if not linked:
            site.link.cut()
        toml = site.folder / "gateway" / "gateway.toml"
        toml.write_text(re.sub(r"(?<=\nport = )\d+", str(site.link.port), toml.read_text()))
        shutil.copy(site.folder / "collector" / "fresh.sqlite3", self.store / STORE_FILE)
        os.sync()  # the enrolment was long ago
        site.record.unlink(missing_ok=True)
        for log in site.folder.glob("*.log"):
            log.unlink()
        shutil.rmtree(site.folder / "export", ignore_errors=True)
        for name in ("broker", "collector", "meters"):
            await site.part(name).start()
        await self.come(lambda: "linked to the broker" in self.said("collector"), "the collector is linked")
        self._began_ms = -(-now_ms() // CADENCE_MS) * CADENCE_MS + AFTER_MS
        await site.part("gateway").start()

    async def close(self) -> None:
        """End everything that still runs, whatever state it is in; nothing stays planted."""
        for name, command in self._commands.items():
            part = self.site.part(name)
            await kill(part.process)
            part.process, part.command = None, command
        await self.site.link.stop()
        for old in (*self.state.glob(f"{BUFFER_FILE}*"), *self.store.glob(f"{STORE_FILE}*")):
            with suppress(OSError):  # on a disk that is cut or read-only, which goes anyway
                old.unlink()

    def said(self, part: str) -> str:
        """The log of a part."""
        log = self.site.folder / f"{part}.log"
        return log.read_text() if log.exists() else ""

    async def come(self, what: Callable[[], bool], name: str, seconds: float = COME_S) -> None:
        """Wait until something is so.

        Raises:
            PartError: it was not in time.
        """
        until = time.monotonic() + seconds
        while not what():
            if time.monotonic() > until:
                raise PartError(f"expected that {name} within {seconds:.0f} s: see the logs in {self.site.folder}")
            await asyncio.sleep(LOOK_S)

    async def more(self, query: str, seconds: float = COME_S) -> None:
        """Wait until the buffer shows more of what `query` asks for.

        Raises:
            PartError: it was not in time.
        """
        before = len(ids(self.buffer, query))
        await self.come(lambda: len(ids(self.buffer, query)) > before, "more batches are there", seconds)

    def look(self) -> None:
        """Note what is promised now."""
        self.marked |= ids(self.buffer, MARKED)
        self.sealed |= ids(self.buffer, BATCHES) | ids(self.store / STORE_FILE, EVIDENCE)

    def waiting(self) -> set[bytes]:
        """What was seen as sealed and is not at the collector, or not known to be there."""
        return self.sealed - ids(self.store / STORE_FILE, EVIDENCE) | self.sealed & ids(self.buffer, UNMARKED)

    async def cut_gateway(self, disk: PowerDisk, *, linked: bool = True) -> Cut:
        """The gateway's power fails and comes back, then with a link or without one."""
        self.look()
        cut_ms = now_ms()
        copy = await self._cut("gateway", disk, BUFFER_FILE, linked)
        self.downs.append(Down("gateway", cut_ms - BEFORE_MS, now_ms() + AFTER_MS))
        return Cut(len(self.sealed), frozenset(self.sealed - ids(copy, BATCHES)), is_sound(copy))

    async def cut_collector(self, disk: PowerDisk) -> Cut:
        """The collector's power fails and comes back."""
        self.look()
        copy = await self._cut("collector", disk, STORE_FILE, linked=True)
        return Cut(len(self.marked), frozenset(self.marked - ids(copy, EVIDENCE)), is_sound(copy))

    async def _cut(self, name: str, disk: PowerDisk, file: str, linked: bool) -> Path:
        """Cut, look at what is there (a copy), start again."""
        part = self.site.part(name)
        disk.cut()
        await kill(part.process)
        disk.unmount()
        if not disk.mount():
            raise PartError(f"expected that the disk of the {name} mounts again")
        copy = _copied(disk.folder, file, self._scratch)
        (self.site.link.mend if linked else self.site.link.cut)()
        await part.start()
        return copy

    async def end(self, undisturbed_s: float = 0.0) -> End:
        """Read on for a while, freeze the meters, drain, stop, count."""
        await asyncio.sleep(undisturbed_s)
        self.site.check_alive()
        await asyncio.sleep((QUIET_MS - now_ms()) % CADENCE_MS / 1000)
        self.site.part("meters").tell(signal.SIGUSR1)
        frozen_ms = now_ms()
        self.site.link.mend()
        await asyncio.sleep(SETTLE_S)
        self.look()
        with suppress(PartError):
            await self.come(lambda: not self.waiting(), "everything is stored", DRAIN_S)
        if self.waiting():  # of a batch that many cuts took on its way the pause is minutes: a start forgets it
            await self.site.part("gateway").kill_and_restart(0.0)
            with suppress(PartError):  # what still waits then is told in the result
                await self.come(lambda: not self.waiting(), "everything is stored", DRAIN_S)
        waiting = len(self.waiting())
        await kill(self.site.part("gateway").process)
        await self.site.stop()
        run = Run(CADENCE_MS, self._began_ms, frozen_ms, tuple(self.downs))
        answers = [each for each in read(self.site.record) if each.at_ms >= self._began_ms or each.kind == "row"]
        counted = count(answers, await stored_readings(self.site, self._began_ms), run)
        missing = self.sealed - ids(self.store / STORE_FILE, EVIDENCE)
        return End(len(self.sealed), len(missing), waiting, self._cases(), counted, await verify_all(self.site.folder))

    def _cases(self) -> tuple[str, ...]:
        with closing(_opened(self.store / STORE_FILE)) as database:
            found = [f"{row[0]}: {row[1]}" for row in database.execute("SELECT kind, facts FROM incident")]
            found += [
                f"contradiction: {row[0]}"
                for row in database.execute("SELECT contradictions FROM epoch WHERE contradictions != '[]'")
            ]
        return tuple(found)


async def cuts(site: PowerSite, part: str, disk: PowerDisk, times: int, dice: random.Random) -> list[Cut]:
    """Cut the power of one daemon again and again: at any instant, or soon after something was promised.

    Every third life of a gateway has no link, so that it has batches that were never sent.
    """
    found = []
    for _ in range(times):
        if dice.random() < 1 / 2:
            await asyncio.sleep(dice.uniform(0.0, 2.0))
        else:
            with suppress(PartError):  # batches that were on their way at the cut before are sent again after 30 s only
                await site.more(BATCHES if part == "gateway" else MARKED, SOON_S)
            await asyncio.sleep(dice.uniform(0.0, 0.2))
        if part == "gateway":
            found.append(await site.cut_gateway(disk, linked=dice.random() > 1 / 3))
        else:
            found.append(await site.cut_collector(disk))
    site.site.link.mend()
    return found


def plant(site: Site) -> None:
    """Let both daemons run with commits that do not wait for the disk: what the bench must find."""
    for name, script in HASTY.items():
        part = site.part(name)
        part.command = (sys.executable, "-c", script, *part.command[1:])


async def kill(process: asyncio.subprocess.Process | None) -> None:
    """End a process as a power cut would."""
    if process is not None and process.returncode is None:
        process.kill()
        await process.wait()


def ids(path: Path, query: str) -> set[bytes]:
    """The first column of a query on a database beside its daemon; nothing where there is no database yet."""
    with suppress(sqlite3.OperationalError), closing(_opened(path)) as database:
        return {row[0] for row in database.execute(query)}
    return set()


def number(path: Path, query: str) -> int:
    """One number out of a database."""
    with closing(_opened(path)) as database:
        found: int = database.execute(query).fetchone()[0]
        return found


def is_sound(path: Path) -> bool:
    """Whether a database that is there passes SQLite's own full check."""
    if not path.exists() or not path.stat().st_size:
        return True
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    return False


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _copied(folder: Path, file: str, scratch: Path) -> Path:
    """A copy of a database and its log."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for end in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copy(folder / f"{file}{end}", scratch)
    return scratch / file
