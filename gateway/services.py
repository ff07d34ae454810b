"""Orders to a single M-Bus meter: who it is is shown, a person says yes, and the meter is read afterwards.

Nothing is said to be done because it was acknowledged: an acknowledgement bears no address. And nothing is said to have
failed because none came: what the meter shows afterwards decides.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from gateway.faults import SpeedFixed
from gateway.lines import Lines, Opened, Place, opened
from protocols.errors import MeterError
from protocols.mbus import select, services, telegram
from protocols.mbus.faults import AddressTaken, ClockNotSettable, MeterLost, NotObeyed
from protocols.mbus.meaning import meter_time, values
from protocols.mbus.media import MEDIA
from protocols.mbus.select import Secondary
from protocols.mbus.services import Order
from protocols.mbus.session import ReadSession, Route, SlaveState, primary
from protocols.mbus.sweep import PrimarySearch
from protocols.mbus.telegram import Telegram
from protocols.mbus.timing import Timing
from protocols.models import mbus as models
from protocols.models.clock import Clock as ClockRule
from protocols.models.mbus import MbusModel
from protocols.reading import Identity, MeterTime, Precision
from protocols.transports import exchange
from protocols.transports.exchange import Answer, Clock, Search

CLOCK = Clock(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000)
CLOCK_TOLERANCE_S = 120  # a clock of whole minutes, and the time of the order and of the read
Agree = Callable[[str], bool]  # asks a person
Known = Callable[[Identity], Sequence[MbusModel]]  # the models that a meter may be of


class Declined(Exception):  # noqa: N818 - what happened
    """The person said no: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Where:
    """A line, and a meter on it: a primary address, or a secondary one."""

    place: Place
    meter: int | Secondary


@dataclass(frozen=True, slots=True)
class Met:
    """A meter that answered: who it is, at which primary address, its whole secondary one where it has one."""

    identity: Identity
    address: int
    secondary: Secondary | None
    telegrams: tuple[Telegram, ...]

    @property
    def name(self) -> str:
        """As a technician compares it with the plate."""
        who = self.identity
        medium = "no medium" if who.medium is None else f"medium {who.medium:02x}: {MEDIA.get(who.medium, 'unknown')}"
        return f"{who.manufacturer or '-'} {who.id or '-'} ({medium}) at primary address {self.address}"

    @property
    def clock(self) -> MeterTime | None:
        """What its clock shows."""
        return meter_time(*self.telegrams)


class Talk:
    """An open line with one meter to speak to; use it as a context."""

    def __init__(self, where: Where, lines: Lines) -> None:
        self.where, self.baud, self._lines = where, where.place.baud, lines
        self._way = where.meter
        self._opened: Opened | None = None

    async def __aenter__(self) -> Talk:
        await self.speak(self.baud)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._opened is not None:
            self._opened.line.close()

    async def speak(self, baud: int) -> None:
        """Open the line, at another speed where it was open.

        Raises:
            LinkError: it cannot be opened.
        """
        if self._opened is not None:
            self._opened.line.close()
        self._opened = None
        self._opened = await opened(replace(self.where.place, baud=baud), self._lines)
        self.baud = baud

    async def meet(self, at: int | Secondary | None = None) -> Met:
        """Read the meter; by the secondary address that it then shows it is selected from now on, if it is at all.

        Raises:
            LinkError: the line is gone.
            MeterError: nobody answers, or not clearly.
        """
        way = self._way if at is None else at
        answers = await self._ran(select.selected(way) if isinstance(way, Secondary) else primary(way))
        frames = [answer.frame for answer in answers]
        told = tuple(telegram.recall(frame) for frame in frames)
        found = Met(told[0].identity, frames[0].address, select.of_header(frames[0]), told)
        if isinstance(self._way, Secondary) and at is None and found.secondary is not None:
            self._way = found.secondary
        return found

    async def order(self, order: Order) -> MeterError | None:
        """Give an order; why it was not acknowledged, where it was not.

        Raises:
            LinkError: the line is gone.
        """
        way = self._way
        route = services.selected(order, way) if isinstance(way, Secondary) else services.primary(order, way)
        try:
            await self._ran(route)
        except MeterError as error:
            return error
        return None

    async def is_free(self, address: int) -> bool:
        """Whether nobody answers at a primary address, neither a reset nor a read."""
        for reads in (False, True):
            search = PrimarySearch(self._timing, reads, last=address, first=address)
            await self._searched(search)
            if search.found or search.unresolved or search.noisy:
                return False
        return True

    @property
    def _timing(self) -> Timing:
        return Timing(self.baud, self._there.slack_ms)

    @property
    def _there(self) -> Opened:
        assert self._opened is not None, "a talk is a context"  # noqa: S101 - ours alone
        return self._opened

    async def _ran(self, route: Route) -> tuple[Answer, ...]:
        return await exchange.run(ReadSession(route, SlaveState(), self._timing), self._there.line, CLOCK)

    async def _searched(self, search: Search) -> None:
        while await exchange.ask(search, self._there.line, CLOCK):
            pass


