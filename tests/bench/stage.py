"""A run of the bench: a whole site set up by seed, its faults applied one by one, then all of them off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keyring
from attacker import Attacker
from dwelling import Dwelling, Shape
from ear import Ear
from memory_broker import Broker
from memory_lines import Outlet
from nodes import DEAD_MS, STORE, CollectorNode, GatewayNode, Node, last_words
from schedule import Fault
from world import DAY_S, START_MS, BenchLoop, World

from gateway.config import configuration_hash
from protocols.dlms.access import Framing
from simulators.mbus.faults import Faults

BUFFER_BYTES = 64 * 1024 * 1024
SAFE_AFTER_S = 7 * DAY_S
CLOCK_FAULTS = ("fault gateway-clock", "fault gateway-clock-far", "fault gateway-1970")
BACKUP_S = 20_000.0  # between two backups of the collector
BACKUPS = 4  # kept: a restored one is up to a day old
READY_S = 30.0  # all processes have started by then


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is: everything follows from it."""

    seed: int
    days: float
    shapes: tuple[Shape, ...]
    buffer_bytes: int = BUFFER_BYTES
    safe_after_s: int = SAFE_AFTER_S

    @property
    def cramped(self) -> bool:
        """Whether the buffers are so small that they are soon full: what is refused is missing then, and told."""
        return self.buffer_bytes < BUFFER_BYTES

    @property
    def gateway_days(self) -> float:
        """How many days all gateways run together."""
        return len(self.shapes) * (self.days + self.settle_s / DAY_S)

    @property
    def settle_s(self) -> float:
        """How long all is well before the meters are frozen: every meter is read, every row."""
        return 2.1 * max(max(each.mbus_cadence_s, each.dlms_cadence_s) for each in self.shapes) + 1_200


