"""What simulated meters count, as a pure function of meter and time: a meter that was away comes back where it must be.

Energy is whole watt-hours that never fall; a quarter of an hour takes between nothing and twice the mean. The same
function gives a register now, a row of the load profile then, and the power in between, so that they agree exactly.
"""

from __future__ import annotations

import hashlib

QUARTER_MS = 900_000
HOUR_PER_QUARTER = 4


class Curve:
    """One register's curve: `mean_wh` in each quarter of an hour, in steps drawn from `seed` and `name`."""

    def __init__(self, seed: int, name: str, mean_wh: int) -> None:
        self._seed, self._name, self._mean = seed, name, mean_wh

    def energy_wh(self, at_ms: int) -> int:
        """The register at `at_ms` (UTC): exact, never less than before."""
        quarter, rest_ms = divmod(at_ms, QUARTER_MS)
        start = self._at(quarter)
        return start + (self._at(quarter + 1) - start) * rest_ms // QUARTER_MS

    def power_w(self, at_ms: int) -> int:
        """The mean power of the quarter of an hour in which `at_ms` lies."""
        quarter = at_ms // QUARTER_MS
        return (self._at(quarter + 1) - self._at(quarter)) * HOUR_PER_QUARTER

    def _at(self, quarter: int) -> int:
        """The register at the beginning of a quarter: the mean of all before it, and less than one mean beside it."""
        digest = hashlib.sha256(f"{self._seed}/{self._name}/{quarter}".encode()).digest()
        return (quarter - EPOCH_QUARTERS) * self._mean + int.from_bytes(digest[:4], "big") % self._mean


EPOCH_QUARTERS = 1_704_067_200_000 // QUARTER_MS  # 2024-01-01 UTC: the meters were installed then
