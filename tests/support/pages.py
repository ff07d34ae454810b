"""A page over a real store with really sealed batches of all three protocols, served by the real server."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from chain import NOW_MS, Bench, reading
from servers import free_port

from collector.config import Config, Http
from collector.expose.health import Health
from collector.expose.serve import PageServer
from protocols import obis
from protocols.reading import (
    Exchange,
    Float32,
    How,
    Identity,
    MeterTime,
    NativeKey,
    Precision,
    Protocol,
    Reading,
    Scaled,
    State,
    Status,
    Text,
    TimeQuality,
    Value,
)
from protocols.uplink.records import Event, When

SLOT_MS = 900_000
METER_NOW_S = 843_000_000  # seconds since 2000: near NOW_MS on a meter's calendar


def exchange(at_ms: int, nth: int = 0) -> Exchange:
    """An exchange at a time."""
    return Exchange(at_ms, 5_000 + nth, 180, TimeQuality(True, 20), f"{at_ms}/{nth}".encode(), keep=False)


def heat(slot: int, device: str = "heat-cellar", meter: int = 1) -> Reading:
    """A heat meter over M-Bus: main values, a set day, a maximum, its own clock."""
    found = reading(slot, meter, device=device)
    shown = MeterTime(METER_NOW_S + slot * 900, Precision.MINUTE)
    day = MeterTime(METER_NOW_S // 86_400 * 86_400, Precision.DAY)
    more = (
        Value(NativeKey.mbus(b"\x2d", 0, 0, 0, 0), "W", Scaled(123 + slot, 2), State.OK),
        Value(NativeKey.mbus(b"\x3b", 0, 0, 0, 0), "m3/h", Scaled(412, -3), State.OK),
        Value(NativeKey.mbus(b"\x5a", 0, 0, 0, 0), "Cel", Scaled(653, -1), State.OK),
        Value(NativeKey.mbus(b"\x5e", 0, 0, 0, 0), "Cel", Scaled(387, -1), State.OK),
        Value(NativeKey.mbus(b"\x06", 1, 0, 0, 0), "Wh", Scaled(998_001, 3), State.OK, None, day),
        Value(NativeKey.mbus(b"\x2d", 0, 0, 0, 1), "W", Scaled(311, 2), State.OK, None, shown),
        Value(NativeKey.mbus(b"\x5a", 0, 0, 0, 3), "Cel", Scaled(9999, -1), State.ERROR_STATE),
        Value(NativeKey.mbus(b"\x78", 0, 0, 0, 0), "", Scaled(80_012_345), State.OK),
    )
    return dataclasses.replace(found, meter_time=shown, values=(*found.values, *more))


def power(slot: int, device: str = "main-supply") -> Reading:
    """An electricity meter over DLMS, read at a slot; it shows its deviation from UTC."""
    at_ms = NOW_MS + slot * SLOT_MS
    shown = MeterTime(METER_NOW_S + slot * 900 + 7, Precision.SECOND, True, 120)
    registers = (("1-0:1.8.0.255", "W.h", 48_123_456), ("1-0:2.8.0.255", "W.h", 1_204), ("1-0:1.7.0.255", "W", 2_310))
    values = tuple(
        Value(NativeKey.dlms(3, obis.from_text(name), 2), unit, Scaled(number + slot), State.OK)
        for name, unit, number in registers
    )
    text = Value(NativeKey.dlms(1, obis.from_text("0-0:42.0.0.255"), 2), "", Text("LGZ1030655933512"), State.OK)
    who = Identity(
        Protocol.DLMS, "LGZ", logical_name="LGZ1030655933512", system_title=bytes.fromhex("4c475a6773743412")
    )
    return Reading(who, device, None, How.READ, at_ms, shown, exchange(at_ms + 700), 0, Status.NONE, (*values, text))


def profile(row: int, device: str = "main-supply") -> Reading:
    """A row of its load profile."""
    base = power(0, device)
    shown = MeterTime(METER_NOW_S + row * 900, Precision.SECOND, True, 120)
    value = Value(NativeKey.dlms(3, obis.from_text("1-0:1.29.0.255"), 2), "W.h", Scaled(120 + row), State.OK)
    at_ms = NOW_MS + row // 4 * 4 * SLOT_MS + 1_500
    return Reading(base.meter, device, None, How.PROFILE, None, shown, exchange(at_ms), 0, Status.NONE, (value,))


def pump(slot: int, device: str = "pump-room") -> Reading:
    """A meter without identity over Modbus, with floats."""
    at_ms = NOW_MS + slot * SLOT_MS
    values = tuple(
        Value(NativeKey.modbus(1, address, "input.float32.abcd"), unit, Float32(bits), State.OK)
        for address, unit, bits in ((0, "V", 0x43664CCD), (6, "A", 0x40A00000), (52, "W", 0x44898000))
    )
    who = Identity(Protocol.MODBUS)
    status = Status.POWER_LOW
    return Reading(who, device, None, How.READ, at_ms, None, exchange(at_ms + 100), 4, status, values)


def events() -> list[Event]:
    """What a gateway reports."""
    when = [When(NOW_MS + each * SLOT_MS, each, TimeQuality(True, 20)) for each in range(4)]
    return [
        Event(when[0], "start", None, None, ("0.1.0",)),
        Event(when[1], "poll-failed", None, "heat-attic", ("bus-1", "PLB-M101", "no answer within 0.5 s")),
        Event(when[2], "poll-recovered", None, "heat-attic", ("bus-1", "PLB-M101")),
        Event(when[3], "clock-step", None, None, (1_204,)),
    ]


def fill(bench: Bench, slots: int = 6) -> None:
    """Six meters of three protocols at house-1, read in every slot; some events; a hello of both gateways."""
    chain = bench.chain
    for slot in range(slots):
        bench.now_ms = NOW_MS + slot * SLOT_MS + 5_000
        chain.created_ms = bench.now_ms - 2_000
        spots = [heat(slot), heat(slot, "heat-attic", 2), heat(slot, "flat-3", 3), heat(slot, "flat-4", 4)]
        bench.take(chain.seal([*spots, power(slot), pump(slot), profile(slot)]))
    bench.take(chain.seal(records=events()))
    bench.greet(chain.hello())
    bench.greet(bench.chains["house-2"].hello(), "house-2")


class Served:
    """The page server in a loop and thread of its own, over the bench's store; its clock is the bench's."""

    def __init__(self, bench: Bench, folder: Path, names: Sequence[str] = (), shared_s: float = 0.0) -> None:
        store = folder / "collector.sqlite3"
        self.http = Http("127.0.0.1", free_port(), tuple(names))
        self.config = Config("utility", store, folder, "localhost", 8883, None, 604_800, 64, 50, 100, self.http)
        self.health = Health(linked=True)
        self.server = PageServer(self.config, self.http, self.health, shared_s, lambda: bench.now_ms)
        self.site = self.server.site
        self.url = self.server.url
        self._ended = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Served:
        """Start and wait until it listens."""
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def ask(self, path: str, host: str | None = None, method: str = "GET") -> tuple[int, dict[str, str], str]:
        """Status, headers in lower case and text of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http.port, timeout=20)
        connection.request(method, path, headers={"Host": host} if host is not None else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text

    def json(self, path: str) -> Any:
        """A JSON answer."""
        status, _, text = self.ask(path)
        assert status == 200, text
        return json.loads(text)

    async def _run(self) -> None:
        self.server.start()
        self._up.set()
        await self._stop.wait()
        await self.server.stop()
