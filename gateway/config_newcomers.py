"""The configuration of the search for meters that may be in the place of silent ones."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Lookout(BaseModel):
    """Search M-Bus lines for new meters where one that is selected by its number is silent: was it exchanged?"""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    search: bool = Field(default=True, description="Search at all; false: never.")
    after_s: int = Field(
        default=3_600,
        ge=10,
        le=31 * 86_400,
        description="Seconds that a meter is silent before it is searched for, and two of its slots at least.",
    )
    selections_a_day: int = Field(
        default=1_000, ge=10, le=20_000, description="Selections of the search on one line, a day (UTC) at most."
    )
    seconds_a_day: int = Field(
        default=1_200, ge=10, le=43_200, description="Seconds of the line's time for it, a day (UTC) at most."
    )
