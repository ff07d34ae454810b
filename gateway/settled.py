"""What readings settle once they are committed: slots that are not polled again, and where load profiles ended.

Both are written in the transaction of the batch that holds the readings: a slot or row is sealed or read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.cadence import Pace, starts
from protocols.reading import How, MeterTime, Reading

Slot = tuple[str, int]  # device (or `billing_key`), slot (ms UTC)
Slotted = Mapping[str, Pace | None]  # devices that have slots, and when they are read for bills


@dataclass(frozen=True, slots=True)
class Settled:
    """Slots in the order of their readings, and by profile the meter's time of its last row.

    A load profile goes by its device's name, another one by "device/name of the profile". The last row is the last in
    the meter's own order.
    """

    slots: tuple[Slot, ...] = ()
    rows: Mapping[str, MeterTime] = field(default_factory=dict)

    @classmethod
    def by(cls, readings: Iterable[Reading], devices: Slotted) -> Settled:
        """What `readings` settle; `devices` are those that have slots."""
        slots: dict[Slot, None] = {}
        rows: dict[str, MeterTime] = {}
        for each in readings:
            if each.slot_ms is not None and each.device in devices:
                slots[each.device, each.slot_ms] = None
                billing = devices[each.device]
                if billing is not None and starts(billing, each.slot_ms):
                    slots[billing_key(each.device), each.slot_ms] = None
            if each.how in (How.PROFILE, How.EVENT_LOG) and each.meter_time is not None:
                rows[each.device if each.sub is None else f"{each.device}/{each.sub}"] = each.meter_time
        return cls(tuple(slots), rows)


def billing_key(device: str) -> str:
    """What the slots of a device's readings for bills go by: others, more often, would make them forgotten."""
    return f"{device}/billing"


class Positions:
    """Where each profile ended: what is committed, and beyond it what is in hand and not yet written."""

    def __init__(self, committed: Mapping[str, MeterTime]) -> None:
        self._committed = dict(committed)
        self._taken: dict[str, MeterTime] = {}

    def last(self, profile: str) -> MeterTime | None:
        """The last row that was taken; None where none ever was."""
        return self._taken.get(profile, self._committed.get(profile))

    def took(self, rows: Mapping[str, MeterTime]) -> None:
        """Rows are in hand: they are not read again unless they are refused."""
        self._taken.update(rows)

    def committed(self, rows: Mapping[str, MeterTime]) -> None:
        """Rows up to these are on the disk."""
        self._committed.update(rows)

    def refused(self, profiles: Iterable[str]) -> None:
        """What was in hand of these is gone: read on from what is committed."""
        for profile in profiles:
            self._taken.pop(profile, None)
