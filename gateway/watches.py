"""`time`: how good this machine's clock is, what jumps were seen, and how far each meter's clock is from ours.

What the daemon's clock is now is asked of the daemon. What is known of the meters is in the buffer, where a reading is
some seconds after it was read, so it is the same with and without a daemon: the newest reading of each meter that holds
its clock. A clock that shows no offset from UTC has no drift, for its zone is never guessed: it is shown as it is.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway import events
from gateway.about import Jump, Ticking, ask_time
from gateway.clock import Discipline, system_discipline
from gateway.doctor_daemon import disciplines
from gateway.owners import daemon_of
from gateway.status import bodies
from protocols.dlms.clock import utc_ms
from protocols.errors import PlombaError
from protocols.reading import How, MeterTime, Precision
from protocols.uplink import body
from protocols.uplink.leaf import SealedReading
from protocols.uplink.records import Event, Record

MOST_BATCHES = 1_000  # of the buffer, newest first: some days of a whole site, read in about a second
MOST_JUMPS = 16
RESOLUTION_MS = {Precision.SECOND: 1_000, Precision.MINUTE: 60_000, Precision.DAY: 86_400_000}


@dataclass(frozen=True, slots=True)
class Watch:
    """A meter's clock at our `at_ms` (UTC): what it showed, and its drift in ms, where it has one, or why not.

    Positive: it is ahead of ours. The drift is known to `uncertainty_ms`: half its resolution, half the exchange, and
    what was known of our own clock.
    """

    device: str
    shown: str
    at_ms: int
    drift_ms: int | None
    uncertainty_ms: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Clocks:
    """All that is known of clocks here; `daemon` says how its clock is, or `silent` why it was not asked."""

    system: Discipline
    by: tuple[str, ...]
    daemon: Ticking | None
    silent: str
    jumps: tuple[Jump, ...]
    watches: tuple[Watch, ...]
    unseen: tuple[str, ...]


def read_clocks(folder: Path, devices: frozenset[str]) -> Clocks:
    """The clocks of a gateway with this state folder and these meters.

    Raises:
        BufferMissing, BufferDamaged: no daemon ever ran here, or its buffer does not read.
    """
    daemon, silent = _daemon(folder)
    watches, jumps = _stored(folder, devices)
    seen = {each.device for each in watches}
    unseen = tuple(sorted(devices - seen))
    told = jumps if daemon is None else daemon.jumps
    return Clocks(system_discipline(), disciplines(), daemon, silent, told, watches, unseen)


def _daemon(folder: Path) -> tuple[Ticking | None, str]:
    if not daemon_of(folder):
        return None, "no daemon runs"
    try:
        return ask_time(folder), ""
    except PlombaError as error:
        return None, str(error)


def _stored(folder: Path, devices: frozenset[str]) -> tuple[tuple[Watch, ...], tuple[Jump, ...]]:
    """From the newest batch back: each meter's clock as it was last seen, and the latest jumps of ours."""
    found: dict[str, Watch] = {}
    jumps: list[Jump] = []
    for octets in bodies(folder, MOST_BATCHES):
        content = body.expand(octets)
        for each in reversed(content.readings):
            if each.how is How.READ and each.meter_time is not None and each.device not in found:
                found[each.device] = watch_of(each, each.meter_time)
        jumps += reversed(list(_jumps(content.records)))
        if found.keys() >= devices and len(jumps) >= MOST_JUMPS:
            break
    return tuple(found[name] for name in sorted(found)), tuple(reversed(jumps[:MOST_JUMPS]))


def _jumps(records: tuple[Record, ...]) -> Iterator[Jump]:
    for each in records:
        if isinstance(each, Event) and each.code in (events.CLOCK_STEP, events.CLOCK_SET):
            by_ms = each.parameters[0] if each.parameters else None
            if isinstance(by_ms, int):
                yield Jump(each.when.at_ms, by_ms)


def watch_of(reading: SealedReading, shown: MeterTime) -> Watch:
    """What a reading says of its meter's clock."""
    instant_ms, quality = utc_ms(shown), reading.quality
    if instant_ms is None:
        why = "it shows no offset from UTC"
        return Watch(reading.device, str(shown), reading.at_ms, None, None, why)
    if not quality.synchronised or quality.uncertainty_ms is None:
        why = "our own clock was not synchronised"
        return Watch(reading.device, str(shown), reading.at_ms, None, None, why)
    resolution_ms = RESOLUTION_MS[shown.precision]
    uncertainty_ms = (resolution_ms + 1) // 2 + quality.uncertainty_ms  # which holds half the exchange already
    drift_ms = instant_ms + resolution_ms // 2 - reading.at_ms
    return Watch(reading.device, str(shown), reading.at_ms, drift_ms, uncertainty_ms)


def rows(found: Clocks) -> dict[str, object]:
    """As JSON has it: all times in ms (UTC)."""
    daemon = found.daemon
    shown = None if daemon is None else daemon.clock
    return {
        "system": {
            "synchronised": found.system.synchronised,
            "uncertainty_ms": found.system.uncertainty_ms,
            "by": list(found.by),
        },
        "daemon": None
        if daemon is None or shown is None
        else {
            "now_ms": daemon.now_ms,
            "state": shown.state.name.lower(),
            "source": shown.source.name.lower(),
            "offset_ms": shown.offset_ms,
            "uncertainty_ms": shown.uncertainty_ms,
            "since_ms": shown.since_ms,
        },
        "silent": found.silent,
        "jumps": [asdict(each) for each in found.jumps],
        "meters": [asdict(each) for each in found.watches],
        "unseen": list(found.unseen),
    }


def lines(found: Clocks, now_ms: int) -> Iterator[str]:
    """As a person reads it; ages are to `now_ms` (UTC)."""
    by = ", ".join(found.by) or "no program seen here"
    within = "" if found.system.uncertainty_ms is None else f", within {found.system.uncertainty_ms} ms"
    state = "synchronised" if found.system.synchronised else "not synchronised"
    yield f"{'system clock:':24}{_instant(now_ms)}, {state} ({by}){within}"
    yield f"{'daemon:':24}{_shown(found)}"
    yield f"{'jumps:':24}{len(found.jumps) or 'none'}{' lately' if found.jumps else ' seen'}"
    for each in found.jumps:
        yield f"{'':24}{_instant(each.at_ms)} by {each.by_ms:+} ms"
    for watch in found.watches:
        yield f"{watch.device + ':':24}{_watch(watch, now_ms)}"
    for name in found.unseen:
        yield f"{name + ':':24}no reading with its clock in the newest {MOST_BATCHES} batches"


def _shown(found: Clocks) -> str:
    if found.daemon is None:
        return f"not asked: {found.silent}"
    clock = found.daemon.clock
    within = "" if clock.uncertainty_ms is None else f", within {clock.uncertainty_ms} ms"
    since = "" if clock.since_ms is None else f", since {_instant(clock.since_ms)}"
    return f"{_instant(found.daemon.now_ms)}, {clock.state.name.lower()} by {clock.source.name.lower()}{within}{since}"


def _watch(watch: Watch, now_ms: int) -> str:
    age = datetime.timedelta(seconds=max(0, now_ms - watch.at_ms) // 1000)
    if watch.drift_ms is None:
        return f"showed {watch.shown} {age} ago at {_instant(watch.at_ms)}: no drift, {watch.why}"
    return f"{watch.drift_ms:+} ms, give or take {watch.uncertainty_ms} ms, {age} ago at {_instant(watch.at_ms)}"


def _instant(instant_ms: int) -> str:
    return datetime.datetime.fromtimestamp(instant_ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
