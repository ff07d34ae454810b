"""The registers of a simulated Carlo Gavazzi EM340: a pure function of serial number, seed and time.

Written from the manufacturer's rules, not from the product's model: INT32 with the low word first, voltages, powers and
energies x10, currents x1000. The total is the sum of its phases, as the meter's own is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from simulators.curve import Curve

CODE = 341  # identification, at 000B in a question for this one register
CODE_AT = 0x000B
SERIAL_AT = 0x5000
SERIAL_WORDS = 7
END = 0x0052  # behind the last measurement
LONGEST = 50  # registers of one question
MEAN_WH = (900, 700, 500)  # import of each phase in a quarter of an hour
EXPORT_WH, REACTIVE_WH, REACTIVE_EXPORT_WH = 300, 400, 60
STEP_WH = 100  # an energy register counts 0.1 kWh
VOLT = 2_300  # 230.0 V, and up to 4.9 V more by phase and quarter
QUARTER_MS = 900_000
HERTZ = 500  # 50.0 Hz
PHASES = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """A register as the meter shows it: `mantissa` x 10^`exponent` in `unit`, from `address` on."""

    address: int
    kind: str
    mantissa: int
    exponent: int
    unit: str

    @property
    def octets(self) -> bytes:
        """Its bytes on the wire."""
        if self.kind == "int16.ab":
            return struct.pack(">h", self.mantissa)
        high, low = divmod(self.mantissa & 0xFFFF_FFFF, 0x1_0000)
        return struct.pack(">HH", low, high)


class Registers:
    """What the meter with this serial number shows at any time."""

    def __init__(self, serial: str, seed: int) -> None:
        def curve(name: str, mean_wh: int) -> Curve:
            return Curve(seed, f"modbus/{serial}/{name}", mean_wh)

        self._import = [curve(f"import L{phase + 1}", MEAN_WH[phase]) for phase in range(PHASES)]
        self._export = curve("export", EXPORT_WH)
        self._reactive = curve("reactive", REACTIVE_WH)
        self._reactive_export = curve("reactive export", REACTIVE_EXPORT_WH)

    def at(self, now_ms: int) -> list[Shown]:
        """All registers at `now_ms` (UTC), in the order of their addresses."""
        power = [curve.power_w(now_ms) * 10 for curve in self._import]
        volts = [VOLT + (now_ms // QUARTER_MS * (phase + 3)) % 50 for phase in range(PHASES)]
        steps = [curve.energy_wh(now_ms) // STEP_WH for curve in self._import]
        found = [Shown(2 * phase, "int32.cdab", volts[phase], -1, "V") for phase in range(PHASES)]
        amps = [power[phase] * 1000 // volts[phase] for phase in range(PHASES)]
        found += [Shown(0x0C + 2 * phase, "int32.cdab", amps[phase], -3, "A") for phase in range(PHASES)]
        found += [Shown(0x12 + 2 * phase, "int32.cdab", power[phase], -1, "W") for phase in range(PHASES)]
        found.append(Shown(0x28, "int32.cdab", sum(power) - self._export.power_w(now_ms) * 10, -1, "W"))
        found.append(Shown(0x33, "int16.ab", HERTZ, -1, "Hz"))
        found.append(Shown(0x34, "int32.cdab", sum(steps), 2, "Wh"))
        found.append(_energy(0x36, self._reactive, now_ms, "var.h"))
        found += [Shown(0x40 + 2 * phase, "int32.cdab", steps[phase], 2, "Wh") for phase in range(PHASES)]
        found.append(_energy(0x4E, self._export, now_ms, "Wh"))
        found.append(_energy(0x50, self._reactive_export, now_ms, "var.h"))
        return found


def image(shown: list[Shown]) -> bytes:
    """The bytes of the registers from 0 to `END`; those that are not simulated hold zero."""
    found = bytearray(END * 2)
    for each in shown:
        found[each.address * 2 : each.address * 2 + len(each.octets)] = each.octets
    return bytes(found)


def serial_octets(serial: str) -> bytes:
    """The serial number, one letter in the low byte of each register."""
    return b"".join(bytes([0, ord(letter)]) for letter in serial[:SERIAL_WORDS]).ljust(SERIAL_WORDS * 2, b"\x00")


def _energy(address: int, curve: Curve, now_ms: int, unit: str) -> Shown:
    return Shown(address, "int32.cdab", curve.energy_wh(now_ms) // STEP_WH, 2, unit)
