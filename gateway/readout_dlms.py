"""A configured DLMS meter read now: who it is, its registers and its clock, as a visit of the daemon reads them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from gateway.beside import identity_of, shown
from gateway.desk import Asked, desk_of
from gateway.dlms import present
from gateway.handed import Through
from gateway.lines import Lines, Place
from gateway.online import against, described
from gateway.readout import Readout, Register, register, taken
from protocols import obis
from protocols.dlms import naming, objects
from protocols.dlms.get import Selection
from protocols.dlms.objects import Attribute
from protocols.errors import AnotherMeter, MeterError
from protocols.mbus.explain import written
from protocols.reading import Identity, Value
from protocols.transports.dlms import Asking, Got


@dataclass(frozen=True, slots=True)
class DlmsMeter:
    """A meter that is meant."""

    asked: Asked

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.asked.place

    @property
    def through(self) -> Through | None:
        """The daemon that reads it."""
        return self.asked.through

    async def heard(self, lines: Lines) -> DlmsHeard:
        """Its registers, their scalers and its clock.

        Raises:
            PlombaError: no usable answer came.
        """
        registers = tuple(Attribute.of(objects.REGISTER, name) for name in self.asked.device.registers)
        scalers = tuple(each.scaler for each in registers if each.scaler is not None)
        with closing(desk_of(self.asked, lines)) as desk:
            async with desk.associated() as association:
                noted = _Noted(association)
                anyone = replace(self.asked.device, serial=None)
                identity = await identity_of(noted, anyone)
                found = await shown(noted, (*registers, objects.CLOCK_TIME), scalers)
        return DlmsHeard(self.asked, identity, registers, found, tuple(noted.found))

    def step(self, error: MeterError) -> str:
        """What to do about an error of it."""
        return f"{error.do}; 'plomba-gateway probe' goes step by step"


class _Noted:
    """A meter that is asked, and what it answered."""

    def __init__(self, meter: Asking) -> None:
        self._meter = meter
        self.found: list[Got] = []

    async def get(self, attribute: Attribute, selection: Selection | None = None) -> Got:
        """As the meter answers."""
        self.found.append(await self._meter.get(attribute, selection))
        return self.found[-1]

    async def get_many(self, attributes: Sequence[Attribute], together: bool = True) -> list[Got]:
        """As the meter answers."""
        found = await self._meter.get_many(attributes, together)
        self.found += found
        return found


@dataclass(frozen=True, slots=True)
class DlmsHeard:
    """Answers of a meter: who it is, its registers, and all of them in their order."""

    asked: Asked
    meter: Identity
    registers: tuple[Attribute, ...]
    shown: dict[Attribute, Got]
    answers: tuple[Got, ...]

    @property
    def raw(self) -> tuple[bytes, ...]:
        """The response APDUs; those of one answer to several questions are together."""
        return tuple(each.octets for each in self.answers if each.octets)

    @property
    def told(self) -> str:
        """Nothing: what is repeated on the way is not counted."""
        return ""

    def readout(self) -> Readout:
        """What they say.

        Raises:
            MeterError: not decodable, or of another meter.
        """
        serial = self.asked.device.serial
        if serial is not None and serial != self.meter.fabrication:
            raise AnotherMeter(f"device id {serial}", self.meter.fabrication or "none", self.asked.device.name)
        values = present(self.registers, self.shown)
        at, round_trip_ms = taken(self.answers)
        clock = self.shown[objects.CLOCK_TIME]
        time = objects.time_of(objects.clock_value(objects.CLOCK_TIME, clock.data))
        said = "shows no time" if time is None else against(time, clock.at_ms)
        named = f" ({self.meter.logical_name})" if self.meter.logical_name else ""
        pairs = list(zip(self.registers, values, strict=True))
        row = {
            "meter": _identity(self.meter),
            "at": at,
            "round_trip_ms": round_trip_ms,
            "clock": None if time is None else {"time": str(time), "offset_min": time.deviation_min},
            "registers": [_row(*each) for each in pairs],
            "answers": [each.hex() for each in self.raw],
        }
        when = (f"read {at}, {round_trip_ms} ms", f"clock: {said}")
        return Readout(described(self.meter) + named, when, tuple(_register(*each) for each in pairs), row)


def _identity(meter: Identity) -> dict[str, Any]:
    return {"manufacturer": meter.manufacturer, "serial": meter.fabrication, "logical_name": meter.logical_name}


def _register(attribute: Attribute, value: Value) -> Register:
    name = naming.name(attribute.class_id, attribute.name)
    return register(f"{obis.shown(attribute.name)} {name}", value)


def _row(attribute: Attribute, value: Value) -> dict[str, Any]:
    return {
        "obis": obis.shown(attribute.name),
        "name": naming.name(attribute.class_id, attribute.name),
        "value": written(value.number),
        "unit": value.unit,
        "state": value.state.name.lower().replace("_", "-"),
    }
