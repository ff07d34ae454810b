"""The data information block: how a record's data are coded, and which storage, tariff, subunit and function it has.

EN 13757-3: DIF bits 0-3 code the data, 4-5 the function, bit 6 is the lowest storage bit, bit 7 says that a DIFE
follows. Each of up to 10 DIFEs adds 4 storage bits, 2 tariff bits and 1 subunit bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from protocols.mbus.faults import RecordCutShort

MAX_DIFES = 10
EXTENSION = 0x80
SPECIAL = 0x0F
MANUFACTURER_DATA = 0x0F
MORE_RECORDS = 0x1F
FILLER = 0x2F
ERROR_FUNCTION = 3
MAXIMUM_FUNCTION = 1
FUNCTIONS = ("instantaneous value", "maximum value", "minimum value", "value during error state")
BINARY = 0xE0  # from here on a length byte (LVAR) announces binary data


class Coding(Enum):
    """The low four bits of a DIF, by what they do."""

    NONE = "no data"
    INTEGER = "integer"
    REAL = "float32"
    BCD = "bcd"
    VARIABLE = "variable length"


CODINGS: dict[int, tuple[Coding, int]] = {
    0x0: (Coding.NONE, 0),
    0x1: (Coding.INTEGER, 1),
    0x2: (Coding.INTEGER, 2),
    0x3: (Coding.INTEGER, 3),
    0x4: (Coding.INTEGER, 4),
    0x5: (Coding.REAL, 4),
    0x6: (Coding.INTEGER, 6),
    0x7: (Coding.INTEGER, 8),
    0x8: (Coding.NONE, 0),  # "selection for readout" carries no data in an answer
    0x9: (Coding.BCD, 1),
    0xA: (Coding.BCD, 2),
    0xB: (Coding.BCD, 3),
    0xC: (Coding.BCD, 4),
    0xD: (Coding.VARIABLE, 0),
    0xE: (Coding.BCD, 6),
}


@dataclass(frozen=True, slots=True)
class DataInformation:
    """One data information block; `size` counts the data's bytes where the coding fixes it."""

    coding: Coding
    size: int
    storage: int
    tariff: int
    subunit: int
    function: int


def decode(body: bytes, at: int) -> tuple[DataInformation, int]:
    """The block that begins at `at`, and where the value information begins.

    Raises:
        RecordCutShort: it does not end, or codes its data in a way that is reserved.
    """
    first = body[at]
    if first & 0x0F == SPECIAL:
        raise RecordCutShort("a data coding 0-e", f"reserved dif {first:02x}", f"telegram at byte {at}")
    coding, size = CODINGS[first & 0x0F]
    storage, tariff, subunit = first >> 6 & 1, 0, 0
    at += 1
    extended, count = first & EXTENSION, 0
    while extended:
        if count == MAX_DIFES or at >= len(body):
            raise RecordCutShort(f"at most {MAX_DIFES} complete difes", f"{count} and no end", f"telegram at byte {at}")
        dife = body[at]
        storage |= (dife & 0x0F) << (4 * count + 1)
        tariff |= (dife >> 4 & 3) << (2 * count)
        subunit |= (dife >> 6 & 1) << count
        extended, count, at = dife & EXTENSION, count + 1, at + 1
    return DataInformation(coding, size, storage, tariff, subunit, first >> 4 & 3), at
