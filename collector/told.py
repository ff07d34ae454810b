"""The master data as JSON can say it, and as lines for people; instants in ISO 8601 UTC, numbers exact."""

from __future__ import annotations

from typing import Any

from collector.master.channels import Channel, Computed
from collector.master.dated import ALWAYS, Span
from collector.master.meters import Installation, Mapped, Meter, Register, Stood
from collector.master.points import Point, Related, Supply
from collector.shown import meter_name, utc
from collector.store.master_dated import Version
from collector.store.master_identity import Waiting
from collector.store.master_marks import Mark
from collector.store.master_words import Word

FURTHER = "further notice"


def word(told: Word) -> dict[str, Any]:
    """A word with its span."""
    return _own(told) | span(told.span)


def version(told: Version[Any]) -> dict[str, Any]:
    """A word as it was once known, with who entered it, when and why."""
    until = None if told.known_to_ms is None else utc(told.known_to_ms)
    return word(told.word) | {
        "who": told.act.who,
        "why": told.act.why,
        "known_from": utc(told.act.at_ms),
        "known_to": until,
    }


def span(told: Span) -> dict[str, str | None]:
    """From when to when something holds; from None: always, to None: until further notice."""
    return {
        "from": None if told.from_ms == ALWAYS.from_ms else utc(told.from_ms),
        "to": None if told.to_ms is None else utc(told.to_ms),
    }


def waiting(told: Waiting) -> dict[str, Any]:
    """A meter that waits to be entered."""
    identity = told.key.identity
    title = identity.system_title
    said = {
        "protocol": identity.protocol.name.lower(),
        "manufacturer": identity.manufacturer,
        "id": identity.id,
        "fabrication": identity.fabrication,
        "plate": identity.plate,
        "logical_name": identity.logical_name,
        "system_title": None if title is None else title.hex(),
    }
    return {
        "meter": told.words,
        "name": told.name,
        "identity": said,
        "sub": told.key.sub,
        "gateway": told.gateway,
        "devices": list(told.devices),
        "since": utc(told.first_ms),
        "newest": utc(told.newest_ms),
        "readings": told.stored,
    }


def mark(told: Mark) -> dict[str, Any]:
    """What must be computed again."""
    return {
        "channel": told.channel or None,
        "from": utc(told.from_ms),
        "to": utc(told.to_ms),
        "why": told.why,
        "act": told.act,
    }


def line(told: dict[str, Any]) -> str:
    """A told thing on one line: what it has, its span last."""
    facts = [
        f"{name} {_plain(each)}"
        for name, each in told.items()
        if name not in {"from", "to"} and each not in (None, "", [])
    ]
    if told.get("from") or told.get("to"):
        facts.append(f"from {told['from'] or 'ever'} to {told['to'] or FURTHER}")
    return ", ".join(facts)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(_plain(each) for each in value)
    if isinstance(value, dict):
        return " ".join(str(each) for each in value.values() if each is not None)
    return str(value)


def _own(told: Word) -> dict[str, Any]:
    match told:
        case Point():
            row = {"point": told.id, "scheme": told.scheme.value, "medium": told.medium.value, "zone": told.zone}
        case Supply():
            row = {"point": told.point, "customer": told.customer}
        case Related():
            relation = {"relation": told.relation.value, "share": str(told.share)}
            row = {"point": told.point, "other": told.other} | relation
        case Meter():
            return _meter(told)
        case Register():
            return _register(told)
        case Mapped():
            return _mapped(told)
        case Installation():
            return _installation(told)
        case Channel() | Computed():
            return _channel(told)
    return row


def _meter(told: Meter) -> dict[str, Any]:
    return {
        "meter": told.serial,
        "model": told.model,
        "identity": meter_name(told.identity),
        "verified": told.verified,
        "until": told.until,
        "seals": list(told.seals),
    }


def _register(told: Register) -> dict[str, Any]:
    return {
        "meter": told.meter,
        "register": told.name,
        "native": str(told.key),
        "kind": told.kind.value,
        "quantity": told.quantity,
        "unit": told.unit,
        "factor": str(told.factor),
        "modulus": None if told.modulus is None else str(told.modulus),
        "step": str(told.step),
    }


def _mapped(told: Mapped) -> dict[str, Any]:
    return {
        "gateway": told.gateway,
        "device": told.device,
        "sub": told.sub,
        "native": None if told.key is None else str(told.key),
        "meter": told.meter,
        "register": told.register,
    }


def _installation(told: Installation) -> dict[str, Any]:
    return {
        "point": told.point,
        "meter": told.meter,
        "clock": told.clock,
        "interval_edge": told.interval_edge.value,
        "day_edge": told.day_edge.value,
        "initial": _stood(told.initial),
        "final": _stood(told.final),
    }


def _channel(told: Channel | Computed) -> dict[str, Any]:
    row: dict[str, Any] = {
        "point": told.point,
        "channel": told.name,
        "quantity": told.quantity,
        "cadence": told.cadence.value,
        "aggregate": told.aggregate.value,
    }
    if isinstance(told, Channel):
        return row | {"register": told.register, "weight": told.weight}
    terms = [{"sign": each.sign, "point": each.point, "channel": each.channel} for each in told.terms]
    return row | {"terms": terms}


def _stood(told: tuple[Stood, ...]) -> list[dict[str, str]]:
    return [{"register": each.register, "value": str(each.value)} for each in told]
