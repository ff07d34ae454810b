"""Gets to know the meters that push while they are visited: who they are, what they push, and scalers and units.

What is kept is asked for once; a meter that does not answer it is not asked again by this process. A visit never fails
by it: what was to be read is read already.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from gateway.config import DlmsDevice
from gateway.faults import WriteFailed
from gateway.pushstore import Met, PushStore, Remembered
from protocols.dlms import listing, pushed
from protocols.dlms.faults import AccessRefused
from protocols.dlms.objects import VALUE, Attribute, ScalerUnit
from protocols.dlms.pushed import Kept
from protocols.errors import LinkError, MeterError
from protocols.reading import Identity
from protocols.transports.dlms import Association

MOMENT_S = 5.0  # of a visit: the poll has a budget of its own
MOST = 64  # names of pushes that are looked up in an object list
MOST_KEPT = 512  # attributes of one meter

log = structlog.get_logger("plomba.gateway")


@dataclass(slots=True)
class _Draft:
    """What is known so far."""

    listed: tuple[Attribute, ...] = ()
    scales: dict[Attribute, ScalerUnit] = field(default_factory=dict)


class Acquaintance:
    """What is remembered of meters that push; `remembered` is shared with who takes the pushes."""

    def __init__(self, store: PushStore, remembered: Remembered) -> None:
        self._store, self._known = store, remembered
        self._asked: set[tuple[str, bytes]] = set()  # by device; with its name: the meter did not say it

    async def meet(self, association: Association, device: DlmsDevice, identity: Identity) -> None:
        """Ask an associated meter for what is not known of it yet, as far as it answers in a moment."""
        before = self._known.meters.get(device.name)
        same = before is not None and before.identity == identity
        draft = _Draft(before.kept.listed, dict(before.kept.scales)) if before and same else _Draft()
        try:
            async with asyncio.timeout(MOMENT_S):
                await self._listed(association, device, draft)
                await self._scaled(association, device, draft)
        except TimeoutError:
            pass  # the rest at the next visit
        except (MeterError, LinkError) as error:
            log.info("push-list-unread", device=device.name, error=str(error))
        met = Met(identity, Kept(draft.listed, draft.scales))
        if met == before:
            return
        self._known.meters[device.name] = met
        try:
            await self._store.learn(device.name, met)
        except WriteFailed as error:  # it is known until the process ends, and asked again then
            log.error("push-list-unkept", device=device.name, error=str(error))

    async def _listed(self, association: Association, device: DlmsDevice, draft: _Draft) -> None:
        """The meter's own push list, where none is configured; once more where a push did not fit it."""
        misfit = device.name in self._known.misfit
        self._known.misfit.discard(device.name)
        first = self._first(device, pushed.PUSH_LIST.name) and not draft.listed
        if device.push_objects or not (first or misfit):
            return
        with suppress(AccessRefused):
            found = await association.get(pushed.PUSH_LIST)
            draft.listed = pushed.definitions(found.data)[: pushed.MAX_ITEMS]

    async def _scaled(self, association: Association, device: DlmsDevice, draft: _Draft) -> None:
        """The scalers of what is pushed."""
        listed = tuple(map(pushed.from_text, device.push_objects)) or draft.listed
        for each in (*listed, *await self._classed(association, device)):
            if each in draft.scales or len(draft.scales) >= MOST_KEPT or not self._first(device, str(each).encode()):
                continue
            if each.scaler is None:
                draft.scales[each] = ScalerUnit(0, None)  # its class is what is to be known
                continue
            with suppress(AccessRefused):
                draft.scales[each] = ScalerUnit.from_data((await association.get(each.scaler)).data)

    async def _classed(self, association: Association, device: DlmsDevice) -> list[Attribute]:
        """The attributes of names that pushes had, as the meter's object list has them."""
        names = {each for each in self._known.wanted.get(device.name, ()) if self._first(device, each, keep=False)}
        if not names:
            return []
        for each in names:
            self._first(device, each)
        found = listing.objects((await association.get(listing.OBJECT_LIST)).data)
        return [Attribute(each.class_id, each.name, VALUE) for each in found if each.name in names][:MOST]

    def _first(self, device: DlmsDevice, what: bytes, *, keep: bool = True) -> bool:
        """Whether this is asked for the first time."""
        name = device.name, what
        first = name not in self._asked
        if keep and len(self._asked) < MOST_KEPT * 64:
            self._asked.add(name)
        return first
