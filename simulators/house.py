"""All meters of one house: three on an M-Bus line, two electricity meters over TCP, one behind a Modbus gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from protocols.dlms.ciphering import Keys
from simulators.dlms.habits import changed
from simulators.dlms.meters import DlmsMeters
from simulators.mbus.bus import Bus
from simulators.mbus.converter import Converter
from simulators.mbus.faults import Faults
from simulators.mbus.heat import boiler_room
from simulators.mbus.line import Line, PtyLine, serve
from simulators.mbus.meters import Plate, cellar
from simulators.modbus.meter import ModbusMeter
from simulators.record import Record

# What stands on the M-Bus line.
KINDS: dict[str, Callable[[], tuple[Plate, ...]]] = {"cellar": cellar, "boiler-room": boiler_room}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the meters on TCP listen, on loopback; None: these meters are not there, 0: a free port."""

    wrapper: int | None = None
    hdlc: int | None = None
    modbus: int | None = None
    converter: int | None = None  # the M-Bus line itself, beside its terminal


class House:
    """The meters; `freeze` makes all of them fall silent for good."""

    def __init__(
        self, link: Path, record: Path, seed: int, faults: Faults, baud: int | None, kind: str = "cellar"
    ) -> None:
        """Open the line, and the record; `kind` is one of `KINDS`.

        Raises:
            OSError: the line cannot be made.
        """
        self.record = Record(record)
        self.bus = Bus(KINDS[kind](), self.record, _utc_ms, seed, faults)
        self.line = PtyLine(link)
        self.electricity: DlmsMeters | None = None
        self.modbus: ModbusMeter | None = None
        self.converter: Converter | None = None
        self._seed, self._baud = seed, baud

    async def start(
        self, ports: Ports, password: bytes, history_rows: int, keys: Keys | None = None, habits: str = ""
    ) -> None:
        """Let the meters on TCP listen; `keys` and `habits` are those of the electricity meters."""
        if ports.wrapper is not None and ports.hdlc is not None:
            self.electricity = DlmsMeters(
                self.record,
                _utc_ms,
                self._seed,
                password=password,
                keys=keys,
                history_rows=history_rows,
                changed=partial(changed, written=habits),
            )
            await self.electricity.start(ports.wrapper, ports.hdlc)
        if ports.modbus is not None:
            self.modbus = ModbusMeter(self.record, _utc_ms, self._seed)
            await self.modbus.start(ports.modbus)
        if ports.converter is not None:
            self.converter = Converter()
            await self.converter.start(ports.converter)

    async def serve(self, stop: asyncio.Event) -> None:
        """Answer until `stop`; then everything is closed."""
        lines: list[Line] = [self.line]
        if self.converter is not None:
            lines.append(self.converter)
        try:
            await asyncio.gather(*(serve(self.bus, each, stop, self._baud) for each in lines))
        finally:
            for meters in (self.electricity, self.modbus, self.converter):
                if meters is not None:
                    await meters.stop()

    def freeze(self) -> None:
        """No meter answers any more."""
        self.bus.frozen = True
        for meters in (self.electricity, self.modbus):
            if meters is not None:
                meters.frozen = True

    def close(self) -> None:
        """Take the line away and close the record."""
        self.line.close()
        self.record.close()


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
