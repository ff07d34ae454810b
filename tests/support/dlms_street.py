"""One simulated electricity meter and a gateway's reader of it, in a time that is passed by hand."""

from __future__ import annotations

from pathlib import Path

from gateway_parts import NOW_MS, Time

from gateway.clock import GatewayClock
from gateway.config import DlmsBus, DlmsDevice
from gateway.dlms import DlmsReader
from gateway.schedule import Due
from gateway.settled import Positions, Settled
from protocols.dlms.access import Framing
from protocols.reading import How, Reading
from protocols.settings.model import checked
from protocols.uplink.records import Event
from simulators.dlms.habits import changed
from simulators.dlms.meter import Meter
from simulators.dlms.meters import DlmsMeters
from simulators.record import Answered, Record, read

PASSWORD = b"12345678"
PUMP = "70098765"  # behind HDLC, its clock has summer time
QUARTER_MS = 900_000


class Street:
    """The meter with some habits, `history_rows` of load profile in its memory."""

    def __init__(self, folder: Path, habits: str = "", history_rows: int = 200, now_ms: int = NOW_MS) -> None:
        self.time, self.positions = Time(now_ms), Positions({})
        self.path = folder / "record.jsonl"
        self.password = folder / "password"
        self.password.write_bytes(PASSWORD)
        self.password.chmod(0o600)
        self.clock = GatewayClock(self.time.sources())
        self.record = Record(self.path)
        self.events: list[Event] = []
        self._habits, self._history_rows = habits, history_rows

    async def start(self) -> None:
        """Let the meter listen."""
        self.meters = DlmsMeters(
            self.record,
            lambda: self.time.wall_ms,
            5,
            password=PASSWORD,
            history_rows=self._history_rows,
            changed=lambda plate: changed(plate, self._habits),
        )
        await self.meters.start()

    async def stop(self) -> None:
        """Close it."""
        await self.meters.stop()
        self.record.close()

    @property
    def meter(self) -> Meter:
        """The meter itself."""
        return self.meters.outlet(Framing.HDLC).meter

    def device(self, **given: object) -> DlmsDevice:
        """The meter as it is configured."""
        fields: dict[str, object] = {"name": "pump", "cadence_s": 900, "client": 32, "auth": "lls"}
        return checked(DlmsDevice, fields | {"password_file": self.password, "serial": PUMP} | given)

    def reader(self, device: DlmsDevice) -> DlmsReader:
        """A reader with nothing remembered but the positions."""
        url = f"tcp+hdlc://127.0.0.1:{self.meters.hdlc_port}"
        bus = DlmsBus(protocol="dlms", name="street", url=url, device=(device,))
        return DlmsReader(bus, self.positions, self.clock, note=self.events.append)

    def due(self, device: DlmsDevice) -> Due:
        """The slot that is open now."""
        slot_ms = self.time.wall_ms // QUARTER_MS * QUARTER_MS
        return Due(device, slot_ms, slot_ms + QUARTER_MS)

    async def visit(self, reader: DlmsReader, device: DlmsDevice) -> list[Reading]:
        """A visit as a poller makes it: what it shows, then all rows, each piece committed."""
        found = await reader.read(self.due(device))
        while piece := await reader.rows(device.name):
            self.positions.committed(Settled.by(piece, {}).rows)
            found += piece
        return found

    def recorded(self, kind: str, key: str = "") -> list[Answered]:
        """What the meter has in its record of this kind, with a value under `key`."""
        mine = (each for each in read(self.path) if each.meter == PUMP and each.kind == kind)
        return [each for each in mine if not key or key in each.values]


def of(found: list[Reading], how: How, sub: str | None = None) -> list[Reading]:
    """The readings that came so, of this profile."""
    return [each for each in found if each.how is how and each.sub == sub]
