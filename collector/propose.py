"""What a commissioning record proposes: meters, and where they are installed; nothing is taken into use by itself.

A record counts when its seal holds under an active key of its gateway here, or under the key whose fingerprint the
operator compared with the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from collector.faults import RecordSignerError
from collector.shown import utc
from collector.store.gateways import ACTIVE, Registered
from protocols.uplink import commissioned
from protocols.uplink.commissioned import Commissioned, Met
from protocols.uplink.keys import fingerprint


@dataclass(frozen=True, slots=True)
class Proposal:
    """A record whose seal holds, and what vouches for its key (empty: nobody compared it yet)."""

    record: Commissioned
    vouched: str

    @property
    def row(self) -> dict[str, Any]:
        """For programs: the record's own facts, and a meter and an installation for each meter that was read."""
        made = self.record
        read = [each for each in made.meters if each.at_ms is not None]
        return {
            "gateway": made.gateway,
            "fingerprint": fingerprint(made.sealing.octets),
            "vouched": self.vouched,
            "made": utc(made.made_ms),
            "program": made.program,
            "configuration": made.config.hex(),
            "meters": [_meter(each) for each in read],
            "installations": [_installation(made.gateway, each) for each in read],
            "not_read": [{"device": each.name, "why": each.failure} for each in made.meters if each.at_ms is None],
        }

    @property
    def lines(self) -> list[str]:
        """For people."""
        row = self.row
        told = [f"gateway {row['gateway']}, made {row['made']}, key {row['fingerprint']}"]
        told.append(f"key: {self.vouched or 'NOT COMPARED: is this the fingerprint that the device shows?'}")
        for meter, place in zip(row["meters"], row["installations"], strict=True):
            who = f"{meter['manufacturer'] or '-'} {meter['serial'] or '-'}, model {meter['model'] or 'not chosen'}"
            told.append(f"  meter {who}: device {place['device']} from {place['from']}, {len(place['initial'])} values")
        told += [f"  not read, nothing proposed: {each['device']}: {each['why']}" for each in row["not_read"]]
        return told


def propose(octets: bytes, register: dict[str, Registered] | None, expected: str | None) -> Proposal:
    """The proposals of a sealed record, by the `register` (None: there is none here) or an `expected` fingerprint.

    Raises:
        SignatureError: it was altered.
        PeerError: it is no such record.
        RecordSignerError: its key is not the gateway's, or not the expected one.
    """
    record = commissioned.read(octets)
    where, key = f"record of {record.gateway}", record.sealing
    shown = fingerprint(key.octets)
    if expected is not None and "".join(expected.split()).lower() != shown.replace(" ", ""):
        raise RecordSignerError(expected, shown, where)
    known = None if register is None else register.get(record.gateway)
    if known is not None:
        active = {name for name, each in known.keys.items() if each.state == ACTIVE and each.key == key}
        if key.id not in active:
            raise RecordSignerError(f"an active key of {record.gateway}", shown, where)
        return Proposal(record, "registered here")
    if register is not None and expected is None:
        raise RecordSignerError("a gateway that is registered, or --expect-fingerprint", shown, where)
    return Proposal(record, "" if expected is None else "compared by its fingerprint")


def _meter(met: Met) -> dict[str, Any]:
    return {
        "protocol": met.protocol,
        "manufacturer": met.manufacturer,
        "serial": met.serial,
        "version": met.version,
        "medium": met.medium,
        "model": met.model,
    }


def _installation(gateway: str, met: Met) -> dict[str, Any]:
    initial = [
        {"place": each.place, "value": each.value, "unit": each.unit, "state": each.state} for each in met.readings
    ]
    return {
        "gateway": gateway,
        "device": met.name,
        "bus": met.bus,
        "line": met.line,
        "address": met.address,
        "serial": met.serial,
        "from": utc(met.at_ms or 0),
        "initial": initial,
    }
