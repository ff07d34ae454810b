"""What is otherwise with simulated electricity meters, in one line of text: `ppm=40,step=-7@600,nulls`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from protocols import obis
from protocols.dlms.listing import CURRENT
from protocols.dlms.ways import OffsetSign, RangeEnds, Ways
from simulators.dlms.going import MAX_PPM, Going
from simulators.dlms.plates import Plate

MAX_PAUSE_MS = 60_000
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
    "local-range",
    "reversed",
)
HELP = (
    "What is otherwise with the electricity meters, as ppm=40,step=-7@600,nulls: ppm=N (the clock goes too fast by so "
    "many millionths; negative: too slow), step=S@T (T seconds after the start it jumps by S seconds), nulls (rows "
    "say null-data for what is as before), compact (buffers are compact arrays), no-deviation (stamps without offset "
    "from UTC), bare-clock (nor with a status: nothing tells summer time), local-search (rows are sought by what the "
    "clock showed, whatever the offset), standard-time (no summer time), lifo (load profile and event logs give the "
    "newest row first), rows=N (a question for more than so many rows is refused), "
    "no-shift (the clock can be set, not shifted), fixed-clock (it cannot be adjusted), local-range (ranges whose ends "
    "say an offset are refused), reversed (stamps say the offset with the other sign), association=OBIS (the name of "
    "its association's object), pause=MS (over TCP, in the middle of each answer)."
)


@dataclass(slots=True)
class _Said:
    """What is written, piece by piece."""

    flags: set[str] = field(default_factory=set)
    ppm: int = 0
    steps: list[tuple[int, int]] = field(default_factory=list)
    pause_ms: int = 0
    most_rows: int = 0
    association: bytes = CURRENT

    def take(self, name: str, value: str) -> None:
        """One habit.

        Raises:
            ValueError: it is not known, or its number is none.
        """
        if name == "ppm" and abs(int(value)) <= MAX_PPM:
            self.ppm = int(value)
        elif name == "step":
            by_s, _, after_s = value.partition("@")
            self.steps.append((int(after_s or "0"), int(by_s) * 1000))
        elif name == "pause" and 0 <= int(value) <= MAX_PAUSE_MS:
            self.pause_ms = int(value)
        elif name == "rows" and int(value) > 0:
            self.most_rows = int(value)
        elif name == "association":
            self.association = obis.from_text(value)
        elif name in FLAGS and not value:
            self.flags.add(name)
        else:
            words = f"ppm=N, step=S@T, rows=N, pause=MS, association=OBIS or one of {', '.join(FLAGS)}"
            raise ValueError(f"expected {words}, got {name!r} in habits")

    def ways(self) -> Ways:
        """Those that a reader must be told."""
        ends = RangeEnds.LOCAL if "local-range" in self.flags else RangeEnds.OFFSET
        sign = OffsetSign.REVERSED if "reversed" in self.flags else OffsetSign.STANDARD
        return Ways(ends, sign, self.association)


def changed(plate: Plate, written: str) -> Plate:
    """The plate of a meter with these habits.

    Raises:
        ValueError: an unknown habit, or a number that is none.
    """
    said = _Said()
    for name, value in _parts(written):
        said.take(name, value)
    flags, ways = said.flags, said.ways()
    return replace(
        plate,
        access=replace(plate.access, ways=ways),
        secured=tuple(replace(each, ways=ways) for each in plate.secured),
        ways=ways,
        pause_ms=said.pause_ms,
        going=Going(said.ppm, tuple(said.steps)),
        nulls=plate.nulls or "nulls" in flags,
        compact=plate.compact or "compact" in flags,
        deviation=not flags & {"no-deviation", "bare-clock"},
        clock_status="bare-clock" not in flags,
        local_search="local-search" in flags,
        zone=None if "standard-time" in flags else plate.zone,
        lifo="lifo" in flags,
        most_rows=said.most_rows,
        shifts="no-shift" not in flags,
        adjustable="fixed-clock" not in flags,
    )


def _parts(written: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (part.strip() for part in written.split(","))):
        name, _, value = part.partition("=")
        yield name, value
