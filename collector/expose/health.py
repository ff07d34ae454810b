"""What the daemon tells the page of itself: the only thing they share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Health:
    """Whether the broker is linked and the store takes batches; written by the daemon, read from any thread."""

    linked: bool = False
    storing: bool = True

    def reasons(self) -> tuple[str, ...]:
        """Why nothing is received or stored now; empty when all is well."""
        found = () if self.linked else ("expected a link to the broker, got none; see the log for why",)
        stuck = "expected a store that takes batches, got none (PLB-S303); nothing is acknowledged meanwhile"
        return found if self.storing else (*found, stuck)
