"""From registers to values: exact, under their native keys; and what a device says it is.

An integer stays one, a float32 keeps its 32 bits; the model's power of ten stands beside it. A float64 becomes the
shortest decimal number that names it and no other float64 (at most 17 digits): its bits follow from that again. What
has no number keeps its bytes as they came, with the state invalid: what the meter marks as "not available", a float
that is none (NaN, infinity) or a float64 of more than 12 places, a BCD digit above 9, a part above 9999, a scale that
SunSpec does not allow.
"""

from __future__ import annotations

import struct
from decimal import Decimal

from protocols.errors import AnotherMeter
from protocols.modbus.blocks import Span
from protocols.modbus.faults import BadIdentity
from protocols.modbus.registers import WORD, Register
from protocols.models.modbus import Code, ModbusModel
from protocols.reading import Float32, Identity, Number, Protocol, Raw, Scaled, State, Value
from protocols.uplink import limits

EXPONENT_BITS = 0x7F80_0000  # of a float32; all set: infinity or not a number
SCALES = range(-10, 11)  # SunSpec information model specification, sunssf; 8000h: not there
MOD10K = 10_000
UNSET_BYTES = b"\x00\xff"  # what unset identity registers are filled with


def values(span: Span, words: bytes, unit: int) -> tuple[Value, ...]:
    """The values in the answer to `span`; `words` are its `count` registers."""
    return tuple(
        value(register, span.octets_of(register, words), unit, span.scale_of(register, words))
        for register in span.registers
    )


def value(register: Register, octets: bytes, unit: int, scale: int | None = None) -> Value:
    """The value in a register's bytes as they came; `scale` is what its scale register shows, where it has one."""
    number = _number(register, octets)
    if scale is not None and isinstance(number, Scaled):
        power = number.exponent + scale
        usable = scale in SCALES and abs(power) <= limits.EXPONENT
        number = Scaled(number.mantissa, power) if usable else Raw(octets)
    state = State.INVALID if isinstance(number, Raw) else State.OK
    return Value(register.key(unit), register.unit, number, state)


def identity(model: ModbusModel, serial: bytes | None, code: bytes | None) -> Identity:
    """What a device says it is; `serial` and `code` are the bytes of the model's identity registers.

    The manufacturer is the model's (`sealed_as`), and stands only beside something that was read: a device without
    identity registers is sealed as such.

    Raises:
        AnotherMeter: the identification code is none of the model's.
        BadIdentity: the serial number is none.
    """
    if model.serial is None and model.code is None:
        return Identity(Protocol.MODBUS)
    fabrication = None if model.serial is None or serial is None else _serial(model.serial, serial)
    version = None if model.code is None or code is None else _code(model, model.code, code)
    return Identity(Protocol.MODBUS, model.sealed_as, version=version, fabrication=fabrication)


def check_identity(found: Identity, expected: Identity, where: str) -> None:
    """Compare the serial number with the configured one, where one is.

    Raises:
        AnotherMeter: it is another.
    """
    if expected.fabrication is not None and found.fabrication != expected.fabrication:
        raise AnotherMeter(f"serial number {expected.fabrication}", found.fabrication or "none", where)


def unsigned(register: Register, octets: bytes) -> int:
    """The bytes as one unsigned integer, most significant first whatever the wire's order."""
    return int.from_bytes(bytes(octets[register.order.index(letter)] for letter in sorted(register.order)), "big")


def _number(register: Register, octets: bytes) -> Number:
    bits = unsigned(register, octets)
    if bits in register.absent or register.kind == "text":
        return Raw(octets)
    if register.kind == "float32":
        finite = bits & EXPONENT_BITS != EXPONENT_BITS
        return Float32(bits, register.exponent) if finite else Raw(octets)
    if register.kind == "float64":
        return _decimal(bits, register.exponent) or Raw(octets)
    mantissa = integer(register, bits)
    return Raw(octets) if mantissa is None else Scaled(mantissa, register.exponent)


def integer(register: Register, bits: int) -> int | None:
    """The integer that the bits mean; None where they mean none, or one beyond the 63 bits of a seal."""
    size = register.words * WORD * 8
    if register.kind.startswith("bcd"):
        digits = f"{bits:0{size // 4}x}"
        return int(digits) if digits.isdecimal() else None
    if register.kind.startswith("mod10k"):
        return _mod10k(bits, register.words)
    if register.kind.startswith("int"):
        return bits - (bits >> (size - 1) << size)
    return bits if bits <= limits.INT64_MAX else None


def _mod10k(bits: int, words: int) -> int | None:
    found = 0
    for word in range(words - 1, -1, -1):
        part = bits >> (16 * word) & 0xFFFF
        if part >= MOD10K:
            return None
        found = found * MOD10K + part
    return found


def _decimal(bits: int, exponent: int) -> Scaled | None:
    """The shortest decimal number of a float64's bits; None where they are no number, or one that no seal takes."""
    (shown,) = struct.unpack(">d", bits.to_bytes(8, "big"))
    sign, digits, power = Decimal(repr(shown)).as_tuple()
    if not isinstance(power, int):  # infinity, or not a number
        return None
    mantissa, power = int("".join(map(str, digits))), power + exponent
    while mantissa % 10 == 0 and power < exponent:  # "12.0" is 12
        mantissa, power = mantissa // 10, power + 1
    return Scaled(-mantissa if sign else mantissa, power) if abs(power) <= limits.EXPONENT else None


def _serial(register: Register, octets: bytes) -> str | None:
    """The serial number as text; None where its registers are not set."""
    if not octets.strip(UNSET_BYTES):
        return None
    if register.kind != "text":
        return str(unsigned(register, octets))
    # Some meters put one letter into each register, a zero byte before it; others fill up behind the last letter.
    found = octets.replace(b"\x00", b"").strip()
    if not found.isascii() or not found.decode("ascii").isprintable():
        raise BadIdentity("a serial number in ASCII", octets.hex(), register.label)
    return found.decode("ascii") or None


def _code(model: ModbusModel, code: Code, octets: bytes) -> int:
    found = unsigned(code.register, octets)
    if not code.first <= found <= code.last:
        wanted = f"{model.sealed_as} (identification {code.first} to {code.last})"
        raise AnotherMeter(wanted, f"identification {found}", code.register.label)
    return found
