"""What the classes cannot say of pushes: who sends them must be told apart, and somebody must listen."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from gateway.entries import Entry
from protocols.settings.document import Document
from protocols.settings.problems import Level, Problem

KEYS = frozenset({"push", "push_from", "push_objects"})
MAX_CLASS, MAX_BYTE = 0xFFFF, 0xFF
BELONGING = ("push_from", "push_objects")


def problems(document: Document, top: Entry) -> Iterator[Problem]:
    """Pushes that nobody listens for, or that could not be attributed."""
    table = top.table.get("push")
    devices = [each for bus in top.entries("bus") for each in bus.entries("device")]
    pushing = [each for each in devices if each.table.get("push") is True]
    if isinstance(table, dict):
        yield from _listener(document, table, pushing)
    for each in devices:
        yield from _device(document, each, isinstance(table, dict))
    yield from _alike(document, pushing)


def _listener(document: Document, table: dict[str, object], pushing: list[Entry]) -> Iterator[Problem]:
    yield from _address(document, ("push", "bind"), table.get("bind"))
    if table.get("tcp") is False and table.get("udp") is False:
        yield document.problem(("push", "udp"), "tcp or udp", "neither", do="remove one of both lines")
    if not pushing:
        yield document.problem(
            ("push",),
            "a meter with push = true",
            "none",
            do="add push = true to the meters that may push",
            level=Level.HINT,
        )


def _device(document: Document, device: Entry, listens: bool) -> Iterator[Problem]:
    pushes = device.table.get("push") is True
    for key in BELONGING:
        if key in device.table and not pushes:
            words = f"push = true with {key}"
            yield document.problem((*device.path, key), words, "nothing", do=f"add push = true, or remove {key}")
    yield from _address(document, (*device.path, "push_from"), device.table.get("push_from"))
    if not pushes:
        return
    if not listens:
        do = 'add a table:  [push]  bind = "ADDRESS"  port = 4059'
        yield document.problem((*device.path, "push"), "a table [push] for push = true", "none", do=do)
    yield from _objects(document, device)
    ciphered = device.table.get("ciphering", "none") != "none"
    if ciphered and "meter_title" not in device.table:
        do = 'add meter_title = "...", the 16 hex digits of the meter\'s system title: its pushes are known by it'
        yield document.problem((*device.path, "push"), "meter_title for pushes that are ciphered", "nothing", do=do)
    if not ciphered and "push_from" not in device.table:
        yield document.problem(
            (*device.path, "push"),
            "push_from for pushes that are not ciphered",
            "nothing",
            do="add push_from: without it anybody who knows the meter's name can push for it",
            level=Level.HINT,
        )


def _objects(document: Document, device: Entry) -> Iterator[Problem]:
    """Numbers of a push list that no attribute has."""
    written = device.table.get("push_objects")
    for number, each in enumerate(written if isinstance(written, tuple) else ()):
        found = re.fullmatch(r"([0-9]+)/([0-9]+)-([0-9]+):([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)/(-?[0-9]+)", str(each))
        if found is None:
            continue  # the class says it
        kind, *name, attribute = (int(part) for part in found.groups())
        if kind > MAX_CLASS or max(name) > MAX_BYTE or not -128 <= attribute <= 127:
            wanted = f"a class up to {MAX_CLASS}, an OBIS name of numbers up to {MAX_BYTE}, an attribute up to 127"
            path = (*device.path, "push_objects", number)
            yield document.problem(path, wanted, repr(each), do="copy it from the meter's push list")


def _alike(document: Document, pushing: list[Entry]) -> Iterator[Problem]:
    """Two meters with one title could not be told apart."""
    seen: set[str] = set()
    for each in pushing:
        title = each.text("meter_title").lower()
        if title and title in seen:
            path = (*each.path, "meter_title")
            yield document.problem(path, "each title once", repr(title), do="write each meter's own system title")
        seen.add(title)


def _address(document: Document, path: tuple[str | int, ...], written: object) -> Iterator[Problem]:
    if not isinstance(written, str):
        return
    try:
        ipaddress.ip_address(written)
    except ValueError:
        yield document.problem(path, "an IP address", repr(written), do="write four numbers with dots, or an IPv6 one")
