"""Six heat meters of a large house, of six makers: their record lists as telegrams of such meters have them.

Each counts in its own units and codes: kilowatt hours, megajoules, float32, BCD with an error state. The Sontex needs
three telegrams for what it has to say.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from simulators.mbus import encoding as e
from simulators.mbus.meters import Model, Plate, heat_with_billing_day
from simulators.mbus.registers import EPOCH, Registers
from simulators.mbus.rows import (
    ERROR,
    MAXIMUM,
    NOW,
    SET_DAY,
    Line,
    bare,
    clock,
    digits,
    real,
    set_day,
    whole,
)

EVERY_SET_DAY = bytes.fromhex("fffc")  # 31 December of every year
RECURRING_PLACE = (510, 0, 0, 0)


def ultraheat(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """Like a Landis+Gyr Ultraheat T230: BCD, the set day before, and the recurring one in storage 510."""
    yield digits("0c 06", NOW, r.energy, 3, "Wh")
    yield digits("0c 14", NOW, r.volume // 10, -2, "m3")
    yield digits("0b 2d", NOW, r.power_w // 100, 2, "W")
    yield digits("0b 3b", NOW, r.flow_lph, -3, "m3/h")
    yield digits("0a 5a", NOW, r.forward_cc // 10, -1, "Cel")
    yield digits("0a 5e", NOW, r.back_cc // 10, -1, "Cel")
    yield digits("0a 62", NOW, r.forward_cc // 10 - r.back_cc // 10, -1, "K")
    yield digits("0c 78", NOW, int(number), 0, "")
    yield digits("0c 22", NOW, r.hours, 0, "h")
    yield digits("4c 06", SET_DAY, r.set_energy, 3, "Wh")
    yield digits("4c 14", SET_DAY, r.set_volume // 10, -2, "m3")
    yield set_day(r)
    yield bare("828f0f", "6c", RECURRING_PLACE, EVERY_SET_DAY, "recurring")
    yield clock(now)


def sharky(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """Like a Diehl Sharky 775: BCD, a second energy in tariff 1, a pulse volume in tariff 2, error flags."""
    yield digits("0c 06", NOW, r.energy, 3, "Wh")
    yield digits("8c10 06", (0, 1, 0, 0), r.energy // 5, 3, "Wh")
    yield digits("8c20 13", (0, 2, 0, 0), r.input_volume, -3, "m3")
    yield digits("0c 13", NOW, r.volume, -3, "m3")
    yield digits("0c 2b", NOW, r.power_w, 0, "W")
    yield digits("0b 3b", NOW, r.flow_lph, -3, "m3/h")
    yield digits("0a 5a", NOW, r.forward_cc // 10, -1, "Cel")
    yield digits("0a 5e", NOW, r.back_cc // 10, -1, "Cel")
    yield digits("0a 62", NOW, r.forward_cc // 10 - r.back_cc // 10, -1, "K")
    yield clock(now)
    yield digits("4c 06", SET_DAY, r.set_energy, 3, "Wh")
    yield digits("4c 13", SET_DAY, r.set_volume, -3, "m3")
    yield set_day(r)
    yield whole("02 fd17", NOW, 0, 0, "")


def integral(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """Like an Itron Integral whose flow sensor is unplugged: power and a temperature in error state, versions."""
    yield digits("0c 78", NOW, int(number), 0, "")
    yield digits("0c 06", NOW, r.energy, 3, "Wh")
    yield digits("0c 14", NOW, r.volume // 10, -2, "m3")
    yield bare("3b", "2d", ERROR, bytes.fromhex("bdebdd"), "error-state")
    yield digits("0b 3b", NOW, r.flow_lph, -3, "m3/h")
    yield bare("3a", "5a", ERROR, e.bcd(9999, 2), "error-state")
    yield digits("0a 5e", NOW, r.back_cc // 10, -1, "Cel")
    yield bare("0b", "61", NOW, bytes.fromhex("ddebbd"), "invalid")
    yield clock(now)
    yield digits("09 fd0e", NOW, 10, 0, "")
    yield digits("09 fd0f", NOW, 81, 0, "")


def supercal(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """Like a Sontex Supercal 531: megajoules, float32 for what is now, and more than one telegram holds."""
    yield digits("0c 78", NOW, int(number), 0, "")
    yield whole("04 0e", NOW, r.energy * 36 // 10, 6, "J")
    yield whole("04 14", NOW, r.volume // 10, -2, "m3")
    yield real("05 5b", NOW, r.forward_cc / 100, 0, "Cel")
    yield real("05 5f", NOW, r.back_cc / 100, 0, "Cel")
    yield real("05 3e", NOW, r.flow_lph / 1000, 0, "m3/h")
    yield real("05 2b", NOW, float(r.power_w), 0, "W")
    yield whole("c400 0e", SET_DAY, r.set_energy * 36 // 10, 6, "J")
    yield whole("c400 14", SET_DAY, r.set_volume // 10, -2, "m3")
    yield set_day(r)
    yield whole("8440 14", (0, 0, 1, 0), r.input_volume // 10, -2, "m3")
    yield whole("14 2d", MAXIMUM, r.peak_power_w // 100, 2, "W")
    peak_at = EPOCH + datetime.timedelta(seconds=r.peak_power_at_s)
    yield Line("14", "ad6f", MAXIMUM, e.minute(peak_at), {"time": peak_at.strftime("%Y-%m-%dT%H:%M")})
    yield whole("14 3b", MAXIMUM, r.peak_flow_lph, -3, "m3/h")
    yield whole("04 22", NOW, r.hours, 0, "h")
    yield clock(now)


def sensostar(r: Registers, now: datetime.datetime, number: str) -> Iterator[Line]:
    """Like an Engelmann SensoStar 2: 32-bit integers, a second energy in tariff 2, the last set day, error flags."""
    yield whole("04 78", NOW, int(number), 0, "")
    yield clock(now)
    yield whole("04 13", NOW, r.volume, -3, "m3")
    yield whole("04 06", NOW, r.energy, 3, "Wh")
    yield whole("8420 06", (0, 2, 0, 0), r.energy // 7, 3, "Wh")
    yield whole("04 3b", NOW, r.flow_lph, -3, "m3/h")
    yield whole("04 2b", NOW, r.power_w, 0, "W")
    yield whole("02 5a", NOW, r.forward_cc // 10, -1, "Cel")
    yield whole("02 5e", NOW, r.back_cc // 10, -1, "Cel")
    yield whole("04 60", NOW, (r.forward_cc - r.back_cc) * 10, -3, "K")
    yield whole("01 fd17", NOW, 0, 0, "")
    yield set_day(r)
    yield whole("44 13", SET_DAY, r.set_volume, -3, "m3")
    yield whole("44 06", SET_DAY, r.set_energy, 3, "Wh")


def boiler_room() -> tuple[Plate, ...]:
    """The six meters, as they stand when the simulation first begins."""
    makers = (
        ("60300011", Model("KAM", 0x35, 0x04, 0x00, heat_with_billing_day)),
        ("66660205", Model("LUG", 0x07, 0x04, 0x00, ultraheat)),
        ("44120087", Model("HYD", 0x2F, 0x04, 0x00, sharky)),
        ("05093217", Model("SLB", 0x06, 0x04, 0x10, integral, own=bytes.fromhex("0000"))),
        ("08420624", Model("SON", 0x0D, 0x04, 0x00, supercal, rows=6)),
        ("10380010", Model("EFE", 0x01, 0x04, 0x00, sensostar)),
    )
    return tuple(
        Plate(model, number, address, Registers(energy=20_000 + 9_731 * address, volume=900_000 + 77_013 * address))
        for address, (number, model) in enumerate(makers, 1)
    )
