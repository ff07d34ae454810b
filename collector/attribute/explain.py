"""What of the readings in the store reaches no series, and why: a question of its own, asked when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from collector.attribute.source import Source
from collector.shown import meter_name
from collector.store.interface import Store
from collector.store.master_identity import Key
from collector.store.series import Series
from protocols.errors import PlombaError
from protocols.uplink.leaf import SealedReading, leaf_from_bytes

PAGE = 500  # meters looked at in one query
NOT_ENTERED = "no meter of this identity was entered, and the device map has none there"
NOT_INSTALLED = "the meter was never installed at a point"
NO_CHANNEL = "no channel of its points is fed by a register of the meter"


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A meter whose readings reach no series: its name in addresses and in words, where it is read, how often, why.

    `meters` are the serials that it is, by its identity or by the device map.
    """

    name: str
    words: str
    gateway: str
    stored: int
    meters: tuple[str, ...]
    why: str

    def shown(self) -> dict[str, object]:
        """For programs."""
        return {
            "name": self.name,
            "meter": self.words,
            "gateway": self.gateway,
            "readings": self.stored,
            "serials": list(self.meters),
            "why": self.why,
        }


def unplaced(store: Store) -> Iterator[Unplaced]:
    """The meters whose readings reach no series, by name."""
    source, after = Source(store), ""
    while page := store.series.page(after, PAGE):
        after = page[-1].name
        stored: dict[str, int] = {}
        first: dict[str, Series] = {}
        for each in page:
            stored[each.name] = stored.get(each.name, 0) + each.stored
            first.setdefault(each.name, each)
        for name, series in first.items():
            try:
                key = Key.from_bytes(series.meter)
            except PlombaError:
                continue  # the store was altered: where its readings are shown it is told
            meters = _meters(store, source, series)
            why = _why(store, meters)
            if why:
                yield Unplaced(name, meter_name(key.identity), series.gateway, stored[name], meters, why)


def _meters(store: Store, source: Source, series: Series) -> tuple[str, ...]:
    """The serials whose readings stand under a key, as it was read last."""
    device = store.readings.at(series.meter, series.how, series.moment, series.part)
    name = "" if device is None else _device(device.sealed)
    whose = source.whose(series.meter, series.gateway, name, series.at_ms)
    return tuple(sorted({each.meter for each in whose.mapped} | ({whose.meter} if whose.meter else set())))


def _device(sealed: bytes) -> str:
    try:
        return SealedReading.from_wire(leaf_from_bytes(sealed)).device
    except PlombaError:
        return ""


def _why(store: Store, meters: tuple[str, ...]) -> str:
    if not meters:
        return NOT_ENTERED
    here = [each for meter in meters for each in store.master.installations.all(meter=meter)]
    if not here:
        return NOT_INSTALLED
    fed = {(each.point, channel.register) for each in here for channel in store.master.channels.all(point=each.point)}
    has = {(each.point, row.name) for each in here for row in store.master.registers.all(meter=each.meter)}
    return "" if fed & has else NO_CHANNEL
