"""A proposed OBIS name for an M-Bus register, from its native key and the medium of the header; None is "nobody says".

What is sealed is the native key: a proposal is for people and for master data, where it may be corrected.

Two code lists meet here and must not be mixed. The header's medium (EN 13757-7) 06 is hot water; value group A of OBIS
(EN 13757-1, IEC 62056-61) 6 is heat and 9 is hot water. Groups C, D and E as EN 13757-1 has them: C what is measured,
D 0 at this moment and 2 on the set day, E the tariff. IEC 62056-61 for electricity: D 8 energy, 7 at this moment.

Storage 1 of heat, water and heat cost allocators is the set day (the data point list of the Open Metering System says
so, and three tables of others). Nothing is proposed for what follows: storages from 2 on (group F counts from the last
reset, storages as the maker likes), storages of electricity and gas, maxima and minima (of a period that the record
does not name), pulse inputs (their medium is in the device map, not in their host's header), a key that a telegram
repeats, and every VIFE that makes another register of it.

Where public sources disagree, and what is done here:

* Heat volume is 6-0:2.0.0 (the KBR and TRuDI tables); jMBus files it under cold water, 8-0:1.0.0.
* Power and temperatures of heat meters are 8 to 12; a table of a building project has 6-0:1.4.0 and 6-0:29.2.0.
* Heat and cooling in one meter (0D): cooling is tariff 1 with Engelmann, Zenner, Diehl and BMeters, and VIFE 3C with
  Kamstrup 303 (drivers and threads of wmbusmeters) and Itron CF 51 (a telegram of libmbus). Volume, power and
  temperatures are of both: no proposal.
* Gas: a volume is named where the meter says "uncorrected" (7-0:3.0.0) or "at base conditions" (7-0:3.2.0). Without
  either it is 3.0.0 to some and, converted by temperature, 3.1.0 to others: no proposal.
* Electricity: active energy without a direction is import to all. Power without one is import (1.7) in jMBus and import
  less export (16.7) in TRuDI, and meters show it negative: no proposal. Voltage and current without a phase are L1 in
  jMBus, "any phase" (12, 11) in IEC 62056-61: no proposal. Reactive and apparent values need their direction.
* Heat cost allocators: VIF 6E does not say rated or unrated; the lists have it as 4-0:1.0.0, unrated.
* A set day has F 255 in these lists; one adapter counts months and years in F, "of free choice".
"""

from __future__ import annotations

from protocols.mbus import fixed, vif, vife
from protocols.mbus.faults import RecordCutShort
from protocols.mbus.vife import Effect
from protocols.obis import ANY_F
from protocols.reading import NativeKey, Protocol

Said = tuple[str, ...]  # VIFEs that say which register it is, as hex without extension bits, in their order

CLOCK = bytes((0, 0, 1, 0, 0, ANY_F))
CLOCK_VIB = b"\x6d"
MAX_TARIFF = 63  # of value group E
CURRENT, SET_DAY = 0, 2  # value group D
SET_DAY_STORAGE = 1

COOLING_GROUP, HEAT_GROUP = 5, 6
# Value group C of heat and cooling: what adds up, and what is of this moment
THERMAL_TOTALS = {"energy": 1, "volume": 2}
THERMAL_MOMENTS = {
    "power": 8,
    "volume flow": 9,
    "flow temperature": 10,
    "return temperature": 11,
    "temperature difference": 12,
}
# ... of water, of heat cost allocators
WATER_TOTALS, WATER_MOMENTS = {"volume": 1}, {"volume flow": 2}
ALLOCATOR_TOTALS = {"heat cost allocator units": 1}
# The header's medium -> value group A and its value groups C
PLAIN: dict[int, tuple[int, dict[str, int], dict[str, int]]] = {
    0x04: (HEAT_GROUP, THERMAL_TOTALS, THERMAL_MOMENTS),
    0x0C: (HEAT_GROUP, THERMAL_TOTALS, THERMAL_MOMENTS),
    0x0A: (COOLING_GROUP, THERMAL_TOTALS, THERMAL_MOMENTS),
    0x0B: (COOLING_GROUP, THERMAL_TOTALS, THERMAL_MOMENTS),
    0x06: (9, WATER_TOTALS, WATER_MOMENTS),
    0x15: (9, WATER_TOTALS, WATER_MOMENTS),
    0x07: (8, WATER_TOTALS, WATER_MOMENTS),
    0x16: (8, WATER_TOTALS, WATER_MOMENTS),
    0x08: (4, ALLOCATOR_TOTALS, {}),
}
# Gas has C 3; value group D says under which conditions
GAS_CONDITIONS: dict[Said, int] = {("3a",): 0, ("3e",): 2}

# Which side of a meter for heat and cooling an energy is of, by VIFE and tariff
SIDES: dict[tuple[Said, int], int] = {
    ((), 0): HEAT_GROUP,
    (("3b",), 0): HEAT_GROUP,
    (("3c",), 0): COOLING_GROUP,
    ((), 1): COOLING_GROUP,
}

