"""Changes values of one meter in a configuration file; everything else stays as it was written, comments too."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from gateway.config_file import configuration_from
from gateway.faults import NotEditable
from protocols.settings.locate import KeyPath, Places, locate

Value = str | int | None
BOM = "\ufeff"


def edited(path: Path, text: str, device: str, keys: Mapping[str, Value]) -> str:
    """`text` with these keys of the device changed, or written below its name; what is None stays.

    Raises:
        NotEditable: it is not written in a way that can be changed without touching more.
        BadConfiguration: the file would have faults then.
    """
    for key, value in keys.items():
        if value is not None:
            text = _with(path, text, device, key, value)
    configuration_from(tomllib.loads(text.removeprefix(BOM).replace("\r\n", "\n")), path.absolute().parent, str(path))
    return text


def _with(path: Path, text: str, device: str, key: str, value: Value) -> str:
    plain = text.removeprefix(BOM).replace("\r\n", "\n")
    places, table = locate(plain), _table(path, plain, device)
    lines = text.split("\n")  # a line keeps its own end
    written = json.dumps(value)
    if (*table, key) in places.places:
        number, line = _line(places, (*table, key), lines)
        lines[number] = _changed(path, line, key, places.places[*table, key].text, written)
        return "\n".join(lines)
    number, line = _line(places, (*table, "name"), lines)
    if not line.strip().removeprefix(BOM).startswith("name"):
        raise NotEditable("a key on a line of its own", line.strip()[:60], f"{path}: write {key} = {written} there")
    blank, end = line[: len(line) - len(line.lstrip())], "\r" if line.endswith("\r") else ""
    lines.insert(number + 1, f"{blank}{key} = {written}{end}")
    return "\n".join(lines)


def _line(places: Places, key: KeyPath, lines: list[str]) -> tuple[int, str]:
    number = places.places[key].line - 1
    return number, lines[number]


def _changed(path: Path, line: str, key: str, old: str, new: str) -> str:
    head, found, rest = line.partition(key)
    before, value, tail = rest.partition(old)
    if not found or not value or before.strip(" \t\"'=") or "\n" in old:
        raise NotEditable("a key and its value on one line", line.strip()[:60], f"{path}: write {key} = {new} there")
    return f"{head}{key}{before}{new}{tail}"


def _table(path: Path, plain: str, device: str) -> KeyPath:
    """Where the device's table is."""
    for number, bus in enumerate(tomllib.loads(plain).get("bus", ())):
        for nth, each in enumerate(bus.get("device", ())):
            if each.get("name") == device:
                return "bus", number, "device", nth
    raise NotEditable(f"a meter {device}", "none any more", str(path))
