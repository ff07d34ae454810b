"""Faults of our own, planted from outside by substituting a part: a bench that does not find them proves nothing.

Each one is a mistake that somebody could make in good faith. No switch in the product's code knows of them.
"""

from __future__ import annotations

import planted_collector
import planted_gateway
from planting import BUGS

__all__ = ["BUGS", "planted_collector", "planted_gateway"]
