"""What an erasure would take, and what a purpose still holds of it; nothing is changed here.

A reading at an edge of a span belongs to what is beside it too, and stays: only what lies within goes. What a purpose
holds is left out, unless the one who decides names the purpose (`despite`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from collector.attribute.serving import Window
from collector.attribute.source import Source
from collector.attribute.stands import TURN_MS
from collector.erase.moments import UTC, MeterSpan, instants, without
from collector.erase.purposes import BILLING, CASE, DIAGNOSIS, OPERATION, Purposes
from collector.faults import EraseError
from collector.grid import DAY_MS
from collector.master.dated import Span
from collector.master.meters import Installation
from collector.shown import utc
from collector.store.erasures import COARSE, FINE, KEPT, Closed
from collector.store.evidence import DECODED, Evidence
from collector.store.interface import Store
from collector.store.readings import identity
from collector.store.series import meter_name
from collector.store.stands import StandVersion
from protocols.uplink.leaf import SealedReading
from protocols.uplink.proof import leaf_from

DAYS_MS = 400 * DAY_MS  # a page of months begins so long before what is in it


@dataclass(slots=True)
class Plan:
    """What would be erased: leaves (gateway, batch, index), spans of meters and of points; `held`: what stays, and why.

    `gateways` are those whose evidence is looked through.
    """

    what: str
    leaves: list[tuple[str, bytes, int]] = field(default_factory=list)
    meters: list[MeterSpan] = field(default_factory=list)
    points: list[Closed] = field(default_factory=list)
    gateways: set[str] = field(default_factory=set)
    despite: tuple[str, ...] = ()
    held: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.leaves or self.meters or any(each.kind != KEPT for each in self.points))

    def to_json(self) -> dict[str, Any]:
        """As the list of erasures keeps it: ids, instants and no value."""
        return {
            "what": self.what,
            "leaves": [[gateway, batch.hex(), leaf] for gateway, batch, leaf in self.leaves],
            "meters": [[each.meter.hex(), each.from_ms, each.to_ms, each.clock] for each in self.meters],
            "points": [[each.point, each.kind, each.from_ms, each.to_ms] for each in self.points],
            "gateways": sorted(self.gateways),
            "despite": sorted(self.despite),
        }

    @classmethod
    def from_json(cls, shown: dict[str, Any]) -> Plan:
        """From a list of erasures.

        Raises:
            EraseError: it is none.
        """
        try:
            return cls(
                str(shown["what"]),
                [(str(gateway), bytes.fromhex(batch), int(leaf)) for gateway, batch, leaf in shown["leaves"]],
                [MeterSpan(bytes.fromhex(key), int(a), int(b), str(clock)) for key, a, b, clock in shown["meters"]],
                [Closed(str(point), str(kind), int(a), int(b)) for point, kind, a, b in shown["points"]],
                {str(each) for each in shown["gateways"]},
                tuple(str(each) for each in shown["despite"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EraseError("an erasure as 'erasures --json' prints it", repr(error)[:100], "list") from None


class Planner:
    """Looks into one store; `purposes` hold what they hold at `now_ms`, but those named in `despite`."""

    def __init__(self, store: Store, purposes: Purposes, now_ms: int, despite: Collection[str] = ()) -> None:
        self._store, self._purposes, self._now_ms = store, purposes, now_ms
        self._despite = tuple(despite)
        self._source = Source(store)
        with store.transaction():
            store.master.identities.look()

    def point(self, point: str, from_ms: int, to_ms: int) -> Plan:
        """All that lies within a span of a point.

        Raises:
            EraseError: there is no such point, or nothing in the span.
        """
        if from_ms + 1 >= to_ms:
            raise EraseError("a span with something in it", f"{utc(from_ms)} to {utc(to_ms)}", point)
        plan = Plan(f"point {point} from {utc(from_ms)} to {utc(to_ms)}", despite=self._despite)
        self._within(plan, point, from_ms + 1, to_ms - 1, None)
        return plan

    def leaves(self, row: Evidence, indexes: Sequence[int]) -> Plan:
        """Leaves of a batch; what the same meter showed at the same instant goes too, wherever it is sealed.

        Raises:
            EraseError: the batch is not decoded, or has no such leaf.
            PeerError, SecurityError: it does not hold.
        """
        where = f"batch {row.id.hex()}"
        if row.state != DECODED:
            raise EraseError("a batch that is decoded", row.state, where)
        opened = row.opened()
        plan = Plan(f"{where}, leaves {', '.join(map(str, indexes))}", despite=self._despite)
        plan.gateways.add(row.gateway)
        for index in indexes:
            if not 0 <= index < len(opened.leaves):
                raise EraseError(f"a leaf from 0 to {len(opened.leaves) - 1}", f"{index}", where)
            octets = opened.leaves[index]
            if octets is None:
                plan.held.append(f"leaf {index} is erased already")
                continue
            content = leaf_from(octets)
            if isinstance(content, SealedReading):
                self._reading(plan, row, index, content)
            else:
                plan.leaves.append((row.gateway, row.id, index))
        return plan

    def _reading(self, plan: Plan, row: Evidence, index: int, reading: SealedReading) -> None:
        """One reading: at each point whose meter it is, or by its leaf where it is nobody's."""
        key, _, moment, _ = identity(row.gateway, reading)
        shown = self._source.whose(key, row.gateway, reading.device, reading.at_ms)
        meters = {each.meter for each in shown.mapped} | ({shown.meter} if shown.meter else set())
        before, points = len(plan.meters), len(plan.points)
        took: list[bool] = []
        for meter in sorted(meters):
            for here in self._store.master.installations.all(meter=meter):
                for at_ms in instants(moment, here.clock):
                    if here.span.holds(at_ms):
                        known = len(plan.meters)
                        self._within(plan, here.point, at_ms, at_ms, key)
                        took.append(len(plan.meters) > known)
        if took and not all(took):  # a leaf has the values of all of them: what one of them holds stays
            del plan.meters[before:], plan.points[points:]
        if not took:
            spans = [MeterSpan(key, at_ms, at_ms, UTC) for at_ms in instants(moment, UTC)]
            if spans and self._doubtful(spans[0]):
                plan.held.append(f"leaf {index}: in an open case or conflict")
            elif not self._held_for_diagnosis(plan, row.received_ms):
                plan.meters += spans
        if len(plan.meters) > before:
            plan.leaves.append((row.gateway, row.id, index))
            plan.gateways |= {each.gateway for each in self._store.devices.names(meter_name(key))}

    def _held_for_diagnosis(self, plan: Plan, at_ms: int) -> bool:
        limit = self._limit(DIAGNOSIS, self._purposes.readings_before(self._now_ms))
        if limit is not None and at_ms >= limit:
            plan.held.append(_held(DIAGNOSIS, "readings", limit))
            return True
        return False

    def _within(self, plan: Plan, point: str, low: int, high: int, only: bytes | None) -> None:
        """What lies in [low, high] of a point (of one meter's key), without what is held."""
        known = self._store.master.points.all(point=point)
        if not known:
            raise EraseError("a metering point that was entered", repr(point[:64]), "the store")
        zone = known[-1].zone
        read = self._limit(DIAGNOSIS, self._purposes.readings_before(self._now_ms))
        fine = self._limit(OPERATION, self._purposes.fine_before(zone, self._now_ms))
        coarse = self._limit(BILLING, self._purposes.coarse_before(zone, self._now_ms))
        for kind, limit, purpose, words in (
            (FINE, fine, OPERATION, "intervals below a day"),
            (COARSE, coarse, BILLING, "days, months and stands"),
        ):
            until = high if limit is None else min(high, limit - 1)
            if until >= low:
                plan.points.append(Closed(point, kind, low, until))
            if until < high:
                plan.held.append(_held(purpose, words, limit))
        until = high if read is None else min(high, read - 1)
        if until < high:
            plan.held.append(_held(DIAGNOSIS, "readings", read))
        if until >= low:
            plan.points.append(Closed(point, KEPT, low, until))
            self._of_meters(plan, point, Window(low, until), coarse, only)

    def _of_meters(self, plan: Plan, point: str, window: Window, coarse: int | None, only: bytes | None) -> None:
        """The spans of the meters that were at a point in a window."""
        stands = self._store.stands.of(point, window.from_ms - TURN_MS, window.to_ms + TURN_MS + 1)
        billed = [each for each in stands if coarse is not None and each.stand.at_ms >= coarse]
        for here in self._store.master.installations.during(Span(window.from_ms, window.to_ms + 1), point=point):
            low, high = max(window.from_ms, here.span.from_ms), window.to_ms
            high = high if here.span.to_ms is None else min(high, here.span.to_ms)
            kept = set(_origins(billed, here))
            if at := [each for each in kept if low <= each <= high]:
                plan.held.append(f"{len(at)} readings of meter {here.meter} that stands rest on: {BILLING}")
            for key in self._source.keys_of(here.meter):
                if only not in (None, key):
                    continue
                doubtful = self._doubtful(MeterSpan(key, low, high, here.clock))
                if doubtful:
                    plan.held.append(
                        f"{len(doubtful)} readings of meter {here.meter} in an open case or conflict: {CASE}"
                    )
                plan.meters += [MeterSpan(key, *each, here.clock) for each in without(low, high, kept | doubtful)]
                plan.gateways |= {each.gateway for each in self._store.devices.names(meter_name(key))}

    def _doubtful(self, span: MeterSpan) -> set[int]:
        """The instants of a meter's readings that are held or in conflict, where that counts."""
        if CASE in self._despite:
            return set()
        return {
            at_ms
            for moment in self._store.readings.doubtful(span.meter)
            if span.holds(moment)
            for at_ms in instants(moment, span.clock)
        }

    def _limit(self, purpose: str, before_ms: int | None) -> int | None:
        """Before when a purpose holds nothing (0: it holds all); None where it does not count."""
        if purpose in self._despite:
            return None
        return before_ms or 0


def _origins(billed: Sequence[StandVersion], here: Installation) -> Iterator[int]:
    for each in billed:
        for origin in each.stand.origin:
            if origin.serial == here.meter:
                yield from instants(origin.first, here.clock)


def _held(purpose: str, words: str, limit: int | None) -> str:
    return f"{words}: {purpose}" + (f" holds them from {utc(limit)} on" if limit else " holds all of them")
