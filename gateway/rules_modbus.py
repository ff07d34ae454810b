"""What the classes cannot say of a Modbus bus: port or url, what only an RTU line has, and units on a line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from gateway.entries import Entry
from protocols.modbus.rtu import UNITS
from protocols.settings.document import Document
from protocols.settings.problems import Level, Problem
from protocols.settings.words import SIMILAR

SERIAL_KEYS = ("baud", "parity", "stop_bits")  # of a line whose speed is set here
LINE_KEYS = (*SERIAL_KEYS, "answer_ms")
WHERE = ("port", "url")


def problems(document: Document, bus: Entry) -> Iterator[Problem]:
    """What is wrong with the line, and with its meters' units."""
    yield from _one_of(document, bus)
    yield from _ignored(document, bus)
    if not bus.text("url").startswith("tcp:"):
        for device in bus.entries("device"):
            yield from _unit(document, device)


def _one_of(document: Document, bus: Entry) -> Iterator[Problem]:
    """Port or url; one that is only misspelt is named elsewhere."""
    given = [each for each in WHERE if each in bus.table]
    if len(given) == len(WHERE):
        second = max(given, key=lambda each: document.places.of((*bus.path, each)).line)
        do = "remove the one that is not meant: port or url"
        yield document.problem((*bus.path, second), "port or url", "both", do=do)
    elif not given and not any(difflib.get_close_matches(each.lower(), WHERE, 1, SIMILAR) for each in bus.table):
        words = "an address, or port with the path of a serial port"
        do = 'add url = "tcp://HOST:PORT" or "tcp+rtu://HOST:PORT", or port = "/dev/serial/by-id/..." of an RS-485 line'
        yield document.problem((*bus.path, "url"), words, "nothing", do=do, at=bus.path)


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
