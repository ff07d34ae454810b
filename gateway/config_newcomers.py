"""The configuration of the search for meters that may be in the place of silent ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocols.settings.table import Key, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookout:
    """Search M-Bus lines for new meters where one that is selected by its number is silent: was it exchanged?"""

    search: Annotated[bool, Key("Search at all; false: never.")] = True
    after_s: Annotated[
        int,
        Limits(ge=10, le=31 * 86_400),
        Key("Seconds that a meter is silent before it is searched for, and two of its slots at least."),
    ] = 3_600
    selections_a_day: Annotated[
        int, Limits(ge=10, le=20_000), Key("Selections of the search on one line, a day (UTC) at most.")
    ] = 1_000
    seconds_a_day: Annotated[
        int, Limits(ge=10, le=43_200), Key("Seconds of the line's time for it, a day (UTC) at most.")
    ] = 1_200
