"""A page of a channel's series: the meters that served the point, cut into the intervals of the point's zone."""

from __future__ import annotations

from collections.abc import Sequence

from collector.attribute.intervals import Near, values
from collector.attribute.words import Served
from collector.grid import edges
from collector.master.channels import Aggregate, Channel
from collector.master.units import grid
from collector.quality import runs_of
from collector.store.curves import Curve, Origin


def page(channel: Channel, zone: str, day: int, near: Near, served: Sequence[Served]) -> Curve:
    """The page that is named by `day` of a channel.

    Args:
        channel: whose series.
        zone: of the point.
        day: the first local day of the page (number).
        near: the tolerances.
        served: the installations that meet the page and its surroundings, by time.

    Raises:
        ZoneError: the point's zone is none.
    """
    bounds = edges(zone, channel.cadence, day)
    found = values(channel, bounds, near, served)
    there = [each.ticks for each in found]
    moments = None
    if channel.aggregate is Aggregate.MAXIMUM:
        moments = tuple(each.moment_ms or 0 for each in found if each.ticks is not None)
    origin = tuple(each for one in served for each in _origin(one, bounds[0], bounds[-1]))
    quality = runs_of(each.quality for each in found)
    place = (channel.point, channel.name, channel.cadence, day, bounds[0], grid(channel.quantity))
    return Curve(*place, tuple(there), quality, origin, moments)


def _origin(served: Served, from_ms: int, to_ms: int) -> list[Origin]:
    """The first and the last reading of each way that a page was made of."""
    found = []
    read = [each for each in served.samples if each.how is not None and from_ms <= each.at_ms <= to_ms]
    for how in sorted({each.how for each in read if each.how is not None}):
        mine = [each.moment for each in read if each.how is how]
        name = served.registers[0].name
        found.append(Origin(served.installation.meter, name, int(how), mine[0], mine[-1]))
    return found
