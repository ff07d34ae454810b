"""A meter that a gateway found where another one is silent: it is nobody's until the exchange is recorded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from chain import NOW_MS, Bench
from pages import SLOT_MS, Served, fill, heat

from protocols.reading import TimeQuality
from protocols.uplink.leaf import identity_to_wire
from protocols.uplink.pack import pack
from protocols.uplink.records import Configuration, Event, When

OLD = heat(0, "heat-attic", 2).meter
NEW = dataclasses.replace(OLD, id="60300099")
NAME = "newcomer 60300099"
WHEN = When(NOW_MS + 6 * SLOT_MS, 6, TimeQuality(True, 20))
SOON = When(NOW_MS + 6 * SLOT_MS + 30_000, 6, TimeQuality(True, 20))
LATER = When(NOW_MS + 7 * SLOT_MS, 7, TimeQuality(True, 20))
FACTS = ("riser", pack(identity_to_wire(NEW)), WHEN.at_ms, "KAM 60300099")
FOUND = Event(SOON, "newcomer-found", None, NAME, (*FACTS, "PLB-M205", "heat-attic is silent: was it exchanged?"))


def find(bench: Bench) -> None:
    """After `fill` a newcomer is found and read once."""
    fill(bench)
    bench.now_ms = NOW_MS + 6 * SLOT_MS
    reading = dataclasses.replace(heat(6, NAME, 9), meter=NEW, slot_ms=None)
    bench.take(bench.chain.seal([reading], [FOUND]))


def test_its_reading_is_shown_and_attributed_to_nobody(bench: Bench, tmp_path: Path) -> None:
    """In the API, on the page, in the metrics and among what is wrong; the silent meter's series goes on."""
    find(bench)
    with Served(bench, tmp_path) as site:
        meters = {each["name"]: each for each in site.json("/api/v1/meters")["meters"]}
        new, old = meters["mbus:KAM/60300099"], meters["mbus:KAM/00000002"]
        assert (new["device"], new["unattributed_since"]) == (NAME, "2026-09-21T15:43:20.000Z")
        assert (old["ended"], old["unattributed_since"]) == (False, None)
        wrong = site.json("/api/v1/status")["wrong"]
        assert any(
            f"nobody configured was found where one is silent, its reading attributed to nobody: {NAME}" in each
            for each in wrong
        )
        assert 'plomba_meters_unattributed{gateway="house-1",newcomer="1"} 1.0' in site.ask("/metrics")[2]


def test_it_is_not_late_for_being_read_once(bench: Bench, tmp_path: Path) -> None:
    """Nothing more is expected of it until it is somebody's; the others, silent for a day, are late."""
    find(bench)
    bench.now_ms += 86_400_000
    with Served(bench, tmp_path) as site:
        late = {each["name"]: each["late"] for each in site.json("/api/v1/meters")["meters"]}
        assert (late["mbus:KAM/60300099"], late["mbus:KAM/00000002"]) == (False, True)


def test_the_record_of_the_exchange_ends_it(bench: Bench, tmp_path: Path) -> None:
    """The newcomer is the device's meter from then on."""
    find(bench)
    bench.take(
        bench.chain.seal(records=[Event(LATER, "meter-exchanged", OLD, "heat-attic", (*FACTS, None, bytes(32)))])
    )
    assert bench.store.devices.strangers() == []
    with Served(bench, tmp_path) as site:
        assert "plomba_meters_unattributed{" not in site.ask("/metrics")[2]


def test_a_start_with_another_configuration_ends_it_until_it_is_said_again(bench: Bench) -> None:
    """The new file may have it; the new process says whom it does not know."""
    find(bench)
    bench.take(bench.chain.seal(records=[Configuration(LATER, b"another one")]))
    assert bench.store.devices.strangers() == []
    bench.take(bench.chain.seal(records=[dataclasses.replace(FOUND, when=LATER)]))
    assert [(each.device, each.newcomer) for each in bench.store.devices.strangers()] == [(NAME, True)]
