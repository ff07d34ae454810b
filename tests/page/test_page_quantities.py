"""Readable names: from the native key alone."""

from __future__ import annotations

import pytest

from protocols import obis, quantities
from protocols.mbus import fixed, naming, vif, vife
from protocols.models.modbus import load
from protocols.quantities import Rank, label, rank
from protocols.reading import Identity, NativeKey, Protocol

HEAT = Identity(Protocol.MBUS, "KAM", "80012345", 1, 4)


@pytest.mark.parametrize(
    ("vib", "place", "words", "order"),
    [
        ("06", (0, 0, 0, 0), "energy", Rank.ENERGY),
        ("fb08", (0, 0, 0, 0), "energy", Rank.ENERGY),
        ("5b", (0, 0, 0, 0), "flow temperature", Rank.TEMPERATURE),
        ("14", (1, 0, 0, 0), "volume, set day 1", Rank.OTHER),
        ("2d", (0, 0, 0, 1), "power, maximum", Rank.OTHER),
        ("8610", (0, 2, 1, 0), "energy, tariff 2, input 1", Rank.OTHER),
        ("863c", (0, 0, 0, 0), "energy, backward", Rank.OTHER),
        ("5b", (0, 0, 0, 3), "flow temperature, in error state", Rank.OTHER),
        ("fd17", (0, 0, 0, 0), "error flags", Rank.OTHER),
        ("ff22", (0, 0, 0, 0), "manufacturer's value", Rank.OTHER),
        ("ef", (0, 0, 0, 0), "value ef", Rank.OTHER),
        ("", (0, 0, 0, 0), "value ", Rank.OTHER),
        ("fd", (0, 0, 0, 0), "value fd", Rank.OTHER),
        ("fdfd", (0, 0, 0, 0), "value fdfd", Rank.OTHER),
        ("fc09", (0, 0, 0, 0), "value in the meter's own unit", Rank.OTHER),
        ("fd71", (0, 0, 0, 0), "radio level", Rank.OTHER),
        ("fb2a", (1, 0, 0, 0), "phase angle voltage to voltage, set day 1", Rank.OTHER),
        ("730105", (0, 0, 0, 0), "energy", Rank.ENERGY),  # the fixed structure's first counter
        ("73023a", (0, 0, 0, 0), "counter 2", Rank.OTHER),
        ("73022f", (1, 0, 0, 0), "flow, set day 1", Rank.OTHER),
        ("3b", (0, 0, 0, 0), "flow", Rank.FLOW),
        ("6e", (0, 0, 0, 0), "heat cost units", Rank.ENERGY),
        ("fb20", (0, 0, 0, 0), "volume, not metric", Rank.OTHER),
        ("fb77", (0, 0, 0, 0), "temperature limit", Rank.OTHER),
        ("fb7e", (0, 0, 0, 0), "maximum power, summed up", Rank.OTHER),
        ("86fc0b", (0, 0, 0, 0), "energy", Rank.ENERGY),
        ("86fcbc3c", (0, 0, 0, 0), "energy, backward", Rank.OTHER),  # the code behind FC is no direction
        ("86ff3c", (0, 0, 0, 0), "energy", Rank.ENERGY),  # nor what is the manufacturer's
    ],
)
def test_an_mbus_key_is_named(vib: str, place: tuple[int, int, int, int], words: str, order: Rank) -> None:
    """From VIB, storage, tariff, subunit and function."""
    key = NativeKey.mbus(bytes.fromhex(vib), *place)
    assert (label(key, HEAT), rank(key, HEAT)) == (words, order)


@pytest.mark.parametrize(
    ("before", "table"), [("", vif.PRIMARY), ("fd", vif.AFTER_FD), ("fb", vif.AFTER_FB), ("fdfd", vif.AFTER_FD_FD)]
)
def test_whatever_the_decoder_names_is_named(before: str, table: dict[int, vif.Meaning]) -> None:
    """One table: a code that is added there has its words here."""
    for code in table:
        key = NativeKey.mbus(bytes.fromhex(before) + bytes([code]), 0, 0, 0, 0)
        assert not label(key, HEAT).startswith("value "), key


