"""What an M-Bus model says of setting its clock over the bus: whether, and how the time is written."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.errors import MeterError
from protocols.mbus import dif, vif
from protocols.mbus.dif import Coding
from protocols.mbus.vif import Kind
from protocols.models.files import STRICT
from protocols.reading import Precision

TYPES = {4: Precision.MINUTE, 6: Precision.SECOND}  # types F and I, by their size
DATA_SEND = 0x51


@dataclass(frozen=True, slots=True)
class Clock:
    """Whether the clock can be set; `says` is the source's statement in our words.

    `record` is the data and value information (hex) under which the time is written: 04... is date type F, 06... is
    type I. `ci` is the CI field of the order. `summer` says whether the summer-time flag is taken; None: no source says
    it.
    """

    settable: bool
    says: str
    source: str
    record: str | None = None
    ci: int = DATA_SEND
    summer: bool | None = None

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what cannot be written; ValueError names it."""
        if self.settable != (self.record is not None):
            raise ValueError("expected a record of a clock that can be set, and none of another one")
        if not 0 <= self.ci <= 0xFF:
            raise ValueError(f"expected a CI field of one byte, got {self.ci}")
        if self.record is not None:
            _check(bytes.fromhex(self.record))

    @property
    def head(self) -> bytes:
        """What stands before the time: data and value information."""
        return bytes.fromhex(self.record or "")

    @property
    def precision(self) -> Precision:
        """To the minute (type F) or to the second (type I)."""
        return TYPES[dif.decode(self.head, 0)[0].size]


def _check(head: bytes) -> None:
    """Refuse what does not announce a date with a time in 4 or 6 bytes, and nothing more."""
    try:
        info, at = dif.decode(head, 0)
        _, meaning, end = vif.decode(head, at)
    except MeterError as error:
        raise ValueError(f"expected {error.expected}, got {error.got} in {head.hex()!r}") from None
    if end != len(head) or info.coding is not Coding.INTEGER or info.size not in TYPES or meaning.kind is not Kind.DATE:
        raise ValueError(f"expected the record of a date and time in 4 or 6 bytes, got {head.hex()!r}")
