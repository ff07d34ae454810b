"""A site of several gateways in a folder: each with its meters, its lines with faults, perhaps a clock or a cable.

A gateway speaks to a line (`FaultProxy`: TCP), behind it to a relay of messages (`MessageProxy`: MQTT), behind it to
the broker; so does the collector. Every party makes its own keys with its own command, as in `simulators.site`.
"""

from __future__ import annotations

import asyncio
import json
import random
import shlex
import shutil
import signal
import sqlite3
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from simulators.mbus.lines import plates
from simulators.proxy.link import NO_FAULTS, FaultProxy
from simulators.proxy.messages import Ends, MessageFaults, MessageProxy
from simulators.site.parts import Part, PartError, program, run
from simulators.site.setup import ASK_S, BROKER, COLLECTOR, READY_S, Waiting, empty, free_ports
from simulators.torture.cable import Cable
from simulators.torture.clock import FakeClock
from simulators.torture.database import Database
from simulators.torture.draw import HALF_OPEN, message_faults

CADENCE_S = 5
BUSY_S = 10.0  # the collector may be writing

_GATEWAY_TOML = """\
gateway = "{name}"
state_folder = "state"
keys_folder = "keys"

[broker]
host = "{host}"
port = {port}
"""
_BUS_TOML = """
[[bus]]
name = "line-{n}"
protocol = "mbus"
port = "{line}"
baud = 38400
"""
_DEVICE_TOML = """
[[bus.device]]
name = "meter-{number}"
address = {address}
cadence_s = {cadence}
id = "{number}"
"""
_COLLECTOR_TOML = """\
collector = "{collector}"
store = "{store}"
keys_folder = "keys"

[broker]
host = "localhost"
port = {port}

[http]
port = {page}
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to set up; `programs` are commands to start in place of ours, by name."""

    folder: Path
    seed: int
    gateways: int
    meters: int
    broker: str = "mosquitto"
    workers: int = 0  # of the collector, on a database of PostgreSQL; 0: one, on a file
    programs: Mapping[str, str] = field(default_factory=dict)


class Line:
    """The way of one party to the broker, with faults of TCP and of MQTT."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.tcp = FaultProxy(0, random.Random(f"{seed}/tcp/{name}"))
        self.mqtt: MessageProxy | None = None
        self._seed = seed

    async def join(self, broker_port: int, ends: Ends) -> None:
        """The keys are there: let messages through."""
        self.mqtt = MessageProxy(broker_port, random.Random(f"{self._seed}/mqtt/{self.name}"), ends)
        await self.mqtt.start()
        self.tcp.target_port = self.mqtt.port

    def trouble_messages(self) -> None:
        """From now on messages come twice, late or never, in shares that the seed draws."""
        if self.mqtt is not None:
            self.mqtt.faults = message_faults(self._seed, self.name)

    def mend(self) -> None:
        """Nothing is wrong any more."""
        self.tcp.faults = NO_FAULTS
        if self.mqtt is not None:
            self.mqtt.faults = MessageFaults()

    async def stop(self) -> None:
        """Close everything."""
        await self.tcp.stop()
        if self.mqtt is not None:
            await self.mqtt.stop()


class House:
    """One gateway with its meters; `cable` and `clock` are there where they can be injected and are wanted."""

    def __init__(self, n: int, wanted: Wanted) -> None:
        self.name, self.folder = f"house-{n}", wanted.folder / f"house-{n}"
        self.record = self.folder / "record.jsonl"
        self.plates = plates(n, wanted.meters)
        self.line = Line(self.name, wanted.seed)
        self.clock = FakeClock(self.folder / "clock") if n == 0 and FakeClock.why_not() is None else None
        self.cable: Cable | None = None
        options = ("--folder", str(self.folder), "--record", str(self.record), "--house", str(n))
        drawn = ("--meters", str(wanted.meters), "--seed", str(wanted.seed))
        meters = (program("plomba-simulator"), "lines", *options, *drawn)
        self.meters = Part(f"meters-{n}", meters, wanted.folder)
        self._command = shlex.split(wanted.programs.get("plomba-gateway", program("plomba-gateway")))
        self.gateway = Part(self.name, (), wanted.folder)

    async def prepare(self) -> None:
        """Folder and configuration; the line listens from here on."""
        self.folder.mkdir()
        if self.cable is not None:
            self.line.tcp.host = self.cable.here
        await self.line.tcp.start()
        prefix = () if self.cable is None else self.cable.prefix
        if self.clock is not None:
            self.clock.step(0)
            prefix += self.clock.prefix
        config = str(self.folder / "gateway.toml")
        self.gateway.command = (*prefix, *self._command, "run", "--config", config)
        (self.folder / "gateway.toml").write_text(self._toml())

    async def not_stored(self) -> Waiting:
        """What of the gateway's buffer it does not know to be stored."""
        command = (program("plomba-gateway"), "status", "--config", "gateway.toml", "--json")
        status: dict[str, int] = json.loads((await run(*command, folder=self.folder)).data)
        return Waiting(status["not_stored"], status["readings_not_stored"])

    def _toml(self) -> str:
        host = "localhost" if self.cable is None else self.cable.here
        text = _GATEWAY_TOML.format(name=self.name, host=host, port=self.line.tcp.port)
        for n, line in enumerate(self.plates):
            text += _BUS_TOML.format(n=n, line=self.folder / f"bus{n}")
            for plate in line:
                text += _DEVICE_TOML.format(number=plate.number, address=plate.address, cadence=CADENCE_S)
        return text


