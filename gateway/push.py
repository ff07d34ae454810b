"""What meters send unasked: judged, sealed, and confirmed once it is durable.

Rules. A push becomes a reading of its meter (how: push; no slot, the meter's own time), its APDU under the seal; what
cannot be attributed or taken becomes an event with its APDU, and never a reading (docs/adr/0015). It is confirmed, or
counted as taken, when its batch is committed, and only then its invocation counter counts as come: a power cut between
both seals it twice, which the collector knows for one. What comes again (the same long-invoke-id and content) is
confirmed and not sealed again. Everything is bounded: pushes in hand, bytes a meter and a stranger may make us seal,
names that are remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from gateway import events
from gateway.attribute import From, Senders
from gateway.clock import GatewayClock
from gateway.config import DlmsDevice
from gateway.counters import CounterStore
from gateway.dlms_access import access_of, ways_of
from gateway.faults import WriteFailed
from gateway.push_faults import PushNotTaken, PushOverQuota, PushReplayed
from gateway.pushstore import DIGESTS, Count, PushStore, Remembered, Seen, Sent
from gateway.quota import Budget, Budgets
from protocols.dlms import clock as clocks
from protocols.dlms import pushed, unasked
from protocols.dlms.access import Access
from protocols.dlms.arrival import Arrived
from protocols.dlms.breaches import KeyUnknown
from protocols.dlms.ciphering import BOTH
from protocols.dlms.data import Data, octet_string
from protocols.dlms.notification import EVENT_NOTIFICATION, DataNotification, EventNotification
from protocols.dlms.objects import CLOCK_TIME, Meaning
from protocols.dlms.protection import Protection, Security
from protocols.dlms.pushed import Kept
from protocols.dlms.unasked import Unasked
from protocols.errors import ConfigurationError, MeterError, PlombaError
from protocols.reading import Exchange, How, Identity, MeterTime, Reading, State, Status, Value
from protocols.reading import Protocol as Spoken
from protocols.uplink import limits
from protocols.uplink.records import Event, Parameter

GATHER_S = 0.1  # pushes that come meanwhile are sealed in one batch: at most ten commits a second
IN_HAND = 256  # not yet durable; a further one is not taken
COUNT_S = 10.0  # between two writes of counts alone: who is refused makes no disk busy
REPEAT_MS = 600_000  # a push that is the same again within this time is the same push
HOURS = 4  # whose quota a meter may use up at once: pushes that waited for the network come together
RATE, RATE_HOUR = 600, 18_000  # messages of one source at once, and on the average: five a second
COST_BYTES = 1_024  # of a message that cost as much as one more: long ones are more work
TOLD, TOLD_HOUR = 60, 120  # lines in the log about what is refused: sources can be forged by the thousand
ALL_RATE, ALL_RATE_HOUR = 600, 180_000  # ... of all sources: fifty a second take 5 % of a small machine
HELD_BYTES, HELD_BYTES_HOUR = 16 * 1024, 16 * 1024  # sealed of what is not taken, of one source
ALL_HELD_BYTES, ALL_HELD_BYTES_HOUR = 64 * 1024, 64 * 1024  # ... and of all sources: 1.5 MB a day
HELD_COST = 256  # bytes that an event costs beside its APDU
SOURCES = 1_024  # remembered at a time
TELL_AGAIN_MS = 3_600_000  # before the log says the same of the same sender once more
LEAF = limits.REGISTERS
RECEIVED, SEALED, REPEATED, REFUSED, NOT_KEPT = (
    "pushes",
    "pushes-sealed",
    "pushes-repeated",
    "pushes-refused",
    "pushes-not-kept",
)

log = structlog.get_logger("plomba.gateway")


class Sink(Protocol):
    """Where readings and events go, and when they are durable."""

    def take(self, found: list[Reading]) -> None:
        """Readings."""

    def note(self, record: Event) -> None:
        """Something happened."""

    async def flush(self) -> None:
        """Commit all that was taken, as far as the disk takes it."""

    @property
    def has_room(self) -> bool:
        """Whether what was handed on last was committed."""


@dataclass(slots=True)
class _Taken:
    """A good push: what is sealed of it, and what counts as come when it is."""

    device: DlmsDevice
    access: Access | None  # of a ciphered one
    key: bytes
    counter: int
    digest: bytes
    invoke: int | None  # to be confirmed; None where no answer is wanted
    readings: list[Reading] = field(default_factory=list)
    event: Event | None = None
    done: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Pushes:
    """Judges what comes, one push at a time; `run` makes durable what was taken."""

    def __init__(
        self,
        devices: Sequence[DlmsDevice],
        clock: GatewayClock,
        sink: Sink,
        store: PushStore,
        remembered: Remembered,
        counters: CounterStore,
        bytes_hour: int,
    ) -> None:
        self._clock, self._sink, self._store, self._counters = clock, sink, store, counters
        self._known = remembered
        self._senders = Senders(devices, remembered.meters)
        self._bytes_hour = bytes_hour
        self._sealed = Budgets(HOURS * bytes_hour, bytes_hour, SOURCES)
        self._rate, self._all_rate = Budgets(RATE, RATE_HOUR, SOURCES), Budget(ALL_RATE, ALL_RATE_HOUR)
        self._held = Budgets(HELD_BYTES, HELD_BYTES_HOUR, SOURCES)
        self._all_held = Budget(ALL_HELD_BYTES, ALL_HELD_BYTES_HOUR)
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._tellings = Budget(TOLD, TOLD_HOUR)
        self._waiting: list[_Taken] = []
        self._open: dict[tuple[str, bytes], _Taken] = {}  # not durable yet
        self._counts: Counter[Count] = Counter()
        self._wake = asyncio.Event()

    async def came(self, arrived: Arrived, origin: str) -> bytes | None:
        """The APDU that answers a push from the address `origin`; None where none is wanted, or it is not taken."""
        self._count(RECEIVED, "all")
        where = From(origin, arrived.port)
        try:
            taken = self._judged(arrived.apdu, where)
            if not await self._is_durable(taken, len(arrived.apdu)):
                wanted = "a commit of the batch that holds it"
                raise PushNotTaken(wanted, "a disk or buffer that takes nothing now", taken.device.name)
        except (MeterError, ConfigurationError) as error:
            self._refused(error, arrived.apdu, origin)
            return None
        return await self._confirmed(taken)

    def admits(self, origin: str, size: int) -> bool:
        """Whether one more message of so many bytes (0: a connection) of this source is looked at."""
        mono_ms, cost = self._clock.mono_ms(), 1 + size // COST_BYTES
        if self._rate.spend(origin, cost, mono_ms) and self._all_rate.spend(cost, mono_ms):
            return True
        self._count(REFUSED, PushOverQuota.code)
        self._tell(origin, PushOverQuota(f"at most {RATE_HOUR // 3600} messages a second", "more", origin))
        return False

    def refused(self, error: PlombaError, octets: bytes, origin: str) -> None:
        """What came and was no push at all."""
        self._count(RECEIVED, "all")
        self._refused(error, octets, origin)

    async def run(self) -> None:
        """Make durable what was taken, in groups; never returns."""
        while True:
            try:
                async with asyncio.timeout(COUNT_S):
                    await self._wake.wait()
                await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass  # counts alone
            await self.settle()

    async def settle(self) -> None:
        """Make durable what is in hand, and write what was counted."""
        self._wake.clear()
        if self._waiting or self._counts:
            await self._commit()

    async def _commit(self) -> None:
        group, self._waiting = self._waiting, []
        counts, self._counts = self._counts, Counter()
        committed = True
        if group:
            self._sink.take([reading for each in group for reading in each.readings])
            for each in group:
                if each.event is not None:
                    self._sink.note(each.event)
            await self._sink.flush()
            committed = self._sink.has_room
        sent = [self._sent(each) for each in group] if committed else []
        counts.update(Counter((SEALED, each.device.name) for each in group) if committed else {})
        try:
            await self._store.keep(sent, counts)
        except WriteFailed as error:  # sealed is sealed: a push that comes again is sealed again, and known for one
            self._tell("push store", error)
            self._counts.update(counts)
        for each in group:
            if not committed:
                self._forget(each)
            self._open.pop((each.device.name, each.digest), None)
            if not each.done.done():
                each.done.set_result(committed)

    def _judged(self, apdu: bytes, origin: From) -> _Taken:
        found = unasked.read(apdu)
        if found.ciphered is None:
            self._senders.check_origin(origin)
            body = _body(apdu)
            device = self._senders.of_plain(body, origin)
            return self._taken(device, None, found, apdu)
        device = self._senders.of_ciphered(found, origin)
        access = access_of(device)
        security = access.security
        if security is None:
            raise KeyUnknown("the keys of a meter that ciphers", "none in the configuration", device.name)
        plain = found.opened(security.keys, security.ciphering, access.meter_title, access.title)
        return self._taken(device, access, found, plain)

    def _taken(self, device: DlmsDevice, access: Access | None, found: Unasked, plain: bytes) -> _Taken:
        security = None if access is None else access.security
        key = b"" if security is None else _key(device.name, security)
        digest = hashlib.sha256(plain).digest()
        taken = _Taken(device, access, key, found.counter, digest, None)
        if plain[0] == EVENT_NOTIFICATION:
            taken.event = self._event(device, EventNotification.from_bytes(plain), found.octets)
            return taken
        sent = DataNotification.from_bytes(plain)
        taken.invoke = sent.invoke if sent.confirmed else None
        taken.readings = self._readings(device, sent, found.octets)
        return taken

    def _readings(self, device: DlmsDevice, sent: DataNotification, octets: bytes) -> list[Reading]:
        kept, ways = self._kept(device), ways_of(device)
        try:
            items = tuple(
                replace(each, data=ways.turned(each.attribute, each.data)) for each in pushed.items(sent.body, kept)
            )
        except MeterError:
            self._known.misfit.add(device.name)
            raise
        self._senders.check(device, items)
        self._known.wanted[device.name] = pushed.unknown(items, kept)
        values, time, doubtful = pushed.values(items, kept), pushed.time_of(items), pushed.is_doubtful(items)
        if time is None and sent.moment:
            shown = clocks.from_data(ways.turned(CLOCK_TIME, octet_string(sent.moment)), "push")
            time, doubtful = None if shown.invalid else shown.time, shown.doubtful
        if doubtful and time is not None:  # what may be of another time feeds no billing
            values = tuple(replace(each, state=State.UNKNOWN) if each.state is State.OK else each for each in values)
        made = Exchange(self._clock.utc_ms(), self._clock.mono_ms(), 0, self._clock.quality(), octets)
        parts = [values[at : at + LEAF] for at in range(0, len(values), LEAF)]
        who = self._identity(device)
        return [_reading(who, device.name, time, made, part, number) for number, part in enumerate(parts)]

    def _event(self, device: DlmsDevice, event: EventNotification, octets: bytes) -> Event:
        scale = self._kept(device).scales.get(event.attribute)
        shown = Meaning.of(event.attribute, scale).value(event.value)
        parameters = (str(event.attribute), str(shown.number)[: limits.TEXT], shown.unit, event.moment, octets)
        return self._made(events.METER_EVENT, device, parameters)

    def _check(self, taken: _Taken, size: int) -> None:
        """Counter, quota and room; from here on it counts as come.

        Raises:
            PushReplayed, PushOverQuota, PushNotTaken: it is not taken.
        """
        name, mono_ms = taken.device.name, self._clock.mono_ms()
        seen = self._known.seen.get(taken.key, Seen())
        if taken.key and not seen.takes(taken.counter):
            raise PushReplayed(f"an invocation counter that is new, near {seen.highest}", str(taken.counter), name)
        if not self._sink.has_room or len(self._waiting) >= IN_HAND:
            raise PushNotTaken("room for a push", "none", name)
        if not self._sealed.spend(name, size, mono_ms):
            raise PushOverQuota(f"at most {self._bytes_hour} bytes an hour", f"{size} more", name)
        if taken.key:
            self._known.seen[taken.key] = seen.took(taken.counter)
        recent = self._known.recent.setdefault(name, {})
        recent.pop(taken.digest, None)  # the newest stands last
        recent[taken.digest] = self._clock.utc_ms()

    async def _is_durable(self, taken: _Taken, size: int) -> bool:
        """Whether it is on the disk; of one that wants no answer that is known later, and counted then.

        Raises:
            PushReplayed, PushOverQuota, PushNotTaken: it is not taken.
        """
        name = taken.device.name, taken.digest
        first = self._open.get(name)
        if first is not None or self._is_repeated(taken):
            self._count(REPEATED, taken.device.name)
        else:
            self._check(taken, size)
            first = self._open[name] = taken
            self._waiting.append(taken)
            self._wake.set()
        return True if first is None or taken.invoke is None else await asyncio.shield(first.done)

    def _is_repeated(self, taken: _Taken) -> bool:
        """Whether it came before: not long ago, or under the same counter. Later the same words are news."""
        at_ms = self._known.recent.get(taken.device.name, {}).get(taken.digest)
        if at_ms is None:
            return False
        seen = self._known.seen.get(taken.key, Seen())
        return at_ms > self._clock.utc_ms() - REPEAT_MS or (bool(taken.key) and not seen.takes(taken.counter))

    def _sent(self, taken: _Taken) -> Sent:
        recent = self._known.recent.get(taken.device.name, {})
        while len(recent) > DIGESTS:
            del recent[next(iter(recent))]
        at_ms = recent.get(taken.digest, self._clock.utc_ms())
        return Sent(taken.device.name, taken.key, self._known.seen.get(taken.key, Seen()), taken.digest, at_ms)

    def _forget(self, taken: _Taken) -> None:
        """It is not sealed: the meter may send it again. Its counter stays in the window, as if it had come late."""
        self._known.recent.get(taken.device.name, {}).pop(taken.digest, None)
        if taken.key:
            self._known.seen[taken.key] = self._known.seen[taken.key].without(taken.counter)
        if taken.invoke is None:
            self._count(REFUSED, PushNotTaken.code)

    async def _confirmed(self, taken: _Taken) -> bytes | None:
        if taken.invoke is None:
            return None
        apdu = unasked.confirm(taken.invoke)
        access = taken.access
        if access is None or access.security is None:
            return apdu
        keys = access.security.keys
        counters = await self._counters.block(access.title, keys)
        general = Security(keys, access.security.ciphering or BOTH, general=True)
        return Protection(general, access.title, counters).protect(apdu)

    def _refused(self, error: PlombaError, octets: bytes, origin: str) -> None:
        """Counted; told once an hour; kept as an event with its bytes as far as the budgets of its source allow."""
        self._count(REFUSED, error.code)
        mono_ms = self._clock.mono_ms()
        first = self._tell(origin, error)
        if isinstance(error, PushReplayed | PushNotTaken | PushOverQuota) and not first:
            return
        cost = HELD_COST + len(octets)
        if not (self._held.spend(origin, cost, mono_ms) and self._all_held.spend(cost, mono_ms)):
            self._count(NOT_KEPT, error.code)
            return
        text = str(error).encode()[: limits.TEXT].decode(errors="ignore")
        parameters = (error.code, text, origin, hashlib.sha256(octets).digest(), octets)
        self._sink.note(Event(self._clock.when(), events.PUSH_REFUSED, None, None, parameters))

    def _tell(self, origin: str, error: PlombaError) -> bool:
        """Log it, unless the same was said of the same sender not long ago; whether it was logged."""
        name, mono_ms = (origin, error.code), self._clock.mono_ms()
        told = self._told.get(name)
        if told is not None and mono_ms - told < TELL_AGAIN_MS:
            return False
        self._told[name] = mono_ms
        self._told.move_to_end(name)
        while len(self._told) > SOURCES:
            self._told.popitem(last=False)
        if not self._tellings.spend(1, mono_ms):
            return False
        log.warning(events.PUSH_REFUSED, source=origin, error=str(error))
        return True

    def _count(self, name: str, code: str) -> None:
        self._counts[name, code] += 1

    def _made(self, code: str, device: DlmsDevice, parameters: tuple[Parameter, ...]) -> Event:
        return Event(self._clock.when(), code, self._identity(device), device.name, parameters)

    def _identity(self, device: DlmsDevice) -> Identity:
        """Who the meter said it is when it was read; before that, what is configured of it."""
        met = self._known.meters.get(device.name)
        if met is not None:
            return met.identity
        title = bytes.fromhex(device.meter_title or "") or None
        return Identity(Spoken.DLMS, fabrication=device.serial, system_title=title)

    def _kept(self, device: DlmsDevice) -> Kept:
        met = self._known.meters.get(device.name)
        kept = Kept() if met is None else met.kept
        listed = tuple(pushed.from_text(each) for each in device.push_objects)
        return Kept(listed or kept.listed, kept.scales)


def _body(apdu: bytes) -> Data:
    """The data of a plain notification.

    Raises:
        MeterError: it does not decode.
    """
    if apdu[0] == EVENT_NOTIFICATION:
        return EventNotification.from_bytes(apdu).value
    return DataNotification.from_bytes(apdu).body


def _key(device: str, security: Security) -> bytes:
    """The name of a key's counters; nobody reads a key out of it."""
    return hashlib.sha256(
        b"push" + len(device).to_bytes(2, "big") + device.encode() + security.keys.encryption
    ).digest()[:16]


def _reading(
    who: Identity, device: str, time: MeterTime | None, made: Exchange, values: tuple[Value, ...], part: int
) -> Reading:
    return Reading(who, device, None, How.PUSH, None, time, made, None, Status.NONE, values, part)
