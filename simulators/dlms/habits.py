"""What is otherwise with simulated electricity meters, in one line of text: `ppm=40,step=-7@600,nulls`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from simulators.dlms.going import MAX_PPM, Going
from simulators.dlms.plates import Plate

FLAGS = (
    "nulls",
    "compact",
    "no-deviation",
    "bare-clock",
    "local-search",
    "standard-time",
    "lifo",
    "no-shift",
    "fixed-clock",
)
HELP = (
    "What is otherwise with the electricity meters, as ppm=40,step=-7@600,nulls: ppm=N (the clock goes too fast by so "
    "many millionths; negative: too slow), step=S@T (T seconds after the start it jumps by S seconds), nulls (rows "
    "say null-data for what is as before), compact (buffers are compact arrays), no-deviation (stamps without offset "
    "from UTC), bare-clock (nor with a status: nothing tells summer time), local-search (rows are sought by what the "
    "clock showed, whatever the offset), standard-time (no summer time), lifo (load profile and event logs give the "
    "newest row first), rows=N (a question for more than so many rows is refused), "
    "no-shift (the clock can be set, not shifted), fixed-clock (it cannot be adjusted)."
)


def changed(plate: Plate, written: str) -> Plate:
    """The plate of a meter with these habits.

    Raises:
        ValueError: an unknown habit, or a number that is none.
    """
    flags, ppm, steps, most_rows = set(), 0, [], 0
    for name, value in _parts(written):
        if name == "ppm" and abs(int(value)) <= MAX_PPM:
            ppm = int(value)
        elif name == "step":
            by_s, _, after_s = value.partition("@")
            steps.append((int(after_s or "0"), int(by_s) * 1000))
        elif name == "rows" and int(value) > 0:
            most_rows = int(value)
        elif name in FLAGS and not value:
            flags.add(name)
        else:
            raise ValueError(f"expected ppm=N, step=S@T, rows=N or one of {', '.join(FLAGS)}, got {name!r} in habits")
    return replace(
        plate,
        going=Going(ppm, tuple(steps)),
        nulls=plate.nulls or "nulls" in flags,
        compact=plate.compact or "compact" in flags,
        deviation=not flags & {"no-deviation", "bare-clock"},
        clock_status="bare-clock" not in flags,
        local_search="local-search" in flags,
        zone=None if "standard-time" in flags else plate.zone,
        lifo="lifo" in flags,
        most_rows=most_rows,
        shifts="no-shift" not in flags,
        adjustable="fixed-clock" not in flags,
    )


def _parts(written: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (part.strip() for part in written.split(","))):
        name, _, value = part.partition("=")
        yield name, value
