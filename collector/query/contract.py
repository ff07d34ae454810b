"""Amounts in the unit of a contract: exact until here, and rounded once, half to even.

How many decimals there are is asked for; otherwise as many as tell every step of the grid on which the quantity is kept
where the unit is a power of ten of it (GJ, m3, l), and those of the table below where it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from collector.faults import QuestionError
from collector.master import units
from collector.query.stretches import Amount
from protocols.reading import Scaled

MOST_DECIMALS = 12
_DECIMALS = {"Wh": 0, "kWh": 3, "MWh": 6, "cal": 0, "Gcal": 9, "J/h": 0}


@dataclass(frozen=True, slots=True)
class Rounding:
    """From base units times 10^(some exponent) to integers times 10^`exponent` of `unit`."""

    unit: str
    exponent: int
    numerator: int
    denominator: int

    @classmethod
    def to(cls, unit: str, quantity: str, decimals: int | None, exponent: int) -> Rounding:
        """To a unit, of amounts that are times 10^`exponent`.

        Raises:
            UnitError: it is none of that quantity.
            QuestionError: too many decimals.
        """
        if decimals is not None and not 0 <= decimals <= MOST_DECIMALS:
            raise QuestionError(f"0 to {MOST_DECIMALS} decimals", str(decimals))
        shown = decimals_of(unit, quantity) if decimals is None else decimals
        ratio = Fraction(10) ** (exponent + shown) / units.factor(unit, quantity)
        return cls(unit, -shown, ratio.numerator, ratio.denominator)

    @classmethod
    def none(cls, quantity: str, exponent: int) -> Rounding:
        """None: integers times 10^`exponent` of the base unit stay as they are."""
        return cls(units.base_unit(quantity), exponent, 1, 1)

    def of(self, amount: Amount) -> int:
        """The nearest integer; of two that are equally near the even one."""
        if isinstance(amount, int) and self.denominator == 1:
            return amount * self.numerator
        denominator = amount.denominator * self.denominator
        whole, rest = divmod(amount.numerator * self.numerator, denominator)
        return whole + (2 * rest > denominator or (2 * rest == denominator and whole & 1))

    def all(self, amounts: Sequence[Amount | None]) -> tuple[int | None, ...]:
        """The same of many, those that are none left as they are."""
        if self.denominator > 1:
            return tuple([None if each is None else self.of(each) for each in amounts])
        by = self.numerator
        return tuple([each * by if type(each) is int else None if each is None else self.of(each) for each in amounts])


def decimals_of(unit: str, quantity: str) -> int:
    """How many decimals an amount has in a unit where none are asked for.

    Raises:
        UnitError: it is none of that quantity.
    """
    steps = units.factor(unit, quantity) / Fraction(10) ** units.grid(quantity)
    digits = str(steps.numerator)
    power_of_ten = steps.denominator == 1 and digits.strip("0") == "1"
    return len(digits) - 1 if power_of_ten else _DECIMALS.get(unit, 3)


def in_unit(amount: Scaled, unit: str, quantity: str, decimals: int | None = None) -> Scaled:
    """An amount of base units in a unit, rounded once.

    Raises:
        UnitError: it is none of that quantity.
        QuestionError: too many decimals.
    """
    rounding = Rounding.to(unit, quantity, decimals, amount.exponent)
    return Scaled(rounding.of(amount.mantissa), rounding.exponent)
