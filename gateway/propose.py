"""A configuration for the meters that a scan found: one line with its meters, as a file wants it.

A meter is proposed by its primary address where it has one of its own, else by its number. What cannot be configured
stands there as a comment, with the reason.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.battery import least_cadence_s
from gateway.lines import Place
from gateway.rules_mbus import ANY, Plate, alike
from protocols.mbus.search import Found
from protocols.mbus.select import Secondary
from protocols.mbus.sweep import Answering
from protocols.mbus.telegram import manufacturer
from protocols.reading import Identity, Protocol

CADENCE_S = 900  # proposed for a meter whose battery allows it, or of whose battery nothing is known
WORDS = {0x02: "electricity", 0x03: "gas", 0x04: "heat", 0x06: "hot-water", 0x07: "water", 0x08: "allocator"}
ALIKE = {0x0C: 0x04, 0x15: 0x06, 0x16: 0x07}  # heat in the flow, hot and cold drinking water
PARITIES = {"E": "even", "O": "odd", "N": "none"}
STABLE = Path("/dev/serial/by-id")


@dataclass(slots=True)
class _Taken:
    """What the block has already."""

    names: set[str]
    plates: list[tuple[Plate, bool]]  # and whether it is selected by it
    meters: int  # on the line, configured or not


def block(found: Sequence[Found | Answering], at: Place, name: str) -> str:
    """The tables of the line `name` and its meters; without one that can be configured only comments."""
    shared = Counter(each.address for each in found)
    taken = _Taken(set(), [], len(found))
    tables = [_table(each.address, each.meter, shared[each.address] > 1, taken) for each in found]
    line = "\n".join(_line(at, name)) + "\n" if taken.names else ""
    return "\n".join(filter(None, [line, *tables]))


def _line(at: Place, name: str) -> list[str]:
    where = f"url = {_quoted(at.at)}" if at.remote else f"port = {_quoted(stable(at.at))}"
    rows = ["[[bus]]", 'protocol = "mbus"', f"name = {_quoted(name)}", where, f"baud = {at.baud}"]
    return rows if at.mode[1] == "E" else [*rows, f'parity = "{PARITIES[at.mode[1]]}"']


def stable(port: str) -> str:
    """The path of a port that stays after a restart, where it has one; else its whole path."""
    real = os.path.realpath(port)
    links = sorted(each for each in STABLE.glob("*") if os.path.realpath(each) == real)
    return str(links[0]) if links else os.path.abspath(port)  # noqa: PTH100 - a link's name says more than its end


def _table(address: int, meter: Secondary | None, shared: bool, taken: _Taken) -> str:
    own = 1 <= address <= 250 and not shared
    reason = "" if own else _unselectable(address, meter, shared)
    plate = _plate(meter)
    if not reason and plate is not None and any(_confused(plate, own, *each) for each in taken.plates):
        reason = "nothing that can be configured tells this meter from one above"
    rows = ["[[bus.device]]", f'name = "{_name(address, meter, taken.names)}"']
    rows += [f"address = {address}"] if own or meter is None else [f'secondary = "{meter.id}"']
    rows += [*_identity(meter, own), f"cadence_s = {_cadence_s(meter, taken.meters, own)}"]
    if reason:
        return "".join(f"# {row}\n" for row in (f"{reason}:", *rows))
    taken.names.add(_name(address, meter, taken.names))
    taken.plates += [] if plate is None else [(plate, not own)]
    return "\n".join(rows) + "\n"


def _unselectable(address: int, meter: Secondary | None, shared: bool) -> str:
    """Why a meter without an address of its own cannot be selected either; empty where it can."""
    which = f"address {address} is shared" if shared else f"{address} is no address of its own"
    if meter is None:
        return f"{which}, and its answer has no number: give this meter another address first"
    if "F" in meter.id:
        return f"{which}, and F in its number would select others, too: give this meter another address first"
    return ""


def _confused(plate: Plate, own: bool, other: Plate, other_selected: bool) -> bool:
    return plate == other or (alike(plate, other) and (other_selected or not own))


def _plate(meter: Secondary | None) -> Plate | None:
    if meter is None:
        return None
    numbers = (None if each == ANY else str(each) for each in (meter.version, meter.medium))
    return (meter.id, _letters(meter), *numbers)


def _identity(meter: Secondary | None, own: bool) -> list[str]:
    if meter is None:
        return []
    rows = [f'id = "{meter.id}"'] if own else []
    letters = _letters(meter)
    rows += [] if letters is None else [f'manufacturer = "{letters}"']
    return [*rows, f"version = {meter.version}", f"medium = {meter.medium}"]


def _cadence_s(meter: Secondary | None, meters: int, own: bool) -> int:
    """A quarter of an hour, or as rarely as the meter's battery wants it."""
    letters = None if meter is None else _letters(meter)
    if meter is None or letters is None:
        return CADENCE_S
    who = Identity(Protocol.MBUS, letters, meter.id, meter.version, meter.medium)
    return max(CADENCE_S, least_cadence_s(who, meters, not own))


def _letters(meter: Secondary) -> str | None:
    letters = manufacturer(meter.manufacturer)
    plain = len(letters) == 3 and letters.isascii() and letters.isalpha() and letters.isupper()
    return letters if plain else None


def _name(address: int, meter: Secondary | None, taken: set[str]) -> str:
    if meter is None:
        name = f"meter-{address}"
    else:
        name = f"{WORDS.get(ALIKE.get(meter.medium, meter.medium), 'meter')}-{meter.id}"
    numbered = (name if n == 1 else f"{name}-{n}" for n in range(1, len(taken) + 2))
    return next(each for each in numbered if each not in taken)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
