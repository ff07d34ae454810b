"""Decoding telegrams, beside pyMeterBus on the same telegrams."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import meterbus
from figures import Figure, in_turns

from protocols.mbus import link, meaning, telegram
from simulators.mbus.meters import cellar
from simulators.mbus.meters import telegram as answer

START_MS = 1_793_000_000_000
LEAST_PER_S = 5_000
NOT_COUNTED = "error frames are not counted: they end before a value"
SHARED = Path(os.environ.get("PLOMBA_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def figures() -> Iterator[Figure]:
    """Telegrams a second of processor time, link frame to values; simulated ones where no captured are at hand."""
    frames = captured() or telegrams(51)
    readable = [octets for octets in frames if link.parse(octets).ci not in telegram.FIXED]

    def ours(chosen: list[bytes]) -> None:
        for octets in chosen:
            meaning.values(telegram.decode(link.parse(octets)))

    def theirs() -> None:
        for octets in readable:
            for record in meterbus.load(list(octets)).records:
                _ = record.interpreted

    mine, _ = in_turns(lambda: ours(frames), theirs, time.process_time)
    alike, other = in_turns(lambda: ours(readable), theirs, time.process_time)
    which = f"{len(frames)} {'captured' if captured() else 'simulated'}"
    beside = f"pyMeterBus on the {len(readable)} of {which} that it reads (not CI 73); {NOT_COUNTED}"
    yield Figure("mbus_decode_per_s", len(frames) / mine, "1/s", beside, other / alike, LEAST_PER_S)
    yield Figure("mbus_decode_vs_pymeterbus", other / alike, "", beside, other / alike)


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
    """The captured telegrams, where they are at hand."""
    folder = SHARED / "data" / "mbus" / "frames"
    return [bytes.fromhex(path.read_text()) for path in sorted(folder.glob("*.hex"))]
