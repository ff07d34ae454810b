"""A site in a folder: every party makes its own keys with its own command, and no step skips what a real site does."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import socket
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.dlms.plates import plates
from simulators.mbus.meters import cellar
from simulators.modbus.meter import SERIAL
from simulators.site.link import Link
from simulators.site.parts import Part, PartError, program, run

GATEWAY, COLLECTOR, BROKER = "boiler-room-1", "utility-1", "site-broker"
MARKER = ".plomba-demo"  # only a folder with this file is emptied
CADENCE_S = 5

SLOW_DEVICE = "solar"  # whose readings stay the newest for a while
SLOW_CADENCE_S = 30
READY_S = 20.0  # for the collector to be linked to the broker
ASK_S = 5.0  # for one answer of the collector's API

_GATEWAY_TOML = """\
gateway = "{gateway}"
state_folder = "state"
keys_folder = "keys"

[broker]
host = "localhost"
port = {port}

[[bus]]
name = "riser"
protocol = "mbus"
port = "{line}"
baud = 2400
"""
_DEVICE_TOML = """
[[bus.device]]
name = "{name}"
address = {address}
cadence_s = {cadence}
id = "{id}"
manufacturer = "{letters}"
"""
_OTHER_BUSES_TOML = """
[[bus]]
name = "main-supply"
protocol = "dlms"
url = "tcp://127.0.0.1:{wrapper}"

[[bus.device]]
name = "supply"
cadence_s = {cadence}
serial = "{supply}"
registers = [{registers}]
history_days = 2

[[bus]]
name = "heat-pump"
protocol = "dlms"
url = "tcp+hdlc://127.0.0.1:{hdlc}"

[[bus.device]]
name = "heat-pump"
cadence_s = {cadence}
client = 32
auth = "lls"
password_file = "heat-pump.password"
serial = "{pump}"
registers = [{registers}]
history_days = 2

[[bus]]
name = "roof"
protocol = "modbus"
url = "tcp://127.0.0.1:{modbus}"

[[bus.device]]
name = "{slow}"
cadence_s = {slow_cadence}
model = "carlo-gavazzi-em340"
serial = "{solar}"
"""
_MBUS_NAMES = {1: "heat-main", 2: "heat-annex", 3: "hot-water"}
_REGISTERS = ("1-0:1.8.0.255", "1-0:2.8.0.255", "1-0:3.8.0.255", "1-0:4.8.0.255", "1-0:1.7.0.255", "1-0:32.7.0.255")
_COLLECTOR_TOML = """\
collector = "{collector}"
store = "collector.sqlite3"
keys_folder = "keys"

[broker]
host = "localhost"
port = {port}

[http]
port = {page}
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is sealed and not known to be stored."""

    batches: int
    readings: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the collector says of itself, in counts and in a sentence.

    Readings stored, messages refused, newest readings that are altered, batches missing, readings that came twice and
    differed.
    """

    readings: int = 0
    refused: int = 0
    altered: int = 0
    gaps: int = 0
    conflicts: int = 0
    statement: str = "no answer from the collector"


