"""The questions of page and API to one short-lived view of the store; everything has a limit."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

from collector.attest import Attestor
from collector.expose import views, words
from collector.expose.faults import NoSuchMeterError, RequestError
from collector.expose.gateways import Common, gateway_view
from collector.expose.readings import HowName, decoded, how_name, reading_view
from collector.expose.times import UNKNOWN_MS, late_since_ms, once_late_since_ms, usual_ms
from collector.expose.troubles import Troubles, also_read_as
from collector.report import KINDS
from collector.shown import meter_name, utc
from collector.store.devices import RECOVERED
from collector.store.interface import Store
from collector.store.readings import RecordRow, meter_of
from collector.store.series import Series, Times
from protocols.errors import PlombaError
from protocols.reading import How
from protocols.uplink.leaf import SealedReading
from protocols.uplink.proof import leaf_from
from protocols.uplink.records import CONFIGURATION, OtherRecord
from protocols.uplink.records import Event as RecordedEvent

PAGE_METERS = 250  # on the page; more of them by the API
PAGE_GATEWAYS = 50
PAGE_REFUSALS = 20
PAGE_EVENTS = 20
NO_LIMIT = 2**62  # a number below which all are
LAST = "\U0010ffff"  # behind every moment
READINGS_BEFORE = r"^((?:slot|meter|at) [0-9]{1,18}(?: [0-9]{1,6})?)~([0-9]{1,9})~([0-9]{1,9})$"
EVENTS_BEFORE = r"^([0-9]{1,18})~([0-9]{1,9})$"
_CURSOR, _EVENTS = re.compile(READINGS_BEFORE), re.compile(EVENTS_BEFORE)


@dataclass(frozen=True)
class Look:
    """One look at the store, at one time of the collector's clock."""

    store: Store
    now_ms: int
    attestor: Attestor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Each batch is verified and expanded once for this look, never remembered for the next."""
        object.__setattr__(self, "attestor", Attestor(self.store))

    @cached_property
    def common(self) -> Common:
        """What is asked once for all that is shown."""
        return Common.of(self.store)

    @property
    def troubles(self) -> Troubles:
        """What gateways report as failing."""
        return self.common.troubles

    def gateways(self, after: str, limit: int) -> views.Gateways:
        """The next gateways by name."""
        contacts = [each for each in self.store.gateways.contacts() if each.name > after]
        found = tuple(gateway_view(self.store, each, self.common, self.now_ms) for each in contacts[:limit])
        return views.Gateways(gateways=found, next=found[-1].name if len(contacts) > limit else None)

    def meters(self, after: str, limit: int) -> views.Meters:
        """The next meters by id, in the order of their names, with their newest readings; seals are verified now."""
        series = self.store.series.page(after, limit + 1)
        found = [self._meter(list(mine)) for _, mine in groupby(series, lambda each: each.name)]
        shown = sorted(found[:limit], key=lambda each: (each.gateway, each.device, each.sub or "", each.id))
        unread = () if after else self.troubles.unread(self.now_ms)[:limit]
        following = found[limit - 1].id if len(found) > limit else None
        return views.Meters(meters=tuple(shown), unread=unread, next=following)

    def meter(self, name: str) -> views.MeterView:
        """One meter.

        Raises:
            NoSuchMeterError: nothing is stored of it.
        """
        series = self.store.series.of(name)
        if not series:
            raise NoSuchMeterError("the id of a meter", name, "the store")
        return self._meter(series)

    def readings(self, name: str, how: How, before: str | None, limit: int) -> views.Readings:
        """A meter's readings of one way, the newest first by their own times.

        Raises:
            NoSuchMeterError: nothing is stored of it.
            RequestError: `before` is not what an earlier page gave.
        """
        series = self.store.series.of(name)
        if not series:
            raise NoSuchMeterError("the id of a meter", name, "the store")
        rows = self.store.readings.newest_first(series[0].meter, int(how), _cursor(before), limit + 1)
        meter = series[0].meter
        shown = [
            reading_view(row, (meter, int(how), moment, part), self.attestor, self.now_ms)
            for (moment, part, _), row in rows[:limit]
        ]
        (moment, part, variant), _ = rows[limit - 1] if len(rows) > limit else (("", 0, 0), None)
        return views.Readings(
            readings=tuple(each for each in shown if each is not None),
            next=f"{moment}~{part}~{variant}" if moment else None,
        )

    def refusals(self, before: int, limit: int) -> views.Refusals:
        """The newest refused messages."""
        rows = self.store.ring.newest(before, limit + 1)
        found = []
        for n, kept in rows[:limit]:
            meaning, do = words.meaning(kept.code)
            found.append(
                views.Refusal(
                    n=n,
                    at=utc(kept.at_ms),
                    gateway=kept.gateway or None,
                    kind=kept.kind,
                    code=kept.code,
                    meaning=meaning,
                    do=do,
                    message=kept.message,
                    bytes=kept.size,
                )
            )
        return views.Refusals(refusals=tuple(found), next=found[-1].n if len(rows) > limit else None)

    def events(self, before: str | None, limit: int, configurations: bool = True) -> views.Events:
        """The newest records.

        Raises:
            RequestError: `before` is not what an earlier page gave.
        """
        found = None if before is None else _EVENTS.fullmatch(before)
        if before is not None and found is None:
            raise RequestError("what an earlier page gave as next", before[:80], "before")
        place = (NO_LIMIT, 0) if found is None else (int(found.group(1)), int(found.group(2)))
        rows = self.store.readings.newest_records(place, limit + 1, 0 if configurations else CONFIGURATION)
        shown = tuple(self._event(n, received, row) for n, received, row in rows[:limit])
        following = f"{rows[limit - 1][0]}~{rows[limit - 1][2].place.leaf}" if len(rows) > limit else None
        return views.Events(events=shown, next=following)

    def late(self, times: list[Times]) -> set[str]:
        """The names of the meters that are late."""
        by_name = groupby(times, lambda each: each.name)
        found = {name: self._late_since(list(mine)) for name, mine in by_name}
        return {name for name, since in found.items() if since is not None}

    def _meter(self, series: list[Series]) -> views.MeterView:
        shown = [self._series(each) for each in series]
        first = self.store.readings.at(series[0].meter, series[0].how, series[0].moment, series[0].part)
        leaf = None if first is None else decoded(first)
        named = meter_name(meter_of(series[0].meter) if leaf is None else leaf.meter)
        times = [Times(each.name, each.gateway, each.how, each.at_ms, each.recent) for each in series]
        late, device = self._late_since(times), named if leaf is None else leaf.device
        gateway, usual = series[0].gateway, usual_ms(series[0].recent)
        since_ms = series[0].at_ms - max(2 * (usual or 0), UNKNOWN_MS)
        others = also_read_as(self.troubles.by_meter.get(series[0].name, ()), gateway, device, since_ms)
        stranger = None if leaf is None else self.troubles.unattributed(gateway, device, leaf.meter)
        ended = self.troubles.has_ended(gateway, series[0].name, max(each.at_ms for each in series))
        altered = any(each.newest is None or each.newest.seal != "holds" for each in shown)
        return views.MeterView(
            id=series[0].name,
            name=named,
            device=device,
            sub=None if leaf is None else leaf.sub,
            protocol=named.partition(":")[0],
            gateway=gateway,
            also_read_as=others,
            failing=None if ended else self.troubles.failing(gateway, device),
            unattributed_since=None if stranger is None else utc(stranger),
            ended=ended,
            late=late is not None,
            late_since=None if late is None else utc(late),
            read_once=_once(times) is not None,
            seal="altered" if altered else "holds",
            series=tuple(shown),
        )

    def _series(self, series: Series) -> views.Series:
        key = (series.meter, series.how, series.moment, series.part)
        row = self.store.readings.at(*key)
        usual = usual_ms(series.recent)
        how: HowName = how_name(series.how)
        return views.Series(
            how=how,
            part=series.part,
            stored=series.stored,
            since=_since(series),
            usual_s=None if usual is None else usual // 1000,
            newest=None if row is None else reading_view(row, key, self.attestor, self.now_ms),
        )

    def _late_since(self, series: list[Times]) -> int | None:
        """By the quickest of a meter's series: what comes monthly says nothing of today."""
        newest = max(series, key=lambda each: each.at_ms)
        if not self.troubles.is_expected(newest.gateway, newest.name, newest.at_ms):
            return None
        judged = [(usual, each.at_ms) for each in series if (usual := usual_ms(each.recent)) is not None]
        if not judged:
            once = _once(series)
            return None if once is None else once_late_since_ms(once.at_ms, once.recent[0], self.now_ms)
        usual, at_ms = min(judged)
        return late_since_ms(at_ms, usual, self.now_ms)

    def _event(self, n: int, received_ms: int, row: RecordRow) -> views.Event:
        try:
            record = leaf_from(row.sealed)
        except PlombaError:
            record = OtherRecord(row.kind, ())
        if isinstance(record, SealedReading):
            record = OtherRecord(row.kind, ())
        at_ms = received_ms if isinstance(record, OtherRecord) else record.when.at_ms
        event = record if isinstance(record, RecordedEvent) else None
        parts = words.Parts.of(event) if event else words.NOTHING
        meaning, do = words.meaning(parts.fault) if parts.fault else (None, None)
        if event and event.code in RECOVERED:
            do = None
        return views.Event(
            n=n,
            at=utc(at_ms),
            received=utc(received_ms),
            gateway=row.place.gateway,
            record=KINDS.get(row.kind, str(row.kind)),
            code=event.code if event else None,
            device=event.device if event else None,
            bus=parts.bus,
            text=words.told(record),
            fault=parts.fault,
            meaning=meaning,
            do=do,
            raw=parts.raw,
            proof=f"{row.place.batch.hex()}:{row.place.leaf}",
        )


def _once(series: list[Times]) -> Times | None:
    """The one visit of a meter that was read once; None where more is known, or where nothing is read by slots."""
    if any(usual_ms(each.recent) is not None for each in series):
        return None
    return next((each for each in series if each.how == int(How.READ)), None)


def _cursor(text: str | None) -> tuple[str, int, int]:
    if text is None:
        return LAST, 0, 0
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise RequestError("what an earlier page gave as next", text[:80], "before")
    return found.group(1), int(found.group(2)), int(found.group(3))


def _since(series: Series) -> str:
    """The time of the oldest row: ours in UTC, a meter's own without a zone."""
    text = utc(series.first)
    return text.removesuffix(".000Z") if series.moment.startswith("meter ") else text