async def set_address(talk: Talk, address: int, agree: Agree) -> str:
    """Give the meter another primary address; how it ended.

    Raises:
        AddressTaken: somebody answers there, or the meter has it already.
        NotObeyed: the meter does not answer at the new address.
        Declined: the person said no.
        MeterError: the meter does not answer before.
    """
    met = await talk.meet()
    if met.address == address:
        raise AddressTaken("another address than it has", str(address), met.name)
    if not await talk.is_free(address):
        raise AddressTaken(f"silence at address {address}", "an answer, or a collision", "the look before")
    _ask(agree, f"{met.name}: give it primary address {address}?")
    refused = await talk.order(services.set_address(address))
    after = await _met_again(talk, address)
    if after is None or after.identity != met.identity or after.address != address:
        there = "no answer there" if after is None else after.name
        raise NotObeyed(f"address {address}", _ended(refused, there), met.name)
    return f"{after.name}{_unheard(refused)}; change `address` in the configuration where it is named"


async def reset(talk: Talk, sub_code: int | None, agree: Agree) -> str:
    """Tell the meter to begin anew with its first telegram, or with the one that a sub-code chooses; how it ended.

    Raises:
        NotObeyed: it did not acknowledge.
        Declined: the person said no.
        MeterError: the meter does not answer before or afterwards.
    """
    order = services.application_reset(sub_code)
    met = await talk.meet()
    with_code = "" if sub_code is None else f" with sub-code {sub_code:02x}"
    _ask(agree, f"{met.name}: application reset{with_code}?")
    refused = await talk.order(order)
    after = await talk.meet()
    if refused is not None:
        raise NotObeyed("an acknowledgement", str(refused.got), met.name)
    return f"{after.name}: reset{with_code}; it shows {len(values(*after.telegrams))} values now"


async def set_baud(talk: Talk, baud: int, agree: Agree) -> str:
    """Tell the meter to speak at another speed; it is looked for there, then at the old one; how it ended.

    Raises:
        SpeedFixed: a converter has the speed of the line, and it could not be changed with the meter's.
        NotObeyed: it still speaks at the old speed.
        MeterLost: it answers at neither.
        Declined: the person said no.
        MeterError: the meter does not answer before.
    """
    order, before = services.set_baud(baud), talk.baud
    if talk.where.place.fixed:
        raise SpeedFixed("a line whose speed is ours to set", "a converter's own", talk.where.place.at)
    met = await talk.meet()
    _ask(agree, f"{met.name}: from {before} to {baud} baud? (a line has one speed: the others stay at theirs)")
    refused = await talk.order(order)
    for speed in (baud, before):
        await talk.speak(speed)
        after = await _met_again(talk)
        if after is not None and after.identity == met.identity:
            if speed == baud:
                return f"{after.name}: it speaks at {baud} baud now{_unheard(refused)}"
            raise NotObeyed(f"an answer at {baud} baud", _ended(refused, f"one at {before} baud"), met.name)
    raise MeterLost(f"an answer at {baud} or {before} baud", "silence or noise at both", met.name)