# Value group C of electricity, all phases: quantity -> VIFEs -> C
_DIRECTED: dict[Said, int] = {("3b",): 1, ("3c",): 2, ("7c10",): 15, ("7c0c",): 16}
_REACTIVE: dict[Said, int] = {("3b",): 3, ("3c",): 4, ("7c08",): 5, ("7c09",): 6, ("7c0a",): 7, ("7c0b",): 8}
_APPARENT: dict[Said, int] = {("3b",): 9, ("3c",): 10}
ELECTRIC_TOTALS = {"energy": {(): 1, **_DIRECTED}, "reactive energy": _REACTIVE, "apparent energy": _APPARENT}
ELECTRIC_POWERS = {"power": _DIRECTED, "reactive power": _REACTIVE, "apparent power": _APPARENT}
ELECTRIC_MOMENTS: dict[str, dict[Said, int]] = {
    "current": {("7c01",): 31, ("7c02",): 51, ("7c03",): 71, ("7c04",): 91},
    "voltage": {("7c01",): 32, ("7c02",): 52, ("7c03",): 72},
    "frequency": {(): 14},
}
PHASES = {"7c01": 20, "7c02": 40, "7c03": 60}  # what a phase adds to value group C
ENERGY_D, MOMENT_D = 8, 7
CORRECTIONS = (Effect.FACTOR, Effect.ADDED, Effect.UNSIGNED)  # they change the number, not what it is


def proposed(key: NativeKey, medium: int | None) -> bytes | None:
    """The six bytes of the name that a register most probably has; None where that would be a guess.

    Args:
        key: of an M-Bus record; another protocol's has no proposal.
        medium: of the header of the telegram that it came with.
    """
    match key.protocol, key.parts:
        case Protocol.MBUS, (bytes() as vib, int() as storage, int() as tariff, 0, 0, 0):
            if vib == CLOCK_VIB and not storage and not tariff:
                return CLOCK
            if storage > SET_DAY_STORAGE or tariff > MAX_TARIFF:
                return None
            found = _measured(vib, storage)
            return None if found is None else _by_medium(medium, *found, storage, tariff)
    return None


def _measured(vib: bytes, storage: int) -> tuple[str, Said] | None:
    """The quantity of a number, and the VIFEs that say which of its registers it is; None where there is no number."""
    if vib[:1] == bytes([fixed.LOW]) and len(vib) == fixed.KEY_SIZE:
        # "at a fixed date" may be any: the structure does not say that it is the set day
        meaning = fixed.UNITS.get(vib[2], vif.UNKNOWN)
        return None if storage or not meaning.unit else (meaning.quantity, ())
    try:
        whole, meaning, end = vif.decode(vib, 0)
    except RecordCutShort:
        return None
    if end != len(vib) or meaning.kind is not vif.Kind.NUMBER or meaning.failed or not meaning.unit:
        return None
    if vif.NOT_METRIC[0] in meaning.qualifiers:
        return None
    return meaning.quantity, tuple(_code(each) for each in vif.pieces(whole)[1:] if not _corrects(each))


def _corrects(piece: bytes) -> bool:
    found = vife.find(piece)
    return piece[0] & ~vif.EXTENSION == 0 or (found is not None and found.effect in CORRECTIONS)


def _code(piece: bytes) -> str:
    return bytes(octet & ~vif.EXTENSION for octet in piece).hex()


def _by_medium(medium: int | None, quantity: str, said: Said, storage: int, tariff: int) -> bytes | None:
    match medium:
        case 0x02:
            return None if storage else _electric(quantity, said, tariff)
        case 0x03:
            return None if storage or tariff or quantity != "volume" else _gas(said)
        case 0x0D:
            return _bifunctional(quantity, said, storage, tariff)
    table = PLAIN.get(medium) if medium is not None else None
    return None if said or table is None else _name(*table, quantity, storage, tariff)


def _name(
    group: int, totals: dict[str, int], moments: dict[str, int], quantity: str, storage: int, tariff: int
) -> bytes | None:
    """Only what adds up has tariffs and a set day."""
    if quantity in totals:
        return bytes((group, 0, totals[quantity], SET_DAY if storage else CURRENT, tariff, ANY_F))
    if quantity in moments and not storage and not tariff:
        return bytes((group, 0, moments[quantity], CURRENT, 0, ANY_F))
    return None


def _bifunctional(quantity: str, said: Said, storage: int, tariff: int) -> bytes | None:
    group = SIDES.get((said, tariff))
    return None if group is None or quantity != "energy" else _name(group, THERMAL_TOTALS, {}, quantity, storage, 0)


def _gas(said: Said) -> bytes | None:
    conditions = GAS_CONDITIONS.get(said)
    return None if conditions is None else bytes((7, 0, 3, conditions, 0, ANY_F))


def _electric(quantity: str, said: Said, tariff: int) -> bytes | None:
    if quantity in ELECTRIC_TOTALS:
        c, d = _phased(ELECTRIC_TOTALS[quantity], said), ENERGY_D
    elif quantity in ELECTRIC_POWERS:
        c, d = _phased(ELECTRIC_POWERS[quantity], said), MOMENT_D
    else:
        c, d = ELECTRIC_MOMENTS.get(quantity, {}).get(said), MOMENT_D
    if c is None or (tariff and d != ENERGY_D):
        return None
    return bytes((1, 0, c, d, tariff, ANY_F))


def _phased(registers: dict[Said, int], said: Said) -> int | None:
    """Value group C of a power or energy, of one phase where a VIFE says so."""
    phases = [PHASES[each] for each in said if each in PHASES]
    c = registers.get(tuple(each for each in said if each not in PHASES))
    return None if c is None or len(phases) > 1 else c + sum(phases)
