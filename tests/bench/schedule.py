"""Faults by seed: which happen, when, to whom, for how long; each is a value of its own, so that a run can be shrunk.

Every seed draws its own rates: some runs know no cloned gateway and many power cuts, others the reverse.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from world import DAY_S

HOUR_S = 3_600.0
SEASON = 3.0  # times as many as a seed has at most


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: how likely a seed has it, how often a day, how long (s, empty: an instant), how strong."""

    name: str
    likely: float
    daily: tuple[float, float]
    for_s: tuple[float, float] = (0.0, 0.0)
    amount: tuple[float, float] = (0.0, 0.0)
    of: str = "gateway"  # whom it befalls: each gateway, or the centre, which there is once


KINDS = (
    Kind("gateway-cut", 0.8, (0.5, 12), (1, 900)),
    Kind("gateway-cut-io", 0.8, (0.5, 12), (1, 300), (1, 400)),
    Kind("gateway-kill", 0.5, (0.5, 6), (1, 60)),
    Kind("gateway-stop", 0.4, (0.3, 3), (1, 60)),
    Kind("gateway-clock", 0.3, (0.2, 2), (600, 20_000), (-4_000, 4_000)),
    Kind("gateway-clock-far", 0.2, (0.2, 1), (600, 20_000), (9e6, 2e7)),
    Kind("gateway-1970", 0.25, (0.2, 1), (60, 10_000)),
    Kind("gateway-disk-full", 0.3, (0.2, 2), (60, 8_000)),
    Kind("gateway-sync-fails", 0.4, (0.3, 6), (0, 0), (1, 6)),
    Kind("gateway-rot", 0.15, (0.2, 1), (1, 60), (1, 40)),
    Kind("gateway-rot-bit", 0.0, (0.5, 3), (1, 60), (1, 2)),  # in seasons alone: it hits a batch, hardly ever a page
    Kind("gateway-rollback", 0.15, (0.2, 0.8), (600, 30_000)),
    Kind("gateway-wiped", 0.15, (0.1, 0.5), (1, 3_000)),
    Kind("gateway-clone", 0.15, (0.2, 0.6), (600, 20_000)),
    Kind("gateway-twin", 0.15, (0.2, 0.8), (0, 0), (1, 4)),
    Kind("link-down", 0.8, (0.5, 10), (5, 30_000)),
    Kind("link-long", 0.25, (0.2, 0.5), (40_000, 120_000)),
    Kind("link-hole", 0.5, (0.3, 4), (20, 4_000)),
    Kind("meters-garbled", 0.6, (0.5, 4), (300, 10_000), (0.02, 0.5)),
    Kind("meter-silent", 0.5, (0.5, 4), (300, 20_000)),
    Kind("meter-swapped", 0.3, (0.2, 1), (1_000, 30_000)),
    Kind("dlms-silent", 0.4, (0.3, 3), (300, 20_000)),
    Kind("dlms-drops", 0.4, (0.3, 3), (300, 20_000), (0.02, 0.5)),
    Kind("dlms-garbled", 0.4, (0.3, 3), (300, 20_000), (0.02, 0.3)),
    Kind("dlms-swapped", 0.3, (0.2, 1), (1_000, 30_000)),
    Kind("port-pulled", 0.4, (0.3, 3), (10, 4_000)),
    Kind("replay", 0.7, (1, 12), (0, 0), (1, 40)),
    Kind("flip", 0.6, (1, 12), (0, 0), (1, 20)),
    Kind("misdeliver", 0.4, (1, 6), (0, 0), (1, 10)),
    Kind("forge", 0.7, (1, 8)),
    Kind("forge-ack", 0.7, (1, 8)),
    Kind("broker-restart", 0.6, (0.5, 6), (1, 600), of="centre"),
    Kind("loses", 0.7, (0.5, 5), (300, 20_000), (0.02, 0.6), of="centre"),
    Kind("repeats", 0.7, (0.5, 5), (300, 20_000), (0.05, 0.5), of="centre"),
    Kind("late", 0.6, (0.5, 5), (300, 20_000), (0.02, 0.4), of="centre"),
    Kind("collector-cut", 0.7, (0.5, 8), (1, 900), of="centre"),
    Kind("collector-cut-io", 0.7, (0.5, 8), (1, 300), (1, 400), of="centre"),
    Kind("collector-kill", 0.4, (0.5, 5), (1, 60), of="centre"),
    Kind("collector-stop", 0.4, (0.5, 3), (1, 60), of="centre"),
    Kind("collector-restore", 0.25, (0.3, 1), (10, 600), of="centre"),
    Kind("collector-disk-full", 0.3, (0.2, 2), (60, 8_000), of="centre"),
    Kind("collector-sync-fails", 0.3, (0.3, 4), (0, 0), (1, 6), of="centre"),
    Kind("collector-clock", 0.2, (0.2, 1), (600, 20_000), (-4_000, 4_000), of="centre"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: at so many seconds, of a kind, to gateway number `who`, for so long, so strong."""

    at_s: float
    kind: str
    who: int
    for_s: float
    amount: float

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.at_s + self.for_s

    def __str__(self) -> str:
        return f"{self.kind} of {self.who} at {self.at_s:.0f} s for {self.for_s:.0f} s, {self.amount:.3g}"


def draw(seed: int, days: float, gateways: int, kinds: Sequence[Kind], season: Collection[str] = ()) -> list[Fault]:
    """The faults of a seed, in order of time; the first tenth of an hour is quiet.

    In a `season` there are many faults of these kinds.
    """
    found: list[Fault] = []
    for kind in kinds:
        dice = random.Random(f"{seed}/faults/{kind.name}")
        if dice.random() >= kind.likely and kind.name not in season:
            continue
        daily = kind.daily[0] * (kind.daily[1] / kind.daily[0]) ** dice.random()
        if kind.name in season:
            daily = SEASON * kind.daily[1]
        for who in range(gateways if kind.of == "gateway" else 1):
            at_s = HOUR_S / 10
            while (at_s := at_s + dice.expovariate(daily / DAY_S)) < days * DAY_S:
                for_s = dice.uniform(*kind.for_s)
                found.append(Fault(at_s, kind.name, who, for_s, dice.uniform(*kind.amount)))
    return sorted(found, key=lambda each: (each.at_s, each.kind, each.who))
