"""How often M-Bus meters may be asked while they run on their batteries: by their models, against the cadences.

A meter's model is found by what the configuration gives of its identity (manufacturer, version, medium). Where that
fits several models, the strictest of them counts, and it is said that the model is not sure. Every visit is one
question. What comes on top is not foreseeable, and only said: questions repeated after a lost answer, and the one or
two further looks at a reading that is hard to believe (`plausible`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.config import MbusBus, MbusDevice
from protocols.models import mbus as models
from protocols.models.mbus import DAY_S
from protocols.reading import Identity

ON_TOP = "repeated questions and second looks at a doubtful reading come on top"


@dataclass(frozen=True, slots=True)
class Use:
    """How often a meter is asked, and how often it may be; None where no source says it.

    `models` are those that it may be of; `sure` says that manufacturer, version and medium are all configured; `says`
    is what the source of the strictest limit says.
    """

    bus: str
    device: str
    models: tuple[str, ...]
    sure: bool
    cadence_s: int
    reads_a_day: int
    minimum_interval_s: int | None = None
    allowed_a_day: int | None = None
    says: str = ""

    @property
    def too_often(self) -> bool:
        """It is asked sooner again, or more often a day, than its battery is made for."""
        sooner = self.minimum_interval_s is not None and self.cadence_s < self.minimum_interval_s
        return sooner or (self.allowed_a_day is not None and self.reads_a_day > self.allowed_a_day)

    @property
    def right_cadence_s(self) -> int:
        """The shortest cadence that keeps to both limits."""
        by_day = 0 if self.allowed_a_day is None else -(-DAY_S // self.allowed_a_day)
        return max(self.minimum_interval_s or 0, by_day)

    def __str__(self) -> str:
        if not self.models:
            return "no model known" if self.sure else "no model known; manufacturer, version and medium would tell it"
        who = f"{'' if self.sure else 'perhaps '}{' or '.join(self.models)}"
        asked = f"{who}, asked {self.reads_a_day} times a day"
        if self.allowed_a_day is None:
            return f"{asked}; no source says how often its battery allows"
        interval = "" if self.minimum_interval_s is None else f" and {self.minimum_interval_s} s apart"
        return f"{asked}; its battery: at most {self.allowed_a_day} times a day{interval} ({self.says}); {ON_TOP}"


def uses(bus: MbusBus) -> list[Use]:
    """How each meter of the line is asked, in order."""
    return [_use(bus, device) for device in bus.device]


def least_cadence_s(who: Identity, meters: int, secondary: bool) -> int:
    """The shortest cadence that the batteries of all models that a meter may be of allow; 0 where no source says one.

    `meters` are those of its line; `secondary` says that it is asked by its secondary address.
    """
    known = [each.battery for each in models.candidates(who) if each.battery is not None]
    days = [-(-DAY_S // each.reads_a_day(meters, secondary)) for each in known]
    return max([0, *days, *(each.minimum_interval_s or 0 for each in known)])


def _use(bus: MbusBus, device: MbusDevice) -> Use:
    found = models.candidates(device.identity)
    named = tuple(f"{each.manufacturer} {each.designation}" for each in found)
    reads = -(-DAY_S // device.every_s) + (device.billing is not None)
    sure = None not in (device.manufacturer, device.version, device.medium)
    mine = Use(bus.name, device.name, named, sure, device.every_s, reads)
    limits = [
        (each.battery.reads_a_day(len(bus.device), device.secondary is not None), each.designation, each.battery)
        for each in found
        if each.battery is not None
    ]
    if not limits:
        return mine
    allowed, designation, battery = min(limits, key=lambda limit: limit[0])
    says = f"{designation}: {battery.says}"
    return replace(mine, minimum_interval_s=battery.minimum_interval_s, allowed_a_day=allowed, says=says)
