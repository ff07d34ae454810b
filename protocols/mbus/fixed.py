"""The fixed data structure (CI 73 and 77): two counters of four bytes, their units and one medium.

After the identification come access number, status, two bytes of medium and units, and the counters. The medium and
unit bytes keep their order also where numbers come high byte first (77); the first one belongs to counter 1. Status bit
0 says signed binary instead of BCD, bit 1 that the counters were stored at a fixed date; bits 2-7 are those of every
header. (One public decoder takes bits 7 and 6 for them; those are the manufacturer's.) Unit 3E is counter 1's unit, of
an earlier time: it belongs to storage 1. The units 00 and 01 (clock and date) are named and kept raw: how their four
bytes are coded is not public.

A counter's key begins with 73 and has three bytes: 73, which counter, its unit code. Value information that begins with
73 ends there (no extension bit), so no record of the variable structure has such a key.
"""

from __future__ import annotations

from dataclasses import replace

from protocols.mbus.data import judge
from protocols.mbus.dif import Coding, DataInformation
from protocols.mbus.records import Record, Split
from protocols.mbus.vif import UNKNOWN, Kind, Meaning

LOW, HIGH = 0x73, 0x77
HEADER_SIZE = 8  # identification, access number, status, medium and units
COUNTER_SIZE = 4
COUNTERS = 2
BINARY = 0x01
STORED = 0x02
UNIT = 0x3F
SAME_BUT_HISTORIC = 0x3E
KEY_SIZE = 3  # bytes of a counter's key
FORMER = "at an earlier time"
# The codes of both header lists; "mode 2" media say once more that the high byte comes first.
MEDIA = {**{code: code for code in range(9)}, 0x0A: 0x03, 0x0B: 0x04, 0x0C: 0x06, 0x0D: 0x07, 0x0E: 0x08}


def _tens(first: int, count: int, unit: str, exponent: int, quantity: str) -> dict[int, Meaning]:
    """`count` codes from `first`, each ten times the one before."""
    return {first + step: Meaning(Kind.NUMBER, unit, exponent + step, quantity=quantity) for step in range(count)}


UNITS: dict[int, Meaning] = {
    0x00: Meaning(Kind.UNKNOWN, quantity="time of day"),
    0x01: Meaning(Kind.UNKNOWN, quantity="date"),
    **_tens(0x02, 9, "Wh", 0, "energy"),
    **_tens(0x0B, 9, "J", 3, "energy"),
    **_tens(0x14, 9, "W", 0, "power"),
    **_tens(0x1D, 9, "J/h", 3, "power"),
    **_tens(0x26, 9, "m3", -6, "volume"),
    **_tens(0x2F, 9, "m3/h", -6, "volume flow"),
    0x38: Meaning(Kind.NUMBER, "Cel", -3, quantity="temperature"),
    0x39: Meaning(Kind.NUMBER, "{hca}", quantity="heat cost allocator units"),
    0x3F: Meaning(Kind.NUMBER, quantity="number without dimension"),
}


def medium(first: int, second: int) -> int | None:
    """The medium in the upper two bits of both medium and unit bytes, by the code of other headers; None: reserved."""
    return MEDIA.get(first >> 6 | second >> 6 << 2)


def meaning_of(code: int, first: int) -> Meaning:
    """What unit code `code` (0-3F) says; `first` is that of counter 1."""
    if code == SAME_BUT_HISTORIC:
        same = UNITS.get(first, UNKNOWN)
        return replace(same, qualifiers=(FORMER,))
    return UNITS.get(code, UNKNOWN)


def split(body: bytes, high_first: bool) -> Split:
    """The counters of a fixed structure; `body` begins with the identification and has at least its header.

    A counter that does not end makes it partial; bytes behind the second one are kept as the manufacturer's.
    """
    status, units = body[5], (body[6] & UNIT, body[7] & UNIT)
    records: list[Record] = []
    for number, code in enumerate(units):
        start = HEADER_SIZE + number * COUNTER_SIZE
        octets = bytes(body[start : start + COUNTER_SIZE])
        if len(octets) < COUNTER_SIZE:
            return Split(tuple(records), partial=True)
        records.append(_counter(status, number + 1, code, units[0], octets, start, high_first))
    return Split(tuple(records), bytes(body[HEADER_SIZE + COUNTERS * COUNTER_SIZE :]))


def _counter(status: int, number: int, code: int, first: int, octets: bytes, start: int, high_first: bool) -> Record:
    coding = Coding.INTEGER if status & BINARY else Coding.BCD
    stored = bool(status & STORED) or code == SAME_BUT_HISTORIC
    info = DataInformation(coding, COUNTER_SIZE, int(stored), 0, 0, 0)
    meaning = meaning_of(code, first)
    if status & STORED:
        meaning = replace(meaning, qualifiers=(*meaning.qualifiers, "stored at a fixed date"))
    state, shown = judge(info, meaning, octets, 0, high_first)
    return Record(info, bytes([LOW, number, code]), meaning, octets, shown, state, start, 0, high_first)