def test_what_has_a_rank_or_a_name_of_its_own_is_in_the_decoders_tables() -> None:
    """A misspelt quantity would rank nothing."""
    tables = (vif.PRIMARY, vif.AFTER_FD, vif.AFTER_FB, vif.AFTER_FD_FD, fixed.UNITS)
    named = {meaning.quantity for table in tables for meaning in table.values()}
    electric = {*naming.ELECTRIC_TOTALS, *naming.ELECTRIC_POWERS, *naming.ELECTRIC_MOMENTS}
    thermal = {*naming.THERMAL_TOTALS, *naming.THERMAL_MOMENTS, *naming.WATER_TOTALS, *naming.WATER_MOMENTS}
    said = {each.words for each in (*vife.COMBINABLE.values(), *vife.AFTER_FC.values())}
    assert set(quantities._DIRECTIONS) - said == set()
    assert {*quantities._RANKS, *quantities._SAID, *electric, *thermal, *naming.ALLOCATOR_TOTALS} - named == set()


def test_every_unit_of_the_fixed_structure_is_named_or_counted() -> None:
    for code in range(0x40):
        key = NativeKey.mbus(bytes([fixed.LOW, 1, code]), 0, 0, 0, 0)
        assert (label(key, HEAT) == "counter 1") == (not fixed.UNITS.get(code, vif.UNKNOWN).unit)


@pytest.mark.parametrize(
    ("name", "words", "order"),
    [
        ("1-0:1.8.0.255", "active energy import", Rank.ENERGY),
        ("1-0:2.8.2.255", "active energy export, tariff 2", Rank.OTHER),
        ("1-0:3.7.0.255", "reactive power import", Rank.POWER),
        ("1-0:21.7.0.255", "active power import L1", Rank.OTHER),
        ("1-0:32.7.0.255", "voltage L1", Rank.ELECTRIC),
        ("1-0:1.29.0.255", "active energy import of the interval", Rank.ENERGY),
        ("1-0:1.6.0.255", "active power import, maximum", Rank.OTHER),
        ("6-0:10.0.0.255", "flow temperature", Rank.TEMPERATURE),
        ("8-0:1.0.0.255", "volume", Rank.VOLUME),
        ("0-0:1.0.0.255", "clock", Rank.OTHER),
        ("1-0:99.1.0.255", "1-0:99.1.0.255", Rank.OTHER),
    ],
)
def test_an_obis_name_is_named(name: str, words: str, order: Rank) -> None:
    """From the six numbers; what nobody knows stays a name."""
    key, who = NativeKey.dlms(3, obis.from_text(name), 2), Identity(Protocol.DLMS)
    assert (label(key, who), rank(key, who)) == (words, order)


def test_a_modbus_register_without_a_model_keeps_its_number() -> None:
    """No model, no guess."""
    key, who = NativeKey.modbus(1, 52, "input.float32.abcd"), Identity(Protocol.MODBUS)
    assert label(key, who) == "register 52"


def test_a_modbus_register_of_a_known_model_has_the_models_name() -> None:
    """Found by the sealed identity; phases are no main values."""
    model = load("eastron-sdm630-modbus")
    who = Identity(Protocol.MODBUS, model.sealed_as)
    ranks = {each.label: rank(NativeKey.modbus(7, each.address, each.type), who) for each in model.registers}
    names = [label(NativeKey.modbus(7, each.address, each.type), who) for each in model.registers]
    assert names == list(ranks)
    assert ranks["active energy import"] == Rank.ENERGY
    assert (ranks["active power"], ranks["active power L1"]) == (Rank.POWER, Rank.OTHER)
    assert ranks["voltage L1-N"] == Rank.ELECTRIC
