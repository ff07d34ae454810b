"""The pollers of a configuration, one for each bus; a protocol's stack is imported when a bus of it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.clock import GatewayClock
from gateway.config import Bus, Configuration, DlmsBus, MbusBus, ModbusBus
from gateway.guests import Guests, Hosting
from gateway.lines import MACHINE, Lines, Place, opened
from gateway.newcomers import Newcomers
from gateway.poll import BusPoller, Looking, Sink
from gateway.reader import Reader, Tending
from gateway.schedule import Schedule
from gateway.settled import Positions, Slotted
from gateway.succession import Succession
from gateway.successors import Successors
from gateway.writer import Writer
from protocols.uplink.records import Event

if TYPE_CHECKING:
    from gateway.counters import CounterStore
    from gateway.dlms import Acquaint
    from gateway.push import Sink as PushSink
    from gateway.pushing import Pushing
    from gateway.scales import ScaleStore


class Counting:
    """Where invocation counters are kept; the store is made, once, when a DLMS bus is there."""

    def __init__(self, folder: Path, writer: Writer | None = None) -> None:
        self._folder, self._writer = folder, writer
        self._store: CounterStore | None = None

    def store(self, clock: GatewayClock) -> CounterStore:
        """The one store of all buses: two meters may share a key."""
        if self._store is None:
            from gateway.counters import CounterStore  # noqa: PLC0415

            self._store = CounterStore(self._folder, clock.utc_ms, self._writer)
        return self._store


@dataclass(frozen=True, slots=True)
class Shared:
    """What all buses of a process have in common: invocation counters, who answers in place of whom, who was found."""

    counting: Counting
    successors: Successors
    newcomers: Newcomers

    @classmethod
    def of(cls, configuration: Configuration, writer: Writer | None) -> Shared:
        """Those in the state folder; `writer` writes them."""
        folder = configuration.state_folder
        return cls(Counting(folder, writer), Successors(folder, writer, configuration), Newcomers(folder, writer))


def pollers(
    configuration: Configuration,
    slots: dict[str, tuple[int, ...]],
    positions: Positions,
    clock: GatewayClock,
    sink: Sink,
    lines: Lines = MACHINE,
    writer: Writer | None = None,
    acquaint: Acquaint | None = None,
    *,
    clocks: bool = True,
    shared: Shared | None = None,
) -> list[BusPoller]:
    """A poller for each bus; `slots` are settled already, by device name; readings go to `sink`.

    `clocks`: meters' clocks are watched, and adjusted where they may be, and newcomers are looked for. `writer` writes
    what must be on the disk before a meter is asked (invocation counters); `acquaint` is told of meters that push;
    `shared` is what others use beside the pollers.
    """
    keep = configuration.seal.keep_telegrams
    note = sink.note if clocks else None

    @cache
    def scales() -> ScaleStore:
        """The one store of all buses; made when a DLMS bus is there."""
        from gateway.scales import ScaleStore  # noqa: PLC0415

        return ScaleStore(configuration.state_folder, writer)

    shared = shared or Shared.of(configuration, writer)
    found = []
    for bus in configuration.bus:
        succession = Succession(bus, shared.successors, clock, sink.note)
        mine = reader(bus, positions, clock, keep, lines, shared.counting, note, acquaint, scales, succession)
        tend = mine.tend if isinstance(mine, Tending) else None
        guests = Guests(mine) if isinstance(mine, Hosting) else None
        looking = _lookout(bus, configuration, shared, succession, clock, sink, mine) if clocks else None
        found.append(BusPoller(bus.name, mine, Schedule(bus.device, slots), clock, sink, tend, guests, looking))
    return found


def _lookout(
    bus: Bus,
    configuration: Configuration,
    shared: Shared,
    succession: Succession,
    clock: GatewayClock,
    sink: Sink,
    mine: Reader,
) -> Looking | None:
    """What looks for newcomers, where meters are selected by their numbers."""
    if not isinstance(bus, MbusBus) or all(each.address is not None for each in bus.device):
        return None
    from gateway.lookout import Lookout  # noqa: PLC0415
    from gateway.mbus import MbusReader  # noqa: PLC0415

    if not isinstance(mine, MbusReader) or not configuration.newcomers.search:
        return None
    return Lookout(bus, configuration.newcomers, shared.newcomers, succession, clock, sink.note, mine)


def guests(configuration: Configuration, polling: Iterable[BusPoller]) -> dict[str, Guests]:
    """Where commands ask for a device, by its name; `polling` are the pollers of that configuration."""
    pairs = zip(configuration.bus, polling, strict=True)
    return {device.name: each.guests for bus, each in pairs if each.guests is not None for device in bus.device}


def pushing(configuration: Configuration, clock: GatewayClock, sink: PushSink, writer: Writer) -> Pushing | None:
    """What takes the pushes of DLMS meters; None where nobody listens for them."""
    if configuration.push is None:
        return None
    from gateway.pushing import Pushing  # noqa: PLC0415

    return Pushing(configuration, clock, sink, writer, Counting(configuration.state_folder, writer).store)


def reader(
    bus: Bus,
    positions: Positions,
    clock: GatewayClock,
    keep: bool,
    lines: Lines = MACHINE,
    counting: Counting | None = None,
    note: Callable[[Event], None] | None = None,
    acquaint: Acquaint | None = None,
    scales: Callable[[], ScaleStore] | None = None,
    succession: Succession | None = None,
) -> Reader:
    """The reader of a bus; nothing is opened yet. Ciphered meters need `counting`; `note` takes events of clocks.

    `scales` keep what DLMS meters say of their registers; without them it is asked for anew by each reader.
    `succession` says who answers; without it only the configured meters do.
    """
    match bus:
        case MbusBus():
            return _mbus(bus, clock, keep, lines, succession)
        case DlmsBus():
            return _dlms(bus, positions, clock, lines, counting, note, acquaint, scales, succession)
        case ModbusBus():
            return _modbus(bus, clock, lines, succession)


def _mbus(bus: MbusBus, clock: GatewayClock, keep: bool, lines: Lines, succession: Succession | None) -> Reader:
    from gateway.mbus import MbusReader  # noqa: PLC0415

    return MbusReader(bus, partial(opened, Place.of(bus), lines), clock, keep, succession)


def _dlms(
    bus: DlmsBus,
    positions: Positions,
    clock: GatewayClock,
    lines: Lines,
    counting: Counting | None,
    note: Callable[[Event], None] | None,
    acquaint: Acquaint | None,
    scales: Callable[[], ScaleStore] | None,
    succession: Succession | None,
) -> Reader:
    from gateway.dlms import DlmsReader  # noqa: PLC0415

    counters = None if counting is None else counting.store(clock)
    on_line = partial(opened, Place.of(bus), lines) if bus.on_line else None
    return DlmsReader(
        bus,
        positions,
        clock,
        lines.tcp,
        counters,
        open_serial=on_line,
        note=note,
        acquaint=acquaint,
        scales=None if scales is None else scales(),
        succession=succession,
    )


def _modbus(bus: ModbusBus, clock: GatewayClock, lines: Lines, succession: Succession | None) -> Reader:
    from gateway import modbus  # noqa: PLC0415

    return modbus.ModbusReader(bus, clock, modbus.opening(bus, lines), succession)


def slotted(configuration: Configuration) -> Slotted:
    """All devices that are read slot by slot."""
    return {device.name: device.billing_pace for bus in configuration.bus for device in bus.device}
