"""What gateways report as failing, and which configured devices were never read; in values and in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from collector.expose import views, words
from collector.expose.times import UNKNOWN_MS
from collector.shown import utc
from collector.store.devices import Device, Failure, Name, Stranger
from collector.store.interface import Store
from protocols.reading import Identity
from protocols.uplink.leaf import identity_to_wire
from protocols.uplink.pack import pack

SAID = 3  # failures in sentences; the others are counted
NAMED = 3  # names in a sentence; the others are counted

Key = tuple[str, str]  # gateway and device


@dataclass(frozen=True)
class Troubles:
    """What fails, what is configured and what was read: asked once for a look."""

    failures: Sequence[Failure]
    configured: Sequence[Device]
    names: Sequence[Name]
    strangers: Sequence[Stranger] = ()
    ended: Mapping[Key, int] = field(default_factory=dict)
    once: Mapping[Key, int] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store) -> Troubles:
        """As the store is now."""
        return cls(
            store.devices.failing(),
            store.devices.configured(),
            store.devices.names(),
            store.devices.strangers(),
            store.devices.ended(),
            store.devices.once(),
        )

    @cached_property
    def devices(self) -> dict[Key, Failure]:
        """The devices that fail, by themselves or with their bus, and why: the bus goes before the device."""
        own = {(each.gateway, each.device): each for each in self.failures if each.device}
        return own | {
            (bus.gateway, device): bus for bus in self.failures if not bus.device for device in self.on_bus(bus)
        }

    @cached_property
    def never(self) -> dict[Key, Device]:
        """The devices that are configured, or fail, and were never read."""
        known = {
            (each.gateway, each.device): Device(each.gateway, each.bus, each.device, each.at_ms)
            for each in self.failures
            if each.device
        }
        known |= {(each.gateway, each.device): each for each in self.configured}
        return {key: device for key, device in sorted(known.items()) if key not in self.read}

    @cached_property
    def read(self) -> dict[Key, int]:
        """When each device was read last."""
        found: dict[Key, int] = {}
        for each in self.names:
            key = each.gateway, each.device
            found[key] = max(each.read_ms, found.get(key, 0))
        return found

    @cached_property
    def by_meter(self) -> dict[str, list[Name]]:
        """The device names under which each meter was read."""
        found: dict[str, list[Name]] = {}
        for each in self.names:
            found.setdefault(each.name, []).append(each)
        return found

    def unattributed(self, gateway: str, device: str, meter: Identity) -> int | None:
        """Since when this meter answers in another's place (ms); None where it does not."""
        key = gateway, device, pack(identity_to_wire(meter))
        return next((each.at_ms for each in self.strangers if (each.gateway, each.device, each.identity) == key), None)

    def has_ended(self, gateway: str, meter: str, read_ms: int) -> bool:
        """Whether nothing more is expected of a meter that was read last then: another one is in its place."""
        return read_ms <= self.ended.get((gateway, meter), -1)

    def is_expected(self, gateway: str, meter: str, read_ms: int) -> bool:
        """Whether readings of a meter that was read last then should go on: not of a newcomer, that was read once."""
        return not self.has_ended(gateway, meter, read_ms) and read_ms > self.once.get((gateway, meter), -1)

    def replaced(self) -> list[str]:
        """Who answers in another meter's place, in sentences."""
        answers = "another meter answers, its readings attributed to nobody until the exchange is recorded"
        found = "a meter that nobody configured was found where one is silent, its reading attributed to nobody"
        return [
            f"{what}: {names(said)}"
            for what, newcomer in ((answers, False), (found, True))
            if (said := [_named(each) for each in self.strangers if each.newcomer is newcomer])
        ]

    def on_bus(self, bus: Failure) -> list[str]:
        """The devices on a bus, as far as they are known."""
        known = {each.device for each in self.configured if (each.gateway, each.bus) == (bus.gateway, bus.bus)}
        own = {each.device for each in self.failures if (each.gateway, each.bus) == (bus.gateway, bus.bus)}
        return sorted((known | own) - {""})

    def count(self, gateway: str | None = None) -> int:
        """How many devices fail (at a gateway)."""
        return sum(1 for name, _ in self.devices if gateway in (None, name))

    def buses(self, gateway: str) -> int:
        """How many buses of a gateway fail."""
        return sum(1 for each in self.failures if not each.device and each.gateway == gateway)

    def overdue(self, now_ms: int) -> list[Device]:
        """The devices that were never read and do not say why, an hour after they were configured."""
        silent = (each for key, each in self.never.items() if key not in self.devices)
        return [each for each in silent if now_ms - each.at_ms > UNKNOWN_MS]

    def unread(self, now_ms: int) -> tuple[views.Unread, ...]:
        """The devices without any reading, as they are shown."""
        late = {(each.gateway, each.device) for each in self.overdue(now_ms)}
        return tuple(
            views.Unread(
                gateway=each.gateway,
                bus=each.bus,
                device=each.device,
                since=utc(each.at_ms),
                late=key in late,
                failing=self.failing(*key),
            )
            for key, each in self.never.items()
        )

    def failing(self, gateway: str, device: str) -> views.Failing | None:
        """Why a device is not read; None where nothing is reported."""
        found = self.devices.get((gateway, device))
        if found is None:
            return None
        meaning, do = words.meaning(found.code)
        return views.Failing(
            what="device" if found.device else "bus",
            bus=found.bus,
            since=utc(found.at_ms),
            code=found.code,
            said=words.failing(found, self._answers(found)),
            meaning=meaning,
            do=do,
        )

    def sentences(self) -> list[str]:
        """What fails, buses first, each with since when and what its code means."""
        alone = [each for each in self.failures if not each.device or self._own(each)]
        said = [self._sentence(each) for each in alone[:SAID]]
        rest = [each.device or each.bus for each in alone[SAID:]]
        return [*said, f"{len(rest)} more failing: {names(rest)}"] if rest else said

    def _answers(self, failure: Failure) -> bool:
        """Whether readings came since it failed: then it is its load profile, or the recovery did not reach us."""
        return self.read.get((failure.gateway, failure.device), 0) > failure.at_ms

    def _own(self, failure: Failure) -> bool:
        """Whether a device fails on a bus that works."""
        return bool(self.devices[failure.gateway, failure.device].device)

    def _sentence(self, failure: Failure) -> str:
        mine = [] if failure.device else self.on_bus(failure)
        missing = f"; not read: {names(mine)}" if mine else ""
        what = failure.device if failure.device else f"bus {failure.bus}"
        why = f"{words.clause(words.meaning(failure.code)[0])} ({failure.code})"
        return f"{what} at {failure.gateway} {words.failing(failure, self._answers(failure))}: {why}{missing}"


def names(found: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more


def also_read_as(found: Iterable[Name], gateway: str, device: str, since_ms: int) -> tuple[str, ...]:
    """The other names under which a meter was read since then."""
    others = (each for each in found if (each.gateway, each.device) != (gateway, device) and each.read_ms >= since_ms)
    return tuple(each.device if each.gateway == gateway else f"{each.device} at {each.gateway}" for each in others)


def _named(stranger: Stranger) -> str:
    """Where it is, and since when."""
    return f"{stranger.device} at {stranger.gateway} since {words.instant(utc(stranger.at_ms))}"
