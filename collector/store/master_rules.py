"""What may be entered: everything that is referred to holds at that time, and nothing is said twice or of two.

Each rule raises an error that names both sides. They are checked as the master data would be after the change, and the
caller's transaction takes the change back.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable
from typing import TYPE_CHECKING

from collector.faults import (
    IdentityTakenError,
    InstalledError,
    MasterDataError,
    NotEnteredError,
    OverlapError,
    RoleError,
    UnitError,
)
from collector.master import ids, units
from collector.master.channels import Aggregate, Channel, Computed
from collector.master.clocks import fixed_offset
from collector.master.dated import Span, covered
from collector.master.meters import Installation, Kind, Mapped, Meter, Register, Stood
from collector.master.points import Point, Related, Relation, Supply
from collector.shown import utc
from collector.store.master_words import Word

if TYPE_CHECKING:
    from collector.store.master import Master

_NUMBERS = frozenset({Kind.TOTAL, Kind.INTERVAL, Kind.MEAN, Kind.MAXIMUM, Kind.INSTANT, Kind.RESETTING, Kind.BALANCE})


def name_of(word: Word) -> str:
    """What a message calls it."""
    match word:
        case Point():
            name = f"point {word.id}"
        case Supply():
            name = f"supply of {word.customer} at point {word.point}"
        case Related():
            name = f"relation of point {word.point} to {word.other}"
        case Meter():
            name = f"meter {word.serial}"
        case Register():
            name = f"register {word.name} of meter {word.meter}"
        case Mapped():
            name = f"device {word.device} of {word.gateway}"
        case Installation():
            name = f"installation of meter {word.meter} at point {word.point}"
        case Channel() | Computed():
            name = f"channel {word.name} of point {word.point}"
    return name


def span_in_words(span: Span) -> str:
    """From when to when."""
    end = "further notice" if span.to_ms is None else utc(span.to_ms)
    return f"{utc(span.from_ms)} to {end}"


def check(master: Master, word: Word) -> None:
    """Pass when the word, which is laid in already, agrees with everything else.

    Raises:
        MasterDataError: what does not hold.
    """
    match word:
        case Point():
            _point(master, word)
        case Supply():
            ids.check_name(word.customer, "customer")
            _needs_point(master, word.point, word)
        case Related():
            _related(master, word)
        case Meter():
            _meter(master, word)
        case Register():
            _register(master, word)
        case Mapped():
            _mapped(master, word)
        case Installation():
            _installation(master, word)
        case Channel():
            _channel(master, word)
        case Computed():
            _computed(master, word)


def check_left(master: Master, word: Word, cut: Span) -> None:
    """Pass when nothing that is left refers to what was ended.

    Raises:
        OverlapError: something still does, and what.
    """
    left: list[Word] = []
    if isinstance(word, Point):
        tables = (master.installations, master.channels, master.computed, master.supplies)
        left = [each for table in tables for each in table.during(cut, point=word.id)]
        left += [*master.relations.during(cut, point=word.id), *master.relations.during(cut, other=word.id)]
    elif isinstance(word, Channel):
        left += _built_on(master, word, cut)
    elif isinstance(word, Meter):
        for table in (master.installations, master.registers, master.mapped):
            left += table.during(cut, meter=word.serial)
    if left:
        raise OverlapError("nothing that goes on there", name_of(left[0]), name_of(word))


def _built_on(master: Master, word: Channel, cut: Span) -> list[Word]:
    """The channels that are computed from this one, or weighed by it."""
    weighed = [each for each in master.channels.during(cut, point=word.point) if each.weight == word.name]
    here = (word.point, word.name)
    made = (each for each in master.computed.during(cut) if here in {(one.point, one.channel) for one in each.terms})
    return [*weighed, *made]


def clash(master: Master, one: str, other: str, span: Span) -> set[str]:
    """The names of the registers that two meters both have in a span; {"(none entered)"} where one has none at all."""
    names = [{each.name for each in master.registers.during(span, meter=meter)} for meter in (one, other)]
    return names[0] & names[1] if all(names) else {"(none entered)"}


def _point(master: Master, word: Point) -> None:
    ids.check(word.scheme, word.id)
    _zone(word.zone, name_of(word))
    _ = master


def _zone(name: str, where: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise MasterDataError("an IANA time zone as Europe/Budapest", repr(name)[: ids.SHOWN], where) from None


def _related(master: Master, word: Related) -> None:
    _needs_point(master, word.point, word)
    _needs_point(master, word.other, word)
    if word.point == word.other:
        raise MasterDataError("two points", "one", name_of(word))
    whole = word.share == 1
    if not 0 < word.share <= 1 or (word.relation is not Relation.SHARE and not whole):
        raise MasterDataError("a share above 0 and at most 1, and 1 but for a share", f"{word.share}", name_of(word))
    if word.relation is Relation.SUB:
        _no_circle(master, word)


def _no_circle(master: Master, word: Related) -> None:
    """Nobody is part of itself, by whatever way."""
    met, look = {word.point}, [word.other]
    while look:
        point = look.pop()
        if point == word.point:
            raise MasterDataError("a point that is not part of itself", f"{word.other} is part of it", name_of(word))
        if point not in met:
            met.add(point)
            above = master.relations.during(word.span, point=point, relation=Relation.SUB.value)
            look += [each.other for each in above]


def _meter(master: Master, word: Meter) -> None:
    ids.check_name(word.serial, "serial number")
    for other in master.identities.like(word.identity, word.span):
        if other.serial != word.serial:
            got = f"one that fits meter {other.serial} too"
            raise IdentityTakenError("an identity of its own", got, name_of(word))


def _register(master: Master, word: Register) -> None:
    ids.check_name(word.name, "register")
    _covered((each.span for each in master.meters.during(word.span, meter=word.meter)), f"meter {word.meter}", word)
    if word.kind in _NUMBERS:
        units.in_base(word.step, word.unit, word.quantity)
    if word.factor <= 0 or word.step.mantissa <= 0 or (word.modulus is not None and word.modulus.mantissa <= 0):
        raise MasterDataError("a factor, a step and a modulus above 0", "0 or less", name_of(word))
    for other in master.registers.during(word.span, meter=word.meter):
        if other.name != word.name and other.key == word.key:
            raise RoleError("a native key of its own", f"that of register {other.name}", name_of(word))
    for here in master.installations.during(word.span, meter=word.meter):
        common = here.span.common(word.span)
        for beside in master.installations.during(common or word.span, point=here.point):
            if beside.meter != word.meter and word.name in clash(master, word.meter, beside.meter, beside.span):
                got = f"meter {beside.meter} has it too, at point {here.point}"
                raise RoleError("one meter with this register at a point", got, name_of(word))


def _mapped(master: Master, word: Mapped) -> None:
    if (word.key is None) != (word.register is None):
        raise MasterDataError("a key and a register, or neither", "one of them", name_of(word))
    _covered((each.span for each in master.meters.during(word.span, meter=word.meter)), f"meter {word.meter}", word)
    if word.register is not None:
        found = master.registers.during(word.span, meter=word.meter, name=word.register)
        _covered((each.span for each in found), f"register {word.register} of meter {word.meter}", word)
    for other in master.mapped.during(word.span, meter=word.meter):
        same = (other.gateway, other.device, other.sub, other.key) == (word.gateway, word.device, word.sub, word.key)
        if not same and other.register == word.register:
            got = f"device {other.device} of {other.gateway} too, {span_in_words(other.span)}"
            raise RoleError(f"one device that shows {word.register or 'all'} of meter {word.meter}", got, name_of(word))


def _installation(master: Master, word: Installation) -> None:
    _needs_point(master, word.point, word)
    _covered((each.span for each in master.meters.during(word.span, meter=word.meter)), f"meter {word.meter}", word)
    if fixed_offset(word.clock) is None:
        _zone(word.clock, name_of(word))
    for other in master.installations.during(word.span, meter=word.meter):
        if other.point != word.point:
            got = f"it is at point {other.point}, {span_in_words(other.span)}"
            raise InstalledError("a meter at one point at one time", got, name_of(word))
    for other in master.installations.during(word.span, point=word.point):
        common = other.span.common(word.span)
        if other.meter != word.meter and common and (both := clash(master, word.meter, other.meter, common)):
            got = f"meter {other.meter} is there {span_in_words(other.span)}, both with {', '.join(sorted(both))}"
            raise RoleError("meters whose registers differ at one point at one time", got, name_of(word))
    _stood(master, word, word.initial, word.span.from_ms)
    if word.final and word.span.to_ms is not None:
        _stood(master, word, word.final, word.span.to_ms - 1)
    elif word.final:
        raise MasterDataError("final values of an installation that ended", "one without an end", name_of(word))


def _stood(master: Master, word: Installation, stood: tuple[Stood, ...], at_ms: int) -> None:
    known = {each.name for each in master.registers.at(at_ms, meter=word.meter)}
    named = [each.register for each in stood]
    for name in named:
        if name not in known or named.count(name) > 1:
            got = f"{name!r}{'' if name not in known else ' twice'}"
            raise NotEnteredError(f"registers of meter {word.meter}, each once: {_list(known)}", got, name_of(word))


def _channel(master: Master, word: Channel) -> None:
    _needs_point(master, word.point, word)
    ids.check_name(word.name, "channel")
    ids.check_name(word.register, "register")
    units.base_unit(word.quantity)
    if (word.weight is not None) != (word.aggregate is Aggregate.WEIGHTED):
        raise MasterDataError(
            "a weight for volume-weighted, and for nothing else", word.weight or "none", name_of(word)
        )
    if word.weight is not None:
        found = master.channels.during(word.span, point=word.point, name=word.weight)
        _covered((each.span for each in found), f"channel {word.weight} of point {word.point}", word)
    if master.computed.during(word.span, point=word.point, name=word.name):
        raise OverlapError("a name of its own", "that of a computed channel", name_of(word))
    for here in master.installations.during(word.span, point=word.point):
        common = here.span.common(word.span) or word.span
        for fed in master.registers.during(common, meter=here.meter, name=word.register):
            if fed.quantity != word.quantity:
                raise UnitError(f"the quantity of {name_of(fed)}: {fed.quantity}", word.quantity, name_of(word))


def _computed(master: Master, word: Computed) -> None:
    _needs_point(master, word.point, word)
    ids.check_name(word.name, "channel")
    units.base_unit(word.quantity)
    if not word.terms or any(each.sign not in {1, -1} for each in word.terms):
        raise MasterDataError("terms with the sign 1 or -1", f"{[each.sign for each in word.terms]}", name_of(word))
    if master.channels.during(word.span, point=word.point, name=word.name):
        raise OverlapError("a name of its own", "that of a channel that is read", name_of(word))
    for term in word.terms:
        found = master.channels.during(word.span, point=term.point, name=term.channel)
        _covered((each.span for each in found), f"channel {term.channel} of point {term.point}", word)
        for each in found:
            if (each.quantity, each.cadence) != (word.quantity, word.cadence):
                got = f"{each.quantity}, {each.cadence.value} of {name_of(each)}"
                raise UnitError(f"terms of {word.quantity}, {word.cadence.value}", got, name_of(word))


def _needs_point(master: Master, point: str, word: Word) -> None:
    _covered((each.span for each in master.points.during(word.span, point=point)), f"point {point}", word)


def _covered(spans: Iterable[Span], what: str, word: Word) -> None:
    """The whole span of the word is in those spans together."""
    spans = sorted(spans, key=lambda each: each.from_ms)
    if covered(spans, word.span):
        return
    got = f"only {', '.join(span_in_words(each) for each in spans)}" if spans else "none"
    raise NotEnteredError(f"{what} {span_in_words(word.span)}", got, name_of(word))


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "it has none"
