"""Quantities and the base unit in which each is kept: the one place that multiplies.

Energy is kept in joule: Wh, GJ and Gcal are all whole joules. A number becomes a fraction of base units; what is
stored is an integer and a power of ten, and rounding to that grid is a difference of rounded totals, so that the sum of
all intervals is the difference of the register.
"""

from __future__ import annotations

from fractions import Fraction

from collector.faults import UnitError
from protocols.reading import Scaled

# Quantity -> (base unit, power of ten of the grid on which amounts are kept, {UCUM unit: base units})
_WH = Fraction(3_600)
_ENERGY = {
    "J": Fraction(1),
    "kJ": Fraction(10**3),
    "MJ": Fraction(10**6),
    "GJ": Fraction(10**9),
    "Wh": _WH,
    "kWh": _WH * 10**3,
    "MWh": _WH * 10**6,
    "cal": Fraction(41_868, 10_000),  # the international table's calorie, which heat meters use
    "Gcal": Fraction(41_868, 10_000) * 10**9,
}
_REACTIVE = {"var.h": Fraction(1), "varh": Fraction(1), "kvarh": Fraction(1_000)}
_APPARENT = {"VA.h": Fraction(1), "VAh": Fraction(1), "kVAh": Fraction(1_000)}
_VOLUME = {"m3": Fraction(1), "L": Fraction(1, 1_000), "l": Fraction(1, 1_000)}
QUANTITIES: dict[str, tuple[str, int, dict[str, Fraction]]] = {
    "energy": ("J", 0, _ENERGY),
    "reactive energy": ("var.h", -3, _REACTIVE),
    "apparent energy": ("VA.h", -3, _APPARENT),
    "volume": ("m3", -6, _VOLUME),
    "power": ("W", -3, {"W": Fraction(1), "kW": Fraction(1_000), "J/h": Fraction(1, 3_600)}),
    "flow": ("m3/h", -6, {"m3/h": Fraction(1), "L/h": Fraction(1, 1_000), "l/h": Fraction(1, 1_000)}),
    "temperature": ("Cel", -3, {"Cel": Fraction(1)}),
    "temperature difference": ("K", -3, {"K": Fraction(1)}),
    "voltage": ("V", -3, {"V": Fraction(1)}),
    "current": ("A", -3, {"A": Fraction(1)}),
}


def base_unit(quantity: str) -> str:
    """The unit in which a quantity is kept.

    Raises:
        UnitError: no such quantity.
    """
    return _of(quantity)[0]


def grid(quantity: str) -> int:
    """The power of ten of the grid on which a quantity is kept.

    Raises:
        UnitError: no such quantity.
    """
    return _of(quantity)[1]


def in_base(number: Scaled, unit: str, quantity: str) -> Fraction:
    """A number in base units, exactly.

    Raises:
        UnitError: no such quantity, or not one of its units.
    """
    return number.mantissa * Fraction(10) ** number.exponent * factor(unit, quantity)


def factor(unit: str, quantity: str) -> Fraction:
    """How many base units a unit is.

    Raises:
        UnitError: no such quantity, or not one of its units.
    """
    units = _of(quantity)[2]
    if unit not in units:
        raise UnitError(f"a unit of {quantity}: {', '.join(units)}", repr(unit), "unit")
    return units[unit]


def _of(quantity: str) -> tuple[str, int, dict[str, Fraction]]:
    found = QUANTITIES.get(quantity)
    if found is None:
        raise UnitError(f"one of {', '.join(QUANTITIES)}", repr(quantity), "quantity")
    return found
