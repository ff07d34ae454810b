"""The configuration in a file: TOML, read once into the values of `config`, all its faults named at once.

What the classes cannot say of a file, `gateway/rules` does. A daemon has this done aside: what it takes is not needed
afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway import rules
from gateway.config import Bus, Configuration, DlmsBus, DlmsDevice, MbusBus, ModbusBus, with_devices
from gateway.faults import BadConfiguration, ConfigurationUnreadable
from protocols.models import dlms, files, mbus, modbus
from protocols.settings import document as documents
from protocols.settings import mend, reading
from protocols.settings.model import model_of, value_of
from protocols.settings.problems import Level, Problem

METER_SECRETS = ("password_file", "encryption_key_file", "authentication_key_file")  # paths of a DLMS meter


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file says (None where it has faults), and all that was found in it, hints included.

    `given` is what stands in it, defaults left out.
    """

    configuration: Configuration | None
    problems: tuple[Problem, ...]
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def faults(self) -> tuple[Problem, ...]:
        """What stops the daemon."""
        return tuple(each for each in self.problems if each.level is Level.FAULT)


def read_configuration(path: Path) -> Configuration:
    """The configuration in a file; relative paths in it are relative to it.

    Raises:
        ConfigurationUnreadable: no such file, or not TOML.
        BadConfiguration: every fault, with its place.
    """
    return _good(check_configuration(path), str(path))


def read_with_models(path: Path) -> tuple[Configuration, Mapping[tuple[str, str], Any]]:
    """As `read_configuration`, and the models that the meters are of, or may be of, as `files.take_over` takes them.

    Raises:
        ConfigurationUnreadable, BadConfiguration: as for `read_configuration`.
    """
    configuration = read_configuration(path)
    for bus in configuration.bus:
        if isinstance(bus, MbusBus):
            for name in mbus.names():  # which of them a meter is, it says itself
                mbus.load(name)
            continue
        load = modbus.load if isinstance(bus, ModbusBus) else dlms.load
        for device in bus.device:
            if device.model is not None:
                load(device.model)
    return configuration, files.loaded()


def check_configuration(path: Path) -> Checked:
    """The configuration in a file with every fault and hint.

    Raises:
        ConfigurationUnreadable: no such file, or not TOML.
    """
    found = mend.load(path, model_of(Configuration))
    if isinstance(found, tuple):
        raise ConfigurationUnreadable(found, str(path))
    checked = _checked(found, path.absolute().parent)
    if not found.toml:
        raise ConfigurationUnreadable(checked.problems, str(path))
    return checked


def configuration_from(table: dict[str, Any], folder: Path, where: str) -> Configuration:
    """The configuration in a parsed table.

    Raises:
        BadConfiguration: every fault, with its key's path.
    """
    return _good(_checked(documents.unlocated(where, table), folder), where)


def _good(checked: Checked, where: str) -> Configuration:
    if checked.configuration is None:
        raise BadConfiguration(checked.faults, where)
    return checked.configuration


def _checked(document: documents.Document, folder: Path) -> Checked:
    document, problems = rules.with_protocols(document)
    ruled = document.of_writer(problems + list(rules.problems(document)))
    found, more = reading.read(document, model_of(Configuration), rules.SECRETS)
    said = {each.key for each in ruled if each.level is Level.FAULT}  # a rule knows more than a class
    ruled += [each for each in more if each.key not in said]
    if found is None or any(each.level is Level.FAULT for each in ruled):
        return Checked(None, tuple(ruled))
    return Checked(_absolute(value_of(found), folder), tuple(ruled), document.table)


def _absolute(found: Configuration, folder: Path) -> Configuration:
    buses = tuple(_zoned(_placed(bus, folder), found.timezone) for bus in found.bus)
    state_folder, keys_folder = folder / found.state_folder, folder / found.keys_folder
    return replace(found, bus=buses, state_folder=state_folder, keys_folder=keys_folder)


def _zoned(bus: Bus, timezone: str) -> Bus:
    """The bus whose meters know the zone of their times."""
    devices = (
        each if each.timezone or not (each.cadence or each.billing) else replace(each, timezone=timezone)
        for each in bus.device
    )
    return with_devices(bus, devices)


def _placed(bus: Bus, folder: Path) -> Bus:
    """The bus with its paths relative to the file's folder: a port is one too, but of a device."""
    if isinstance(bus, MbusBus | DlmsBus) and bus.port is not None:
        bus = replace(bus, port=str(folder / bus.port))
    if not isinstance(bus, DlmsBus):
        return bus
    return replace(bus, device=tuple(_secrets_placed(each, folder) for each in bus.device))


def _secrets_placed(device: DlmsDevice, folder: Path) -> DlmsDevice:
    given = {key: getattr(device, key) for key in METER_SECRETS}
    return replace(device, **{key: folder / path for key, path in given.items() if path is not None})
