"""Meters in a mood, through the gateway's own reader: busy, held by a client that is gone, with counters gone wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_parts import Time

from gateway.clock import GatewayClock
from gateway.config import DlmsBus, DlmsDevice
from gateway.counters import CounterStore
from gateway.dlms import DlmsReader
from gateway.schedule import Due
from gateway.settled import Positions
from protocols.dlms.access import Framing
from protocols.dlms.breaches import CounterRefused, CounterWentBack, MeterNotProven
from protocols.dlms.ciphering import Keys, Suite
from protocols.dlms.faults import AssociationRefused, PasswordRefused, StreamEnded
from protocols.errors import LinkError, MeterError
from simulators.dlms.faults import Mood, Moods
from simulators.dlms.meters import DlmsMeters
from simulators.record import Record

KEYS = Keys(Suite.AES_128, b"canary-enc-key-0", b"canary-auth-key0")
PASSWORD = b"canary-password"
QUARTER_MS = 900_000
VISITS = 60


class House:
    """A ciphered meter behind the wrapper, and a gateway that visits it each quarter of an hour."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.time = folder, Time()
        self.record = Record(folder / "record.jsonl")
        self.meters = DlmsMeters(self.record, lambda: self.time.wall_ms, password=PASSWORD, keys=KEYS)
        for name, octets in (("enc", KEYS.encryption), ("auth", KEYS.authentication)):
            (folder / name).write_text(octets.hex())
            (folder / name).chmod(0o600)
        self.device = DlmsDevice(
            name="main",
            cadence_s=900,
            client=17,
            auth="hls-gmac",
            ciphering="both",
            encryption_key_file=folder / "enc",
            authentication_key_file=folder / "auth",
            system_title="504C420000000001",
        )

    async def start(self) -> None:
        """Listen."""
        await self.meters.start()
        url = f"tcp://127.0.0.1:{self.meters.wrapper_port}"
        bus = DlmsBus(protocol="dlms", name="house", url=url, device=(self.device,))
        clock = GatewayClock(self.time.sources())
        self.reader = DlmsReader(bus, Positions({}), clock, counters=CounterStore(self.folder, clock.utc_ms))

    def moods(self, *kinds: Mood, turn: int | None = None, seed: int = 0) -> Moods:
        """From now on."""
        found = self.meters.outlet(Framing.WRAPPER).moods = Moods(kinds, seed, turn)
        return found

    async def visit(self) -> int:
        """Read the meter; how many values it gave."""
        self.time.pass_ms(QUARTER_MS)
        slot_ms = self.time.wall_ms // QUARTER_MS * QUARTER_MS
        (found,) = await self.reader.read(Due(self.device, slot_ms, slot_ms + QUARTER_MS))
        return len(found.values)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Listening."""
    found = House(tmp_path)
    await found.start()
    yield found
    await found.meters.stop()
    found.record.close()


@pytest.mark.parametrize(("mood", "error"), [(Mood.BUSY, AssociationRefused), (Mood.HALF_OPEN, StreamEnded)])
async def test_a_meter_that_takes_nobody_now_is_read_at_the_next_visit(
    house: House, mood: Mood, error: type[MeterError]
) -> None:
    """It is no refused password: nothing is locked out."""
    house.moods(mood, turn=0)
    with pytest.raises(error) as told:
        await house.visit()
    assert not isinstance(told.value, PasswordRefused | MeterNotProven)
    assert await house.visit() == 3


async def test_a_refused_counter_is_caught_up_within_the_visit(house: House) -> None:
    """The public client says how far the meter is; the visit after that begins above it, and is one visit later."""
    assert await house.visit() == 3
    moods = house.moods(Mood.COUNTER_REFUSED, turn=0)
    before = max(house.meters.outlet(Framing.WRAPPER).meter.vault.seen.values())
    with pytest.raises(CounterRefused):
        await house.visit()
    assert moods.turns == 2  # the visit, and the public client
    assert await house.visit() == 3
    assert max(house.meters.outlet(Framing.WRAPPER).meter.vault.seen.values()) > before + 1_000_000


async def test_a_meters_counter_that_begins_anew_is_an_alarm_once(house: House) -> None:
    """The meter has proven who it is: it is told, and read from then on."""
    assert await house.visit() == 3
    house.moods(Mood.COUNTER_BACK, turn=0)
    with pytest.raises(CounterWentBack):
        await house.visit()
    assert await house.visit() == 3


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_visit_ends_in_values_or_a_named_error(house: House, seed: int) -> None:
    """With all moods by seed: no counter is refused but where the meter was made to, and the next visit is good.

    A public client may itself meet a mood: then the counter is caught up at a later visit.
    """
    moods = house.moods(*Mood, seed=seed)
    failed = 0
    for _ in range(VISITS):
        try:
            assert await house.visit() == 3
        except (MeterError, LinkError):
            failed += 1
    assert 0 < failed <= 2 * len(moods.done)
    assert {kind for _, kind in moods.done} == set(Mood)
    again = Moods(tuple(Mood), seed)
    assert [(n, kind) for n in range(moods.turns) if (kind := again.draw()) is not None] == moods.done
