"""The configuration that meters of all protocols have: their name, and when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.cadence import DAY_S, UTC, BillingText, CadenceText, Pace, Steps, ZoneText, pace_of
from gateway.config_line import Name
from protocols.settings.table import Key, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """A meter that is polled slot by slot."""

    name: Annotated[
        Name, Key("Our name of the meter; stays when the meter is exchanged, goes under the seal.", examples=("heat",))
    ]
    cadence_s: Annotated[
        int | None,
        Limits(ge=1, le=86_400),
        Key("Seconds from one reading to the next, aligned to the clock.", examples=(900,)),
    ] = None
    cadence: Annotated[
        CadenceText | None,
        Key(
            "In place of cadence_s: a step, or times of a calendar; tried again until the given end, or until "
            "the next one begins.",
            examples=("daily at 00:10, until 06:00",),
        ),
    ] = None
    billing: Annotated[
        BillingText | None,
        Key(
            "Readings for bills beside those of the cadence, before all others on the bus.",
            examples=("monthly on 1 at 00:10, until 06:00",),
        ),
    ] = None
    timezone: Annotated[
        ZoneText | None,
        Key(
            "The zone of the metering point, which those times are of; by itself the gateway's.",
            examples=("Europe/Prague",),
        ),
    ] = None

    @property
    def zone(self) -> str:
        """The zone of the metering point."""
        return self.timezone or UTC

    @property
    def pace(self) -> Pace:
        """When it is read."""
        if self.cadence is not None:
            return pace_of(self.cadence, self.zone)
        return Steps(self.cadence_s or DAY_S)

    @property
    def billing_pace(self) -> Pace | None:
        """When it is read for bills."""
        return None if self.billing is None else pace_of(self.billing, self.zone)

    @property
    def every_s(self) -> int:
        """Seconds from one reading of its cadence to the next."""
        return self.pace.every_s