class Street:
    """All of it."""

    def __init__(self, wanted: Wanted) -> None:
        self.folder, self.wanted = wanted.folder, wanted
        self.houses = [House(n, wanted) for n in range(wanted.gateways)]
        self.line = Line("collector", wanted.seed)
        self.reasons: dict[str, str] = {}  # why a fault cannot be injected here
        self.broker_port, self._http_port = free_ports(2)
        self.database = Database(self.folder) if wanted.workers else None
        self.collectors = self._workers()
        conf = str(self.folder / "broker" / "broker.conf")
        self.broker = Part("broker", (_broker(wanted.broker), "-c", conf), self.folder)

    @property
    def parts(self) -> dict[str, Part]:
        """All processes that may be killed, by name."""
        of_houses = [part for house in self.houses for part in (house.gateway, house.meters)]
        centre = [*self.collectors, *([self.database] if self.database else []), self.broker]
        return {part.name: part for part in (*of_houses, *centre)}

    @property
    def lines(self) -> list[Line]:
        """Every way to the broker."""
        return [*(house.line for house in self.houses), self.line]

    async def set_up(self) -> None:
        """Make folders, configurations, keys and certificates; the lines let everything through from here on.

        Raises:
            PartError: the folder is not ours or in use, or a command failed.
        """
        empty(self.folder)
        for name in ("collector", "broker"):
            (self.folder / name).mkdir()
        await self._cables()
        for house in self.houses:
            await house.prepare()
        await self.line.tcp.start()
        store = "collector.sqlite3" if self.database is None else self.database.address
        text = _COLLECTOR_TOML.format(collector=COLLECTOR, store=store, port=self.line.tcp.port, page=self._http_port)
        (self.folder / "collector" / "collector.toml").write_text(text)
        if self.database is not None:
            await self.database.make()
            await self.database.start()
            await self.database.ready()
        await self._keys()
        for line, keys in self._key_folders():
            await line.join(self.broker_port, self._ends(keys))

    async def start(self) -> None:
        """Start all parts, the gateways when the collector listens.

        Raises:
            PartError: one ended by itself, or the collector was not ready in time.
        """
        await self.broker.start()
        for worker in self.collectors:
            await worker.start()
        for house in self.houses:
            await house.meters.start()
        until = time.monotonic() + READY_S
        while not await asyncio.to_thread(self._ready):
            self.check_alive()
            if time.monotonic() > until:
                raise PartError(
                    f"the collector was not ready within {READY_S:.0f} s: see {self.collectors[0].name}.log there"
                )
            await asyncio.sleep(0.1)
        for house in self.houses:
            await house.gateway.start()

    def check_alive(self) -> None:
        """Pass while every part runs.

        Raises:
            PartError: one ended by itself.
        """
        for name, part in self.parts.items():
            if part.died():
                raise PartError(f"{name} ended by itself: see {self.folder / name}.log")

    async def stop(self) -> None:
        """Stop all parts, the gateways first so that they seal what they have in hand; a database runs on."""
        await asyncio.gather(*(house.gateway.stop() for house in self.houses))
        await asyncio.gather(*(part.stop() for part in self.parts.values() if part is not self.database))
        for house in self.houses:
            if house.cable is not None:
                await house.cable.unplug()
            if house.clock is not None:
                house.clock.clean(house.gateway.pids)
        for line in self.lines:
            await line.stop()

    async def close(self) -> None:
        """Stop and remove the database, after what was stored was counted."""
        if self.database is not None:
            await self.database.stop()
            self.database.remove()

    async def batches(self) -> list[tuple[str, int]]:
        """Every stored batch: its gateway, and when the collector received it (ms UTC)."""
        if self.database is not None:
            rows = await self.database.rows("SELECT gateway, received_ms FROM evidence ORDER BY received_ms")
            return [(name, int(received)) for name, received in rows]
        with closing(sqlite3.connect(self.folder / "collector" / "collector.sqlite3", timeout=BUSY_S)) as database:
            return database.execute("SELECT gateway, received_ms FROM evidence ORDER BY received_ms").fetchall()

    async def refused(self) -> int:
        """How many messages the collector refused."""
        command = (program("plomba-collector"), "status", "--config", "collector/collector.toml", "--json")
        status = json.loads((await run(*command, folder=self.folder)).data)
        return sum(status["refused"].values())

    def _workers(self) -> list[Part]:
        command = shlex.split(self.wanted.programs.get("plomba-collector", program("plomba-collector")))
        command += ["run", "--config", str(self.folder / "collector" / "collector.toml")]
        of = self.wanted.workers
        if not of:
            return [Part("collector", tuple(command), self.folder)]
        return [Part(f"collector-{n}", (*command, "--worker", f"{n}/{of}"), self.folder) for n in range(1, of + 1)]

    async def _cables(self) -> None:
        """Every second house is behind a cable, where that can be."""
        for house in self.houses[1::2] or self.houses:
            cable = Cable(house.name, self.folder)
            try:
                await cable.plug()
            except (PartError, TimeoutError, OSError) as error:
                self.reasons[HALF_OPEN] = str(error)
                await cable.unplug()
                return
            house.cable = cable

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http_port}/readyz", timeout=ASK_S):
                return True
        except OSError:
            return False

    def _key_folders(self) -> list[tuple[Line, Path]]:
        houses = [(house.line, house.folder / "keys") for house in self.houses]
        return [*houses, (self.line, self.folder / "collector" / "keys")]

    def _ends(self, keys: Path) -> Ends:
        broker = self.folder / "broker"
        certificate, key = "tls-cert.pem", "tls-key.pem"
        ca = self.folder / "collector" / "keys" / "ca.pem"
        return Ends(ca, broker / certificate, broker / key, keys / certificate, keys / key)

    async def _keys(self) -> None:
        """The commands of all parties; what needs nothing of each other runs side by side."""
        config = ("--config", "collector/collector.toml")
        await asyncio.gather(
            self._collector("keys", *config),
            self._collector("authority", "create", "--folder", "authority", "--name", COLLECTOR),
            self._collector("tls-key", "--name", BROKER, "--folder", "broker"),
            *(self._request(house) for house in self.houses),
        )
        worker = ("--worker", "collector/keys/worker.public", "--out", "collector/keys")
        await self._collector("authority", "trust", "--folder", "authority", *worker)
        hosts = ["localhost", *(house.cable.here for house in self.houses if house.cable is not None)]
        named = ("--name", BROKER, "--role", "broker", *(word for host in hosts for word in ("--host", host)))
        files = ("--csr", "broker/tls-request.csr", "--out", "broker/tls-cert.pem")
        await self._collector("authority", "certificate", "--folder", "authority", *named, *files)
        accepted = []
        for house in self.houses:  # one after the other: each signs with the one authority
            enrolment = ("--authority", "authority", "--out", f"{house.name}/enrolment.plomba")
            await self._collector("sign", f"{house.name}/request.plomba", *config, *enrolment)
            accepted.append(self._gateway(house, "accept", "enrolment.plomba"))
        broker = ("--folder", "broker", "--ca", "collector/keys/ca.pem", "--port", str(self.broker_port))
        account = () if self.wanted.broker == "nats" else ("--user", "root")  # ignored where it is not root who starts
        await asyncio.gather(
            *accepted, self._collector("broker-config", self.wanted.broker, *config, *broker, *account)
        )

    async def _request(self, house: House) -> None:
        await self._gateway(house, "keys")
        await self._gateway(house, "request", "--out", "request.plomba")

    async def _gateway(self, house: House, name: str, *arguments: str) -> None:
        await run(program("plomba-gateway"), name, "--config", "gateway.toml", *arguments, folder=house.folder)

    async def _collector(self, *arguments: str) -> None:
        await run(program("plomba-collector"), *arguments, folder=self.folder)


def freeze(part: Part) -> None:
    """Let the meters of a house answer no more."""
    part.tell(signal.SIGUSR1)


def _broker(kind: str) -> str:
    if kind == "nats":
        return program("nats-server")
    found = shutil.which("mosquitto", path="/usr/sbin:/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        raise PartError("mosquitto is not installed: run make services, or use --broker nats")
    return found
