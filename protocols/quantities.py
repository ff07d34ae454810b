"""What a register measures, in words: from the native key alone, never from its position or its number.

M-Bus from the value information block, storage, tariff, subunit and function (EN 13757-3); DLMS from the OBIS name
(IEC 62056-61, EN 13757-1); Modbus from the meter's model where `protocols.models` knows it. What is not known is named
as the meter names it. Words are for people: nothing is decided by them.
"""

from __future__ import annotations

import functools
from enum import IntEnum

from protocols import obis
from protocols.mbus import vif
from protocols.mbus.faults import RecordCutShort
from protocols.reading import Identity, NativeKey, Protocol

REGISTERS = 4_096  # of Modbus meters whose names are remembered
FUNCTIONS = ("", "maximum", "minimum", "in error state")  # of an M-Bus record
_EXTENSION = 0x80


class Rank(IntEnum):
    """Which values come first; from `OTHER` on they are not a meter's main values."""

    ENERGY = 0
    VOLUME = 1
    POWER = 2
    FLOW = 3
    TEMPERATURE = 4
    ELECTRIC = 5  # voltage, current, frequency
    OTHER = 9


Quantity = tuple[str, Rank]
_UNKNOWN: Quantity = ("", Rank.OTHER)


def _codes(first: int, last: int, name: str, rank: Rank = Rank.OTHER) -> dict[int, Quantity]:
    return dict.fromkeys(range(first, last + 1), (name, rank))


# EN 13757-3, table of primary VIFs
_PRIMARY: dict[int, Quantity] = {
    **_codes(0x00, 0x0F, "energy", Rank.ENERGY),
    **_codes(0x10, 0x17, "volume", Rank.VOLUME),
    **_codes(0x18, 0x1F, "mass", Rank.VOLUME),
    **_codes(0x20, 0x23, "on time"),
    **_codes(0x24, 0x27, "operating time"),
    **_codes(0x28, 0x37, "power", Rank.POWER),
    **_codes(0x38, 0x4F, "flow", Rank.FLOW),
    **_codes(0x50, 0x57, "mass flow", Rank.FLOW),
    **_codes(0x58, 0x5B, "flow temperature", Rank.TEMPERATURE),
    **_codes(0x5C, 0x5F, "return temperature", Rank.TEMPERATURE),
    **_codes(0x60, 0x63, "temperature difference", Rank.TEMPERATURE),
    **_codes(0x64, 0x67, "external temperature", Rank.TEMPERATURE),
    **_codes(0x68, 0x6B, "pressure"),
    0x6C: ("date", Rank.OTHER),
    0x6D: ("date and time", Rank.OTHER),
    0x6E: ("heat cost units", Rank.ENERGY),
    **_codes(0x70, 0x73, "averaging duration"),
    **_codes(0x74, 0x77, "actuality duration"),
    0x78: ("fabrication number", Rank.OTHER),
    0x79: ("identification", Rank.OTHER),
    0x7A: ("bus address", Rank.OTHER),
    0x7F: ("manufacturer's value", Rank.OTHER),
}
# ... its extension after FD
_AFTER_FD: dict[int, Quantity] = {
    0x08: ("access number", Rank.OTHER),
    0x09: ("medium", Rank.OTHER),
    0x0A: ("manufacturer", Rank.OTHER),
    0x0B: ("parameter set", Rank.OTHER),
    0x0C: ("model and version", Rank.OTHER),
    0x0D: ("hardware version", Rank.OTHER),
    0x0E: ("firmware version", Rank.OTHER),
    0x0F: ("software version", Rank.OTHER),
    0x10: ("customer location", Rank.OTHER),
    0x11: ("customer", Rank.OTHER),
    0x17: ("error flags", Rank.OTHER),
    0x18: ("error mask", Rank.OTHER),
    0x1A: ("digital output", Rank.OTHER),
    0x1B: ("digital input", Rank.OTHER),
    0x3A: ("number without dimension", Rank.OTHER),
    **_codes(0x40, 0x4F, "voltage", Rank.ELECTRIC),
    **_codes(0x50, 0x5F, "current", Rank.ELECTRIC),
    0x60: ("reset counter", Rank.OTHER),
    0x61: ("cumulation counter", Rank.OTHER),
    **_codes(0x6C, 0x6F, "operating time of the battery"),
    0x74: ("remaining life of the battery", Rank.OTHER),
}
# ... and after FB
_AFTER_FB: dict[int, Quantity] = {
    **_codes(0x00, 0x01, "energy", Rank.ENERGY),
    **_codes(0x02, 0x03, "reactive energy", Rank.ENERGY),
    **_codes(0x04, 0x05, "apparent energy", Rank.ENERGY),
    **_codes(0x08, 0x0F, "energy", Rank.ENERGY),
    **_codes(0x10, 0x11, "volume", Rank.VOLUME),
    **_codes(0x14, 0x17, "reactive power", Rank.POWER),
    **_codes(0x18, 0x19, "mass", Rank.VOLUME),
    **_codes(0x1A, 0x1B, "relative humidity"),
    **_codes(0x28, 0x29, "power", Rank.POWER),
    **_codes(0x2C, 0x2F, "frequency", Rank.ELECTRIC),
    **_codes(0x30, 0x31, "power", Rank.POWER),
    **_codes(0x34, 0x37, "apparent power", Rank.POWER),
    **_codes(0x74, 0x77, "temperature limit"),
    **_codes(0x78, 0x7F, "maximum power, summed up"),
}
_EXTENSIONS = {0xFD: _AFTER_FD, 0xFB: _AFTER_FB}
# The fixed structure's counters (protocols/mbus/fixed.py): 73, which counter, unit code
_FIXED, _FIXED_SIZE = 0x73, 3
_FIXED_UNITS: dict[int, Quantity] = {
    **_codes(0x02, 0x13, "energy", Rank.ENERGY),
    **_codes(0x14, 0x25, "power", Rank.POWER),
    **_codes(0x26, 0x2E, "volume", Rank.VOLUME),
    **_codes(0x2F, 0x37, "flow", Rank.FLOW),
    0x38: ("temperature", Rank.TEMPERATURE),
    0x39: ("heat cost units", Rank.ENERGY),
}
# VIFEs that say which part of the amount is meant
_DIRECTIONS = {0x3B: "forward", 0x3C: "backward", 0x3D: "not metric"}

