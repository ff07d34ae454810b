"""How the words of the master data stand in a proof of values: arrays in strict form, numbers as exact integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from fractions import Fraction
from typing import TypeVar

from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.dated import Span
from collector.master.meters import Edge, Installation, Kind, Mapped, Meter, Register, Stood
from collector.master.points import Medium, Point, Scheme
from protocols.reading import NativeKey, Scaled
from protocols.uplink import limits
from protocols.uplink.faults import FieldError
from protocols.uplink.leaf import identity_from_wire, identity_to_wire, key_from_wire, key_to_wire
from protocols.uplink.pack import Fields, Wire

KEY_PARTS = 16
STOODS = 64  # registers of which an installation says what they stood at
EXPONENT = 30  # |power of ten| of a number that a person entered
DENOMINATOR = 10**12  # of a factor
E = TypeVar("E", bound=Enum)
W = TypeVar("W")


def words(fields: Fields, name: str, limit: int, parse: Callable[[Fields], W], length: int) -> tuple[W, ...]:
    """The next element: an array of words of one kind, each an array of at least `length` elements."""
    return tuple(parse(Fields(each, name, length)) for each in fields.array(name, limit))


def point_to_wire(word: Point) -> list[Wire]:
    """The array of 6."""
    return [word.id, word.scheme.value, word.medium.value, word.zone, *_span_to_wire(word.span)]


def point_from(fields: Fields) -> Point:
    """Parse the array of 6."""
    name, scheme = fields.text("id"), one_of(fields, "scheme", Scheme)
    return Point(name, scheme, one_of(fields, "medium", Medium), fields.text("zone"), _span(fields))


def channel_to_wire(word: Channel) -> list[Wire]:
    """The array of 9."""
    rule: list[Wire] = [word.cadence.value, word.aggregate.value, word.weight]
    return [word.point, word.name, word.quantity, word.register, *rule, *_span_to_wire(word.span)]


def channel_from(fields: Fields) -> Channel:
    """Parse the array of 9."""
    names = (fields.text("point"), fields.text("name"), fields.text("quantity"), fields.text("register"))
    cadence, aggregate = one_of(fields, "cadence", Cadence), one_of(fields, "aggregate", Aggregate)
    weight = fields.maybe_text("weight")
    return Channel(*names, cadence, aggregate, _span(fields), weight)


def meter_to_wire(word: Meter) -> list[Wire]:
    """The array of 6: who it is, and when it was verified; not its seals."""
    about: list[Wire] = [word.serial, word.model, identity_to_wire(word.identity), word.until]
    return [*about, *_span_to_wire(word.span)]


def meter_from(fields: Fields) -> Meter:
    """Parse the array of 6."""
    serial, model = fields.text("serial"), fields.text("model")
    identity, until = identity_from_wire(fields.array("identity", 32)), fields.maybe_text("until")
    return Meter(serial, model, identity, until=until, span=_span(fields))


def register_to_wire(word: Register) -> list[Wire]:
    """The array of 12."""
    about: list[Wire] = [word.meter, word.name, key_to_wire(word.key), word.kind.value, word.quantity, word.unit]
    factor: list[Wire] = [word.factor.numerator, word.factor.denominator]
    modulus = None if word.modulus is None else _number_to_wire(word.modulus)
    return [*about, *factor, modulus, _number_to_wire(word.step), *_span_to_wire(word.span)]


def register_from(fields: Fields) -> Register:
    """Parse the array of 12."""
    meter, name = fields.text("meter"), fields.text("name")
    key, kind = key_from_wire(fields.array("key", KEY_PARTS, 2)), one_of(fields, "kind", Kind)
    quantity, unit = fields.text("quantity"), fields.text("unit")
    factor = Fraction(fields.integer("numerator"), fields.integer("denominator", 1, DENOMINATOR))
    modulus = fields.maybe_array("modulus", 2)
    over = None if modulus is None else _number(Fields(modulus, "modulus", 2))
    step = _number(Fields(fields.array("step", 2), "step", 2))
    return Register(meter, name, key, kind, quantity, unit, factor, over, step, _span(fields))


def installation_to_wire(word: Installation) -> list[Wire]:
    """The array of 9."""
    edges: list[Wire] = [word.interval_edge.value, word.day_edge.value]
    stood: list[Wire] = [_stood_to_wire(word.initial), _stood_to_wire(word.final)]
    return [word.point, word.meter, word.clock, *edges, *stood, *_span_to_wire(word.span)]


def installation_from(fields: Fields) -> Installation:
    """Parse the array of 9."""
    point, meter, clock = fields.text("point"), fields.text("meter"), fields.text("clock")
    interval_edge, day_edge = one_of(fields, "interval edge", Edge), one_of(fields, "day edge", Edge)
    initial, final = _stood(fields, "initial"), _stood(fields, "final")
    return Installation(point, meter, _span(fields), clock, interval_edge, day_edge, initial, final)


def mapped_to_wire(word: Mapped) -> list[Wire]:
    """The array of 8."""
    key = None if word.key is None else key_to_wire(word.key)
    return [word.gateway, word.device, word.sub, key, word.meter, word.register, *_span_to_wire(word.span)]


def mapped_from(fields: Fields) -> Mapped:
    """Parse the array of 8."""
    gateway, device, sub = fields.text("gateway"), fields.text("device"), fields.maybe_text("sub")
    native = fields.maybe_array("key", KEY_PARTS)
    key: NativeKey | None = None if native is None else key_from_wire(Fields([native], "key", 1).array("key", 16, 2))
    meter, register = fields.text("meter"), fields.maybe_text("register")
    return Mapped(gateway, device, key, meter, register, _span(fields), sub)


def one_of(fields: Fields, name: str, kind: type[E]) -> E:
    """The next element: the value of one of an enum.

    Raises:
        FieldError: it is none.
    """
    text = fields.text(name)
    found = next((each for each in kind if each.value == text), None)
    if found is None:
        raise FieldError(f"one of {', '.join(str(each.value) for each in kind)}", repr(text[:40]), name)
    return found


def _span_to_wire(span: Span) -> list[Wire]:
    return [span.from_ms, span.to_ms]


def _span(fields: Fields) -> Span:
    from_ms, to_ms = fields.integer("from", 0, limits.FUTURE_MS), fields.maybe_integer("to", 1, limits.FUTURE_MS)
    if to_ms is not None and to_ms <= from_ms:
        raise FieldError(f"an end after the start {from_ms}", f"{to_ms}", "span")
    return Span(from_ms, to_ms)


def _number_to_wire(number: Scaled) -> list[Wire]:
    return [number.mantissa, number.exponent]


def _number(fields: Fields) -> Scaled:
    return Scaled(fields.integer("mantissa"), fields.integer("exponent", -EXPONENT, EXPONENT))


def _stood_to_wire(stood: Sequence[Stood]) -> list[Wire]:
    return [[each.register, *_number_to_wire(each.value)] for each in stood]


def _stood(fields: Fields, name: str) -> tuple[Stood, ...]:
    found = [Fields(each, name, 3) for each in fields.array(name, STOODS)]
    return tuple(Stood(each.text("register"), _number(each)) for each in found)
