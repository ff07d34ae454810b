"""The models: every file is whole, its examples decode, its mistakes are named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from protocols.errors import AnotherMeter
from protocols.modbus.blocks import plan
from protocols.modbus.faults import BadIdentity
from protocols.modbus.registers import WORD
from protocols.modbus.values import identity, value
from protocols.models import modbus as models
from protocols.models.files import BadModel
from protocols.reading import Float32, Identity, NativeKey, Protocol, Raw, Scaled, State, Value

EM340, SDM630 = "carlo-gavazzi-em340", "eastron-sdm630-modbus"
IMPORT_KEY = NativeKey.modbus(1, 0x34, "input.int32.cdab")
FILE = Path(models.__file__).with_suffix("") / f"{EM340}.toml"


def shown(model: models.ModbusModel, example: models.Example, address: int) -> Value:
    """What an example's bytes hold at an address."""
    register = next(each for each in model.registers if (each.table, each.address) == (example.table, address))
    octets, start = bytes.fromhex(example.octets), (address - example.address) * WORD
    return value(register, octets[start : start + register.words * WORD], 1)


@pytest.mark.parametrize("name", models.names())
def test_the_examples_of_every_model_decode_as_they_say(name: str) -> None:
    model = models.load(name)
    assert model.examples
    for example in model.examples:
        for wanted in example.values:
            found = shown(model, example, wanted.address)
            assert (found.state is State.INVALID) == wanted.invalid, found
            if wanted.mantissa is not None:
                assert isinstance(found.number, Scaled)
                assert found.number.mantissa == wanted.mantissa
                assert wanted.exponent in (None, found.number.exponent)
            elif wanted.bits is not None:
                assert isinstance(found.number, Float32)
                assert found.number.bits == wanted.bits
            else:
                assert isinstance(found.number, Raw)


@pytest.mark.parametrize("name", models.names())
def test_all_energy_of_a_model_is_read_in_one_question(name: str) -> None:
    """Import and export of one reading are of one moment."""
    model = models.load(name)
    spans = plan(model.registers, model.largest_block, model.largest_gap)
    assert sum(any(each.unit in ("Wh", "var.h") for each in span.registers) for span in spans) == 1


@pytest.mark.parametrize("name", models.names())
def test_every_model_names_its_source(name: str) -> None:
    source = models.load(name).source
    assert all((source.document, source.revision, source.where, source.seen))


def test_no_two_models_are_sealed_under_one_name() -> None:
    sealed = {models.load(name).sealed_as for name in models.names()}
    assert len(sealed) == len(models.names()) == 7


def test_an_unknown_model_names_the_nearest_and_all_others() -> None:
    with pytest.raises(models.UnknownModel, match=f"PLB-C240: .*perhaps {EM340}; .*{SDM630}"):
        models.load("carlo-gavazi-em340")


def test_a_register_has_its_label_again_from_what_was_sealed() -> None:
    """From the sealed identity or its manufacturer, whatever the unit number."""
    assert models.label("Carlo Gavazzi EM340", IMPORT_KEY) == "active energy import"
    sealed = Identity(Protocol.MODBUS, "Carlo Gavazzi EM340", fabrication="3401234")
    assert models.label(sealed, NativeKey.modbus(9, 0x34, "input.int32.cdab")) == "active energy import"


def test_what_is_not_known_has_no_label() -> None:
    assert models.label("Carlo Gavazzi EM340", NativeKey.modbus(1, 0x34, "input.int32.abcd")) is None
    assert models.label("Carlo Gavazzi EM340", NativeKey.dlms(3, bytes(6), 2)) is None
    assert models.label("Carlo Gavazzi EM24", IMPORT_KEY) is None
    assert models.label(Identity(Protocol.MODBUS), IMPORT_KEY) is None


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("largest_block = 50", "largest_block = 500", "blocks of 1 to 125"),
        ("largest_block = 50", "largest_blok = 50", "largest_blok"),
        ("largest_block = 50", 'largest_block = "50"', "valid integer"),
        ('order = "cdab"', 'order = "abdc"', "abdc"),
        ('order = "cdab"', 'order = "ab"', "orders abcd"),
        ('kind = "int32"', 'kind = "int24"', "registers.0.kind"),
        ("address = 0x0000", "address = 0xFFFF", "an address from 0"),
        ("address = 0x0002", "address = 0x0000", "each once"),
        ('label = "voltage L2-N"', 'label = "voltage L1-N"', "label of its own"),
        ('obis = "1-0:1.8.0.255"', 'obis = "1.8.0"', "OBIS"),
        ('octets = "08fd', 'octets = "fd', "whole registers"),
        ("mantissa = 500", "mantissa = 50.0", "mantissa"),
        ("[source]", "[sauce]", "source"),
        ("words = 7", "words = 70", "words of a text"),
        ("what = ", "what ", "TOML"),
    ],
)
def test_every_mistake_in_a_model_is_named(old: str, new: str, named: str) -> None:
    text = FILE.read_text()
    assert old in text
    with pytest.raises(BadModel, match="PLB-C241") as caught:
        models.from_toml("broken", text.replace(old, new, 1))
    assert named in str(caught.value)


def test_the_identity_is_the_model_with_what_the_meter_says() -> None:
    """One letter in each register, as this series shows its serial number."""
    found = identity(models.load(EM340), b"\0003\0004\0000\0001\0002\0003\0004", b"\x01\x54")
    assert found == Identity(Protocol.MODBUS, "Carlo Gavazzi EM340", version=340, fabrication="3401234")
    assert identity(models.load(EM340), b"3401234".ljust(14, b"\0"), b"\x01\x54").fabrication == "3401234"
    assert identity(models.load(SDM630), b"\x01\x02\x03\x04", None).fabrication == "16909060"


def test_unset_identity_registers_are_no_serial_number() -> None:
    assert identity(models.load(EM340), bytes(14), b"\x01\x54").fabrication is None
    assert identity(models.load(SDM630), b"\xff" * 4, None).fabrication is None


def test_a_meter_without_identity_registers_is_sealed_as_such() -> None:
    text = FILE.read_text()
    start, end = text.index("[code]"), text.index("[[registers]]")
    bare = models.from_toml("bare", text[:start] + text[end:])
    assert identity(bare, None, None) == Identity(Protocol.MODBUS)


@pytest.mark.parametrize("code", [0, 332, 339, 342, 345, 1744])
def test_another_identification_code_is_another_meter(code: int) -> None:
    """EM330, ET340 and EM530 too, whose registers are alike."""
    with pytest.raises(AnotherMeter, match=f"identification {code}"):
        identity(models.load(EM340), bytes(14), code.to_bytes(2, "big"))


def test_a_serial_number_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadIdentity, match="PLB-M407"):
        identity(models.load(EM340), b"\x07" * 14, b"\x01\x54")


def test_only_one_file_imports_pymodbus() -> None:
    """It changes from one minor release to the next."""
    root = Path(models.__file__).parents[2]
    packages = ("protocols", "gateway", "collector", "simulators")
    files = [path for package in packages for path in (root / package).rglob("*.py")]
    found = [path for path in files if "import pymodbus" in (text := path.read_text()) or "from pymodbus" in text]
    assert [path.relative_to(root).as_posix() for path in found] == ["protocols/transports/modbus.py"]


def test_pymodbus_is_imported_when_a_bus_needs_it() -> None:
    """Neither the collector's labels nor the gateway's start pay for it."""
    code = "import sys, gateway.buses, protocols.models.modbus; print('pymodbus' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
