"""Counters that a meter changes word by word while it is asked: read twice, and believed when the second follows.

Such an answer may hold the new high word beside the old low one, or the other way round: then it is wrong by a whole
step of the high word (65,536, or 10,000 where words are decimal). Between two questions a counter rises by far less.
So a second answer is believed when each such counter is equal to the first one, or higher by less than half that step:
what is torn in either answer is further away, or lower.
"""

from __future__ import annotations

from protocols.modbus.blocks import Span
from protocols.modbus.registers import Register
from protocols.modbus.values import MOD10K, integer, unsigned

READS = 4  # of one block, before the meter is called unsteady
WORD_STEP = 0x1_0000


def may_be(span: Span) -> bool:
    """Whether one number of this block may be torn."""
    return any(each.torn for each in span.registers)


def doubtful(span: Span, before: bytes, after: bytes) -> Register | None:
    """The first counter in `after` that does not follow from `before`, both words of `span`; None: all do."""
    for register in span.registers:
        if register.torn and not _follows(register, span.octets_of(register, before), span.octets_of(register, after)):
            return register
    return None


def _follows(register: Register, before: bytes, after: bytes) -> bool:
    if before == after:
        return True
    decimal = register.kind.startswith(("bcd", "mod10k"))
    step = MOD10K if decimal else WORD_STEP
    # The bits of floats that are not negative rise as the numbers do.
    first, second = (
        integer(register, unsigned(register, each)) if decimal else unsigned(register, each) for each in (before, after)
    )
    return first is not None and second is not None and 0 <= second - first < step // 2