class Site:
    """The folder, the parts and the link of one site; `folder` is emptied if an earlier demo made it."""

    killable = ("meters", "gateway", "broker", "collector")

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.record = self.folder / "meters" / "record.jsonl"
        self.broker_port, self._http_port, self._wrapper_port, self._hdlc_port, self._modbus_port = free_ports(5)
        self.link = Link(self.broker_port)
        self._parts = {name: Part(name, command, self.folder) for name, command in self._commands().items()}

    @property
    def page(self) -> str:
        """The address of the collector's page."""
        return f"http://127.0.0.1:{self._http_port}/"

    def check_alive(self) -> None:
        """Pass while every part runs.

        Raises:
            PartError: one ended by itself.
        """
        for name, part in self._parts.items():
            if part.died():
                raise PartError(f"{name} ended by itself: see {self.folder / name}.log")

    @property
    def cadences(self) -> dict[str, int]:
        """The cadence (ms) of each meter that has another than the M-Bus ones."""
        return {SERIAL: SLOW_CADENCE_S * 1000}

    def part(self, name: str) -> Part:
        """One of the four processes."""
        return self._parts[name]

    async def set_up(self) -> None:
        """Make folders, configurations, keys and certificates; the link listens from here on.

        Raises:
            PartError: another demo runs in the folder, it is not ours, or a command failed.
        """
        empty(self.folder)
        for name in ("meters", "gateway", "collector", "broker"):
            (self.folder / name).mkdir()
        await self.link.start()
        (self.folder / "gateway" / "gateway.toml").write_text(self._gateway_toml())
        password = self.folder / "gateway" / "heat-pump.password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_hex(4))
        text = _COLLECTOR_TOML.format(collector=COLLECTOR, port=self.broker_port, page=self._http_port)
        (self.folder / "collector" / "collector.toml").write_text(text)
        for group in self._steps():
            commands = ((program(name), *arguments) for name, *arguments in group)
            await asyncio.gather(*(run(*command, folder=self.folder) for command in commands))

    async def start(self) -> None:
        """Start all parts, the gateway when the collector listens: it then hears the gateway's first word.

        Raises:
            PartError: one ended by itself, or the collector was not ready in time.
        """
        for name in ("broker", "collector", "meters"):
            await self.part(name).start()
        until = time.monotonic() + READY_S
        while not await self._ready():
            self.check_alive()
            if time.monotonic() > until:
                raise PartError(f"the collector was not ready within {READY_S:.0f} s: see {self.folder}/collector.log")
            await asyncio.sleep(0.05)
        await self.part("gateway").start()

    async def stop(self) -> None:
        """Stop all parts, the gateway first so that it seals what it has in hand."""
        for name in ("gateway", "collector", "meters", "broker"):
            await self.part(name).stop()
        await self.link.stop()

    async def stored_count(self) -> int:
        """How many values the collector shows."""
        return len(await self.readings())

    async def seen(self) -> Seen:
        """What the collector's API says; nothing while nobody answers there."""
        status, gateways = await self._asked("status"), await self._asked("gateways")
        if status is None or gateways is None:
            return Seen()
        mine = gateways["gateways"]
        return Seen(
            int(status["readings"]),
            sum(status["refused"].values()),
            int(status["altered"]),
            sum(int(each["gaps"]) for each in mine),
            sum(int(each["conflicts"]) for each in mine),
            str(status["statement"]),
        )

    async def export_newest(self) -> bytes:
        """The newest batch that the gateway holds, as it exports it."""
        config, out = ("--config", "gateway/gateway.toml"), self.folder / "gateway" / "newest.batch"
        listed = await run(program("plomba-gateway"), "batches", *config, "--json", folder=self.folder)
        newest = json.loads(listed.data)[-1]
        place = ("--seq", str(newest["seq"]), "--epoch", newest["epoch"])
        await run(program("plomba-gateway"), "export", *config, *place, "--out", str(out), folder=self.folder)
        return out.read_bytes()

    async def _ready(self) -> bool:
        """Whether the collector says that it is."""

        def ask() -> bool:
            try:
                with urllib.request.urlopen(f"{self.page}readyz", timeout=ASK_S):  # noqa: S310 - http, and loopback
                    return True
            except OSError:
                return False

        return await asyncio.to_thread(ask)

    async def _asked(self, what: str) -> dict[str, Any] | None:
        """What the collector's API says; None while nobody answers there."""

        def ask() -> dict[str, Any] | None:
            try:
                with urllib.request.urlopen(f"{self.page}api/v1/{what}", timeout=ASK_S) as answer:  # noqa: S310 - http
                    found: dict[str, Any] = json.load(answer)
                    return found
            except OSError:
                return None

        return await asyncio.to_thread(ask)

    async def readings(self) -> list[dict[str, object]]:
        """What `plomba-collector readings --json` shows."""
        command = (program("plomba-collector"), "readings", "--config", "collector/collector.toml", "--json")
        done = await run(*command, folder=self.folder, accepted=(0, 3))  # 3: some are marked as altered
        found: list[dict[str, object]] = json.loads(done.data)
        return found

    async def not_stored(self) -> Waiting:
        """What of the gateway's buffer it does not know to be stored."""
        command = (program("plomba-gateway"), "status", "--config", "gateway/gateway.toml", "--json")
        status: dict[str, int] = json.loads((await run(*command, folder=self.folder)).data)
        return Waiting(status["not_stored"], status["readings_not_stored"])

    def _commands(self) -> dict[str, tuple[str, ...]]:
        meters = (
            *("meters", "--link", str(self.folder / "meters" / "bus0"), "--record", str(self.record)),
            *("--wrapper-port", str(self._wrapper_port), "--hdlc-port", str(self._hdlc_port)),
            *("--modbus-port", str(self._modbus_port)),
            *("--password-file", str(self.folder / "gateway" / "heat-pump.password")),
        )
        return {
            "meters": (program("plomba-simulator"), *meters),
            "gateway": (program("plomba-gateway"), "run", "--config", str(self.folder / "gateway" / "gateway.toml")),
            "broker": (program("nats-server"), "-c", str(self.folder / "broker" / "broker.conf")),
            "collector": (
                program("plomba-collector"),
                "run",
                "--config",
                str(self.folder / "collector" / "collector.toml"),
            ),
        }

    def _gateway_toml(self) -> str:
        text = _GATEWAY_TOML.format(gateway=GATEWAY, port=self.link.port, line=self.folder / "meters" / "bus0")
        for plate in cellar():
            text += _DEVICE_TOML.format(
                name=_MBUS_NAMES[plate.address],
                address=plate.address,
                cadence=CADENCE_S,
                id=plate.number,
                letters=plate.model.letters,
            )
        supply, pump = (plate.serial for plate in plates(b""))
        return text + _OTHER_BUSES_TOML.format(
            wrapper=self._wrapper_port,
            hdlc=self._hdlc_port,
            modbus=self._modbus_port,
            cadence=CADENCE_S,
            slow=SLOW_DEVICE,
            slow_cadence=SLOW_CADENCE_S,
            supply=supply,
            pump=pump,
            solar=SERIAL,
            registers=", ".join(f'"{name}"' for name in _REGISTERS),
        )

    def _steps(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """The commands of the authority, the collector's operator, the broker's and the technician.

        What stands in one group needs nothing of the others in it: they run side by side.
        """
        collector, config = "plomba-collector", ("--config", "collector/collector.toml")
        gateway, gateway_config = "plomba-gateway", ("--config", "gateway/gateway.toml")
        csr = "broker/tls-request.csr"
        trust = (
            *(collector, "authority", "trust", "--folder", "authority"),
            *("--worker", "collector/keys/worker.public", "--out", "collector/keys"),
        )
        certificate = (
            *(collector, "authority", "certificate", "--folder", "authority", "--name", BROKER),
            *("--role", "broker", "--host", "localhost", "--csr", csr, "--out", "broker/tls-cert.pem"),
        )
        sign = (
            *(collector, "sign", "gateway/request.plomba", *config),
            *("--authority", "authority", "--out", "gateway/enrolment.plomba"),
        )
        broker = (
            *(collector, "broker-config", "nats", *config, "--folder", "broker"),
            *("--ca", "collector/keys/ca.pem"),
        )
        return (
            (
                (collector, "keys", *config),
                (collector, "authority", "create", "--folder", "authority", "--name", COLLECTOR),
                (collector, "tls-key", "--name", BROKER, "--folder", "broker"),
                (gateway, "keys", *gateway_config),
            ),
            (trust, (gateway, "request", *gateway_config, "--out", "gateway/request.plomba")),
            (certificate,),  # after trust: both write into the authority's folder
            (sign,),
            ((gateway, "accept", *gateway_config, "gateway/enrolment.plomba"), broker),
        )


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody uses, all different."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def empty(folder: Path) -> None:
    """Make an empty folder with our marker; what an earlier demo left in it goes.

    Raises:
        PartError: another demo runs in it, or it is not ours.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise PartError(f"{folder} holds something that no demo made: choose another --run-folder")
        for file in folder.glob("*.pid"):
            pid = int(file.read_text())
            if _runs(pid):
                what = f"another demo runs in {folder}: end its {file.stem} (process {pid})"
                raise PartError(f"{what}, or choose another --run-folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


def _runs(pid: int) -> bool:
    """Whether a part of a demo still has this id."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"plomba" in command or b"nats-server" in command
