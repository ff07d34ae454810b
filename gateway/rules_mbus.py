"""What the classes cannot say of an M-Bus line: how it and its meters are reached; a selection means one meter.

A meter is known by its plate: manufacturer, number, version and medium. Two meters of one line that may be the same one
as far as their plates are given would both obey a selection that is meant for one of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.entries import Entry, one_of
from protocols.settings.document import Document
from protocols.settings.problems import Level, Problem

PARTS = ("manufacturer", "version", "medium")
ANY = 255  # as version or medium: a selection by it means every one
Plate = tuple[str | None, ...]


def problems(document: Document, bus: Entry) -> Iterator[Problem]:
    """What is wrong with the line, and with how its meters are reached."""
    port = 'add port = "/dev/serial/by-id/...", or url = "tcp://HOST:PORT" for a converter in the network'
    yield from one_of(document, bus, ("port", "url"), "a port's path, or url with the address of a converter", port)
    yield from _ignored(document, bus)
    address = "add address = 1, or secondary with the 8 digits on the plate: 'plomba-gateway scan' shows who is there"
    words = "a whole number from 1 to 250, or secondary with the meter's number"
    devices = bus.entries("device")
    for at, device in enumerate(devices):
        yield from one_of(document, device, ("address", "secondary"), words, address)
        yield from _two_numbers(document, device)
        yield from _obeyed(document, device, devices[:at])


def number_key(device: Entry) -> str:
    """The key that names the meter's number."""
    return "secondary" if device.text("secondary") else "id"


def plate(device: Entry) -> Plate | None:
    """Number, manufacturer, version and medium as far as they are given; None without a number."""
    number = device.text(number_key(device)).upper()
    return (number, *(_part(device, each) for each in PARTS)) if number else None


def alike(one: Plate, other: Plate) -> bool:
    """Whether two plates may be of the same meter: nothing that both name differs."""
    return all(mine == its or None in (mine, its) for mine, its in zip(one, other, strict=True))


def _part(device: Entry, key: str) -> str | None:
    value = device.table.get(key)
    return None if value in (None, ANY) else str(value).upper()


def _ignored(document: Document, bus: Entry) -> Iterator[Problem]:
    """A parity that nobody is told; the speed is said where it is used, in the forecast."""
    if bus.text("url").startswith("tcp://") and "parity" in bus.table:
        path = (*bus.path, "parity")
        do = "remove it: the converter has its own setting, which should be 8E1; rfc2217:// takes it from here"
        yield document.problem(path, "no parity behind tcp://", document.written(path), do=do, level=Level.HINT)


def _two_numbers(document: Document, device: Entry) -> Iterator[Problem]:
    number, selected = device.text("id"), device.text("secondary")
    if number and selected and number.upper() != selected.upper():
        path = (*device.path, "id")
        do = "remove id: the number in secondary is checked at every visit, too"
        yield document.problem(path, f'the number in secondary, "{selected}"', document.written(path), do=do)


def _obeyed(document: Document, device: Entry, before: list[Entry]) -> Iterator[Problem]:
    """A selection that a meter above may obey too; equal plates are one meter twice, which is told elsewhere."""
    mine = plate(device)
    for other in before:
        its = plate(other)
        if mine is None or its is None or mine == its or not alike(mine, its):
            continue
        if device.text("secondary") or other.text("secondary"):
            path = (*device.path, number_key(device))
            line = document.places.of((*other.path, number_key(other))).line
            there = f" (line {line})" if document.lines else ""
            got = f"{document.written(path)}, which {other.text('name') or 'another meter'}{there} may obey too"
            do = "give manufacturer, version and medium of both, as their plates or 'plomba-gateway scan' show them"
            yield document.problem(path, "a selection that means one meter of this line", got, do=do)
            return
