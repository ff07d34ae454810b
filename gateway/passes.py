"""The order in which rows were captured that come in pieces, of a clock that was set back and may not tell it.

Rules. A meter that seeks rows by what its clock shows gives all that bear the times of a piece: of an hour that comes
twice those of both. Each piece is in the order of capture, so its second pass begins where time goes back or repeats.
The pieces of such an hour belong together: all their first passes come before all their second ones. Where each row
says its offset or summer time, its instant orders it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.dlms_rows import moment
from protocols.dlms.profile import Row
from protocols.reading import MeterTime

HOUR_S = 3_600  # what a clock is set back by


@dataclass(slots=True)
class Passes:
    """The rows of a range, piece by piece; `now` is what the meter's clock shows, where that is known.

    `regular`: no two rows are captured in one second, as they are in an event log.
    `again_s` is the first time that came twice in the hour that is read, in seconds of the meter's calendar.
    """

    now: MeterTime | None = None
    regular: bool = True
    again_s: int | None = None
    pieces: int = 0
    _rows: list[tuple[int, Row]] = field(default_factory=list)  # in which pass each row was captured
    _first: int = 0  # pass before the hour
    _last: int = 0  # ... and behind it

    @property
    def rows(self) -> list[Row]:
        """All rows in the order of capture, as far as anything tells it."""
        found = [row for _, row in self._rows]
        times = self._times
        if self.pieces < 2 or len(times) < len(found):
            return found
        if _tell(times):
            moments = [moment(time) for time in times]
            return [found[at] for at in sorted(range(len(found)), key=moments.__getitem__)]
        return [row for _, row in sorted(self._rows, key=lambda each: each[0])]

    @property
    def is_certain(self) -> bool:
        """Whether no two pieces were put together in an order that they do not tell themselves."""
        return self.pieces < 2 or not self._last or _tell(self._times)

    def take(self, shown: Sequence[Row], new: Sequence[int]) -> None:
        """A piece, and the places in it of the rows that were in none before."""
        self.pieces += 1
        found = _passes(shown, self.regular)
        self._begin(shown, found)
        alone = not found or not found[-1]
        for at in new:
            number = self._alone(shown[at]) if alone else self._first + found[at]
            self._rows.append((number, shown[at]))
        if not alone:
            self._last = max(self._last, self._first + found[-1])

    @property
    def _times(self) -> list[MeterTime]:
        return [row.time for _, row in self._rows if row.time is not None]

    def _begin(self, shown: Sequence[Row], found: Sequence[int]) -> None:
        """Note the beginning of an hour that comes twice, and the end of the one before it."""
        shown_s = [None if row.time is None else row.time.seconds for row in shown]
        begin_s = next((each for each in shown_s if each is not None), None)
        if self.again_s is not None and begin_s is not None and begin_s >= self.again_s + HOUR_S:
            self.again_s, self._first = None, self._last
        if self.again_s is None and found and found[-1]:
            self.again_s = shown_s[found.index(1)]

    def _alone(self, row: Row) -> int:
        """The pass of a row whose piece has one: of a time that the clock does not show yet again it is the first."""
        ahead = self.now is not None and row.time is not None and row.time.seconds > self.now.seconds
        return self._first if ahead else self._last


def _tell(times: Sequence[MeterTime]) -> bool:
    """Whether their offset or summer time says which of two hours that look the same they are of."""
    return any(each.deviation_min is not None or each.summer for each in times)


def _passes(shown: Sequence[Row], regular: bool) -> list[int]:
    """How often time went back above each row of a piece, or repeated where rows are `regular`."""
    found: list[int] = []
    count, before_s = 0, None
    for row in shown:
        if row.time is not None:
            count += before_s is not None and row.time.seconds < before_s + regular
            before_s = row.time.seconds
        found.append(count)
    return found
