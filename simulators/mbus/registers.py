"""What a simulated meter counts: exact integers that grow a little with each answer, never backwards."""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass, fields, replace

METER_ZONE_H = 1  # these meters keep Central European standard time all year, as many do
EPOCH = datetime.datetime(2000, 1, 1)  # noqa: DTZ001 - a meter's own calendar


@dataclass(frozen=True, slots=True)
class Registers:
    """Counters and present values of one meter; times are seconds or days of its own calendar since 2000."""

    count: int = 0  # answers so far
    energy: int = 0  # kWh
    volume: int = 0  # litres
    input_volume: int = 0  # litres of the pulse input
    power_w: int = 0
    flow_lph: int = 0
    forward_cc: int = 0  # flow temperature in 0.01 Cel
    back_cc: int = 0  # return temperature
    peak_power_w: int = 0
    peak_power_at_s: int = 0
    peak_flow_lph: int = 0
    set_energy: int = 0
    set_volume: int = 0
    set_day: int = 0
    hours: int = 0

    @classmethod
    def from_row(cls, row: dict[str, int]) -> Registers:
        """The registers as a record line keeps them; unknown names are another version's and refused."""
        unknown = set(row) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"expected registers of this version, got {sorted(unknown)} in the record")
        return cls(**row)

    def grown(self, seed: int, number: str, now_ms: int) -> Registers:
        """What the meter shows at its next answer: the same for the same seed, meter and count."""
        draw = random.Random(f"{seed}/{number}/{self.count}")
        shown = calendar(now_ms)
        power, flow = draw.randrange(2_000, 60_000), draw.randrange(100, 2_500)
        forward = draw.randrange(6_000, 9_000)
        due = (shown.replace(day=1) - datetime.timedelta(days=1) - EPOCH).days  # the last day of last month
        reached = due > self.set_day
        peaked = power > self.peak_power_w
        return replace(
            self,
            count=self.count + 1,
            energy=self.energy + draw.randrange(1, 4),
            volume=self.volume + draw.randrange(1, 90),
            input_volume=self.input_volume + draw.randrange(0, 12),
            power_w=power,
            flow_lph=flow,
            forward_cc=forward,
            back_cc=forward - draw.randrange(800, 3_500),
            peak_power_w=max(power, self.peak_power_w),
            peak_power_at_s=int((shown - EPOCH).total_seconds()) if peaked else self.peak_power_at_s,
            peak_flow_lph=max(flow, self.peak_flow_lph),
            set_energy=self.energy if reached else self.set_energy,
            set_volume=self.volume if reached else self.set_volume,
            set_day=max(due, self.set_day),
            hours=max(self.hours, int((shown - EPOCH).total_seconds()) // 3_600 - 200_000),
        )


def calendar(now_ms: int) -> datetime.datetime:
    """What the meter's clock shows at `now_ms` (UTC): its own zone, without one."""
    utc = datetime.datetime.fromtimestamp(now_ms // 1000, datetime.UTC)
    return (utc + datetime.timedelta(hours=METER_ZONE_H)).replace(tzinfo=None)