class Stage:
    """All parts of one run."""

    def __init__(self, loop: BenchLoop, plan: Plan, folder: Path) -> None:
        self.world, self.plan = World(loop, plan.seed, folder), plan
        dice = self.world.dice("keys")
        self.centre = keyring.centre(dice)
        self.broker = Broker(self.world, keyring.certificate())
        self.collector = CollectorNode(self.world, self.broker, self.centre, plan.safe_after_s)
        self.gateways = [self._gateway(n, shape) for n, shape in enumerate(plan.shapes)]
        enrolled = [(each.name, each.edge, configuration_hash(each.configuration)) for each in self.gateways]
        self.collector.register(enrolled)
        self.ear = Ear(self.world)
        self.ear.nodes = self.gateways
        self.attacker = Attacker(self.world, self.broker, self.collector, self.gateways)
        self.clones: list[GatewayNode] = []
        self.rolled_back: list[tuple[int, int, int]] = []  # gateway, from and to (ms) whose readings may be gone
        self.backups: list[Path] = []
        self.frozen_ms = 0
        self.forgotten = False  # whether the collector was restored from a copy that lacks what it had said
        self.waiting = 0  # batches not known to be stored when all had time to drain
        self.objects = 0  # of ours that are in memory then
        self._over = False
        self._active: Counter[tuple[str, object]] = Counter()  # how many faults of a kind are on a subject now
        self._apply = self._by_kind()

    @property
    def nodes(self) -> list[Node]:
        """Both kinds of daemon."""
        return [self.collector, *self.gateways]

    def begin(self, faults: list[Fault]) -> None:
        """Start everything; faults come when they are due."""
        for node in self.nodes:
            node.boot()
        for fault in faults:
            self.world.after(fault.at_s, self._befall, fault)
        self.world.after(BACKUP_S, self._back_up)

    def all_well(self) -> None:
        """Every fault ends, and every process runs."""
        self._over = True
        self.broker.weather = type(self.broker.weather)()
        self.broker.start()
        for door in self.broker.doors:
            door.shut = door.hole = False
        for clone in self.clones:
            clone.stop(0, lambda: None)
        self.collector.wrong.clear()
        for node in self.nodes:
            node.disk.capacity, node.disk.failing_syncs = None, 0
            node.boot()
        for gateway in self.gateways:
            gateway.wrong.clear()
            self._mend_meters(gateway.dwelling)

    def freeze(self) -> None:
        """The meters fall silent for good."""
        self.frozen_ms = self.world.now_ms()
        for gateway in self.gateways:
            gateway.dwelling.freeze()

    def _gateway(self, n: int, shape: Shape) -> GatewayNode:
        name = f"house-{n + 1}"
        edge = keyring.edge(self.world.folder / f"keys-{name}", self.centre, self.world.dice(f"keys {name}"))
        dwelling = Dwelling(self.world, n, shape)
        return GatewayNode(self.world, name, self.broker, dwelling, edge, self.plan.buffer_bytes)

    def _by_kind(self) -> dict[str, Callable[[Fault], None]]:
        """What each kind of fault does."""
        return {
            "gateway-cut": lambda f: self._of(f).power_cut(f.for_s),
            "gateway-cut-io": lambda f: self._of(f).power_cut_at(int(f.amount), f.for_s),
            "gateway-kill": lambda f: self._of(f).kill(f.for_s),
            "gateway-stop": lambda f: self._of(f).stop(f.for_s),
            "gateway-clock": self._clock,
            "gateway-clock-far": self._clock,
            "gateway-1970": self._dead_clock,
            "gateway-disk-full": lambda f: self._disk_full(self._of(f), f),
            "gateway-sync-fails": lambda f: self._sync_fails(self._of(f), int(f.amount)),
            "gateway-rot": self._rot,
            "gateway-rot-bit": self._rot,
            "gateway-rollback": self._roll_back,
            "gateway-wiped": self._wipe,
            "gateway-clone": self._clone,
            "gateway-twin": lambda f: self.attacker.twin(self._of(f), int(f.amount)),
            "link-down": self._link_down,
            "link-long": self._link_down,
            "link-hole": self._link_hole,
            "meters-garbled": self._garble,
            "meter-silent": self._silence,
            "meter-swapped": self._swap,
            "dlms-silent": self._dlms_silence,
            "dlms-drops": self._drop,
            "dlms-garbled": self._garble_outlet,
            "dlms-swapped": self._exchange,
            "port-pulled": self._pull,
            "replay": lambda f: self.attacker.replay(int(f.amount)),
            "flip": lambda f: self.attacker.flip(int(f.amount)),
            "misdeliver": lambda f: self.attacker.misdeliver(int(f.amount)),
            "forge": lambda f: self.attacker.forge(self._of(f)),
            "forge-ack": lambda f: self.attacker.forge_acknowledgement(self._of(f)),
            "broker-restart": self._broker_restart,
            "loses": lambda f: self._weather(f, "loses"),
            "repeats": lambda f: self._weather(f, "repeats"),
            "late": lambda f: self._weather(f, "late"),
            "collector-cut": lambda f: self.collector.power_cut(f.for_s),
            "collector-cut-io": lambda f: self.collector.power_cut_at(int(f.amount), f.for_s),
            "collector-kill": lambda f: self.collector.kill(f.for_s),
            "collector-stop": lambda f: self.collector.stop(f.for_s),
            "collector-restore": self._restore,
            "collector-disk-full": lambda f: self._disk_full(self.collector, f),
            "collector-sync-fails": lambda f: self._sync_fails(self.collector, int(f.amount)),
            "collector-clock": self._collector_clock,
        }

    def _befall(self, fault: Fault) -> None:
        if not self._over:
            self.world.count(f"fault {fault.kind}")
            self._apply[fault.kind](fault)

    def _of(self, fault: Fault) -> GatewayNode:
        return self.gateways[fault.who]

    def _later(self, fault: Fault, callback: Callable[[], object]) -> None:
        """At the end of a fault, unless all faults have ended before."""
        self.world.after(fault.for_s, lambda: None if self._over else callback())

    def _last(self, fault: Fault, on: object, callback: Callable[[], object]) -> None:
        """At the end of the last of the faults of this kind that are on this subject then."""
        which = (fault.kind, on)
        self._active[which] += 1

        def over() -> None:
            self._active[which] -= 1
            if not self._active[which]:
                callback()

        self._later(fault, over)

    def _clock(self, fault: Fault) -> None:
        self._off(self._of(fault), fault, int(fault.amount * 1000))

    def _dead_clock(self, fault: Fault) -> None:
        node = self._of(fault)
        self._off(node, fault, DEAD_MS)
        node.power_cut(10.0)

    def _off(self, node: GatewayNode | CollectorNode, fault: Fault, by_ms: int) -> None:
        """A clock is wrong for a while; several faults add up, but for one that knows no time at all."""
        node.wrong[fault] = by_ms
        self._later(fault, lambda: node.wrong.pop(fault, None))

    def _disk_full(self, node: Node, fault: Fault) -> None:
        node.disk.fill()

        def room() -> None:
            node.disk.capacity = None

        self._last(fault, node, room)

    def _sync_fails(self, node: Node, times: int) -> None:
        node.disk.failing_syncs = times

    def _rot(self, fault: Fault) -> None:
        node = self._of(fault)
        if node.running:
            node.kill(fault.for_s)
            # One bit in the log ends it there, as a cut would: SQLite, and so the gateway, cannot tell these two apart.
            log = () if fault.kind == "gateway-rot-bit" else ("buffer.sqlite3-wal",)
            for each in ("buffer.sqlite3", *log):
                path = node.disk.folder / each
                if path.exists() and path.stat().st_size:
                    node.disk.flip(each, self.attacker.dice, int(fault.amount))

    def _roll_back(self, fault: Fault) -> None:
        node = self._of(fault)
        if not node.running:
            return
        image, taken_ms = self.world.folder / f"image-{fault.who}-{self.world.now_ms()}", self.world.now_ms()
        node.snapshot(image)

        def restore() -> None:
            self.rolled_back.append((fault.who, taken_ms, self.world.now_ms()))
            node.replace_disk(image, 20.0)

        self._later(fault, restore)

    def _wipe(self, fault: Fault) -> None:
        """The machine is set up anew with its old keys: what was not stored yet is gone, and so is its memory."""
        node = self._of(fault)
        if node.running:
            empty = self.world.folder / f"empty-{fault.who}-{self.world.now_ms()}"
            empty.mkdir()
            clocks = sum(each for what, each in self.world.counts.items() if what in CLOCK_FAULTS)
            since_ms = START_MS if clocks else node.unstored_since_ms()
            node.replace_disk(empty, fault.for_s)
            self.rolled_back.append((fault.who, since_ms, self.world.now_ms()))

    def _clone(self, fault: Fault) -> None:
        node = self._of(fault)
        if node.running and len(self.clones) < 3:
            twin = node.clone(f"{node.name}-clone-{len(self.clones)}")
            self.clones.append(twin)
            twin.boot()
            self._later(fault, lambda: twin.stop(0, lambda: None))

    def _link_down(self, fault: Fault) -> None:
        door = self._of(fault).door
        door.shut = True
        door.break_all("the link is down")

        def up() -> None:
            door.shut = False

        self._last(replace(fault, kind="link"), door, up)

    def _link_hole(self, fault: Fault) -> None:
        door = self._of(fault).door
        door.hole = True
        self.world.after(50.0, lambda: door.break_all("no answer to a ping") if door.hole else None)

        def up() -> None:
            door.hole = False

        self._last(fault, door, up)

    def _garble(self, fault: Fault) -> None:
        bus, share = self._of(fault).dwelling.bus, fault.amount / 6
        kinds = ("noise", "partial", "garble", "silent", "late", "wrong_address")
        bus.faults = Faults(tuple((kind, share) for kind in kinds), echo=int(fault.at_s) % 3 == 0)

        def mend() -> None:
            bus.faults = Faults()

        self._last(fault, bus, mend)

    def _silence(self, fault: Fault) -> None:
        dwelling = self._of(fault).dwelling
        address = 1 + int(fault.at_s) % dwelling.shape.mbus if dwelling.shape.mbus else 0
        slave = dwelling.bus.slaves.pop(address, None)
        if slave is not None:
            self._later(fault, lambda: dwelling.bus.slaves.setdefault(address, slave))
            dwelling.missing[address] = slave

    def _swap(self, fault: Fault) -> None:
        dwelling = self._of(fault).dwelling
        address = 1 + int(fault.at_s) % dwelling.shape.mbus if dwelling.shape.mbus else 0
        if address in dwelling.bus.slaves:
            dwelling.swap(address)
            self._last(fault, (dwelling.n, address), lambda: dwelling.swap_back(address))

    def _dlms_silence(self, fault: Fault) -> None:
        self._at_outlet(fault, "silent", True, False)

    def _drop(self, fault: Fault) -> None:
        self._at_outlet(fault, "drops", fault.amount, 0.0)

    def _garble_outlet(self, fault: Fault) -> None:
        self._at_outlet(fault, "garbles", fault.amount, 0.0)

    def _at_outlet(self, fault: Fault, what: str, value: float, well: float) -> None:
        outlet = self._outlet(fault)
        if outlet is not None:
            setattr(outlet, what, value)
            self._last(fault, outlet, lambda: setattr(outlet, what, well))

    def _exchange(self, fault: Fault) -> None:
        dwelling, outlet = self._of(fault).dwelling, self._outlet(fault)
        if outlet is not None:
            dwelling.exchange(outlet)
            self._last(fault, outlet, lambda: dwelling.exchange_back(outlet))

    def _outlet(self, fault: Fault) -> Outlet | None:
        outlets = list(self._of(fault).dwelling.outlets.values())
        if fault.kind == "dlms-garbled":
            outlets = [each for each in outlets if each.meter.plate.framing is Framing.HDLC]
        return outlets[int(fault.at_s) % len(outlets)] if outlets else None

    def _pull(self, fault: Fault) -> None:
        port = self._of(fault).dwelling.port
        port.pulled = True

        def plug() -> None:
            port.pulled = False

        self._last(fault, port, plug)

    def _mend_meters(self, dwelling: Dwelling) -> None:
        dwelling.bus.faults, dwelling.port.pulled = Faults(), False
        for outlet in dwelling.outlets.values():
            outlet.silent, outlet.drops, outlet.garbles = False, 0.0, 0.0
            dwelling.exchange_back(outlet)
        for address, slave in dwelling.missing.items():
            dwelling.bus.slaves.setdefault(address, slave)
        for address in range(1, dwelling.shape.mbus + 1):
            dwelling.swap_back(address, cold=True)

    def _broker_restart(self, fault: Fault) -> None:
        self.broker.stop()
        self._last(fault, self.broker, self.broker.start)

    def _weather(self, fault: Fault, what: str) -> None:
        setattr(self.broker.weather, what, fault.amount)
        self._last(fault, self.broker, lambda: setattr(self.broker.weather, what, 0.0))

    def _back_up(self) -> None:
        if self._over:
            return
        image = self.world.folder / f"backup-{self.world.now_ms()}"
        if self.collector.running and not self.collector.disk.dead:
            self.collector.snapshot(image)
            self.backups = [*self.backups, image][-BACKUPS:]
        self.world.after(BACKUP_S, self._back_up)

    def _restore(self, fault: Fault) -> None:
        if self.backups and self.collector.running:
            image = self.attacker.dice.choice(self.backups)
            self.world.count("collector restored")
            self.collector.replace_disk(image, fault.for_s)
            said = last_words(image / STORE)
            # A gateway that has heard more than this copy remembers will show it.
            self.forgotten |= any(each.heard()[1] > said.get(each.name, 0) for each in self.gateways)

    def _collector_clock(self, fault: Fault) -> None:
        self._off(self.collector, fault, int(fault.amount * 1000))
