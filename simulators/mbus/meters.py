"""Three meters as they are met in cellars: their record lists, and what each of their displays shows."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simulators.mbus import encoding as e
from simulators.mbus.registers import EPOCH, Registers, calendar
from simulators.mbus.rows import (
    ERROR,
    MAXIMUM,
    NOW,
    SET_DAY,
    Line,
    Shown,
    bare,
    clock,
    digits,
    real,
    set_day,
    whole,
)

MORE = b"\x1f"
RecordList = Callable[[Registers, datetime.datetime, str], Iterator[Line]]


@dataclass(frozen=True, slots=True)
class Model:
    """A kind of meter: plate, status byte, record list and bytes of the manufacturer's own.

    `rows` is how many records one telegram of it holds at most; None: all.
    """

    letters: str
    version: int
    medium: int
    status: int
    records: RecordList
    own: bytes = b""
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Plate:
    """One meter: its model, number (8 hex digits), primary address and first registers."""

    model: Model
    number: str
    address: int
    first: Registers


def telegram(plate: Plate, registers: Registers, now_ms: int) -> tuple[bytes, dict[str, Shown]]:
    """The RSP_UD frame of a meter, and by key what its display shows at that moment; the first of several."""
    return telegrams(plate, registers, now_ms)[0]


def telegrams(plate: Plate, registers: Registers, now_ms: int) -> list[tuple[bytes, dict[str, Shown]]]:
    """The RSP_UD frames of one answer of a meter, each with what it shows; all but the last say that more follows."""
    model = plate.model
    lines = list(model.records(registers, calendar(now_ms), plate.number))
    rows = model.rows or len(lines)
    pieces = [lines[at : at + rows] for at in range(0, len(lines), rows)] if lines else [[]]
    found = []
    for part, piece in enumerate(pieces):
        access = (registers.count * len(pieces) + part) % 256
        body = b"".join(bytes.fromhex(line.dib + line.vib) + line.octets for line in piece)
        start = e.header(plate.number, model.letters, model.version, model.medium, access=access, status=model.status)
        last = b"\x0f" + model.own if model.own else b""
        end = last if part == len(pieces) - 1 else MORE
        frame = e.long_frame(plate.address, 0x72, start + body + end)
        found.append((frame, {line.key(): line.shows for line in piece}))
    return found


def heat_with_billing_day(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """Like a Kamstrup Multical 603: 32-bit integers, maxima, tariff, pulse input, billing day, info code."""
    yield digits("0c 78", NOW, int(number), 0, "")
    yield whole("04 06", NOW, r.energy, 3, "Wh")
    yield whole("04 14", NOW, r.volume // 10, -2, "m3")
    yield whole("04 22", NOW, r.hours, 0, "h")
    yield whole("04 59", NOW, r.forward_cc, -2, "Cel")
    yield whole("04 5d", NOW, r.back_cc, -2, "Cel")
    yield whole("04 61", NOW, r.forward_cc - r.back_cc, -2, "K")
    yield whole("04 2d", NOW, r.power_w // 100, 2, "W")
    yield whole("14 2d", MAXIMUM, r.peak_power_w // 100, 2, "W")
    peak_at = EPOCH + datetime.timedelta(seconds=r.peak_power_at_s)
    yield Line("14", "ad6f", MAXIMUM, e.minute(peak_at), {"time": peak_at.strftime("%Y-%m-%dT%H:%M")})
    yield whole("04 3b", NOW, r.flow_lph, -3, "m3/h")
    yield whole("14 3b", MAXIMUM, r.peak_flow_lph, -3, "m3/h")
    yield whole("8410 06", (0, 1, 0, 0), r.energy // 3, 3, "Wh")
    yield whole("848040 14", (0, 0, 2, 0), r.input_volume // 10, -2, "m3")
    yield whole("44 06", SET_DAY, r.set_energy, 3, "Wh")
    yield whole("44 14", SET_DAY, r.set_volume // 10, -2, "m3")
    yield set_day(r)
    info = e.integer(0, 4)
    yield Line("04", "ff22", NOW, info, {"state": "unknown", "raw": info.hex()})
    yield clock(now)


def heat_in_error_state(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """Like an Itron CF with a broken return sensor and a Sontex that writes float32."""
    yield digits("0c 78", NOW, int(number, 16) % 10**8, 0, "")
    yield digits("0c 06", NOW, r.energy, 3, "Wh")
    yield digits("0c 14", NOW, r.volume // 10, -2, "m3")
    yield digits("0b 3b", NOW, r.flow_lph, -3, "m3/h")
    yield bare("3b", "2d", ERROR, bytes.fromhex("bdebdd"), "error-state")
    yield bare("3a", "5a", ERROR, e.bcd(9999, 2), "error-state")
    yield bare("0a", "5e", NOW, bytes.fromhex("eeee"), "invalid")
    yield real("05 5b", NOW, r.forward_cc / 100, 0, "Cel")
    yield real("05 5f", NOW, r.back_cc / 100, 0, "Cel")
    yield real("05 3e", NOW, r.flow_lph / 1000, 0, "m3/h")
    yield Line("0d", "fd11", NOW, e.text("Käte-Str. 7 / 2.OG"), {"text": "Käte-Str. 7 / 2.OG"})
    yield whole("01 fd17", NOW, 4, 0, "")
    yield clock(now)


def hot_water(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """A hot-water meter with a monthly set day."""
    yield digits("0c 13", NOW, r.volume, -3, "m3")
    yield clock(now)
    yield digits("4c 13", SET_DAY, r.set_volume, -3, "m3")
    yield set_day(r)
    yield digits("0c 78", NOW, int(number), 0, "")


def cellar() -> tuple[Plate, ...]:
    """The three meters of one house, as they stand when the simulation first begins."""
    heat = Model("KAM", 0x35, 0x04, 0x00, heat_with_billing_day)
    broken = Model("SLB", 0x0A, 0x04, 0x10, heat_in_error_state, own=bytes.fromhex("0142ff"))
    water = Model("HYD", 0x2C, 0x06, 0x00, hot_water)
    return (
        Plate(heat, "60300001", 1, Registers(energy=184_503, volume=9_120_440, input_volume=88_120)),
        Plate(broken, "1A7F2044", 2, Registers(energy=40_117, volume=2_774_310)),
        Plate(water, "07712233", 3, Registers(volume=611_942)),
    )
