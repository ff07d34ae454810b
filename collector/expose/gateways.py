"""What is shown of a gateway: from compact facts, never from every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from collector import runs
from collector.epochs import Facts, judge
from collector.expose import views, words
from collector.expose.times import silent, usual_ms
from collector.expose.troubles import Troubles
from collector.shown import utc
from collector.store.cases import Case
from collector.store.gateways import Contact, Registered
from collector.store.interface import Store
from collector.store.series import Times
from protocols.errors import PlombaError
from protocols.uplink import limits
from protocols.uplink.header import ClockShown
from protocols.uplink.keys import fingerprint
from protocols.uplink.pack import unpack
from protocols.uplink.ranges import ranges_from_wire

CLOCK_BYTES = 1_024  # of a stored clock
HELD_BYTES = limits.HELLO_HEADER  # of the ranges of a hello
CASES = 200  # open ones that are shown
OFFLINE = "offline"  # what a gateway's last will says, unsigned

_CLOCK_STATES = Literal["unset", "set", "synchronised"]
_CLOCK_SOURCES = Literal["none", "system", "ntp", "collector"]
GatewayState = Literal["never heard", "heard", "silent", "link down"]


@dataclass(frozen=True, slots=True)
class Common:
    """What is asked once for all gateways of a page."""

    times: Sequence[Times]
    readings: dict[str, int]
    undecoded: dict[str, int]
    counters: dict[tuple[str, str], int]
    register: dict[str, Registered]
    cases: Sequence[Case]
    troubles: Troubles

    @classmethod
    def of(cls, store: Store) -> Common:
        """As the store is now."""
        return cls(
            store.series.times(),
            store.devices.stored(),
            store.evidence.undecoded_by_gateway(),
            store.ring.counters(),
            store.gateways.register(),
            store.cases.open(CASES),
            Troubles.of(store),
        )


def gateway_view(store: Store, contact: Contact, common: Common, now_ms: int) -> views.GatewayView:
    """One gateway."""
    name = contact.name
    facts = store.evidence.facts(name)
    mine = [each for each in common.times if each.gateway == name]
    gaps = [gap for each in judge(facts).epochs.values() for gap in each.gaps]
    return views.GatewayView(
        name=name,
        state=state(contact, mine, now_ms),
        registered=utc(contact.registered_ms),
        last_contact=None if contact.contact_ms is None else utc(contact.contact_ms),
        age_s=None if contact.contact_ms is None else (now_ms - contact.contact_ms) // 1000,
        meters=len({each.name for each in mine}),
        failing=common.troubles.count(name),
        buses_failing=common.troubles.buses(name),
        backlog=backlog(contact, facts),
        clock=_clock(contact.hello_clock),
        stored=sum(_size(each.stored) for each in facts),
        readings=common.readings.get(name, 0),
        undecoded=common.undecoded.get(name, 0),
        held=_held(store, name, facts),
        conflicts=common.counters.get((name, "conflict"), 0),
        gaps=_size(gaps),
        lost=sum(_size(each.lost) for each in facts),
        cases=tuple(case_view(each) for each in common.cases if each.gateway == name),
        keys=tuple(
            views.Key(state=each.state, fingerprint=fingerprint(each.key.octets))
            for each in common.register[name].keys.values()
        ),
    )


def state(contact: Contact, mine: Sequence[Times], now_ms: int) -> GatewayState:
    """Whether it is heard; a last will is unsigned and only displayed."""
    if contact.contact_ms is None:
        return "never heard"
    if contact.status == OFFLINE:
        return "link down"
    distances = [found for each in mine if (found := usual_ms(each.recent)) is not None]
    return "silent" if silent(contact.contact_ms, min(distances, default=None), now_ms) else "heard"


def backlog(contact: Contact, facts: Sequence[Facts]) -> views.Backlog | None:
    """What the gateway held at its last hello and what is still not stored here."""
    if contact.hello_ms is None or contact.hello_held is None:
        return None
    try:
        wire = unpack(contact.hello_held, HELD_BYTES, "stored hello")
        held = ranges_from_wire(wire if isinstance(wire, list) else [], "stored hello")
    except PlombaError:
        return None
    stored = {each.epoch: each.stored for each in facts}
    waiting = sum(_size(runs.minus(((each.first, each.last),), stored.get(each.epoch, ()))) for each in held)
    return views.Backlog(batches=waiting, at_least=len(held) == limits.RANGES, said=utc(contact.hello_ms))


def case_view(case: Case) -> views.Case:
    """An open case."""
    return views.Case(
        n=case.n,
        kind=case.kind,
        meaning=words.held(case.kind),
        gateway=case.gateway or None,
        opened=utc(case.opened_ms),
    )


def _held(store: Store, name: str, facts: Sequence[Facts]) -> int:
    whole, single = store.cases.holds(name)
    return sum(_size(each.stored) for each in facts if each.epoch in whole) + sum(single.values())


def _clock(packed: bytes | None) -> views.Clock | None:
    if packed is None:
        return None
    try:
        clock = ClockShown.from_wire(unpack(packed, CLOCK_BYTES, "clock"), "store")
    except PlombaError:
        return None
    return views.Clock(
        state=cast("_CLOCK_STATES", clock.state.name.lower()),
        source=cast("_CLOCK_SOURCES", clock.source.name.lower()),
        offset_ms=clock.offset_ms,
        uncertainty_ms=clock.uncertainty_ms,
    )


def _size(numbers: Sequence[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in numbers)