# IEC 62056-61, electricity: value group C and, behind the energies' words, what is measured at a moment
_ELECTRICITY = {
    1: "active {} import",
    2: "active {} export",
    3: "reactive {} import",
    4: "reactive {} export",
    5: "reactive {} quadrant 1",
    6: "reactive {} quadrant 2",
    7: "reactive {} quadrant 3",
    8: "reactive {} quadrant 4",
    9: "apparent {} import",
    10: "apparent {} export",
    15: "active {}, import and export added",
    16: "active {}, import less export",
}
_AT_A_MOMENT: dict[int, Quantity] = {
    11: ("current", Rank.ELECTRIC),
    12: ("voltage", Rank.ELECTRIC),
    13: ("power factor", Rank.OTHER),
    14: ("frequency", Rank.ELECTRIC),
    31: ("current L1", Rank.ELECTRIC),
    51: ("current L2", Rank.ELECTRIC),
    71: ("current L3", Rank.ELECTRIC),
    91: ("current, neutral", Rank.ELECTRIC),
    32: ("voltage L1", Rank.ELECTRIC),
    52: ("voltage L2", Rank.ELECTRIC),
    72: ("voltage L3", Rank.ELECTRIC),
    33: ("power factor L1", Rank.OTHER),
    53: ("power factor L2", Rank.OTHER),
    73: ("power factor L3", Rank.OTHER),
}
_PHASES = {20: "L1", 40: "L2", 60: "L3"}
# EN 13757-1: heat and cooling (5, 6), gas (7), water (8, 9)
_HEAT: dict[int, Quantity] = {
    1: ("energy", Rank.ENERGY),
    2: ("volume", Rank.VOLUME),
    8: ("power", Rank.POWER),
    9: ("flow", Rank.FLOW),
    10: ("flow temperature", Rank.TEMPERATURE),
    11: ("return temperature", Rank.TEMPERATURE),
    12: ("temperature difference", Rank.TEMPERATURE),
}
_WATER: dict[int, Quantity] = {1: ("volume", Rank.VOLUME), 2: ("flow", Rank.FLOW)}
_GAS: dict[int, Quantity] = {
    1: ("volume", Rank.VOLUME),
    2: ("volume", Rank.VOLUME),
    3: ("volume, converted", Rank.VOLUME),
    43: ("flow", Rank.FLOW),
}
_MEDIA = {5: _HEAT, 6: _HEAT, 7: _GAS, 8: _WATER, 9: _WATER}
_ABSTRACT = {
    bytes((0, 0, 1, 0, 0, 255)): "clock",
    bytes((0, 0, 42, 0, 0, 255)): "logical device name",
    bytes((0, 0, 96, 1, 0, 255)): "device number",
    bytes((0, 0, 97, 97, 0, 255)): "error flags",
    bytes((0, 0, 96, 10, 1, 255)): "status of the profile",
    bytes((0, 0, 96, 5, 0, 255)): "status",
}
_PROCESSING = {2: "summed maxima", 6: "maximum", 3: "minimum", 16: "maximum", 4: "mean", 5: "last mean", 14: "mean"}


def label(key: NativeKey, identity: Identity) -> str:
    """What a register measures, in lower-case words; the meter's own name for it where nobody knows."""
    words, _ = _quantity(key, identity)
    return words


def rank(key: NativeKey, identity: Identity) -> Rank:
    """Where a value stands among a meter's: stored, tariff and extreme values are not main values."""
    _, place = _quantity(key, identity)
    return place


