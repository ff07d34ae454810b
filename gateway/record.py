"""The commissioning record of a configured gateway: every meter read now, as a value, and as lines for people."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import Bus, Configuration, Device, DlmsDevice, MbusDevice, configuration_hash
from gateway.core import core_of_this_program
from gateway.meet import NotRead, readout
from gateway.readout import Readout
from protocols.models import mbus as mbus_models
from protocols.reading import Identity, Protocol
from protocols.uplink import commissioned, limits
from protocols.uplink.commissioned import Commissioned, First, Met
from protocols.uplink.keys import PublicKey, fingerprint

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Who:
    """What a meter's readout says it is, in the same words for each protocol."""

    manufacturer: str | None
    serial: str | None
    version: int | None = None
    medium: int | None = None


def record(path: Path, found: Configuration, sealing: PublicKey, now_ms: int, say: Say) -> Commissioned:
    """The record: each meter is read once, and `say` is told of each; what is not read stands there with its reason."""
    meters = tuple(_met(path, found, bus, device, say) for bus in found.bus for device in bus.device)
    core = core_of_this_program()
    program = f"{core.version} {core.hash.hex()}"
    return Commissioned(found.gateway, sealing, program, configuration_hash(found), now_ms, meters)


def lines(made: Commissioned) -> Iterator[str]:
    """The record for people."""
    yield f"Commissioning record of gateway {made.gateway}"
    yield f"made {shown(made.made_ms)}"
    yield f"sealing key {fingerprint(made.sealing.octets)}"
    yield f"configuration {made.config.hex()}"
    yield f"program {made.program}"
    for each in made.meters:
        yield ""
        yield f"{each.name}: {each.protocol}, {each.bus} ({each.line}), {each.address}"
        yield f"  identity: {identity(each)}; model: {each.model or 'not chosen'}"
        yield f"  NOT READ: {each.failure}" if each.at_ms is None else f"  read {shown(each.at_ms)}"
        width = max((len(first.place) for first in each.readings), default=0)
        for first in each.readings:
            state = "" if first.state == "ok" else f"  ({first.state})"
            yield f"    {first.place:{width}}  {first.value or '-'} {first.unit}".rstrip() + state


def identity(met: Met) -> str:
    """Who a meter said it is."""
    parts = [met.manufacturer, met.serial]
    parts += [None if met.version is None else f"version {met.version}"]
    parts += [None if met.medium is None else f"medium {met.medium}"]
    return " ".join(each for each in parts if each) or "not told"


def shown(at_ms: int) -> str:
    """An instant of ours, UTC, to the second."""
    return datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _met(path: Path, found: Configuration, bus: Bus, device: Device, say: Say) -> Met:
    place = (device.name, bus.protocol, bus.name, bus.url or bus.port or "", _address(device))
    try:
        seen = readout(path, found, device.name)
    except NotRead as error:
        say(f"  {device.name}: not read: {error}")
        wanted = device.identity
        who = (wanted.manufacturer, wanted.id or wanted.fabrication, wanted.version, wanted.medium)
        return Met(*place, _model(device, None), *who, None, _cut(str(error), commissioned.SHOWN), ())
    who_is = _who(seen.row)
    say(f"  {device.name}: {seen.who}")
    at_ms = round(datetime.datetime.fromisoformat(seen.row["at"]).timestamp() * 1000)
    told = (who_is.manufacturer, who_is.serial, who_is.version, who_is.medium)
    return Met(*place, _model(device, who_is), *told, at_ms, None, tuple(_first(seen)))


def _address(device: Device) -> str:
    if isinstance(device, MbusDevice):
        return f"secondary {device.secondary}" if device.address is None else f"address {device.address}"
    if isinstance(device, DlmsDevice):
        physical = "" if device.physical is None else f", physical {device.physical}"
        return f"client {device.client}, server {device.server}{physical}"
    return f"unit {device.unit}"


def _model(device: Device, who: _Who | None) -> str | None:
    """The configured model; of an M-Bus meter the one that its identity proposes, where it is one."""
    if not isinstance(device, MbusDevice):
        return device.model
    if who is None:
        return None
    asked = Identity(Protocol.MBUS, who.manufacturer, who.serial, who.version, who.medium)
    found = mbus_models.candidates(asked)
    return found[0].name if len(found) == 1 else None


def _who(row: dict[str, Any]) -> _Who:
    if "records" in row:  # of M-Bus
        return _Who(row["manufacturer"], row["id"], row["version"], row["medium"])
    meter = row["meter"]
    return _Who(meter["manufacturer"], meter["serial"])


def _first(seen: Readout) -> Iterator[First]:
    rows = seen.row["records"] if "records" in seen.row else seen.row["registers"]
    for register, row in zip(seen.registers, rows, strict=True):
        value = None if row["value"] is None else _cut(row["value"], limits.OCTETS)
        yield First(_cut(register.place, limits.OCTETS), value, _cut(row["unit"] or "", limits.TEXT), row["state"])


def _cut(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8, and no NUL."""
    return text.replace("\0", "?").encode()[:size].decode(errors="ignore")
