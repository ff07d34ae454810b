"""What the collector holds at the end: its readings for the count, and its batches, verified with public keys alone."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from simulators.site.count import Stored, Value
from simulators.site.parts import PartError, program, run
from simulators.site.setup import GATEWAY, Site

Row = dict[str, object]
VERIFIED_AT_ONCE = 200  # files named on one command line


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `plomba-collector verify` said of every exported batch."""

    batches: int
    failures: int


async def stored_readings(site: Site, from_ms: int) -> list[Stored]:
    """All readings of slots from `from_ms` on, as `plomba-collector readings --json` shows them."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in await site.readings():
        place = (row["meter"], row["slot"], row["batch"], row["leaf"], row["telegram_sha256"])
        groups.setdefault(place, []).append(row)
    found = []
    for (meter, slot, _, _, digest), rows in groups.items():
        values = {_key(row): _shown(row) for row in rows}
        found.append(Stored(str(meter).split("/")[1], _instant(slot), str(digest), values))
    return [each for each in found if each.slot_ms >= from_ms]


async def verify_all(site: Site) -> Verdict:
    """Export every batch and verify it offline."""
    out = site.folder / "export"
    config = ("--config", "collector/collector.toml")
    await run(
        program("plomba-collector"), "export", *config, "--gateway", GATEWAY, "--out", str(out), folder=site.folder
    )
    files = sorted(out.glob("*.batch"))
    failures = 0
    for at in range(0, len(files), VERIFIED_AT_ONCE):
        failures += await _failures(site, files[at : at + VERIFIED_AT_ONCE], next(iter(out.glob("*keys*"))))
    return Verdict(len(files), failures)


async def _failures(site: Site, files: list[Path], keys: Path) -> int:
    command = (program("plomba-collector"), "verify", *map(str, files), "--keys", str(keys))
    try:
        await run(*command, folder=site.folder)
    except PartError:
        if len(files) == 1:
            return 1
        half = len(files) // 2
        return await _failures(site, files[:half], keys) + await _failures(site, files[half:], keys)
    return 0


def _key(row: Row) -> str:
    """The key as the simulators' record writes it: mbus:VIB/storage/tariff/subunit/function without the repetition."""
    protocol, key = str(row["key"]).split(":")
    *parts, nth = key.split("/")
    return "/".join(parts) if protocol == "mbus" and nth == "0" else str(row["key"])


def _shown(row: Row) -> Value:
    """A value in the words of the simulators' record."""
    kind, value, unit = row["kind"], str(row["value"]), str(row["unit"])
    if row["state"] != "ok":
        return {"state": str(row["state"]), "raw": value}
    if kind in ("text", "time"):
        return {str(kind): value}
    return {"kind": str(kind), "value": value, "unit": unit}


def _instant(slot: object) -> int:
    """Milliseconds UTC from ISO 8601."""
    moment = datetime.datetime.fromisoformat(str(slot))
    return round(moment.timestamp() * 1000)