def _quantity(key: NativeKey, identity: Identity) -> Quantity:
    match key.protocol, key.parts:
        case Protocol.MBUS, (bytes() as vib, int() as storage, int() as tariff, int() as subunit, int() as function, _):
            return _mbus(vib, storage, tariff, subunit, function)
        case Protocol.DLMS, (_, bytes() as name, _) if len(name) == obis.OBIS:
            return _dlms(name)
        case Protocol.MODBUS, (_, int() as address, _):
            return _modbus(key, identity, address)
    return str(key), Rank.OTHER


def _mbus(vib: bytes, storage: int, tariff: int, subunit: int, function: int) -> Quantity:
    words, place = _vif(vib)
    if not words:
        return f"value {vib.hex()}", Rank.OTHER
    additions = [f"set day {storage}" if storage else "", f"tariff {tariff}" if tariff else ""]
    additions += [f"input {subunit}" if subunit else "", FUNCTIONS[function & 3]]
    named = [each for each in additions if each]
    return ", ".join([words, *named]), Rank.OTHER if named else place


def _vif(vib: bytes) -> Quantity:
    """The words of a value information block; its corrections of the number say nothing here."""
    if not vib:
        return _UNKNOWN
    if vib[0] == _FIXED and len(vib) == _FIXED_SIZE:
        return _FIXED_UNITS.get(vib[2], (f"counter {vib[1]}", Rank.OTHER))
    table = _EXTENSIONS.get(vib[0])
    code, vifes = (vib[1], vib[2:]) if table is not None and len(vib) > 1 else (vib[0], vib[1:])
    if vib[0] & ~_EXTENSION == 0x7C:  # plain text: the unit says what it is
        return "value in the meter's own unit", Rank.OTHER
    words, place = (table or _PRIMARY).get(code & ~_EXTENSION) or (_decoded(vib), Rank.OTHER)
    found = [_DIRECTIONS[each & ~_EXTENSION] for each in vifes if each & ~_EXTENSION in _DIRECTIONS]
    if code & ~_EXTENSION == 0x7F:  # what follows is the manufacturer's
        return words, place
    return (", ".join([words, *found]), Rank.OTHER if found else place) if words else _UNKNOWN


def _decoded(vib: bytes) -> str:
    """What the decoder calls it; nothing where it does not know or the block is not whole."""
    try:
        return vif.decode(vib, 0)[1].quantity
    except RecordCutShort:
        return ""


def _dlms(name: bytes) -> Quantity:
    a, _, c, d, e, f = name
    known = _ABSTRACT.get(name)
    if known is not None:
        return known, Rank.OTHER
    if a == 1:
        words, place = _electricity(c, d)
    else:
        words, place = _MEDIA.get(a, {}).get(c, _UNKNOWN)
    if not words:
        return obis.shown(name), Rank.OTHER
    additions = [f"tariff {e}"] if 0 < e < obis.ANY_F else []
    additions += [_PROCESSING[d]] if d in _PROCESSING else []
    additions += [f"period {f}"] if f != obis.ANY_F else []
    return ", ".join([words, *additions]), Rank.OTHER if additions else place


def _electricity(c: int, d: int) -> Quantity:
    """Group C says what and in which direction, group D (8, 9, 29: integrals; else at a moment) energy or power."""
    if c in _AT_A_MOMENT:
        return _AT_A_MOMENT[c]
    base = max((first for first in _PHASES if first < c <= first + 16), default=0)
    pattern = _ELECTRICITY.get(c - base)
    if pattern is None:
        return _UNKNOWN
    total = d in (8, 9, 17, 18, 19, 20, 29)
    phase = f" {_PHASES[base]}" if base else ""
    ending = " of the interval" if d == 29 else ""
    words = pattern.format("energy" if total else "power") + phase + ending
    return words, Rank.OTHER if base else Rank.ENERGY if total else Rank.POWER


@functools.lru_cache(REGISTERS)
def _modbus(key: NativeKey, identity: Identity, address: int) -> Quantity:
    from protocols.models.modbus import label as of_model  # noqa: PLC0415 - reads the models' files: only for Modbus

    words = of_model(identity, key)
    if words is None:
        return f"register {address}", Rank.OTHER
    return words, next((each for word, each in _WORDS if word in words), Rank.OTHER)


# A model's words in the order in which they decide: "power factor" is no power.
_WORDS = (
    ("factor", Rank.OTHER),
    ("tariff", Rank.OTHER),
    ("maximum", Rank.OTHER),
    ("demand", Rank.OTHER),
    ("power L", Rank.OTHER),  # of one phase
    ("import L", Rank.OTHER),
    ("export L", Rank.OTHER),
    ("energy", Rank.ENERGY),
    ("volume", Rank.VOLUME),
    ("power", Rank.POWER),
    ("temperature", Rank.TEMPERATURE),
    ("flow", Rank.FLOW),
    ("voltage", Rank.ELECTRIC),
    ("current", Rank.ELECTRIC),
    ("frequency", Rank.ELECTRIC),
)
