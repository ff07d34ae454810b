"""Models of Modbus meters: one TOML file each under `modbus/`, parsed once into frozen values.

A file says where its facts come from and which of them could not be confirmed, and brings examples: bytes of register
blocks with the values in them, which a test checks for every model.

A model is sealed as "manufacturer designation" (`sealed_as`, in `Identity.manufacturer`): from it and a native key the
collector finds the register's label again (`label`), without the gateway's configuration. The designation is therefore
never changed, and no two models share one.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from protocols.errors import ConfigurationError
from protocols.modbus.blocks import plan
from protocols.modbus.registers import MAX_COUNT, Counts, Register, Table
from protocols.models.files import STRICT, once, parse
from protocols.reading import Identity, NativeKey, Protocol

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FOLDER = Path(__file__).with_suffix("")
ADDRESS_AT, TYPE_AT = 1, 2  # parts of a native key


class UnknownModel(ConfigurationError):  # noqa: N818 - named after what is wrong
    """No model of this name is known."""

    code = "PLB-C240"
    do = "give one of the known models, or send the meter's register list to the maintainers"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the facts come from, and which of them are not confirmed by it."""

    document: str
    revision: str
    where: str
    seen: str
    unconfirmed: tuple[str, ...] = ()

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class Code:
    """The register of the identification code, and the codes that this model has: `first` to `last`."""

    register: Register
    first: int
    last: int

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class Expected:
    """What an example shows at an address: mantissa and exponent, the bits of a float32, or nothing (`invalid`)."""

    address: int
    mantissa: int | None = None
    exponent: int | None = None
    bits: int | None = None
    invalid: bool = False

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class Example:
    """The bytes (hex) of registers from `address` on, and what is in them."""

    table: Table
    address: int
    octets: str
    values: tuple[Expected, ...]

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what is no whole number of registers, or shows nothing."""
        if not self.values or len(bytes.fromhex(self.octets)) % 2:
            raise ValueError("expected whole registers with at least one value")


@dataclass(frozen=True, slots=True)
class ModbusModel:
    """One model: its registers, how many may be read at once, and what says that a device is one.

    `largest_block` are the registers of one question, `largest_gap` those that may be read over inside one.
    """

    name: str
    manufacturer: str
    designation: str
    what: str
    source: Source
    largest_block: int
    largest_gap: int
    registers: tuple[Register, ...]
    examples: tuple[Example, ...]
    serial: Register | None = None
    code: Code | None = None

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what contradicts itself; ValueError names it."""
        if not 1 <= self.largest_block <= MAX_COUNT or not 0 <= self.largest_gap < self.largest_block:
            raise ValueError(f"expected blocks of 1 to {MAX_COUNT} registers and a smaller gap")
        types = [(each.address, each.type) for each in self.registers]
        if not types or len(set(types)) != len(types):
            raise ValueError("expected at least one register, and each once")
        if any(each.kind == "text" or each.words > self.largest_block for each in self.registers):
            raise ValueError("expected numbers that fit into one block")
        if any(each.scale is not None for each in self.registers):
            self._check_scales()
        if len({each.label for each in self.registers}) != len(types):
            raise ValueError("expected a label of its own for each register")
        if self.code is not None and self.code.register.kind != "uint16":
            raise ValueError("expected an identification code of the type uint16")

    def _check_scales(self) -> None:
        """A number and its scale are of one moment; ValueError names the one that cannot be."""
        for span in plan(self.registers, self.largest_block, self.largest_gap):
            if span.count > self.largest_block:
                raise ValueError(
                    f"expected scale registers in one block, got {span.address} to {span.registers[0].end}"
                )

    @property
    def sealed_as(self) -> str:
        """What stands in the sealed identity as manufacturer."""
        return f"{self.manufacturer} {self.designation}"

    def register_of(self, key: NativeKey) -> Register | None:
        """The register with this key, whatever the device's unit number."""
        if key.protocol is not Protocol.MODBUS or len(key.parts) <= TYPE_AT:
            return None
        place = (key.parts[ADDRESS_AT], key.parts[TYPE_AT])
        return next((each for each in self.registers if (each.address, each.type) == place), None)


@cache
def names() -> tuple[str, ...]:
    """The known models, in order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name: str) -> ModbusModel:
    """The model of this name.

    Raises:
        UnknownModel: there is none; the error names those that there are, the nearest first.
        BadModel: its file has faults.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        known = ", ".join([*near, *(each for each in names() if each not in near)])
        hint = f"perhaps {near[0]}; " if near else ""
        raise UnknownModel(f"a known model ({hint}known are {known})", repr(name), "model")
    return once("modbus", name, lambda: from_toml(name, (FOLDER / f"{name}.toml").read_text(encoding="utf-8")))


def from_toml(name: str, text: str) -> ModbusModel:
    """The model in a file's text.

    Raises:
        BadModel: every fault of the file, with its place.
    """
    return parse(_adapter(), name, text)


@cache
def _adapter() -> TypeAdapter[ModbusModel]:
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(ModbusModel)


def label(sealed: Identity | str | None, key: NativeKey) -> str | None:
    """The label of a register, from a sealed identity (or its manufacturer) and the native key; None: not known."""
    found = _register(sealed, key)
    return None if found is None else found.label


def counts(sealed: Identity | str | None, key: NativeKey) -> Counts:
    """Whether a counter is a total or begins again by itself ("resetting"); empty where that is not known."""
    found = _register(sealed, key)
    return "" if found is None else found.counts


def _register(sealed: Identity | str | None, key: NativeKey) -> Register | None:
    manufacturer = sealed.manufacturer if isinstance(sealed, Identity) else sealed
    model = next((load(name) for name in names() if load(name).sealed_as == manufacturer), None)
    return None if model is None else model.register_of(key)
