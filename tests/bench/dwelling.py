"""One gateway's meters in a bench: an M-Bus line, and DLMS meters with load profiles; and the truth they tell.

The truth is the simulators' own record, in memory: what each meter answered when, and every row it wrote.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from memory_lines import Outlet, SerialPort
from world import World

from protocols.dlms.access import Framing
from simulators.curve import QUARTER_MS
from simulators.dlms.meter import Meter
from simulators.dlms.plates import Plate as MeterPlate
from simulators.dlms.plates import plates
from simulators.mbus.bus import Bus, Slave
from simulators.mbus.meters import Plate, cellar
from simulators.mbus.registers import Registers
from simulators.record import Answered, Record

HISTORY_ROWS = 96
HISTORY_DAYS = 7  # longer than a run: who has forgotten where a load profile ended reads all of it again
STATUSES = (0x00, 0x10, 0x04, 0x23, 0x08, 0x01)  # that meters show: all is well, or what is not
DOUBTFUL_EVERY = 7  # rows of a meter whose clock is not always sure


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a dwelling is: M-Bus and DLMS meters, and how often each kind is read (s)."""

    mbus: int
    dlms: int
    mbus_cadence_s: int
    dlms_cadence_s: int


class Truth(Record):
    """The record of all meters of a dwelling, in memory; nothing of it is ever torn."""

    def __init__(self) -> None:
        self.told: list[Answered] = []

    def append(self, answered: Answered) -> None:
        """One answer, or one row."""
        self.told.append(answered)

    def last(self, meters: frozenset[str]) -> dict[str, Answered]:
        """These meters are new."""
        return {}


class Dwelling:
    """The meters of gateway number `n`; they live on whatever happens to the gateway."""

    def __init__(self, world: World, n: int, shape: Shape) -> None:
        self.world, self.n, self.shape = world, n, shape
        self.truth = Truth()
        dice = world.dice(f"meters {n}")
        self.plates = tuple(_plate(n, address) for address in range(1, shape.mbus + 1))
        self.bus = Bus(self.plates, self.truth, world.now_ms, dice.randrange(2**31))
        self.port = SerialPort(world, self.bus, dice)
        self.outlets = {f"meter-{each}": self._outlet(each, dice) for each in range(shape.dlms)}
        self.missing: dict[int, Slave] = {}  # meters that fell silent, by address
        self._swapped: dict[int, Slave] = {}
        self._strangers: dict[int, Slave] = {}  # what is put there, each time: it counts on
        self._exchanged: dict[Outlet, Meter] = {}

    async def open_tcp(self, host: str, port: int, timeout_s: float) -> Any:
        """A connection to a DLMS meter, by its host's name."""
        return await self.outlets[host].open(host, port, timeout_s)

    def table(self, gateway: str) -> dict[str, Any]:
        """The gateway's configuration for these meters, as TOML would give it."""
        devices = [
            {"name": f"heat-{each.address}", "address": each.address, "cadence_s": self.shape.mbus_cadence_s}
            | {"id": each.number, "manufacturer": each.model.letters}
            for each in self.plates
        ]
        buses: list[dict[str, Any]] = []
        if devices:
            buses.append({"name": "riser", "protocol": "mbus", "port": "/dev/riser", "baud": 2400, "device": devices})
        for host, outlet in self.outlets.items():
            plate = outlet.meter.plate
            device = {
                "name": host,
                "cadence_s": self.shape.dlms_cadence_s,
                "serial": plate.serial,
                "history_days": HISTORY_DAYS,
            }
            device["registers"] = [each.name for each in plate.registers]
            if plate.doubtful_every:  # that its status words mean something is the model's to say
                device |= {"model": "idis", "further_profiles": [], "logs": []}
            scheme = "tcp" if plate.framing is Framing.WRAPPER else "tcp+hdlc"
            buses.append({"name": host, "protocol": "dlms", "url": f"{scheme}://{host}:4059", "device": [device]})
        broker = {"host": "localhost", "port": 8883}
        return {"gateway": gateway, "state_folder": "state", "keys_folder": "keys", "broker": broker, "bus": buses}

    def freeze(self) -> None:
        """No meter answers any more; rows that ended are in the record."""
        self.bus.frozen = True
        for outlet in self.outlets.values():
            outlet.meter.write_rows(self.world.now_ms())
            outlet.frozen = True

    def swap(self, address: int) -> None:
        """Somebody put another meter at an address."""
        if address not in self._swapped:
            self._swapped[address] = self.bus.slaves[address]
            plate = replace(self.plates[address - 1], number=f"99{self.n:03d}{address:03d}")
            self.bus.slaves[address] = self._strangers.setdefault(address, Slave(plate, plate.first, 7))

    def swap_back(self, address: int, cold: bool = False) -> None:
        """The old meter is there again; a `cold` one has forgotten the frame count bit.

        When all faults end at once, that may be between the reset of a line and the question behind it.
        """
        if address in self._swapped:
            self.bus.slaves[address] = self._swapped.pop(address)
            if cold:
                self.bus.slaves[address].reset()

    def exchange(self, outlet: Outlet) -> None:
        """Somebody put another electricity meter where this one was."""
        if outlet not in self._exchanged:
            plate = replace(outlet.meter.plate, serial=f"9{outlet.meter.plate.serial[1:]}")
            self._exchanged[outlet] = outlet.exchange(self._meter(plate, 7))

    def exchange_back(self, outlet: Outlet) -> None:
        """The old meter is there again."""
        if outlet in self._exchanged:
            outlet.exchange(self._exchanged.pop(outlet))

    def _outlet(self, number: int, dice: random.Random) -> Outlet:
        plate = plates(b"")[0]
        if number:  # the first meter of a house is an industrial one, the others count the consumption alone
            plate = replace(plate, registers=(plate.registers[0], plate.registers[4]))
        if number == 1:  # behind a converter: its frames have a checksum, and some of its rows a doubtful status
            plate = replace(plate, framing=Framing.HDLC, frame_size=248, doubtful_every=DOUBTFUL_EVERY)
        meter = self._meter(replace(plate, serial=f"5{self.n:03d}{number:04d}"), dice.randrange(2**31))
        return Outlet(self.world, meter, dice)

    def _meter(self, plate: MeterPlate, seed: int) -> Meter:
        first = self.world.now_ms() // QUARTER_MS - HISTORY_ROWS + 1
        meter = Meter(plate, self.truth, self.world.now_ms, seed, first, None)
        meter.write_rows(self.world.now_ms())
        return meter


def _plate(n: int, address: int) -> Plate:
    model = cellar()[(address - 1) % len(cellar())].model
    model = replace(model, status=STATUSES[(n + address) % len(STATUSES)])
    first = Registers(energy=1_000 * address + n, volume=100_000 * address + 7 * n, input_volume=n)
    return Plate(model, f"60{n:03d}{address:03d}", address, first)
