"""What the API shows of metering points: columns for series, rows for stands; numbers are decimal text, no floats."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from collector.expose.views import Instant, Shown

_STATES = Literal["valid", "edited", "raw", "derived", "estimated", "questionable", "missing"]


class StateRun(Shown):
    """Periods one after the other whose worst state is the same."""

    count: int = Field(description="how many periods", ge=1)
    state: _STATES = Field(description="the worst state of the intervals in each")
    final: bool = Field(description="whether all of them are final")


class SeriesColumns(Shown):
    """A series: every column has `count` entries, one for each period."""

    point: str = Field(description="id of the metering point")
    channel: str = Field(examples=["1-0:1.8.0"])
    quantity: str = Field(examples=["energy"])
    aggregate: Literal["sum", "last", "mean", "maximum", "volume-weighted"] = Field(description="how periods are made")
    unit: str = Field(description="of the values", examples=["kWh"])
    by: Literal["15min", "hour", "day", "week", "month", "year"]
    zone: str = Field(description="IANA name of the zone whose periods these are", examples=["Europe/Budapest"])
    begin: Instant = Field(alias="from", description="what was asked for")
    to: Instant = Field(description="until before this; what is not over yet is left out")
    known_at: Instant | None = Field(description="as was known then; null: now")
    count: int = Field(description="periods", ge=0)
    start: Instant | None = Field(description="when the first one begins")
    step_s: int | None = Field(description="seconds of each, where all follow each other and are equally long")
    starts: tuple[Instant, ...] | None = Field(description="when each begins, where step_s is null")
    ends: tuple[Instant, ...] | None = Field(description="when each ends, where step_s is null")
    values: tuple[str | None, ...] = Field(description="decimal text; null: there is none", examples=[["0.250", None]])
    states: tuple[StateRun, ...] = Field(description="as runs, in order")
    expected: tuple[int, ...] | None = Field(description="intervals that each should have; null: one each")
    present: tuple[int, ...] | None = Field(description="... that have a value; null: one where there is a value")
    estimated: tuple[int, ...] | None = Field(description="... of which estimated; null: the states say it")
    tops: tuple[Instant | None, ...] | None = Field(description="when each maximum was reached; null: no maxima")


class StandView(Shown):
    """A stand of a register."""

    point: str
    register_name: str = Field(alias="register", examples=["1-0:1.8.0"])
    at: str = Field(description="on the point's clock, with its offset", examples=["2026-03-01T00:00+01:00"])
    meter: str = Field(description="serial")
    value: str = Field(description="decimal text, as it is shown", examples=["12345.6"])
    unit: str = Field(examples=["kWh"])
    consumption: str | None = Field(description="since the last one, in the same unit; null: not known")
    character: Literal[
        "normal",
        "estimated",
        "customer",
        "operator",
        "exchange-removed",
        "exchange-installed",
        "control",
        "set-day",
        "move-in",
        "move-out",
        "disconnection",
        "reconnection",
        "tariff-change",
    ]
    state: _STATES
    final: bool
    approved: str | None = Field(description="by whom")
    version: int = Field(description="1, or more where it was corrected", ge=1)
    known: Instant = Field(description="since when this version is known")


class StandViews(Shown):
    """Stands by register and time."""

    stands: tuple[StandView, ...]


class LatestView(Shown):
    """A channel's newest value."""

    channel: str
    latest: SeriesColumns | None = Field(description="one period; null: there is nothing yet")


class LatestViews(Shown):
    """The newest values of a point."""

    channels: tuple[LatestView, ...]
