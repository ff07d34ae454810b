"""From registers to values: exact, under their native keys; and what a device says it is.

An integer stays one, a float32 keeps its 32 bits; the model's power of ten stands beside it. What the meter marks as
"not available", a float32 that is no number (NaN, infinity) and a BCD digit above 9 have no number: the bytes are kept
as they came, the state is invalid.
"""

from __future__ import annotations

from protocols.errors import AnotherMeter
from protocols.modbus.blocks import Span
from protocols.modbus.faults import BadIdentity
from protocols.modbus.registers import WORD, Register
from protocols.models.modbus import Code, ModbusModel
from protocols.reading import Float32, Identity, Number, Protocol, Raw, Scaled, State, Value
from protocols.uplink import limits

EXPONENT_BITS = 0x7F80_0000  # of a float32; all set: infinity or not a number
UNSET_BYTES = b"\x00\xff"  # what unset identity registers are filled with


def values(span: Span, words: bytes, unit: int) -> tuple[Value, ...]:
    """The values in the answer to `span`; `words` are its `count` registers."""
    return tuple(value(register, span.octets_of(register, words), unit) for register in span.registers)


def value(register: Register, octets: bytes, unit: int) -> Value:
    """The value in a register's bytes as they came."""
    number = _number(register, octets)
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
    mantissa = _integer(register, bits)
    return Raw(octets) if mantissa is None else Scaled(mantissa, register.exponent)


def _integer(register: Register, bits: int) -> int | None:
    """The integer that the bits mean; None where they mean none, or one beyond the 63 bits of a seal."""
    size = register.words * WORD * 8
    if register.kind in ("bcd16", "bcd32"):
        digits = f"{bits:0{size // 4}x}"
        return int(digits) if digits.isdecimal() else None
    if register.kind in ("int16", "int32", "int64"):
        return bits - (bits >> (size - 1) << size)
    return bits if bits <= limits.INT64_MAX else None


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
