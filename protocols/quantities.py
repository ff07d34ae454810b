"""What a register measures, in words: from the native key alone, never from its position or its number.

M-Bus from the value information block, storage, tariff, subunit and function, in the words of the decoder's own tables
(`protocols.mbus.vif`); DLMS from the OBIS name (IEC 62056-61, EN 13757-1); Modbus from the meter's model where
`protocols.models` knows it. What is not known is named as the meter names it. Words are for people: nothing is decided
by them.
"""

from __future__ import annotations

import functools
from enum import IntEnum

from protocols import obis
from protocols.mbus import fixed, vif
from protocols.mbus.faults import RecordCutShort
from protocols.reading import Identity, NativeKey, Protocol

REGISTERS = 4_096  # of Modbus meters whose names are remembered
FUNCTIONS = ("", "maximum", "minimum", "in error state")  # of an M-Bus record


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


# Which of the names that M-Bus tables give (protocols/mbus/vif.py, fixed.py) are those of a meter's main values
_RANKS = {
    **dict.fromkeys(("energy", "reactive energy", "apparent energy", "heat cost allocator units"), Rank.ENERGY),
    **dict.fromkeys(("volume", "mass"), Rank.VOLUME),
    **dict.fromkeys(("power", "reactive power", "apparent power"), Rank.POWER),
    **dict.fromkeys(("volume flow", "mass flow"), Rank.FLOW),
    **dict.fromkeys(("flow temperature", "return temperature", "temperature difference"), Rank.TEMPERATURE),
    **dict.fromkeys(("external temperature", "temperature"), Rank.TEMPERATURE),
    **dict.fromkeys(("voltage", "current", "frequency"), Rank.ELECTRIC),
}
# ... and those that are said in other words where readings of all protocols stand side by side
_SAID = {
    "volume flow": "flow",
    "heat cost allocator units": "heat cost units",
    "manufacturer specific": "manufacturer's value",
    "cold or warm temperature limit": "temperature limit",
    "cumulated maximum power": "maximum power, summed up",
}
# Qualifiers (protocols/mbus/vife.py) that say which part of the amount is meant, in shorter words
_DIRECTIONS = {
    "accumulation of positive contributions": "forward",
    "accumulation of negative contributions": "backward",
    "non-metric unit": "not metric",
}

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
    if vib[:1] == bytes([fixed.LOW]) and len(vib) == fixed.KEY_SIZE:
        return _counter(vib[1], vib[2])
    if vib and vib[0] & ~vif.EXTENSION == vif.PLAIN_TEXT:  # the unit says what it is
        return vif.OWN_UNIT, Rank.OTHER
    try:
        _, meaning, _ = vif.decode(vib, 0)
    except RecordCutShort:
        return _UNKNOWN
    found = [_DIRECTIONS[each] for each in meaning.qualifiers if each in _DIRECTIONS]
    words, place = _named(meaning.quantity)
    return (", ".join([words, *found]), Rank.OTHER if found else place) if words else _UNKNOWN


def _counter(number: int, code: int) -> Quantity:
    """A counter of the fixed structure; one whose unit says nothing of it keeps its number."""
    meaning = fixed.UNITS.get(code, vif.UNKNOWN)
    return _named(meaning.quantity) if meaning.unit else (f"counter {number}", Rank.OTHER)


def _named(quantity: str) -> Quantity:
    return _SAID.get(quantity, quantity), _RANKS.get(quantity, Rank.OTHER)


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
