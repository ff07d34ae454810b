"""Combinable value information: what a VIFE says and what it does to the number (EN 13757-3:2018, tables 15, 16, 18).

`COMBINABLE` is the table itself, `AFTER_FC` its extension. What two public tables of 2013 or later do not give alike is
not here: such a code makes a record unknown. Left out for this reason: FC 0D-0F and 13, and the factors of the
non-metric units (3D). Codes 01-1F are errors of the record, also where an edition gives one of the reserved ones
another meaning (12 average, 13 1E 1F compact profiles, 14 deviation): a number with it is never taken for a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """What a VIFE does to a record."""

    NONE = "the number stays what it is"
    ERROR = "there is no value"
    UNIT = "the unit grows"
    FACTOR = "the number is multiplied by a power of ten"
    ADDED = "a power of ten is added, in the unit of the record"
    COUNT = "the number is a count"
    DURATION = "the number is a duration"
    DATE = "the data are a date"
    DATE_OF = "the data are the date of the value"
    UNSIGNED = "the number has no sign"
    OTHER = "the data are something else, or in units that are not known for sure"


@dataclass(frozen=True, slots=True)
class Vife:
    """One code: its words (empty where the number says it all), effect, unit (UCUM) and power of ten."""

    words: str
    effect: Effect = Effect.NONE
    unit: str = ""
    exponent: int = 0


NO_ERROR = 0x00  # the meter says that the record is well
NO_DATA = 0x15  # the meter says that there is no such value
STANDARD_CONTENT = 0x1D  # on flags: they are the standard's own; on a number it is a record error
EXTENSION = 0x7C  # the next code is one of `AFTER_FC`
MANUFACTURER = 0x7F  # what follows is the manufacturer's
DURATIONS = ("s", "min", "h", "d")
ERRORS = {
    0x01: "too many DIFEs",
    0x02: "storage number not implemented",
    0x03: "unit number not implemented",
    0x04: "tariff number not implemented",
    0x05: "function not implemented",
    0x06: "data class not implemented",
    0x07: "data size not implemented",
    0x0B: "too many VIFEs",
    0x0C: "illegal VIF group",
    0x0D: "illegal VIF exponent",
    0x0E: "VIF and DIF do not match",
    0x0F: "action not implemented",
    0x15: "no data available",
    0x16: "data overflow",
    0x17: "data underflow",
    0x18: "data error",
    0x1C: "premature end of record",
}
PER = (
    ("per second", "/s"),
    ("per minute", "/min"),
    ("per hour", "/h"),
    ("per day", "/d"),
    ("per week", "/wk"),
    ("per month", "/mo"),
    ("per year", "/a"),
    ("per revolution or measurement", "/{revolution}"),
    ("increment per pulse of input 0", "/{pulse-in-0}"),
    ("increment per pulse of input 1", "/{pulse-in-1}"),
    ("increment per pulse of output 0", "/{pulse-out-0}"),
    ("increment per pulse of output 1", "/{pulse-out-1}"),
    ("per litre", "/L"),
    ("per m3", "/m3"),
    ("per kg", "/kg"),
    ("per K", "/K"),
    ("per kWh", "/(kW.h)"),
    ("per GJ", "/GJ"),
    ("per kW", "/kW"),
    ("per K and litre", "/(K.L)"),
    ("per V", "/V"),
    ("per A", "/A"),
    ("times s", ".s"),
    ("times s per V", ".s/V"),
    ("times s per A", ".s/A"),
)


def _limits() -> dict[int, Vife]:
    """40-5F: bit 3 lower or upper; in dates and durations bit 2 first or last, in dates bit 0 begin or end."""
    found = {}
    for upper, limit in enumerate(("lower limit", "upper limit")):
        at = 0x40 | upper << 3
        found[at] = Vife(limit)
        found[at | 1] = Vife(f"number of exceeds of the {limit}", Effect.COUNT)
        for last, which in enumerate(("first", "last")):
            for end, edge in enumerate(("begin", "end")):
                words = f"date of the {edge} of the {which} exceed of the {limit}"
                found[at | 2 | last << 2 | end] = Vife(words, Effect.DATE)
            for unit, name in enumerate(DURATIONS):
                words = f"duration of the {which} exceed of the {limit}"
                found[0x50 | upper << 3 | last << 2 | unit] = Vife(words, Effect.DURATION, name)
    return found


def _times() -> dict[int, Vife]:
    """60-6F: durations and dates of the value itself, and what it was during a limit exceed."""
    found = {
        0x68: Vife("value during exceed of the lower limit"),
        0x69: Vife("leakage value"),
        0x6C: Vife("value during exceed of the upper limit"),
        0x6D: Vife("overflow value"),
    }
    for last, which in enumerate(("first", "last")):
        for unit, name in enumerate(DURATIONS):
            found[0x60 | last << 2 | unit] = Vife(f"duration of the {which}", Effect.DURATION, name)
        for end, edge in enumerate(("begin", "end")):
            found[0x6A | last << 2 | end] = Vife(f"date of the {edge} of the {which}", Effect.DATE_OF)
    return found


COMBINABLE: dict[int, Vife] = {
    NO_ERROR: Vife("record error: none"),
    **{
        code: Vife(f"record error: {ERRORS.get(code, f'reserved code {code:02x}')}", Effect.ERROR)
        for code in range(0x01, 0x20)
    },
    **{0x20 + step: Vife(words, Effect.UNIT, unit) for step, (words, unit) in enumerate(PER)},
    0x39: Vife("start date", Effect.DATE),
    0x3A: Vife("uncorrected"),
    0x3B: Vife("accumulation of positive contributions"),
    0x3C: Vife("accumulation of negative contributions"),
    0x3D: Vife("non-metric unit", Effect.OTHER),
    0x3E: Vife("at base conditions"),
    0x3F: Vife("OBIS declaration", Effect.OTHER),
    **_limits(),
    **_times(),
    **{0x70 + step: Vife("", Effect.FACTOR, exponent=step - 6) for step in range(8)},
    **{0x78 + step: Vife("", Effect.ADDED, exponent=step - 3) for step in range(4)},
    0x7D: Vife("", Effect.FACTOR, exponent=3),
    0x7E: Vife("future value"),
    MANUFACTURER: Vife("manufacturer specific", Effect.OTHER),
}
AFTER_FC: dict[int, Vife] = {
    0x01: Vife("at phase L1"),
    0x02: Vife("at phase L2"),
    0x03: Vife("at phase L3"),
    0x04: Vife("at neutral"),
    0x05: Vife("between phases L1 and L2"),
    0x06: Vife("between phases L2 and L3"),
    0x07: Vife("between phases L3 and L1"),
    0x08: Vife("quadrant 1"),
    0x09: Vife("quadrant 2"),
    0x0A: Vife("quadrant 3"),
    0x0B: Vife("quadrant 4"),
    0x0C: Vife("import less export"),
    0x10: Vife("accumulation of positive and negative contributions"),
    0x11: Vife("", Effect.UNSIGNED),
    0x14: Vife("from the communication partner to the meter"),
    0x15: Vife("from the meter to the communication partner"),
}


def find(piece: bytes) -> Vife | None:
    """The VIFE that begins `piece` (with the code that FC announces); None where no table has it."""
    code = piece[0] & 0x7F
    if code == EXTENSION:
        return AFTER_FC.get(piece[1] & 0x7F) if len(piece) > 1 else None
    return COMBINABLE.get(code)
