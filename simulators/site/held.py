"""What the collector holds at the end: its readings for the count, and its batches, verified with public keys alone."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from simulators.site.count import Stored, Value
from simulators.site.parts import PartError, program, run
from simulators.site.setup import GATEWAY, Site

Row = dict[str, object]
PARTIAL = 3  # exit code: some evidence does not hold and was not written, a line for each
VERIFIED_AT_ONCE = 200  # files named on one command line


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `plomba-collector verify` said of every exported batch."""

    batches: int
    failures: int


async def stored_readings(site: Site, from_ms: int) -> list[Stored]:
    """All readings of slots from `from_ms` on, as `plomba-collector readings --json` shows them."""
    return [each for each in grouped(await site.readings()) if each.slot_ms is None or each.slot_ms >= from_ms]


def grouped(rows: Iterable[Row]) -> list[Stored]:
    """Rows of values as readings: a new one where the place changes, or where a register comes again.

    So a reading that is stored twice is counted twice. What the collector says is not what was sealed has no values
    that could be right.
    """
    found: list[Stored] = []
    before: tuple[object, ...] | None = None
    for row in rows:
        place = (row["meter"], row["slot"], row["batch"], row["leaf"], row["telegram_sha256"])
        if place != before or _key(row) in found[-1].values:
            found.append(_reading(row))
            before = place
        found[-1].values[_key(row)] = _shown(row) if row["seal"] == "ok" else {"seal": str(row["seal"])}
    return found


def _reading(row: Row) -> Stored:
    """A reading without its values; a meter is named by its number (M-Bus) or what is on its plate."""
    protocol, _, identity = str(row["meter"]).partition(":")
    meter = identity.split("/")[1]
    slot_ms = None if row["slot"] is None else _instant(row["slot"])
    time = None if slot_ms is not None else str(row["meter_time"])
    at_ms = _instant(row["gateway_time"])
    return Stored(meter, slot_ms, str(row["telegram_sha256"]), {}, time, protocol == "mbus", at_ms)


async def verify_all(folder: Path, gateway: str = GATEWAY, out_name: str = "export") -> Verdict:
    """Export every batch of a gateway, into `out_name` in the site's folder, and verify it offline."""
    out = folder / out_name
    config = ("--config", "collector/collector.toml")
    command = (program("plomba-collector"), "export", *config, "--gateway", gateway, "--out", str(out))
    done = await run(*command, folder=folder, accepted=(0, PARTIAL))
    files = sorted(out.glob("*.batch"))
    failures = max(1, len(done.talk.splitlines()) - 1) if done.code == PARTIAL else 0  # the last line sums up
    for at in range(0, len(files), VERIFIED_AT_ONCE):
        failures += await _failures(folder, files[at : at + VERIFIED_AT_ONCE], next(iter(out.glob("*keys*"))))
    return Verdict(len(files), failures)


async def _failures(folder: Path, files: list[Path], keys: Path) -> int:
    command = (program("plomba-collector"), "verify", *map(str, files), "--keys", str(keys))
    try:
        await run(*command, folder=folder)
    except PartError:
        if len(files) == 1:
            return 1
        half = len(files) // 2
        return await _failures(folder, files[:half], keys) + await _failures(folder, files[half:], keys)
    return 0


def _key(row: Row) -> str:
    """The key as the simulators' record writes it: without the protocol, and of M-Bus without the repetition."""
    protocol, _, key = str(row["key"]).partition(":")
    if protocol != "mbus":
        return key
    *parts, nth = key.split("/")
    return "/".join(parts) if nth == "0" else str(row["key"])


def _shown(row: Row) -> Value:
    """A value in the words of the simulators' record."""
    kind, value, unit = row["kind"], str(row["value"]), str(row["unit"])
    if row["state"] != "ok":
        return {"state": str(row["state"]), "raw": value}
    if kind in ("text", "time"):
        return {str(kind): value}
    return {"kind": str(kind), "value": value, "unit": unit}


def _instant(shown: object) -> int:
    """Milliseconds UTC from ISO 8601."""
    moment = datetime.datetime.fromisoformat(str(shown))
    return round(moment.timestamp() * 1000)
