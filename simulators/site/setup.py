"""A site in a folder: every party makes its own keys with its own command, and no step skips what a real site does."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from simulators.mbus.meters import cellar
from simulators.site.link import Link
from simulators.site.parts import Part, PartError, program, run

GATEWAY, COLLECTOR, BROKER = "boiler-room-1", "utility-1", "site-broker"
MARKER = ".plomba-demo"  # only a folder with this file is emptied
CADENCE_S = 5

SLOW_DEVICE = "solar"  # whose readings stay the newest for a while
SLOW_CADENCE_S = 30

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


class Site:
    """The folder, the parts and the link of one site; `folder` is emptied if an earlier demo made it."""

    killable = ("meters", "gateway", "broker", "collector")

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.record = self.folder / "meters" / "record.jsonl"
        self.broker_port, self._http_port = free_port(), free_port()
        self._wrapper_port, self._hdlc_port, self._modbus_port = free_port(), free_port(), free_port()
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

    def part(self, name: str) -> Part:
        """One of the four processes."""
        return self._parts[name]

    async def set_up(self) -> None:
        """Make folders, configurations, keys and certificates; the link listens from here on.

        Raises:
            PartError: another demo runs in the folder, it is not ours, or a command failed.
        """
        _empty(self.folder)
        for name in ("meters", "gateway", "collector", "broker"):
            (self.folder / name).mkdir()
        await self.link.start()
        (self.folder / "gateway" / "gateway.toml").write_text(self._gateway_toml())
        text = _COLLECTOR_TOML.format(collector=COLLECTOR, port=self.broker_port, page=self._http_port)
        (self.folder / "collector" / "collector.toml").write_text(text)
        for group in self._steps():
            commands = ((program(name), *arguments) for name, *arguments in group)
            await asyncio.gather(*(run(*command, folder=self.folder) for command in commands))

    async def start(self) -> None:
        """Start all parts."""
        for name in ("broker", "collector", "meters", "gateway"):
            await self.part(name).start()

    async def stop(self) -> None:
        """Stop all parts, the gateway first so that it seals what it has in hand."""
        for name in ("gateway", "collector", "meters", "broker"):
            await self.part(name).stop()
        await self.link.stop()

    async def stored_count(self) -> int:
        """How many values the collector shows."""
        return len(await self.readings())

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
        meters = ("meters", "--link", str(self.folder / "meters" / "bus0"), "--record", str(self.record))
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
                name=f"meter-{plate.address}",
                address=plate.address,
                cadence=CADENCE_S,
                id=plate.number,
                letters=plate.model.letters,
            )
        return text

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


def free_port() -> int:
    """A TCP port on loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _empty(folder: Path) -> None:
    """An empty folder with our marker; what an earlier demo left in it goes."""
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
