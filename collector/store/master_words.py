"""How each word of the master data stands in its table: numbers as exact texts, identities and keys as on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Generic, TypeVar

from collector.master.channels import Aggregate, Cadence, Channel, Computed, Term
from collector.master.dated import Span
from collector.master.meters import Edge, Installation, Kind, Mapped, Meter, Register, Stood
from collector.master.points import Medium, Point, Related, Relation, Scheme, Supply
from protocols.reading import Identity, NativeKey, Scaled
from protocols.uplink.leaf import identity_from_wire, identity_to_wire, key_from_wire, key_to_wire
from protocols.uplink.pack import Fields, pack, unpack

Word = Point | Supply | Related | Meter | Register | Mapped | Installation | Channel | Computed
W = TypeVar("W", bound=Word)
IDENTITY_BYTES = 2_048  # of a packed identity; a text in it has at most 128
KEY_BYTES = 512  # of a packed native key
KEY_PARTS = 16

_Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Form(Generic[W]):
    """A word's table: its columns without those of time, the first `keys` of which name the thing that is dated."""

    table: str
    columns: tuple[str, ...]
    keys: int
    to_row: Callable[[W], tuple[Any, ...]]
    from_row: Callable[[_Row, Span], W]
    piece: Callable[[W, Span], W]

    def key(self, word: W) -> dict[str, Any]:
        """What names the thing, by column."""
        return dict(zip(self.columns[: self.keys], self.to_row(word), strict=False))


def number_to_text(number: Scaled) -> str:
    """An exact number as it stands in a column: "123e-2"."""
    return f"{number.mantissa}e{number.exponent}"


def number_from_text(text: str) -> Scaled:
    """An exact number from a column."""
    mantissa, _, exponent = text.partition("e")
    return Scaled(int(mantissa), int(exponent))


def native_to_bytes(key: NativeKey | None) -> bytes:
    """A native key as it stands in a column; none: no octets."""
    return b"" if key is None else pack(key_to_wire(key))


def native_from_bytes(octets: bytes) -> NativeKey | None:
    """A native key from a column."""
    if not octets:
        return None
    return key_from_wire(Fields([unpack(octets, KEY_BYTES, "key")], "key", 1).array("key", KEY_PARTS))


def identity_from_bytes(octets: bytes) -> Identity:
    """An identity from a column."""
    return identity_from_wire(unpack(octets, IDENTITY_BYTES, "identity"))


def piece(word: W, span: Span) -> W:
    """The same, holding for another time."""
    return replace(word, span=span)


def _installation_piece(word: Installation, span: Span) -> Installation:
    """What it stood at when it came belongs to the first piece, and when it went to the last."""
    initial = word.initial if span.from_ms == word.span.from_ms else ()
    final = word.final if span.to_ms == word.span.to_ms else ()
    return replace(word, span=span, initial=initial, final=final)


def _stood_to_text(stood: tuple[Stood, ...]) -> str:
    return json.dumps([[each.register, number_to_text(each.value)] for each in stood])


def _stood_from_text(text: str) -> tuple[Stood, ...]:
    return tuple(Stood(register, number_from_text(value)) for register, value in json.loads(text))


def _register(row: _Row, span: Span) -> Register:
    meter, name, native, kind, quantity, unit, factor, modulus, step = row
    key = native_from_bytes(native)
    if key is None:
        raise ValueError(f"expected a native key of register {name} of meter {meter}, got none")
    shown = None if modulus is None else number_from_text(modulus)
    return Register(meter, name, key, Kind(kind), quantity, unit, Fraction(factor), shown, number_from_text(step), span)


POINTS: Form[Point] = Form(
    "master_point",
    ("point", "scheme", "medium", "zone"),
    1,
    lambda word: (word.id, word.scheme.value, word.medium.value, word.zone),
    lambda row, span: Point(row[0], Scheme(row[1]), Medium(row[2]), row[3], span),
    piece,
)
SUPPLIES: Form[Supply] = Form(
    "master_supply",
    ("point", "customer"),
    1,
    lambda word: (word.point, word.customer),
    lambda row, span: Supply(row[0], row[1], span),
    piece,
)
RELATIONS: Form[Related] = Form(
    "master_related",
    ("point", "other", "relation", "share"),
    3,
    lambda word: (word.point, word.other, word.relation.value, str(word.share)),
    lambda row, span: Related(row[0], row[1], Relation(row[2]), Fraction(row[3]), span),
    piece,
)
METERS: Form[Meter] = Form(
    "master_meter",
    ("meter", "model", "identity", "verified", "until", "seals"),
    1,
    lambda word: (
        word.serial,
        word.model,
        pack(identity_to_wire(word.identity)),
        word.verified,
        word.until,
        json.dumps(word.seals),
    ),
    lambda row, span: Meter(
        row[0], row[1], identity_from_bytes(row[2]), row[3], row[4], tuple(json.loads(row[5])), span
    ),
    piece,
)
REGISTERS: Form[Register] = Form(
    "master_register",
    ("meter", "name", "native", "kind", "quantity", "unit", "factor", "modulus", "step"),
    2,
    lambda word: (
        word.meter,
        word.name,
        native_to_bytes(word.key),
        word.kind.value,
        word.quantity,
        word.unit,
        str(word.factor),
        None if word.modulus is None else number_to_text(word.modulus),
        number_to_text(word.step),
    ),
    _register,
    piece,
)
MAPPED: Form[Mapped] = Form(
    "master_mapped",
    ("gateway", "device", "sub", "native", "meter", "register"),
    4,
    lambda word: (
        word.gateway,
        word.device,
        word.sub or "",
        native_to_bytes(word.key),
        word.meter,
        word.register,
    ),
    lambda row, span: Mapped(row[0], row[1], native_from_bytes(row[3]), row[4], row[5], span, row[2] or None),
    piece,
)
INSTALLATIONS: Form[Installation] = Form(
    "master_installation",
    ("point", "meter", "clock", "interval_edge", "day_edge", "initial", "final"),
    2,
    lambda word: (
        word.point,
        word.meter,
        word.clock,
        word.interval_edge.value,
        word.day_edge.value,
        _stood_to_text(word.initial),
        _stood_to_text(word.final),
    ),
    lambda row, span: Installation(
        row[0],
        row[1],
        span,
        row[2],
        Edge(row[3]),
        Edge(row[4]),
        _stood_from_text(row[5]),
        _stood_from_text(row[6]),
    ),
    _installation_piece,
)
CHANNELS: Form[Channel] = Form(
    "master_channel",
    ("point", "name", "quantity", "register", "cadence", "aggregate", "weight"),
    2,
    lambda word: (
        word.point,
        word.name,
        word.quantity,
        word.register,
        word.cadence.value,
        word.aggregate.value,
        word.weight,
    ),
    lambda row, span: Channel(row[0], row[1], row[2], row[3], Cadence(row[4]), Aggregate(row[5]), span, row[6]),
    piece,
)
COMPUTED: Form[Computed] = Form(
    "master_computed",
    ("point", "name", "quantity", "cadence", "aggregate", "terms"),
    2,
    lambda word: (
        word.point,
        word.name,
        word.quantity,
        word.cadence.value,
        word.aggregate.value,
        json.dumps([[each.sign, each.point, each.channel] for each in word.terms]),
    ),
    lambda row, span: Computed(
        row[0],
        row[1],
        row[2],
        Cadence(row[3]),
        Aggregate(row[4]),
        tuple(Term(*each) for each in json.loads(row[5])),
        span,
    ),
    piece,
)
