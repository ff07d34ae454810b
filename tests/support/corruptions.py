"""Link frames with one wrong byte: none of them may pass, neither as a whole nor in a stream."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from protocols.errors import MeterError
from protocols.mbus import link
from protocols.mbus.link import FrameReader, Kind

REPOSITORY = Path(__file__).resolve().parents[2]
FRAMES = 51
LONG = frozenset({Kind.LONG})
EVERY_OCTET = range(256)


@dataclass(slots=True)
class Tally:
    """How many corruptions were tried, and those that passed (frame, place, octet)."""

    tried: int = 0
    passed: list[tuple[str, int, int]] = field(default_factory=list)


def telegrams_folder() -> Path | None:
    """Where the real telegrams are: PLOMBA_SHARED, or shared/ beside the repository; None where they are absent."""
    named = os.environ.get("PLOMBA_SHARED")
    roots = [Path(named)] if named else [parent / "shared" for parent in REPOSITORY.parents]
    return next((root / "data" / "mbus" for root in roots if (root / "data" / "mbus").is_dir()), None)


def octets_of(path: Path) -> bytes:
    """The bytes written in hex in a file."""
    return bytes.fromhex(re.sub(r"\s", "", path.read_text()))


def real_frames(folder: Path) -> dict[str, bytes]:
    """The real telegrams by name."""
    return {path.stem: octets_of(path) for path in sorted((folder / "frames").glob("*.hex"))}


def spoil(name: str, octets: bytes, wrong_at: Callable[[int], Iterable[int]], tally: Tally) -> None:
    """Put each octet of `wrong_at(place)` in the place of the right one, at every place, and count what passes."""
    for at in range(len(octets)):
        for wrong in wrong_at(at):
            if wrong == octets[at]:
                continue
            tally.tried += 1
            if _passes(octets[:at] + bytes((wrong,)) + octets[at + 1 :]):
                tally.passed.append((name, at, wrong))


def _passes(octets: bytes) -> bool:
    try:
        link.parse(octets)
    except MeterError:
        return _is_in_stream(octets)
    return True


def _is_in_stream(octets: bytes) -> bool:
    """Whether the reader of a line takes a frame out of it."""
    reader = FrameReader(LONG)
    try:
        return bool(reader.feed(octets) or reader.finish())
    except MeterError:
        return False
