"""Ours: the gateway's daemon with the contest's meters, Mosquitto with client certificates, the real collector."""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from pathlib import Path

from feed import METERS, expected
from party import Party, program

from gateway import events
from protocols.reading import Scaled
from protocols.uplink import limits
from protocols.uplink.leaf import SealedReading
from protocols.uplink.pack import unpack
from protocols.uplink.records import Event, record_from_wire
from simulators.site.parts import Part, run
from simulators.site.parts import program as command

GATEWAY, COLLECTOR = "contest-gateway", "contest-centre"
TROUBLES = frozenset(
    {
        events.WRITE_FAILED,
        events.WRITE_RECOVERED,
        events.BUFFER_FULL,
        events.BUFFER_ROOM,
        events.BUFFER_HIGH,
        events.UNSAFE_REMOVED,
    }
)
HEAD = """\
gateway = "{gateway}"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "localhost"
port = {port}
[[bus]]
name = "feed"
protocol = "modbus"
url = "tcp://127.0.0.1:1"
"""
DEVICE = """
[[bus.device]]
name = "meter-{meter}"
unit = {unit}
cadence_s = 1
model = "eastron-sdm630-modbus"
"""
CENTRE = """\
collector = "{collector}"
store = "collector.sqlite3"
keys_folder = "keys"
[broker]
host = "localhost"
port = {port}
"""


class Ours(Party):
    """Everything signed, sealed, over TLS; the receiving end verifies, stores with fsync and acknowledges."""

    name = "plomba"

    async def prepare(self) -> None:
        """Keys, certificates, enrolment as an operator makes them; broker and collector."""
        for name in ("gateway", "collector", "broker"):
            (self.folder / name).mkdir()
        text = HEAD.format(gateway=GATEWAY, port=self.proxy.port)
        text += "".join(DEVICE.format(meter=meter, unit=meter + 1) for meter in range(METERS))
        config = self.folder / "gateway" / "gateway.toml"
        config.write_text(text)
        text = CENTRE.format(collector=COLLECTOR, port=self.broker_port)
        (self.folder / "collector" / "collector.toml").write_text(text)
        for name, *arguments in _steps():
            await run(command(name), *arguments, folder=self.folder)
        conf = str(self.folder / "broker" / "broker.conf")
        await self.run_other("broker", program("mosquitto"), "-c", conf, port=self.broker_port)
        centre = str(self.folder / "collector" / "collector.toml")
        await self.run_other("collector", command("plomba-collector"), "run", "--config", centre)
        fed = str(Path(__file__).with_name("fed.py"))
        self.gateway = Part("gateway", (sys.executable, fed, str(config), str(self.feed.port)), self.folder)

    @property
    def state_folder(self) -> Path:
        """The folder of its buffer."""
        return self.folder / "gateway" / "state"

    def arrived_count(self) -> int:
        """What the collector has counted."""
        rows = self._asked("SELECT coalesce(sum(readings), 0) FROM tally")
        return int(rows[0][0]) if rows else 0

    def arrived(self) -> set[int]:
        """Decoded from the leaves as they were sealed."""
        found = set()
        for (octets,) in self._asked("SELECT sealed FROM reading"):
            leaf = SealedReading.from_wire(unpack(octets, limits.BODY, "leaf"))
            number = self.feed.number(int(leaf.device.rpartition("-")[2]), leaf.slot_ms or 0)
            shown = tuple(each.number.mantissa for each in leaf.values if isinstance(each.number, Scaled))
            if shown == expected(number):
                found.add(number)
        return found

    def newest_arrived(self) -> int:
        """The last of the newest round that has begun to arrive."""
        newest = self._asked("SELECT max(slot_ms) FROM reading")[0][0]
        return -1 if newest is None else self.feed.number(METERS - 1, int(newest))

    def told(self) -> str:
        """Events that the collector has."""
        counts: Counter[str] = Counter()
        for (octets,) in self._asked("SELECT sealed FROM record"):
            record = record_from_wire(unpack(octets, limits.BODY, "leaf"))
            if isinstance(record, Event) and record.code in TROUBLES:
                counts[record.code] += 1
        return ", ".join(f"{count} x {code}" for code, count in sorted(counts.items())) or "nothing"

    def _asked(self, question: str) -> list[tuple[bytes]]:
        database = sqlite3.connect(f"file:{self.folder}/collector/collector.sqlite3?mode=ro", uri=True, timeout=5)
        try:
            return database.execute(question).fetchall()
        finally:
            database.close()


def _steps() -> tuple[tuple[str, ...], ...]:
    collector, config = "plomba-collector", ("--config", "collector/collector.toml")
    gateway, mine = "plomba-gateway", ("--config", "gateway/gateway.toml")
    return (
        (collector, "keys", *config),
        (collector, "authority", "create", "--folder", "authority", "--name", COLLECTOR),
        (collector, "tls-key", "--name", "contest-broker", "--folder", "broker"),
        (gateway, "keys", *mine),
        (
            *(collector, "authority", "trust", "--folder", "authority"),
            *("--worker", "collector/keys/worker.public", "--out", "collector/keys"),
        ),
        (gateway, "request", *mine, "--out", "gateway/request.plomba"),
        (
            *(collector, "authority", "certificate", "--folder", "authority", "--name", "contest-broker"),
            *("--role", "broker", "--host", "localhost"),
            *("--csr", "broker/tls-request.csr", "--out", "broker/tls-cert.pem"),
        ),
        (
            *(collector, "sign", "gateway/request.plomba", *config),
            *("--authority", "authority", "--out", "gateway/enrolment.plomba"),
        ),
        (gateway, "accept", *mine, "gateway/enrolment.plomba"),
        (
            *(collector, "broker-config", "mosquitto", *config, "--folder", "broker"),
            *("--ca", "collector/keys/ca.pem", "--user", "root"),
        ),
    )
