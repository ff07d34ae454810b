"""What the classes cannot say of a DLMS bus: port or url, what only a serial line has, and addresses on a line."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.entries import Entry, one_of
from protocols.settings.document import Document
from protocols.settings.problems import Level, Problem

LINE_KEYS = ("baud", "parity", "answer_ms", "opening")  # of a line whose speed is set here
DEVICE_KEYS = frozenset({"address_bytes", "opening_address"})
WHERE = ("url", "port")
GIVE = 'add url = "tcp://HOST:PORT" or "tcp+hdlc://HOST:PORT", or port = "/dev/serial/by-id/..." of an RS-485 line'
BITS = {1: 7, 2: 7, 4: 14}  # of each number in an address of so many bytes


def problems(document: Document, bus: Entry) -> Iterator[Problem]:
    """What is wrong with the line, and with its meters' addresses."""
    yield from one_of(document, bus, WHERE, "an address, or port with the path of a serial port", GIVE)
    url = bus.text("url")
    if url and "port" not in bus.table and not url.startswith("rfc2217:"):
        for key in (each for each in LINE_KEYS if each in bus.table):
            words = f"no {key} with {url.partition(':')[0]}://"
            do = f"remove {key}: the serial server has its own, or write rfc2217:// where it takes them from here"
            path = (*bus.path, key)
            yield document.problem(path, words, document.written(path), do=do, level=Level.HINT)
    yield from _opening(document, bus)
    for device in bus.entries("device"):
        yield from _address(document, device)


def _opening(document: Document, bus: Entry) -> Iterator[Problem]:
    """Mode E changes the speed of a port of our own, and HDLC has no parity then."""
    path = (*bus.path, "opening")
    if bus.table.get("opening") == "mode-e":
        if bus.text("url"):
            words, do = 'port with opening = "mode-e"', "write the path of the head's serial port in place of url"
            yield document.problem(path, words, "url", do=do)
        if bus.table.get("parity", "none") != "none":
            at = (*bus.path, "parity")
            do = "remove parity: the opening has its own, and HDLC none"
            yield document.problem(at, 'parity = "none" with opening = "mode-e"', document.written(at), do=do)
        return
    for device in (each for each in bus.entries("device") if each.text("opening_address")):
        at = (*device.path, "opening_address")
        do = 'add opening = "mode-e" to its [[bus]], or remove opening_address'
        yield document.problem(at, 'opening_address with opening = "mode-e"', document.written(at), do=do)


def _address(document: Document, device: Entry) -> Iterator[Problem]:
    """An address that is too short for its numbers."""
    size = device.table.get("address_bytes")
    if size not in BITS:
        return
    path = (*device.path, "address_bytes")
    if size == 1 and "physical" in device.table:
        do = "remove address_bytes, or physical where the meter has none"
        yield document.problem(path, "2 or 4 bytes with a physical address", "1", do=do)
    for key in ("server", "physical"):
        number = device.table.get(key)
        if type(number) is int and 0x7F < number <= 0x3FFF and BITS[size] == BITS[1]:
            do = f"remove it, or write address_bytes = 4: {key} = {number} needs more than 7 bits"
            yield document.problem(path, f"4 bytes for {key} = {number}", str(size), do=do)
            return
