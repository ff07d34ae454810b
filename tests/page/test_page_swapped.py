"""M12: a meter in another's place is nobody's, its series is its own, and the old one's has ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from chain import NOW_MS, Bench
from pages import SLOT_MS, Served, fill, heat

from protocols.reading import Reading, TimeQuality
from protocols.uplink.leaf import identity_to_wire
from protocols.uplink.pack import pack
from protocols.uplink.records import Event, When

OLD = heat(0, "heat-attic", 2).meter
NEW = dataclasses.replace(OLD, id="60300099")
SINCE_MS = NOW_MS + 6 * SLOT_MS


def told(code: str, slot: int = 6) -> Event:
    """What the gateway says of heat-attic."""
    when = When(NOW_MS + slot * SLOT_MS, slot, TimeQuality(True, 20))
    return Event(when, code, OLD, "heat-attic", ("riser", pack(identity_to_wire(NEW)), SINCE_MS, "KAM 60300099"))


def shown(slot: int) -> Reading:
    """What the new meter shows."""
    return dataclasses.replace(heat(slot, "heat-attic", 2), meter=NEW)


def swap(bench: Bench, slots: int = 6) -> None:
    """After `fill` the meter in the attic is another one, read for some slots."""
    fill(bench)
    bench.take(bench.chain.seal(records=[told("meter-changed")]))
    for slot in range(6, 6 + slots):
        bench.now_ms = NOW_MS + slot * SLOT_MS + 5_000
        bench.take(bench.chain.seal([shown(slot), heat(slot), heat(slot, "flat-3", 3), heat(slot, "flat-4", 4)]))


def attic(site: Served) -> dict[str, Any]:
    """The meters of heat-attic by their names."""
    return {each["name"]: each for each in site.json("/api/v1/meters")["meters"] if each["device"] == "heat-attic"}


def test_the_new_meter_is_unattributed_and_the_old_series_has_ended(bench: Bench, tmp_path: Path) -> None:
    """Two meters under one device name, nothing mixed; the old one is not late: nothing more is expected of it."""
    swap(bench)
    with Served(bench, tmp_path) as site:
        found = attic(site)
        old, new = found["mbus:KAM/00000002"], found["mbus:KAM/60300099"]
        assert (old["series"][0]["stored"], new["series"][0]["stored"]) == (6, 6)
        assert (old["ended"], old["late"], old["unattributed_since"]) == (True, False, None)
        assert (new["ended"], new["unattributed_since"]) == (False, "2026-09-21T15:43:20.000Z")
        wrong = site.json("/api/v1/status")["wrong"]
        assert any("heat-attic at house-1" in each and "attributed to nobody" in each for each in wrong)
        assert "unattributed: in another meter" in site.ask("/")[2]


def test_a_recorded_exchange_settles_it(bench: Bench, tmp_path: Path) -> None:
    """The new meter is the device's; the old series stays ended."""
    swap(bench)
    bench.take(bench.chain.seal(records=[told("meter-exchanged", 12)]))
    with Served(bench, tmp_path) as site:
        found = attic(site)
        assert found["mbus:KAM/60300099"]["unattributed_since"] is None
        assert found["mbus:KAM/00000002"]["ended"]
        assert not any("attributed to nobody" in each for each in site.json("/api/v1/status")["wrong"])


def test_the_old_meter_back_is_expected_again(bench: Bench, tmp_path: Path) -> None:
    """Its series goes on; readings of the other one stay what they are."""
    swap(bench)
    bench.take(bench.chain.seal(records=[told("meter-returned", 12)]))
    with Served(bench, tmp_path) as site:
        old = attic(site)["mbus:KAM/00000002"]
        assert (old["ended"], old["late"]) == (False, True)
        assert attic(site)["mbus:KAM/60300099"]["unattributed_since"] is None


def test_a_start_of_the_gateway_attributes_nothing(bench: Bench, tmp_path: Path) -> None:
    """Until an exchange is recorded; and tables made anew say the same."""
    swap(bench)
    when = When(NOW_MS + 13 * SLOT_MS, 13, TimeQuality(True, 20))
    bench.take(bench.chain.seal(records=[Event(when, "start", None, None, ("0.1.0",))]))
    before = bench.store.devices.strangers(), bench.store.devices.ended()
    assert [each.device for each in before[0]] == ["heat-attic"]
    assert len(before[1]) == 1
    bench.store.devices.rebuild(lambda sealed, gateway: None)
    assert (bench.store.devices.strangers(), bench.store.devices.ended()) == before
