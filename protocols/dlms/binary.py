"""float32 and float64 (IEEE 754) as exact numbers: an integer times a power of two, or of ten; no Python float.

A binary fraction has an exact decimal one: m x 2^-k is m x 5^k x 10^-k.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

from protocols.dlms.data import Data, Tag
from protocols.reading import Scaled

MAX_EXPONENT = 12  # of a sealed value
MAX_MANTISSA = 2**63 - 1
PLAIN = 15  # digits before and behind the point that are written out


class Form(NamedTuple):
    """How a float is laid out: bits of the exponent and of the fraction, and the digits that it carries."""

    exponent: int
    fraction: int
    digits: int


FORMS = {Tag.FLOAT32: Form(8, 23, 7), Tag.FLOAT64: Form(11, 52, 16)}


def parts(data: Data) -> tuple[int, int] | None:
    """The mantissa and the power of two of a float, the mantissa odd or 0; None where it is infinite or no number."""
    form, bits = FORMS[data.tag], int.from_bytes(data.content, "big") if isinstance(data.content, bytes) else 0
    fraction = bits & (1 << form.fraction) - 1
    biased = bits >> form.fraction & (1 << form.exponent) - 1
    if biased == (1 << form.exponent) - 1:
        return None
    mantissa = fraction | 1 << form.fraction if biased else fraction
    power = max(biased, 1) - (1 << form.exponent - 1) + 1 - form.fraction
    zeros = (mantissa & -mantissa).bit_length() - 1 if mantissa else 0
    sign = -1 if bits >> form.exponent + form.fraction else 1
    return sign * (mantissa >> zeros), power + zeros if mantissa else 0


def scaled(mantissa: int, power: int, exponent: int) -> Scaled | None:
    """Mantissa x 2^power x 10^exponent as a value that can be sealed; None where it is none of those."""
    if power >= 0:
        # 2^63 is beyond a sealed value whatever stands before it: no long number is made.
        found = Scaled(mantissa << min(power, 64), exponent)
    else:
        if -power > MAX_EXPONENT + exponent:
            return None
        found = Scaled(mantissa * 5**-power, exponent + power)
    fits = -MAX_MANTISSA <= found.mantissa <= MAX_MANTISSA and abs(found.exponent) <= MAX_EXPONENT
    return found if fits else None


def as_float32(mantissa: int, power: int) -> int | None:
    """The 32 bits of the float32 that is exactly mantissa x 2^power (mantissa odd or 0); None where there is none."""
    if not mantissa:
        return 0
    width = abs(mantissa).bit_length()
    biased = power + width - 1 + 127
    if width > 24 or not 1 <= biased <= 254:
        return None
    fraction = (abs(mantissa) << 24 - width) & 0x7F_FFFF
    return (mantissa < 0) << 31 | biased << 23 | fraction


def shown(data: Data) -> str:
    """A float for people, with the digits that it carries; "no number" where it is none."""
    found = parts(data)
    if found is None:
        return "no number"
    mantissa, power = found
    if not mantissa:
        return "0"
    context = Context(prec=FORMS[data.tag].digits, rounding=ROUND_HALF_EVEN)
    if power >= 0:
        rounded = context.create_decimal(mantissa << power)
    else:
        rounded = context.divide(Decimal(mantissa), Decimal(1 << -power))
    short = rounded.normalize(context)
    return f"{short:f}" if -PLAIN <= short.adjusted() <= PLAIN else str(short)
