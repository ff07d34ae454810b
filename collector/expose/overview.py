"""Is everything well? The page's first sentence, and what stands below it."""

from __future__ import annotations

from collections.abc import Sequence

from collector.expose import views, words
from collector.expose.gateways import Common
from collector.expose.health import Health
from collector.expose.queries import NO_LIMIT, PAGE_EVENTS, PAGE_GATEWAYS, PAGE_METERS, PAGE_REFUSALS, Look
from collector.expose.troubles import names
from collector.shown import utc
from collector.store.series import meter_name

RECENT_MS = 3_600_000  # a message that was refused within it is worth a sentence


def overview(look: Look, collector: str, health: Health, after: str = "") -> views.Overview:
    """The whole page as values."""
    gateways = look.gateways("", PAGE_GATEWAYS)
    meters = look.meters(after, PAGE_METERS)
    refusals = look.refusals(NO_LIMIT, PAGE_REFUSALS).refusals
    return views.Overview(
        status=status(look, collector, health, gateways.gateways, meters.meters),
        gateways=gateways.gateways,
        meters=meters.meters,
        unread=meters.unread,
        next_meters=meters.next,
        refusals=refusals,
        events=look.events(None, PAGE_EVENTS, configurations=False).events,
    )


def status(
    look: Look,
    collector: str,
    health: Health,
    gateways: Sequence[views.GatewayView],
    meters: Sequence[views.MeterView],
) -> views.Status:
    """The sentence at the top and the numbers behind it; `meters` are those whose seals were verified now."""
    common, troubles = look.common, look.troubles
    conflicts = look.store.readings.in_conflict()
    late = look.late(list(common.times))
    altered = [each for each in meters if each.seal == "altered"]
    cases = sum(look.store.cases.open_by_kind().values())
    count, known = look.store.series.meters(), len(common.register)
    wrong = (
        *([_altered(altered)] if altered else []),
        *health.reasons(),
        *(words.held(each.kind) for each in common.cases if not each.gateway),
        *_gateways(gateways),
        *troubles.sentences(),
        *troubles.replaced(),
        *_overdue(look),
        *([_late(late, meters)] if late else []),
        *([_conflicts(look, conflicts)] if conflicts else []),
        *_doubts(gateways, [each.n for each in common.cases], cases),
        *_refused(look),
    )
    return views.Status(
        collector=collector,
        at=utc(look.now_ms),
        well=not wrong,
        statement=wrong[0] if wrong else _well(count, known, len(meters)),
        wrong=wrong,
        meters=count,
        late=len(late),
        failing=troubles.count(),
        never_read=len(troubles.never),
        conflicts=conflicts,
        altered=len(altered),
        gateways=known,
        readings=sum(common.readings.values()),
        open_cases=cases,
        refused=refused(common),
    )


def refused(common: Common) -> dict[str, int]:
    """Refused messages by code."""
    found: dict[str, int] = {}
    for (_, name), value in common.counters.items():
        if name.startswith("refused "):
            code = name.removeprefix("refused ")
            found[code] = found.get(code, 0) + value
    return found


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its word."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _well(meters: int, gateways: int, looked: int) -> str:
    if not gateways:
        return "no gateway is registered yet: sign the request of one"
    if not meters:
        return f"{counted(gateways, 'gateway')} registered; no reading has come yet"
    seals = "every seal holds" if looked >= meters else f"every seal of the {looked} shown here holds"
    return f"{counted(meters, 'meter')} of {counted(gateways, 'gateway')} read within their time; {seals}"


def _altered(altered: Sequence[views.MeterView]) -> str:
    verb = "has a newest reading that is" if len(altered) == 1 else "have newest readings that are"
    named = names([each.device for each in altered])
    return f"{counted(len(altered), 'meter')} {verb} ALTERED, not what was sealed, do not use: {named}"


def _late(late: set[str], meters: Sequence[views.MeterView]) -> str:
    named = names([each.device for each in meters if each.id in late])
    return f"{counted(len(late), 'meter')} late" + (f": {named}" if named else "")


def _overdue(look: Look) -> list[str]:
    found = [each.device for each in look.troubles.overdue(look.now_ms)]
    return [f"{counted(len(found), 'configured meter')} never read: {names(found)}"] if found else []


def _conflicts(look: Look, count: int) -> str:
    """Readings of one slot that say different things, with the names under which their meters are read."""
    known = look.troubles.by_meter
    found = [each.device for meter in look.store.readings.conflicting() for each in known.get(meter_name(meter), ())]
    verb = "came twice and differs" if count == 1 else "came twice and differ"
    return f"{counted(count, 'reading')} {verb}: {names(sorted(set(found)))}"


def _gateways(gateways: Sequence[views.GatewayView]) -> list[str]:
    """Those that are not heard, by state."""
    found = []
    for state, said in (("link down", "without a link"), ("silent", "silent"), ("never heard", "never heard yet")):
        mine = [each.name for each in gateways if each.state == state]
        found += [f"{counted(len(mine), 'gateway')} {said}: {names(mine)}"] if mine else []
    return found


def _doubts(gateways: Sequence[views.GatewayView], numbers: Sequence[int], cases: int) -> list[str]:
    gaps, undecoded = sum(each.gaps for each in gateways), sum(each.undecoded for each in gateways)
    found = [f"{counted(gaps, 'batch', 'batches')} missing and not declared lost"] if gaps else []
    one = str(numbers[0]) if len(numbers) == 1 else "N"
    command = f"plomba-collector close-case {one} --config collector.toml --who ... --why ..."
    found += [f"{counted(cases, 'case')} open: an operator must decide, with {command}"] if cases else []
    return found + ([f"{counted(undecoded, 'batch', 'batches')} stored that cannot be decoded"] if undecoded else [])


def _refused(look: Look) -> list[str]:
    kept = [each for _, each in look.store.ring.newest(NO_LIMIT, PAGE_REFUSALS)]
    fresh = sum(1 for each in kept if look.now_ms - each.at_ms < RECENT_MS)
    more = "at least " if fresh == PAGE_REFUSALS else ""
    return [f"{more}{counted(fresh, 'message')} refused in the last hour"] if fresh else []
