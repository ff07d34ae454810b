"""A gateway's daemon and a simulated M-Bus meter as processes of their own, and what the daemon has sealed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from processes import Processes

from gateway.faults import BufferDamaged, BufferMissing
from gateway.status import bodies
from protocols.uplink import body
from protocols.uplink.records import Event, Parameter, Record

CONFIG = """
gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "127.0.0.1"
port = 1
[[bus]]
name = "cellar"
protocol = "mbus"
port = "line"
[[bus.device]]
name = "heat"
address = 1
cadence_s = 1
"""
MOST = 1_000  # batches of a buffer that are looked through


class Alone(Processes):
    """A meter that is read every second, and a gateway that is enrolled nowhere."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, CONFIG)

    def house(self) -> subprocess.Popen[bytes]:
        """Start the meters."""
        return self.meters("meters")

    def set_up(self) -> None:
        """Start the meters, and make the gateway's keys."""
        self.house()
        assert self.gateway("keys").returncode == 0

    def sealed(self) -> tuple[list[body.Expanded], list[Record]]:
        """What the buffer holds, oldest first, and all records in it."""
        try:
            found = [body.expand(each) for each in bodies(self.folder / "state", MOST)][::-1]
        except (BufferMissing, BufferDamaged):  # the daemon is making it just now
            found = []
        return found, [each for content in found for each in content.records]

    def told(self, code: str) -> list[tuple[Parameter, ...]]:
        """The parameters of the events of this code."""
        return [each.parameters for each in self.sealed()[1] if isinstance(each, Event) and each.code == code]

    def slots(self) -> list[int]:
        """The slots of the readings that are sealed."""
        return [each.slot_ms or 0 for content in self.sealed()[0] for each in content.readings]
