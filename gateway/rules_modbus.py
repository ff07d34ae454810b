"""What the classes cannot say of a Modbus bus: port or url, what only an RTU line has, and units on a line."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.entries import Entry, one_of
from protocols.modbus.rtu import UNITS
from protocols.settings.document import Document
from protocols.settings.problems import Level, Problem

SERIAL_KEYS = ("baud", "parity", "stop_bits")  # of a line whose speed is set here
LINE_KEYS = (*SERIAL_KEYS, "answer_ms")
WHERE = ("url", "port")
GIVE = 'add url = "tcp://HOST:PORT" or "tcp+rtu://HOST:PORT", or port = "/dev/serial/by-id/..." of an RS-485 line'


def problems(document: Document, bus: Entry) -> Iterator[Problem]:
    """What is wrong with the line, and with its meters' units."""
    yield from one_of(document, bus, WHERE, "an address, or port with the path of a serial port", GIVE)
    yield from _ignored(document, bus)
    if not bus.text("url").startswith("tcp:"):
        for device in bus.entries("device"):
            yield from _unit(document, device)


def _ignored(document: Document, bus: Entry) -> Iterator[Problem]:
    """Settings that nobody is told; behind tcp+rtu:// the speed still says how long answers take."""
    scheme = bus.text("url").partition(":")[0]
    if "port" in bus.table or scheme not in ("tcp", "tcp+rtu"):
        return
    mine = LINE_KEYS if scheme == "tcp" else ("parity", "stop_bits")
    for key in (each for each in mine if each in bus.table):
        do = f"remove {key}: the converter has its own; with RTU frames tcp+rtu:// or rfc2217:// is meant"
        if scheme == "tcp+rtu":
            do = f"remove {key}: the serial server has its own, or write rfc2217:// where it takes them from here"
        path = (*bus.path, key)
        yield document.problem(path, f"no {key} with {scheme}://", document.written(path), do=do, level=Level.HINT)


def _unit(document: Document, device: Entry) -> Iterator[Problem]:
    """0 is everybody on a line, and nobody answers; above 247 is reserved."""
    unit = device.table.get("unit", 1)
    if type(unit) is int and not 1 <= unit <= UNITS:
        path = (*device.path, "unit")
        do = "the meter's display or DIP switches show it; 0 is a broadcast that no meter answers"
        yield document.problem(path, f"a unit from 1 to {UNITS} on an RTU line", document.written(path), do=do)
