"""Three meters as they are met in cellars: their record lists, and what each of their displays shows."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simulators.mbus import encoding as e
from simulators.mbus.registers import EPOCH, Registers, calendar

Shown = dict[str, int | str]
Place = tuple[int, int, int, int]  # storage, tariff, subunit, function
NOW: Place = (0, 0, 0, 0)
MAXIMUM: Place = (0, 0, 0, 1)
SET_DAY: Place = (1, 0, 0, 0)
ERROR: Place = (0, 0, 0, 3)
SIZES = {"1": 1, "4": 4, "a": 2, "b": 3, "c": 4}  # bytes of data by the second digit of a DIF


@dataclass(frozen=True, slots=True)
class Line:
    """One record: its bytes, where it belongs, and what the display shows for it."""

    dib: str
    vib: str
    place: Place
    octets: bytes
    shows: Shown

    def key(self) -> str:
        """The name of the value in a record of answers."""
        return "/".join([self.vib.lower(), *(str(part) for part in self.place)])


RecordList = Callable[[Registers, datetime.datetime, str], Iterator[Line]]


@dataclass(frozen=True, slots=True)
class Model:
    """A kind of meter: plate, status byte, record list and bytes of the manufacturer's own."""

    letters: str
    version: int
    medium: int
    status: int
    records: RecordList
    own: bytes = b""


@dataclass(frozen=True, slots=True)
class Plate:
    """One meter: its model, number (8 hex digits), primary address and first registers."""

    model: Model
    number: str
    address: int
    first: Registers


def telegram(plate: Plate, registers: Registers, now_ms: int) -> tuple[bytes, dict[str, Shown]]:
    """The RSP_UD frame of a meter, and by key what its display shows at that moment."""
    model = plate.model
    lines = list(model.records(registers, calendar(now_ms), plate.number))
    body = b"".join(bytes.fromhex(line.dib + line.vib) + line.octets for line in lines)
    start = e.header(
        plate.number, model.letters, model.version, model.medium, access=registers.count % 256, status=model.status
    )
    own = b"\x0f" + model.own if model.own else b""
    return e.long_frame(plate.address, 0x72, start + body + own), {line.key(): line.shows for line in lines}


def heat_with_billing_day(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """Like a Kamstrup Multical 603: 32-bit integers, maxima, tariff, pulse input, billing day, info code."""
    yield _bcd("0c 78", NOW, int(number), 0, "")
    yield _int("04 06", NOW, r.energy, 3, "Wh")
    yield _int("04 14", NOW, r.volume // 10, -2, "m3")
    yield _int("04 22", NOW, r.hours, 0, "h")
    yield _int("04 59", NOW, r.forward_cc, -2, "Cel")
    yield _int("04 5d", NOW, r.back_cc, -2, "Cel")
    yield _int("04 61", NOW, r.forward_cc - r.back_cc, -2, "K")
    yield _int("04 2d", NOW, r.power_w // 100, 2, "W")
    yield _int("14 2d", MAXIMUM, r.peak_power_w // 100, 2, "W")
    peak_at = EPOCH + datetime.timedelta(seconds=r.peak_power_at_s)
    yield Line("14", "ad6f", MAXIMUM, e.minute(peak_at), {"time": peak_at.strftime("%Y-%m-%dT%H:%M")})
    yield _int("04 3b", NOW, r.flow_lph, -3, "m3/h")
    yield _int("14 3b", MAXIMUM, r.peak_flow_lph, -3, "m3/h")
    yield _int("8410 06", (0, 1, 0, 0), r.energy // 3, 3, "Wh")
    yield _int("848040 14", (0, 0, 2, 0), r.input_volume // 10, -2, "m3")
    yield _int("44 06", SET_DAY, r.set_energy, 3, "Wh")
    yield _int("44 14", SET_DAY, r.set_volume // 10, -2, "m3")
    yield _set_day(r)
    info = e.integer(0, 4)
    yield Line("04", "ff22", NOW, info, {"state": "unknown", "raw": info.hex()})
    yield _clock(now)


def heat_in_error_state(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """Like an Itron CF with a broken return sensor and a Sontex that writes float32."""
    yield _bcd("0c 78", NOW, int(number, 16) % 10**8, 0, "")
    yield _bcd("0c 06", NOW, r.energy, 3, "Wh")
    yield _bcd("0c 14", NOW, r.volume // 10, -2, "m3")
    yield _bcd("0b 3b", NOW, r.flow_lph, -3, "m3/h")
    yield _bare("3b", "2d", ERROR, bytes.fromhex("bdebdd"), "error-state")
    yield _bare("3a", "5a", ERROR, e.bcd(9999, 2), "error-state")
    yield _bare("0a", "5e", NOW, bytes.fromhex("eeee"), "invalid")
    yield _real("05 5b", NOW, r.forward_cc / 100, 0, "Cel")
    yield _real("05 5f", NOW, r.back_cc / 100, 0, "Cel")
    yield _real("05 3e", NOW, r.flow_lph / 1000, 0, "m3/h")
    yield Line("0d", "fd11", NOW, e.text("Käte-Str. 7 / 2.OG"), {"text": "Käte-Str. 7 / 2.OG"})
    yield _int("01 fd17", NOW, 4, 0, "")
    yield _clock(now)


def hot_water(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """A hot-water meter with a monthly set day."""
    yield _bcd("0c 13", NOW, r.volume, -3, "m3")
    yield _clock(now)
    yield _bcd("4c 13", SET_DAY, r.set_volume, -3, "m3")
    yield _set_day(r)
    yield _bcd("0c 78", NOW, int(number), 0, "")


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


def _int(code: str, place: Place, value: int, exponent: int, unit: str) -> Line:
    dib, vib = code.split()
    return Line(dib, vib, place, e.integer(value, SIZES[dib[1]]), {"m": value, "e": exponent, "unit": unit})


def _bcd(code: str, place: Place, value: int, exponent: int, unit: str) -> Line:
    dib, vib = code.split()
    return Line(dib, vib, place, e.bcd(value, SIZES[dib[1]]), {"m": value, "e": exponent, "unit": unit})


def _real(code: str, place: Place, value: float, exponent: int, unit: str) -> Line:
    dib, vib = code.split()
    octets = e.real(value)
    return Line(dib, vib, place, octets, {"bits": struct.unpack("<I", octets)[0], "e": exponent, "unit": unit})


def _bare(dib: str, vib: str, place: Place, octets: bytes, state: str) -> Line:
    return Line(dib, vib, place, octets, {"state": state, "raw": octets.hex()})


def _set_day(r: Registers) -> Line:
    shown = (EPOCH + datetime.timedelta(days=r.set_day)).date()
    return Line("42", "6c", SET_DAY, e.day(shown), {"time": shown.isoformat()})


def _clock(now: datetime.datetime) -> Line:
    return Line("04", "6d", NOW, e.minute(now), {"time": now.strftime("%Y-%m-%dT%H:%M")})
