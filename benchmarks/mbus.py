"""Decoding telegrams, beside pyMeterBus on the same telegrams."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import meterbus
from figures import Figure, in_turns

from protocols.mbus import link, meaning, telegram
from simulators.mbus.meters import cellar
from simulators.mbus.meters import telegram as answer

START_MS = 1_793_000_000_000
SHARED = Path(os.environ.get("PLOMBA_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def figures() -> Iterator[Figure]:
    """Telegrams a second, link frame to values."""
    frames = captured() or telegrams(51)

    def ours() -> None:
        for octets in frames:
            meaning.values(telegram.decode(link.parse(octets)))

    def theirs() -> None:
        for octets in frames:
            for record in meterbus.load(list(octets)).records:
                _ = record.interpreted

    mine, other = in_turns(ours, theirs)
    which = "captured" if captured() else "simulated"
    yield Figure("mbus_decode_per_s", len(frames) / mine, "1/s", f"pyMeterBus, {len(frames)} {which}", other / mine)
    yield Figure("mbus_decode_vs_pymeterbus", other / mine, "", f"pyMeterBus, {len(frames)} {which}", other / mine)


def telegrams(count: int) -> list[bytes]:
    """Telegrams of the simulated meters, each later than the one before."""
    plates = cellar()
    found = []
    for index in range(count):
        plate = plates[index % len(plates)]
        registers = plate.first.grown(index, plate.number, START_MS + 60_000 * index)
        found.append(answer(plate, registers, START_MS + 60_000 * index)[0])
    return found


def captured() -> list[bytes]:
    """The captured telegrams of variable structure, where they are at hand."""
    found = []
    for path in sorted((SHARED / "data" / "mbus" / "frames").glob("*.hex")):
        octets = bytes.fromhex(path.read_text())
        if link.parse(octets).ci not in telegram.FIXED:
            found.append(octets)
    return found