async def set_clock(
    talk: Talk, wanted: MeterTime | None, agree: Agree, any_model: bool = False, known: Known = models.candidates
) -> str:
    """Set the meter's clock, to this machine's local time where none is `wanted`; how it ended.

    The meter's model says whether and how. With `any_model` it is tried where no model says anything: a meter whose
    clock shows seconds is sent type I, another one type F.

    Raises:
        ClockNotSettable: its model does not allow it, or says nothing.
        NotObeyed: its clock does not show that afterwards.
        Declined: the person said no.
        MeterError: the meter does not answer.
    """
    met = await talk.meet()
    rule = _rule(met, any_model, known)
    goal = f"this machine's local time, {_said(_local_time())}" if wanted is None else _said(wanted)
    _ask(agree, f"{met.name}: it shows {_said(met.clock)}; set its clock to {goal}?{_warned(rule)}")
    given_ms = CLOCK.mono_ms()
    given = _timed(_local_time() if wanted is None else wanted, met, rule)
    refused = await talk.order(_clock_order(given, rule))
    after = (await talk.meet()).clock
    passed_s = (CLOCK.mono_ms() - given_ms) // 1000
    apart = after is None or abs(after.seconds - given.seconds - passed_s) > CLOCK_TOLERANCE_S
    if after is None or apart or (rule is not None and rule.summer and after.summer != given.summer):
        raise NotObeyed(f"a clock that shows {_said(given)}", _ended(refused, _said(after)), met.name)
    return f"{met.name}: its clock shows {_said(after)}{_unheard(refused)}"


def _ask(agree: Agree, question: str) -> None:
    if not agree(question):
        raise Declined


async def _met_again(talk: Talk, address: int | None = None) -> Met | None:
    """The meter after an order, by its new primary address or the way it was reached; None where nobody answers."""
    by_number = isinstance(talk.where.meter, Secondary)
    try:
        return await talk.meet(None if by_number else address)
    except MeterError:
        return None


def _ended(refused: MeterError | None, got: str) -> str:
    return f"{got}, and an acknowledgement" if refused is None else f"{got}, and no acknowledgement"


def _unheard(refused: MeterError | None) -> str:
    return "" if refused is None else " (though its acknowledgement did not arrive)"


def _local_time() -> MeterTime:
    local = time.localtime()
    shown = MeterTime.from_calendar(_calendar(local), Precision.SECOND)
    return MeterTime(shown.seconds, Precision.SECOND, local.tm_isdst > 0)


def _calendar(local: time.struct_time) -> datetime.datetime:
    return datetime.datetime(*local[:6])  # noqa: DTZ001 - a meter's calendar has no zone


def _rule(met: Met, any_model: bool, known: Known) -> ClockRule | None:
    """What the meter's model says of setting its clock; None where none says anything and it is tried all the same."""
    found = known(met.identity)
    rules = [each.clock for each in found if each.clock is not None]
    if rules and not all(each.settable for each in rules):
        said = next(each.says for each in rules if not each.settable)
        raise ClockNotSettable("a clock that is set over the bus", said, f"{met.name}, {_named(found)}")
    if not rules and not any_model:
        silent = f"{_named(found)}, of which no source says it" if found else "no model of its header"
        raise ClockNotSettable("a model whose clock is set over the bus", silent, met.name)
    return rules[0] if rules else None


def _named(found: Sequence[MbusModel]) -> str:
    return " or ".join(each.name for each in found)


def _warned(rule: ClockRule | None) -> str:
    """What the person should know beside the question."""
    if rule is None:
        return " (no model says that this meter takes it)"
    return " (its model takes no summer-time flag: none is sent)" if rule.summer is False else ""


def _said(time: MeterTime | None) -> str:
    """A time with its summer-time flag."""
    if time is None:
        return "no clock"
    return f"{time}, summer time" if time.summer else str(time)


def _clock_order(given: MeterTime, rule: ClockRule | None) -> Order:
    return services.set_clock(given) if rule is None else services.set_clock(given, rule.head, rule.ci)


def _timed(wanted: MeterTime, met: Met, rule: ClockRule | None) -> MeterTime:
    """To the second, or to the nearest minute: as the model says, else as the meter's clock shows."""
    shown = Precision.MINUTE if met.clock is None else met.clock.precision
    precise = (shown if rule is None else rule.precision) is Precision.SECOND
    summer = wanted.summer and not (rule is not None and rule.summer is False)
    if precise:
        return MeterTime(wanted.seconds, Precision.SECOND, summer)
    return MeterTime((wanted.seconds + 30) // 60 * 60, Precision.MINUTE, summer)
