"""Looks on an M-Bus line for a meter that nobody configured, while one that is selected by its number is silent.

Such a meter cannot be followed at its address: a new one in its place has another number, and nobody selects it. So
the line is searched as by the command `scan`, for meters of the silent one's kind. Rules:

* Nobody silent, or the line too full by its forecast: no search. Of a line that is gone nothing is asked, either.
* A few questions in a rest that is longer than they take at the most; whoever else wants the line goes first.
* At most so many selections and so much time a day; and no battery meter is asked more often than its model allows.
* It goes on where it was, also after a start; it is done once a day at most, and not again once somebody was found.
* A newcomer is read once, under its own identity, and told with the devices that it may have replaced. It is a
  proposal: nothing is attributed to anybody until a person records the exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import structlog

from gateway import events
from gateway.battery import uses
from gateway.clock import GatewayClock
from gateway.config import MbusBus
from gateway.config_newcomers import Lookout as Settings
from gateway.faults import NewcomerFound, WriteFailed
from gateway.forecast import BUSY_PERMILLE, forecast
from gateway.mbus import pattern_of
from gateway.newcomers import ANY, MOST, Newcomer, Newcomers, Offer, explains, kin, offers
from gateway.silence import Silence
from gateway.succession import Succession
from gateway.successors import named
from protocols.errors import LinkError, MeterError, PlombaError
from protocols.mbus import telegram
from protocols.mbus.faults import NoAnswer
from protocols.mbus.search import DECIMALS, Found, SecondarySearch
from protocols.mbus.select import Secondary
from protocols.mbus.timing import Timing
from protocols.reading import Identity, Reading
from protocols.uplink.leaf import identity_to_wire
from protocols.uplink.pack import pack
from protocols.uplink.records import Event

QUESTIONS = 8  # in one rest, after which the schedule is looked at again: about four selections
SELECTIONS = 10_000  # of one search: some days of a line with much noise
UNCLEAR = 50  # places of one search that are not clear, before the line is called noisy
TRIES = 3  # to read a newcomer
DAY_MS = 86_400_000
LEFT = 4  # questions of a day that a battery meter must have left: a selection, and what is read behind it

log = structlog.get_logger("plomba.gateway")


class Line(Protocol):
    """What is asked on the line; `MbusReader` is one."""

    @property
    def question_ms(self) -> int:
        """How long one question and what follows it take at the most."""

    async def ask(self, search: SecondarySearch) -> bool:
        """One question of a search; whether there is another."""

    async def meet(self, who: Identity, name: str) -> list[Reading]:
        """The reading of a meter that no device is."""


class Lookout:
    """The search on one line.

    Args:
        bus: the line and its devices.
        settings: its bounds.
        store: what is remembered of it.
        succession: who the devices' meters are.
        clock: for days and stamps.
        note: takes events.
        line: asks the meters.
    """

    def __init__(
        self,
        bus: MbusBus,
        settings: Settings,
        store: Newcomers,
        succession: Succession,
        clock: GatewayClock,
        note: Callable[[Event], None],
        line: Line,
    ) -> None:
        self._bus, self._settings, self._store = bus, settings, store
        self._succession, self._clock, self._note, self._line = succession, clock, note, line
        self._roomy = forecast(bus).worst_permille <= BUSY_PERMILLE
        self._spare = {each.device: each.allowed_a_day - each.reads_a_day for each in uses(bus) if each.allowed_a_day}
        self._now = self._kept = store.of(bus.name)
        self._silence = Silence(bus, settings.after_s, succession, clock, self._now.silent)
        self._told: dict[str, tuple[str, ...]] = {}  # in whose places newcomers may be
        self._tries: dict[str, int] = {}
        self._search: SecondarySearch | None = None
        self._left = 0  # selections of the search when it was kept last
        self._hears = False

    def heard(self, device: str) -> None:
        """A device was read."""
        self._hears = True
        self._silence.heard(device)

    def failed(self, device: str, error: PlombaError) -> None:
        """A device was not read."""
        self._hears |= isinstance(error, NoAnswer)
        self._silence.failed(device, error)

    def is_due(self) -> bool:
        """Whether something is to be looked for now."""
        if not (self._settings.search and self._hears):
            return False
        self._look_who()
        if not self._silence.is_sure(self._now.silent):
            return False
        return self._unread() is not None or not (self._now.done or self._spent())

    async def look(self, may: Callable[[int], bool]) -> list[Reading]:
        """Some questions, as long as there `may` be another one that takes so many milliseconds; what was read.

        Raises:
            LinkError: the line is gone.
        """
        found: list[Reading] = []
        try:
            for _ in range(QUESTIONS):
                if not self.is_due() or not may(2 * self._line.question_ms):
                    break
                found += await self._step(may)
        except LinkError:
            self._hears = False
            raise
        finally:
            self._leave()
        return found

    async def rest(self) -> None:
        """Tell what is new, and keep it."""
        self._tell()
        if self._now is self._kept:
            return
        self._kept = self._now
        try:
            await self._store.put(self._bus.name, self._now)
        except WriteFailed as error:  # it is known until the process ends
            log.error("newcomers-unkept", bus=self._bus.name, error=str(error))

    def _look_who(self) -> None:
        """Who is silent for long, and what follows from it; a new day has bounds of its own."""
        now_ms = self._clock.utc_ms()
        silent = self._silence.long()
        names, before = {each.device for each in silent}, {each.device for each in self._now.silent}
        changes: dict[str, object] = {}
        left = tuple(each for each in self._now.newcomers if not self._explained(each))
        if left != self._now.newcomers:  # an exchange was recorded
            changes["newcomers"] = left
        if self._now.day != now_ms // DAY_MS:
            fresh = {"day": now_ms // DAY_MS, "selections": 0, "busy_ms": 0, "questions": {}, "why": ""}
            changes |= {**fresh, "done": self._now.done and bool(self._now.newcomers)}
        if names != before:
            changes["silent"] = silent
        if names - before or not names:
            changes |= {"media": (), "search": None, "done": False}
            self._search = None
        self._change(**changes)

    def _spent(self) -> bool:
        """Whether the day's bounds are reached; it is said why."""
        now, settings, why = self._now, self._settings, ""
        if not self._roomy:
            why = "the line is too full"
        elif now.selections >= settings.selections_a_day:
            why = f"{now.selections} selections today"
        elif now.busy_ms >= settings.seconds_a_day * 1000:
            why = f"{now.busy_ms // 1000} s of the line today"
        elif (tired := next(self._tired(), None)) is not None:
            why = f"the battery of {tired} allows no more questions today"[:128]
        if why != now.why:
            self._change(why=why)
        return bool(why)

    def _tired(self) -> Iterator[str]:
        """The battery meters that would be asked more often than they may be."""
        mask = Secondary() if self._search is None else self._search.mask
        for name in self._asked(mask):
            if name in self._spare and self._now.questions.get(name, 0) + LEFT > self._spare[name]:
                yield name

    def _asked(self, mask: Secondary) -> list[str]:
        """The devices that obey a selection, as far as is known."""
        silent = {each.device for each in self._now.silent}
        return [
            each.name
            for each in self._bus.device
            if each.name not in silent and mask.meets(pattern_of(self._succession.known(each.name)[-1]))
        ]

    async def _step(self, may: Callable[[int], bool]) -> list[Reading]:
        """One selection with what is read behind it, or a newcomer's reading; its time counts."""
        began_ms = self._clock.mono_ms()
        try:
            unread = self._unread()
            if unread is not None:
                return await self._met(unread)
            await self._searched(may)
            return []
        finally:
            self._change(busy_ms=self._now.busy_ms + max(0, self._clock.mono_ms() - began_ms))

    def _leave(self) -> None:
        """The line is others' now; what was asked is kept."""
        search = self._search
        if search is None or (self._left == search.counts.selections and search.between):
            return
        if search.reads or not search.between:
            search.interrupted()
        self._left = search.counts.selections
        self._change(search=search.to_row())

    async def _searched(self, may: Callable[[int], bool]) -> None:
        search = self._search = self._search or self._begun()
        try:
            more = await self._asked_once(search)
            while more and search.reads and may(self._line.question_ms):
                more = await self._asked_once(search)
        except LinkError:
            search.interrupted()
            raise
        except MeterError as error:
            self._over(search, f"the search could not go on: {error.code}")
            return
        if not more:
            self._over(search, "")
        elif len(search.unresolved) >= UNCLEAR:
            self._over(search, "the line is too noisy to be searched")

    async def _asked_once(self, search: SecondarySearch) -> bool:
        before, obey = search.counts.selections, self._asked(search.mask)
        try:
            return await self._line.ask(search)
        finally:
            asked = {name: self._now.questions.get(name, 0) + 1 for name in obey if name in self._spare}
            spent = self._now.selections + search.counts.selections - before
            self._change(selections=spent, questions={**self._now.questions, **asked})

    def _begun(self) -> SecondarySearch:
        """The search that goes on, or the next one."""
        timing = Timing(self._bus.baud)
        if not self._now.media:
            self._change(media=self._media(), search=None)
        if self._now.search is not None:
            try:
                return SecondarySearch.from_row(self._now.search, timing)
            except ValueError:  # a damaged file: anew
                self._change(search=None)
        return SecondarySearch(timing, DECIMALS, most=SELECTIONS, within=Secondary(medium=self._now.media[0]))

    def _media(self) -> tuple[int, ...]:
        """The media of who may be in place of the silent ones."""
        media = {each.medium for each in self._now.silent}
        known = sorted({other for each in media if each is not None for other in kin(each)})
        return (ANY,) if None in media else tuple(known)

    def _over(self, search: SecondarySearch, why: str) -> None:
        """A search is done, or given up for today: who was found and is no device's is a newcomer."""
        within, now = Secondary(medium=self._now.media[0]), self._now
        found = [(_newcomer(each, self._clock.utc_ms()), each.address) for each in search.found]
        new = {each.identity: each for each, address in found if not self._explained(each, address)}
        whole = not why and not search.unresolved
        kept = {
            each.identity: each
            for each in now.newcomers
            if each.identity in new or not (whole and within.fits(pattern_of(each.identity)))
        }
        both, left = tuple((new | kept).values()), now.media[1:]
        self._search = None
        self._change(newcomers=both[:MOST], media=left, search=None, done=not left, why=why)

    def _explained(self, found: Newcomer, address: int | None = None) -> bool:
        """Whether a meter is a configured device's: by its number, or by its address where no number is known."""
        for device in self._bus.device:
            known = [each for each in self._succession.known(device.name) if each.id is not None]
            if any(explains(each, found) for each in known):
                return True
            if not known and address is not None and device.address == address:
                return True
        return False

    def _unread(self) -> Newcomer | None:
        left = (each for each in self._now.newcomers if not each.is_read)
        return next((each for each in left if self._tries.get(each.number, 0) < TRIES), None)

    async def _met(self, newcomer: Newcomer) -> list[Reading]:
        self._tries[newcomer.number] = self._tries.get(newcomer.number, 0) + 1
        try:
            found = await self._line.meet(newcomer.identity, newcomer.device)
        except LinkError:
            raise
        except MeterError:
            return []  # it is told all the same
        self._replace(newcomer, is_read=True)
        return found

    def _tell(self) -> None:
        """Say who was found, once in each process, and again where it may be in another one's place."""
        if not self._now.done or self._unread() is not None:
            return
        for offer in offers(self._bus.name, self._now.silent, self._now.newcomers):
            if offer.devices and self._told.get(offer.newcomer.number) != offer.devices:
                self._told[offer.newcomer.number] = offer.devices
                self._event(offer)

    def _event(self, offer: Offer) -> None:
        who, new = named(offer.newcomer.identity), offer.newcomer
        error = NewcomerFound("a configured meter", f"{who}: {offer.text}", self._bus.name)
        log.warning(events.NEWCOMER_FOUND, bus=self._bus.name, devices=list(offer.devices), error=str(error))
        identity = pack(identity_to_wire(new.identity))
        text = offer.text.encode()[:128].decode(errors="ignore")
        what = (self._bus.name, identity, new.found_ms, who, NewcomerFound.code, text)
        self._note(Event(self._clock.when(), events.NEWCOMER_FOUND, None, new.device, what))

    def _replace(self, newcomer: Newcomer, **changes: Any) -> None:
        changed = replace(newcomer, **changes)
        self._change(newcomers=tuple(changed if each is newcomer else each for each in self._now.newcomers))

    def _change(self, **changes: Any) -> None:
        if changes:
            self._now = replace(self._now, **changes)


def _newcomer(found: Found, found_ms: int) -> Newcomer:
    meter, letters = found.meter, telegram.manufacturer(found.meter.manufacturer)
    plain = letters.isascii() and letters.isalpha() and letters.isupper()
    return Newcomer(
        number=meter.id,
        manufacturer=letters if plain else None,
        version=meter.version,
        medium=meter.medium,
        found_ms=found_ms,
    )
