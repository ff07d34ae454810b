"""A commissioning record's proposals as lines that `import-points` takes, once an operator has filled in the rest."""

from __future__ import annotations

import csv
import io

from collector.faults import MasterDataError
from collector.master import cells
from collector.master.points import Medium
from collector.master.sheet import COLUMNS
from collector.master.units import QUANTITIES
from collector.propose import Proposal
from collector.shown import cell, utc
from protocols.uplink.commissioned import First, Met

# EN 13757-3 table 13: what an M-Bus meter says that it measures, where that is one thing.
MEDIA = {
    0x02: Medium.ELECTRICITY,
    0x03: Medium.GAS,
    0x04: Medium.HEAT,
    0x0A: Medium.COOLING,
    0x0B: Medium.COOLING,
    0x0C: Medium.HEAT,
    0x06: Medium.HOT_WATER,
    0x15: Medium.HOT_WATER,
    0x07: Medium.COLD_WATER,
    0x16: Medium.COLD_WATER,
}
TOTALS = frozenset({"energy", "reactive energy", "apparent energy", "volume"})
# What no record can know; `native` is known where the record names a register by its key.
TO_FILL = ("point", "scheme", "medium", "zone", "clock", "native", "step", "channel", "cadence")


def sheet(proposal: Proposal) -> str:
    """The file: a line for each number that a meter showed, with a first line that names what to fill in."""
    out = io.StringIO()
    out.write(f"# Fill in: {', '.join(TO_FILL)}. Take out the lines of registers that are not used.\n")
    writer = csv.DictWriter(out, list(COLUMNS), delimiter=";", lineterminator="\n", restval="")
    writer.writeheader()
    for met in proposal.record.meters:
        if met.at_ms is not None:
            for first in met.readings:
                if line := _line(proposal.record.gateway, met, met.at_ms, first):
                    writer.writerow({name: cell(text) for name, text in line.items()})
    return out.getvalue()


def left_out(proposal: Proposal) -> list[str]:
    """What has no line: meters that were not read, and values that are no number of a known quantity."""
    gateway, read = proposal.record.gateway, [met for met in proposal.record.meters if met.at_ms is not None]
    told = [f"{met.name}: not read" for met in proposal.record.meters if met.at_ms is None]
    return told + [
        f"{met.name}: {first.place}: no number of a known quantity"
        for met in read
        for first in met.readings
        if _line(gateway, met, met.at_ms or 0, first) is None
    ]


def _line(gateway: str, met: Met, at_ms: int, first: First) -> dict[str, str] | None:
    quantity = next((name for name, (_, _, known) in QUANTITIES.items() if first.unit in known), None)
    if quantity is None or first.value is None or first.state != "ok":
        return None
    try:
        cells.number(first.value)
    except MasterDataError:
        return None
    medium = MEDIA.get(met.medium) if met.medium is not None else None
    return {
        "medium": "" if medium is None else medium.value,
        "meter": met.serial or "",
        "model": met.model or "",
        **_who(gateway, met),
        "from": utc(at_ms // 1000 * 1000).replace(".000Z", "Z"),
        "register": first.place,
        "native": _native(first.place),
        "kind": "total" if quantity in TOTALS else "instantaneous",
        "quantity": quantity,
        "unit": first.unit,
        "initial": first.value if quantity in TOTALS else "",
    }


def _who(gateway: str, met: Met) -> dict[str, str]:
    """What the meter says of itself; of one that says nothing, which device shows it."""
    if met.serial is None:
        return {"gateway": gateway, "device": met.name}
    number = "id" if met.protocol == "mbus" else "fabrication"
    return {"protocol": met.protocol, "manufacturer": met.manufacturer or "", number: met.serial}


def _native(place: str) -> str:
    """The register's key, where the record names it so."""
    try:
        return str(cells.native_key(place))
    except MasterDataError:
        return ""
